//! HTTP/2 connections share the server like others.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Request};
use tidegate_http::HttpServer;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Semaphore,
    task::JoinHandle,
    time::{interval, timeout},
};

use crate::{
    connections::{hold, with_hold},
    tcp_peer::{MAX_WAIT, connect_from, wait_until},
    test_server::{GATEWAY, TestServer},
};

const MAX: usize = 40;
const DEVICE: &str = "/LAB/controller/v1/dev-1";

/// The bytes of a frame.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame");
    let mut bytes = length.to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// What opens a connection: the client takes `window` bytes of each body.
fn opening(window: u32) -> Vec<u8> {
    const SETTINGS: u8 = 4;
    const INITIAL_WINDOW_SIZE: u8 = 4;
    let mut setting = vec![0, INITIAL_WINDOW_SIZE];
    setting.extend(window.to_be_bytes());
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &setting));
    bytes
}

/// A request without a body: its fields are literals of HPACK, with names of its static table.
fn request(stream: u32, path: &str) -> Vec<u8> {
    const HEADERS: u8 = 1;
    const END_STREAM_AND_HEADERS: u8 = 5;
    // `:method: GET`, `:scheme: http`.
    let mut fields = vec![0x82, 0x86];
    let (path_name, authority_name, authorization_name) = (&[4][..], &[1][..], &[0x0f, 8][..]);
    for (name, value) in [
        (path_name, path),
        (authority_name, "a"),
        (authorization_name, GATEWAY),
    ] {
        fields.extend(name);
        fields.push(u8::try_from(value.len()).expect("a short value"));
        fields.extend(value.as_bytes());
    }
    frame(HEADERS, END_STREAM_AND_HEADERS, stream, &fields)
}

/// A connection with a request of which the client takes no body, whatever it reads.
pub(crate) fn request_without_window(path: &str) -> Vec<u8> {
    [opening(0), request(1, path)].concat()
}

struct Http2Client {
    requests: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
}

impl Http2Client {
    async fn connect(to: SocketAddr) -> anyhow::Result<Self> {
        let stream = connect_from(0, to).await?;
        let (requests, connection) = h2::client::handshake(stream).await?;
        Ok(Self {
            requests,
            connection: tokio::spawn(connection),
        })
    }

    async fn get(&mut self, path: &str) -> anyhow::Result<(u16, HeaderMap)> {
        let request = Request::get(format!("http://a{path}")).header("authorization", GATEWAY);
        let mut requests = self.requests.clone().ready().await?;
        let (response, _) = requests.send_request(request.body(())?, true)?;
        let (head, mut body) = timeout(MAX_WAIT, response).await??.into_parts();
        while let Some(data) = timeout(MAX_WAIT, body.data()).await? {
            body.flow_control().release_capacity(data?.len())?;
        }
        Ok((head.status.as_u16(), head.headers))
    }

    /// Closes the connection, unless the server has.
    async fn close(self) -> anyhow::Result<()> {
        drop(self.requests);
        let _ = timeout(MAX_WAIT, self.connection).await??;
        Ok(())
    }
}

/// A server whose connections are busy, but for the reserve.
struct FullServer {
    /// It stops when this is dropped.
    _server: TestServer,
    addr: SocketAddr,
    /// One for each request that is to be answered.
    permits: Arc<Semaphore>,
    /// Number of requests that wait for a permit.
    held: Arc<AtomicUsize>,
    _busy: Vec<TcpStream>,
}

impl FullServer {
    async fn start() -> anyhow::Result<Self> {
        let server = TestServer::authenticated().await?;
        let (router, permits, held) = with_hold(&server);
        let http_server = HttpServer {
            max_connections: MAX,
            ..HttpServer::default()
        };
        let addr = server.serve(http_server, router).await?;
        let busy = hold(addr, MAX - 2).await?;
        wait_until(|| held.load(Ordering::SeqCst) == MAX - 2).await?;
        Ok(Self {
            _server: server,
            addr,
            permits,
            held,
            _busy: busy,
        })
    }
}

#[tokio::test]
async fn the_reserve_is_not_kept_by_a_connection_on_which_devices_are_refused() -> anyhow::Result<()>
{
    let full = FullServer::start().await?;
    let to = full.addr;

    // An operator's connection of the reserve stays, until others need it while it is idle.
    let mut operator = Http2Client::connect(to).await?;
    for _ in 0..3 {
        assert_eq!(operator.get("/readyz").await?.0, 200);
    }
    operator.close().await?;
    let mut device = Http2Client::connect(to).await?;
    assert_eq!(device.get("/health").await?.0, 200);
    let (status, headers) = device.get(DEVICE).await?;
    assert_eq!(status, 429);
    assert_eq!(headers["retry-after"], "1");
    assert!(
        !headers.contains_key("connection"),
        "HTTP/2 has no such field"
    );
    // The server closes it, although the client would go on.
    let Http2Client {
        requests,
        connection,
    } = device;
    let ended = timeout(MAX_WAIT, connection).await?.context("join")?;
    let is_graceful = |error: &h2::Error| error.reason() == Some(h2::Reason::NO_ERROR);
    assert!(ended.as_ref().err().is_none_or(is_graceful), "{ended:?}");
    assert!(requests.clone().ready().await.is_err(), "it is closed");
    let mut operator = Http2Client::connect(to).await?;
    assert_eq!(operator.get("/readyz").await?.0, 200);
    operator.close().await?;

    // When there is room again the device is served, on a new connection.
    full.permits.add_permits(MAX - 2);
    wait_until(|| full.held.load(Ordering::SeqCst) == 0).await?;
    let polling = async {
        loop {
            let mut device = Http2Client::connect(to).await?;
            let (status, _) = device.get(DEVICE).await?;
            if status == 200 {
                assert_eq!(device.get(DEVICE).await?.0, 200, "the connection stays");
                return anyhow::Ok(());
            }
            device.close().await?;
        }
    };
    timeout(MAX_WAIT, polling).await?
}

/// A client reads the server's GOAWAY frame, or not.
#[tokio::test]
async fn the_reserve_is_not_kept_by_a_client_that_goes_on_sending() -> anyhow::Result<()> {
    let full = FullServer::start().await?;
    let to = full.addr;

    let stream = connect_from(1, to).await?;
    let (mut reading, mut writing) = stream.into_split();
    writing.write_all(&opening(1 << 20)).await?;
    let sending = async {
        let mut turns = interval(Duration::from_millis(20));
        for stream in (1..).step_by(2) {
            turns.tick().await;
            if writing.write_all(&request(stream, DEVICE)).await.is_err() {
                return;
            }
        }
    };
    let receiving = async {
        let mut bytes = [0; 4096];
        while !matches!(reading.read(&mut bytes).await, Ok(0) | Err(_)) {}
    };
    let ended = async {
        tokio::select! {
            () = sending => {}
            () = receiving => {}
        }
    };
    let started = Instant::now();
    timeout(MAX_WAIT, ended).await?;
    // Long before the minute after which an idle connection is closed.
    ensure!(
        started.elapsed() < Duration::from_secs(20),
        "{:?}",
        started.elapsed()
    );
    full.permits.add_permits(MAX - 2);
    Ok(())
}

/// A client that gives no window reads nothing, although its socket does.
#[tokio::test]
async fn a_client_without_a_window_is_disconnected() -> anyhow::Result<()> {
    let http_server = HttpServer {
        write_idle_timeout: Duration::from_secs(1),
        ..HttpServer::default()
    };
    let server = TestServer::authenticated_with(|_| {}, http_server).await?;
    for path in ["/health", "/api/v1/openapi.json"] {
        let mut client = TcpStream::connect(server.addr).await?;
        client.write_all(&request_without_window(path)).await?;
        let mut received = Vec::new();
        let _ = timeout(MAX_WAIT, client.read_to_end(&mut received)).await?;
        assert!(!received.is_empty());
    }
    Ok(())
}
