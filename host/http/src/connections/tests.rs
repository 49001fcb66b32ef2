//! The accounting of connections that do nothing by themselves, in a time that the test controls.

use std::{
    net::IpAddr,
    pin::pin,
    sync::atomic::AtomicBool,
    task::{Context, Poll, Wake, Waker},
};

use tokio::time::advance;

use super::*;

const FLEET: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

fn other(nth: usize) -> IpAddr {
    [10, 1, (nth / 250) as u8, (nth % 250) as u8].into()
}

fn connections(max: usize, incomplete_per_address: usize) -> Connections {
    Connections::new(ConnectionLimits {
        max,
        incomplete_per_address,
        head_timeout: Duration::from_secs(10),
        keep_alive_timeout: Duration::from_mins(1),
        write_idle_timeout: Duration::from_mins(1),
    })
}

impl Connections {
    fn open_many(&self, count: usize, address: impl Fn(usize) -> IpAddr) -> Vec<OpenConnection> {
        (0..count)
            .map(|nth| self.try_open(address(nth)).expect("room"))
            .collect()
    }

    /// As time goes by.
    async fn sweep_for(&self, seconds: u64) {
        for _ in 0..seconds {
            advance(Duration::from_secs(1)).await;
            self.sweep();
        }
    }
}

fn count(connections: &[OpenConnection], how: CloseMode) -> usize {
    let closing = connections.iter();
    closing
        .filter(|connection| connection.activity.closing() == how)
        .count()
}

/// Removes the connections that were asked to close, as their tasks do.
fn close_asked(connections: &mut Vec<OpenConnection>) {
    connections.retain(|connection| connection.activity.closing() == CloseMode::No);
}

#[tokio::test(start_paused = true)]
async fn a_fleet_behind_one_address_has_all_the_time_for_its_first_requests() {
    let connections = connections(10_000, 2_500);
    let mut fleet = connections.open_many(3_000, |_| FLEET);
    connections.sweep_for(9).await;
    fleet.extend(connections.open_many(500, |_| FLEET));
    assert_eq!(
        count(&fleet, CloseMode::No),
        3_500,
        "far from the limit of all"
    );
    connections.sweep_for(2).await;
    assert_eq!(count(&fleet, CloseMode::Now), 3_000, "after ten seconds");
}

#[tokio::test(start_paused = true)]
async fn late_requests_of_an_address_beyond_its_limit_are_closed_when_the_limit_of_all_is_near() {
    let connections = connections(10_000, 2_500);
    let mut fleet = connections.open_many(3_000, |_| FLEET);
    connections.sweep_for(3).await;
    let idle = connections.open_many(6_499, other);
    for connection in &idle {
        drop(connection.activity.begin_request(false));
    }
    connections.sweep();
    assert_eq!(count(&fleet, CloseMode::No), 3_000);
    // The last one before the reserve.
    let last = connections.open_many(1, other);
    connections.sweep();
    assert_eq!(count(&fleet, CloseMode::Now), 500);
    assert_eq!(
        count(&idle, CloseMode::No) + count(&last, CloseMode::No),
        6_500
    );
    close_asked(&mut fleet);

    // New ones of the address take the room of its late ones, not that of others.
    let new = connections.open_many(600, |_| FLEET);
    assert!(count(&fleet, CloseMode::Now) >= 100);
    assert_eq!(count(&new, CloseMode::No), 600);
    assert_eq!(count(&idle, CloseMode::No), 6_499);
}

#[tokio::test(start_paused = true)]
async fn connections_that_were_asked_to_close_count_until_they_have() {
    const MAX: usize = 100;
    let connections = connections(MAX, 25);
    let mut idle = connections.open_many(95, other);
    for connection in &idle {
        drop(connection.activity.begin_request(false));
    }
    // Each makes room, and what it closes does not close.
    let mut new = connections.open_many(5, other);
    assert_eq!(count(&idle, CloseMode::Gracefully), 6);
    assert!(connections.try_open(FLEET).is_none());
    // A quarter of a second later they have to.
    advance(LINGER).await;
    connections.sweep();
    assert_eq!(count(&idle, CloseMode::Now), 6);
    assert!(connections.try_open(FLEET).is_none());
    close_asked(&mut idle);
    new.extend(connections.try_open(FLEET));
    assert_eq!(new.len(), 6);
}

#[tokio::test(start_paused = true)]
async fn clients_that_read_nothing_make_room_and_slow_ones_do_not() {
    const MAX: usize = 40;
    let connections = connections(MAX, 10);
    let mut clients = connections.open_many(MAX - 2, other);
    let requests: Vec<_> = clients
        .iter()
        .map(|client| client.activity.begin_request(false))
        .collect();
    // Half of them pipeline requests, the others download.
    let mut parts = Vec::new();
    for (nth, client) in clients.iter().enumerate() {
        match nth % 2 {
            0 => client.activity.note_write_stalled(),
            _ => parts.push(requests[nth].begin_send()),
        }
    }
    advance(Duration::from_secs(3)).await;
    // The first two go on reading.
    clients[0].activity.note_write_progress();
    clients[0].activity.note_write_stalled();
    parts[0] = requests[1].begin_send();
    let open = connections.try_open(FLEET).expect("room");
    assert!(!open.uses_reserve);
    assert_eq!(count(&clients, CloseMode::Now), 1);
    assert_eq!(count(&clients[..2], CloseMode::No), 2);
    close_asked(&mut clients);
    // In the end they are closed without need.
    connections.sweep_for(58).await;
    assert_eq!(count(&clients, CloseMode::Now), MAX - 5);
    assert_eq!(count(&clients[..2], CloseMode::No), 2);
    connections.sweep_for(5).await;
    assert_eq!(count(&clients[..2], CloseMode::Now), 2);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_for_answers_and_not_for_clients_that_read_nothing() {
    let connections = connections(10, 10);
    let [answered, stalled] = [other(1), other(2)].map(|address| connections.try_open(address));
    let (answered, stalled) = (answered.expect("room"), stalled.expect("room"));
    let requests = [&answered, &stalled].map(|open| open.activity.begin_request(false));
    stalled.activity.note_write_stalled();
    let ended = async {
        let forever = std::pin::pin!(std::future::pending::<()>());
        stalled.activity.run(forever, |_| {}).await;
        drop(stalled);
        assert_eq!(answered.activity.closing(), CloseMode::Gracefully);
        drop(requests);
        drop(answered);
    };
    let started = Instant::now();
    tokio::join!(connections.shutdown(), ended);
    let elapsed = started.elapsed();
    assert!(
        (Duration::from_secs(2)..Duration::from_secs(3)).contains(&elapsed),
        "{elapsed:?}"
    );
}

/// Records whether a task was woken.
#[derive(Default)]
struct WakeFlag(AtomicBool);

impl Wake for WakeFlag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_connection_that_is_answered_when_it_has_to_close_is_closed_once_its_client_stops_reading() {
    let flag = Arc::<WakeFlag>::default();
    let waker = Waker::from(Arc::clone(&flag));
    let mut cx = Context::from_waker(&waker);
    let activity = Activity::unshared();
    let _request = activity.begin_request(false);
    let never = pin!(std::future::pending::<()>());
    let mut connection = pin!(activity.run(never, |_| {}));
    activity.close(CloseMode::Now);
    assert!(connection.as_mut().poll(&mut cx).is_pending(), "it is busy");
    assert!(!flag.0.load(Ordering::SeqCst));
    activity.note_write_stalled();
    assert!(!activity.close(CloseMode::Now), "it was asked before");
    assert!(flag.0.load(Ordering::SeqCst));
    assert_eq!(connection.as_mut().poll(&mut cx), Poll::Ready(None));
}
