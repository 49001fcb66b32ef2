//! Clients that send requests and do not read the responses.

use std::{
    fs,
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use axum::{Router, body::Body, routing::get};
use bytes::Bytes;
use tidegate_http::HttpServer;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::{interval, timeout},
};

use crate::{
    http2::request_without_window,
    tcp_peer::{HEALTH, MAX_WAIT, allow_many_files, ask, connect_from, wait_until},
    test_server::TestServer,
};

const MAX: usize = 40;
/// More than the buffers of a connection hold.
const PIPELINED_BYTES: usize = 16 << 20;
/// Bodies of these sizes are sent in different ways.
const SMALL: usize = 16 << 10;
const LARGE: usize = 256 << 10;

fn with_bodies(router: Router) -> Router {
    let body_of = |size: usize| {
        let body = Bytes::from(vec![b'a'; size]);
        get(move || std::future::ready(body))
    };
    let chunk = Bytes::from(vec![b'a'; LARGE]);
    let endless = move || {
        let chunk = chunk.clone();
        async move {
            Body::from_stream(futures::stream::repeat_with(move || {
                Ok::<_, std::io::Error>(chunk.clone())
            }))
        }
    };
    router
        .route("/small", body_of(SMALL))
        .route("/large", body_of(LARGE))
        .route("/endless", get(endless))
}

fn pipelined(path: &str, count: usize) -> Vec<u8> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
    request.repeat(count).into_bytes()
}

async fn open_peer(nth: usize, to: SocketAddr) -> anyhow::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4096)?;
    socket.bind(([127, 0, 0, 2 + (nth % 8) as u8], 0).into())?;
    let mut stream = socket.connect(to).await?;
    let sent = match nth % 4 {
        0 => pipelined("/small", PIPELINED_BYTES / SMALL),
        1 => pipelined("/large", PIPELINED_BYTES / LARGE),
        2 => pipelined("/endless", 1),
        _ => request_without_window("/health"),
    };
    // The server reads no further than it can answer.
    let _ = timeout(Duration::from_millis(20), stream.write_all(&sent)).await;
    Ok(stream)
}

/// The number of connections that the server has accepted and not closed, as the system counts them. It does not count all
/// at one moment: one that closes meanwhile and one that takes its place may be counted both.
fn count_accepted(server: SocketAddr) -> anyhow::Result<usize> {
    let counts: Vec<_> = (0..3)
        .map(|_| count_sockets(server))
        .collect::<anyhow::Result<_>>()?;
    counts.into_iter().min().context("a count")
}

fn count_sockets(server: SocketAddr) -> anyhow::Result<usize> {
    const LISTEN: &str = "0A";
    let SocketAddr::V4(server) = server else {
        bail!("{server} is in another table");
    };
    // Clients have other addresses, and one of them may have the same port.
    let address = u32::from_ne_bytes(server.ip().octets());
    let address = format!("{address:08X}:{:04X}", server.port());
    let table = fs::read_to_string("/proc/net/tcp")?;
    let accepted = table.lines().skip(1).filter(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let (local, state, inode) = (fields[1], fields[3], fields[9]);
        local == address && state != LISTEN && inode != "0"
    });
    Ok(accepted.count())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn clients_that_read_nothing_make_room_for_others() -> anyhow::Result<()> {
    allow_many_files()?;
    let server = TestServer::authenticated().await?;
    let http_server = HttpServer {
        max_connections: MAX,
        // Who reads nothing is late after a fifth of it.
        head_timeout: Duration::from_secs(5),
        ..HttpServer::default()
    };
    let router = with_bodies(server.router.clone());
    let to = server.serve(http_server, router).await?;

    // A slow client that goes on reading.
    let mut slow = connect_from(0, to).await?;
    slow.write_all(&pipelined("/endless", 1)).await?;
    let slow = tokio::spawn(async move {
        let mut turns = interval(Duration::from_millis(50));
        let mut bytes = vec![0; 1 << 20];
        loop {
            turns.tick().await;
            slow.read_exact(&mut bytes).await?;
        }
        #[expect(unreachable_code, reason = "the type of the error")]
        anyhow::Ok(())
    });
    let mut peers = Vec::new();
    for nth in 0..3 * MAX {
        peers.push(open_peer(nth, to).await?);
        if nth % 10 == 0 {
            let accepted = count_accepted(to)?;
            // One more is accepted, and waits.
            ensure!(
                accepted <= MAX + 1,
                "{accepted} connections after {nth} peers"
            );
        }
    }
    // The others are served as soon as the first ones are late.
    let started = Instant::now();
    let mut client = connect_from(0, to).await?;
    let status = timeout(MAX_WAIT, ask(&mut client, HEALTH)).await??;
    assert_eq!(status, 200);
    let elapsed = started.elapsed();
    assert!(elapsed < Duration::from_secs(20), "{elapsed:?}");
    let accepted = count_accepted(to)?;
    assert!(accepted <= MAX + 1, "{accepted}");
    assert!(!slow.is_finished(), "{:?}", slow.await);
    slow.abort();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_nothing_is_disconnected() -> anyhow::Result<()> {
    let server = TestServer::authenticated().await?;
    let http_server = HttpServer {
        write_idle_timeout: Duration::from_secs(1),
        ..HttpServer::default()
    };
    let router = with_bodies(server.router.clone());
    let to = server.serve(http_server, router).await?;
    let mut peers = Vec::new();
    for nth in 0..4 {
        peers.push(open_peer(nth, to).await?);
    }
    // All are served, and none reads.
    for peer in &peers {
        timeout(MAX_WAIT, peer.readable()).await??;
    }
    wait_until(|| count_accepted(to).is_ok_and(|accepted| accepted == 0)).await
}
