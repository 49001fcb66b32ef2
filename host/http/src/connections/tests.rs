//! The accounting of connections that do nothing by themselves, in a time that the test controls.

use std::net::IpAddr;

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
