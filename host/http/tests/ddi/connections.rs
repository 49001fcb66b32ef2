//! How connections share the server.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::ensure;
use axum::routing::get;
use futures::future::try_join_all;
use tidegate_http::HttpServer;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Semaphore,
    task::yield_now,
    time::{interval, timeout},
};

use crate::{
    http2::request_without_window,
    raw_http::{self, Response},
    tcp_peer::{
        HALF_A_HEAD, HEALTH, MAX_WAIT, allow_many_files, ask, connect_from, count_closed,
        is_closed, poll, read_response, wait_until,
    },
    test_server::{GATEWAY, TestServer},
};

/// Registers the device of [`slow_report`].
async fn register_device(to: SocketAddr) -> anyhow::Result<()> {
    let status = ask(&mut connect_from(0, to).await?, &poll(1)).await?;
    ensure!(status == 200, "{status}");
    Ok(())
}

/// A report with a body of this many bytes, of which none follow.
fn slow_report(length: usize) -> String {
    format!(
        "PUT /LAB/controller/v1/dev-1/configData HTTP/1.1\r\nhost: a\r\nauthorization: {GATEWAY}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    )
}

/// What a peer sends before it goes silent or slow.
fn opening_of(nth: usize) -> Vec<u8> {
    match nth % 5 {
        0 => Vec::new(),
        1 => HALF_A_HEAD.into(),
        2 => slow_report(60_000).into(),
        3 => HEALTH.into(),
        _ => request_without_window("/health"),
    }
}

async fn open_peer(nth: usize, to: SocketAddr) -> anyhow::Result<TcpStream> {
    let mut stream = connect_from(1 + nth % 8, to).await?;
    // The server may have closed it already.
    let _ = stream.write_all(&opening_of(nth)).await;
    if nth % 5 == 3 {
        let _ = stream.read(&mut [0; 1024]).await;
    }
    Ok(stream)
}

/// The times of polls and readiness probes, each over a connection of its own, and of polls over one connection.
async fn response_times(to: SocketAddr) -> anyhow::Result<Vec<Duration>> {
    let mut times = Vec::new();
    let mut kept = connect_from(0, to).await?;
    for n in 0..40 {
        for request in [
            poll(n),
            "GET /readyz HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(),
        ] {
            let started = Instant::now();
            let mut stream = connect_from(0, to).await?;
            let status = timeout(MAX_WAIT, ask(&mut stream, &request)).await??;
            ensure!(status == 200, "{status}: {request}");
            times.push(started.elapsed());
        }
        let started = Instant::now();
        // A client opens a new connection when its idle one was closed.
        let status = if let Ok(status) = timeout(MAX_WAIT, ask(&mut kept, &poll(n))).await? {
            status
        } else {
            kept = connect_from(0, to).await?;
            timeout(MAX_WAIT, ask(&mut kept, &poll(n))).await??
        };
        ensure!(status == 200, "{status}");
        times.push(started.elapsed());
    }
    times.sort_unstable();
    Ok(times)
}

fn percentile_95(sorted: &[Duration]) -> Duration {
    sorted[sorted.len() * 95 / 100]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn silent_and_slow_peers_delay_no_poll_and_no_probe() -> anyhow::Result<()> {
    const PEERS: usize = 4_000;
    const MAX: usize = 2_000;
    allow_many_files()?;
    let http_server = HttpServer {
        max_connections: MAX,
        ..HttpServer::default()
    };
    let server = TestServer::authenticated_with(|_| {}, http_server).await?;
    let to = server.addr;
    register_device(to).await?;
    let alone = percentile_95(&response_times(to).await?);
    // A machine that is busy with other tests is slow without peers too.
    let allowed = Duration::from_millis(50).max(alone * 3);

    let mut peers = Vec::new();
    while peers.len() < PEERS {
        let opening = (peers.len()..peers.len() + 100).map(|nth| open_peer(nth, to));
        peers.extend(try_join_all(opening).await?);
    }
    wait_until(|| count_closed(&peers) >= PEERS - MAX).await?;
    let crowded = percentile_95(&response_times(to).await?);
    assert!(crowded < allowed, "{crowded:?}, alone {alone:?}");

    // They come back, 170 a second, and send a byte now and then.
    let reopened = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&reopened);
    let returning = tokio::spawn(async move {
        let mut turns = interval(Duration::from_millis(6));
        for nth in (0..PEERS).cycle() {
            if is_closed(&peers[nth]) {
                peers[nth] = open_peer(nth, to).await?;
                counter.fetch_add(1, Ordering::Relaxed);
                turns.tick().await;
            } else if matches!(nth % 5, 1 | 2) {
                let _ = peers[nth].try_write(b"a");
            }
        }
        anyhow::Ok(())
    });
    for _ in 0..3 {
        let before = reopened.load(Ordering::Relaxed);
        let crowded = percentile_95(&response_times(to).await?);
        assert!(crowded < allowed, "{crowded:?}, alone {alone:?}");
        wait_until(|| reopened.load(Ordering::Relaxed) > before + 100).await?;
    }
    returning.abort();
    Ok(())
}

/// A connection on which a poll was answered. As a device does, it connects again if the connection is lost: 2,000 clients
/// at once fill the system's queue, and the server gives each ten seconds for its first request.
async fn open_and_poll(to: SocketAddr, device: usize) -> anyhow::Result<TcpStream> {
    let opening = async {
        loop {
            if let Ok(mut stream) = connect_from(0, to).await
                && let Ok(status) = ask(&mut stream, &poll(device)).await
            {
                ensure!(status == 200, "{status}");
                return Ok(stream);
            }
            yield_now().await;
        }
    };
    timeout(MAX_WAIT, opening).await?
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_fleet_of_2000_behind_one_address_is_served() -> anyhow::Result<()> {
    const FLEET: usize = 2_000;
    allow_many_files()?;
    // A busy machine may take longer than the default to open them all.
    let http_server = HttpServer {
        keep_alive_timeout: 10 * MAX_WAIT,
        ..HttpServer::default()
    };
    let server = TestServer::authenticated_with(|_| {}, http_server).await?;
    let open = |device: usize| open_and_poll(server.addr, device % 20);
    let mut fleet = try_join_all((0..FLEET).map(open)).await?;
    // The connections are kept.
    let again = fleet.iter_mut().map(|stream| ask(stream, HEALTH));
    let statuses = timeout(MAX_WAIT, try_join_all(again)).await??;
    assert!(statuses.iter().all(|status| *status == 200));

    // More devices than connections are served too: those of the others are idle.
    let http_server = HttpServer {
        max_connections: 400,
        ..HttpServer::default()
    };
    let small = server.serve(http_server, server.router.clone()).await?;
    let mut kept = Vec::new();
    for device in 0..FLEET {
        kept.push(open_and_poll(small, device % 20).await?);
    }
    wait_until(|| count_closed(&kept) >= FLEET - 400).await
}

#[tokio::test]
async fn idle_connections_are_closed_the_longest_idle_first() -> anyhow::Result<()> {
    let http_server = HttpServer {
        max_connections: 40,
        ..HttpServer::default()
    };
    let server = TestServer::authenticated_with(|_| {}, http_server).await?;
    let open = async || {
        let mut stream = connect_from(0, server.addr).await?;
        ensure!(ask(&mut stream, HEALTH).await? == 200);
        anyhow::Ok(stream)
    };
    let mut idle = Vec::new();
    for _ in 0..38 {
        idle.push(open().await?);
    }
    // The first one is used again, so that it is not idle for long.
    ensure!(ask(&mut idle[0], HEALTH).await? == 200);
    let mut later = Vec::new();
    for _ in 0..10 {
        later.push(open().await?);
    }
    wait_until(|| count_closed(&idle) == 10).await?;
    assert!(!is_closed(&idle[0]));
    // Requests in the same millisecond have no order.
    assert_eq!(count_closed(&idle[20..]), 0);
    assert_eq!(count_closed(&later), 0);
    Ok(())
}

/// A router with a resource `/hold`, whose responses wait for a permit each, and the number of its requests.
pub(crate) fn with_hold(server: &TestServer) -> (axum::Router, Arc<Semaphore>, Arc<AtomicUsize>) {
    let (permits, held) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let (waited_for, counter) = (Arc::clone(&permits), Arc::clone(&held));
    let respond = move || {
        let (permits, waiting) = (Arc::clone(&waited_for), Arc::clone(&counter));
        async move {
            waiting.fetch_add(1, Ordering::SeqCst);
            permits.acquire().await.expect("never closed").forget();
            waiting.fetch_sub(1, Ordering::SeqCst);
            "held"
        }
    };
    (
        server.router.clone().route("/hold", get(respond)),
        permits,
        held,
    )
}

const HOLD: &[u8] = b"GET /hold HTTP/1.1\r\nhost: a\r\n\r\n";

pub(crate) async fn hold(to: SocketAddr, count: usize) -> anyhow::Result<Vec<TcpStream>> {
    let mut streams = Vec::new();
    for _ in 0..count {
        let mut stream = connect_from(0, to).await?;
        stream.write_all(HOLD).await?;
        streams.push(stream);
    }
    Ok(streams)
}

#[tokio::test]
async fn operators_and_probes_keep_a_reserve() -> anyhow::Result<()> {
    let server = TestServer::authenticated().await?;
    let (router, permits, held) = with_hold(&server);
    let http_server = HttpServer {
        max_connections: 40,
        ..HttpServer::default()
    };
    let to = server.serve(http_server, router).await?;
    let send = async |path: &str| -> anyhow::Result<Response> {
        let request = raw_http::get(path).header("Authorization", GATEWAY);
        timeout(MAX_WAIT, request.send(to)).await?
    };
    let device = "/LAB/controller/v1/dev-1";
    let _busy = hold(to, 38).await?;
    wait_until(|| held.load(Ordering::SeqCst) == 38).await?;
    for path in [device, "/LAB/controller/v1/dev-1/deploymentBase/1"] {
        let refused = send(path).await?;
        assert_eq!((refused.status, refused.text().as_str()), (429, ""));
        assert_eq!(refused.header("connection"), Some("close"));
        assert_eq!(refused.header("retry-after"), Some("1"));
    }
    for (path, status) in [
        ("/health", 200),
        ("/readyz", 200),
        ("/metrics", 200),
        ("/api/v1/openapi.json", 200),
        ("/api/v1/devices", 401),
    ] {
        assert_eq!(send(path).await?.status, status, "{path}");
    }
    // The reserve is not for silent peers.
    let mut silent = [connect_from(1, to).await?, connect_from(2, to).await?];
    silent[0].write_all(HALF_A_HEAD.as_bytes()).await?;
    assert_eq!(send("/readyz").await?.status, 200);

    permits.add_permits(38);
    wait_until(|| held.load(Ordering::SeqCst) == 0).await?;
    // The server scans for room at intervals.
    let polling = async {
        while send(device).await?.status != 200 {}
        anyhow::Ok(())
    };
    timeout(MAX_WAIT, polling).await?
}

#[tokio::test]
async fn connections_wait_while_all_others_are_being_answered() -> anyhow::Result<()> {
    let server = TestServer::authenticated().await?;
    let (router, permits, held) = with_hold(&server);
    let http_server = HttpServer {
        max_connections: 2,
        ..HttpServer::default()
    };
    let to = server.serve(http_server, router).await?;
    let mut busy = hold(to, 2).await?;
    wait_until(|| held.load(Ordering::SeqCst) == 2).await?;
    let mut third = connect_from(0, to).await?;
    let waiting = timeout(Duration::from_millis(300), ask(&mut third, HEALTH)).await;
    assert!(waiting.is_err(), "the connection limit is reached");
    // One of them ends, and the waiting one is served.
    drop(busy.pop());
    let mut response = [0; 12];
    timeout(MAX_WAIT, third.read_exact(&mut response)).await??;
    assert_eq!(&response, b"HTTP/1.1 200");
    // A request that is being answered is not cut.
    permits.add_permits(2);
    let mut answer = [0; 12];
    timeout(MAX_WAIT, busy[0].read_exact(&mut answer)).await??;
    assert_eq!(&answer, b"HTTP/1.1 200");
    Ok(())
}

#[tokio::test]
async fn a_head_has_little_time_and_an_idle_connection_more() -> anyhow::Result<()> {
    let http_server = HttpServer {
        head_timeout: Duration::from_millis(500),
        ..HttpServer::default()
    };
    let server = TestServer::authenticated_with(|_| {}, http_server).await?;
    let to = server.addr;
    let mut idle = connect_from(0, to).await?;
    assert_eq!(ask(&mut idle, HEALTH).await?, 200);

    let pipelined = format!("{HEALTH}GET /hea");
    let mut late = Vec::new();
    for sent in ["", "G", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r", HALF_A_HEAD] {
        let mut stream = connect_from(0, to).await?;
        stream.write_all(sent.as_bytes()).await?;
        late.push(stream);
    }
    // A head that is not the first one.
    let mut second = connect_from(0, to).await?;
    assert_eq!(ask(&mut second, HEALTH).await?, 200);
    second.write_all(HALF_A_HEAD.as_bytes()).await?;
    late.push(second);
    // A byte now and then gives no further time.
    let mut slow = connect_from(0, to).await?;
    let started = Instant::now();
    let mut bytes = interval(Duration::from_millis(25));
    while slow.write_all(b"G").await.is_ok() {
        bytes.tick().await;
        ensure!(started.elapsed() < MAX_WAIT, "never closed");
    }
    wait_until(|| count_closed(&late) == late.len()).await?;
    assert!(started.elapsed() < Duration::from_secs(10));
    // A body may take longer, and so may the pause between two requests.
    assert_eq!(ask(&mut idle, HEALTH).await?, 200);

    let http_server = HttpServer {
        head_timeout: Duration::from_millis(500),
        keep_alive_timeout: Duration::from_millis(500),
        ..HttpServer::default()
    };
    let to = server.serve(http_server, server.router.clone()).await?;
    let mut ended = Vec::new();
    for sent in [HEALTH, &pipelined] {
        let mut stream = connect_from(0, to).await?;
        assert_eq!(ask(&mut stream, sent).await?, 200);
        ended.push(stream);
    }
    wait_until(|| count_closed(&ended) == ended.len()).await
}

#[tokio::test]
async fn one_address_has_a_limited_number_of_incomplete_requests() -> anyhow::Result<()> {
    let http_server = HttpServer {
        // Near the limit, beyond which connections are closed for the sake of others.
        max_connections: 136,
        incomplete_per_address: Some(10),
        // Late after a fifth of it.
        head_timeout: Duration::from_secs(30),
        ..HttpServer::default()
    };
    let server = TestServer::authenticated_with(|_| {}, http_server).await?;
    let to = server.addr;
    register_device(to).await?;
    let started = Instant::now();
    let mut others = Vec::new();
    for nth in 0..10 {
        others.push(open_peer(40 * (nth % 2) + 1, to).await?);
    }
    let mut many = Vec::new();
    for nth in 0..60 {
        let mut stream = connect_from(4, to).await?;
        let sent = [String::new(), HALF_A_HEAD.to_owned(), slow_report(60_000)];
        stream.write_all(sent[nth % 3].as_bytes()).await?;
        many.push(stream);
    }
    let mut whole = Vec::new();
    for _ in 0..60 {
        let mut stream = connect_from(4, to).await?;
        assert_eq!(ask(&mut stream, HEALTH).await?, 200);
        whole.push(stream);
    }
    wait_until(|| count_closed(&many) >= 50).await?;
    assert!(
        started.elapsed() < Duration::from_secs(27),
        "by their number"
    );
    assert!(count_closed(&many) <= 55);
    assert_eq!(count_closed(&others), 0, "of other addresses");
    assert_eq!(count_closed(&whole), 0, "that have sent a whole request");
    Ok(())
}

#[tokio::test]
async fn a_body_may_be_slow_as_long_as_bytes_arrive() -> anyhow::Result<()> {
    let http_server = HttpServer {
        head_timeout: Duration::from_millis(500),
        ..HttpServer::default()
    };
    let limit = Duration::from_secs(1);
    let set = |settings: &mut tidegate_http::HttpSettings| settings.request_timeout = limit;
    let server = TestServer::authenticated_with(set, http_server).await?;
    let body = format!(r#"{{"data": {{"slow": "{}"}}}}"#, "a".repeat(79));
    assert_eq!(body.len(), 101);
    register_device(server.addr).await?;
    let mut stream = connect_from(0, server.addr).await?;
    stream.write_all(slow_report(body.len()).as_bytes()).await?;
    let started = Instant::now();
    let mut bytes = interval(Duration::from_millis(25));
    for byte in body.as_bytes() {
        bytes.tick().await;
        stream.write_u8(*byte).await?;
    }
    assert!(started.elapsed() > limit * 2);
    assert_eq!(read_response(&mut stream).await?, 200);

    let mut silent = connect_from(0, server.addr).await?;
    silent.write_all(slow_report(body.len()).as_bytes()).await?;
    silent.write_all(&body.as_bytes()[..50]).await?;
    let mut answer = String::new();
    timeout(MAX_WAIT, silent.read_to_string(&mut answer)).await??;
    let answer = answer.to_lowercase();
    assert!(answer.starts_with("http/1.1 408 "), "{answer}");
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    Ok(())
}
