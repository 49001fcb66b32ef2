//! Peers that hold TCP connections to a server, and what becomes of these.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, ensure};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::{interval, timeout},
};

use crate::test_server::GATEWAY;

/// No test waits for longer.
pub(crate) const MAX_WAIT: Duration = Duration::from_mins(1);
pub(crate) const HEALTH: &str = "GET /health HTTP/1.1\r\nhost: a\r\n\r\n";
pub(crate) const HALF_A_HEAD: &str = "GET /LAB/controller/v1/dev-1 HTTP/1.1\r\nhost: ";

/// Allows as many open files as the system does.
pub(crate) fn allow_many_files() -> anyhow::Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    Ok(setrlimit(Resource::Nofile, limit)?)
}

/// Connects from the nth loopback address.
pub(crate) async fn connect_from(nth: usize, to: SocketAddr) -> anyhow::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(([127, 0, 0, nth as u8 + 1], 0).into())?;
    socket.connect(to).await.context("connect")
}

pub(crate) fn poll(device: usize) -> String {
    format!(
        "GET /LAB/controller/v1/dev-{device} HTTP/1.1\r\nhost: a\r\nauthorization: {GATEWAY}\r\n\r\n"
    )
}

/// Sends a request and reads the response; the connection stays open.
pub(crate) async fn ask(stream: &mut TcpStream, request: &str) -> anyhow::Result<u16> {
    stream.write_all(request.as_bytes()).await?;
    read_response(stream).await
}

pub(crate) async fn read_response(stream: &mut TcpStream) -> anyhow::Result<u16> {
    let mut bytes = Vec::new();
    let end = loop {
        ensure!(
            stream.read_buf(&mut bytes).await? > 0,
            "closed after {} bytes",
            bytes.len()
        );
        if let Some(end) = bytes.windows(4).position(|it| it == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
    let (_, length) = head.split_once("content-length: ").context("a length")?;
    let length: usize = length.lines().next().unwrap_or_default().parse()?;
    let mut rest = vec![0; length - (bytes.len() - end)];
    stream.read_exact(&mut rest).await?;
    Ok(head.split(' ').nth(1).context("a status")?.parse()?)
}

/// True if the server has closed the connection; nothing else is read from it.
pub(crate) fn is_closed(stream: &TcpStream) -> bool {
    match stream.try_read(&mut [0; 64]) {
        Ok(read) => read == 0,
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    }
}

pub(crate) fn count_closed(streams: &[TcpStream]) -> usize {
    streams.iter().filter(|stream| is_closed(stream)).count()
}

pub(crate) async fn wait_until(mut holds: impl FnMut() -> bool) -> anyhow::Result<()> {
    let waiting = async {
        let mut looks = interval(Duration::from_millis(5));
        while !holds() {
            looks.tick().await;
        }
    };
    timeout(MAX_WAIT, waiting).await.context("never happened")
}
