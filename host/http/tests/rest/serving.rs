//! The HTTP server, over real connections.

use std::time::Duration;

use tidegate_http::HttpServer;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::test_server::TestServer;

#[tokio::test]
async fn shutdown_finishes_open_requests_and_refuses_connections() -> std::io::Result<()> {
    let server = TestServer::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (router, shutdown) = (server.router.clone(), server.state.shutdown.clone());
    let grace = Duration::from_secs(10);
    let serving =
        tokio::spawn(HttpServer::default().serve(listener, router, shutdown.clone(), grace));

    let body = r#"{"user_id": "creator"}"#;
    let head = format!(
        "POST /api/v1/devices HTTP/1.1\r\nhost: x\r\nx-api-key: {}\r\nexpect: 100-continue\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        server.admin,
        body.len()
    );
    let mut client = TcpStream::connect(address).await?;
    client.write_all(head.as_bytes()).await?;
    // The handler waits for the body.
    let mut go_on = [0; 25];
    client.read_exact(&mut go_on).await?;
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    shutdown.cancel();
    client.write_all(body.as_bytes()).await?;
    let mut text = String::new();
    client.read_to_string(&mut text).await?;
    assert!(text.starts_with("HTTP/1.1 422"), "{text}");
    serving.await??;
    assert!(TcpStream::connect(address).await.is_err());
    Ok(())
}

#[tokio::test]
async fn too_large_request_headers_are_refused() -> std::io::Result<()> {
    let server = TestServer::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (router, shutdown) = (server.router.clone(), server.state.shutdown.clone());
    tokio::spawn(HttpServer::default().serve(listener, router, shutdown, Duration::from_secs(1)));
    for head in [
        format!(
            "GET /health HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n",
            "y".repeat(100_000)
        ),
        format!(
            "GET /health HTTP/1.1\r\nhost: x\r\n{}\r\n",
            "a: b\r\n".repeat(200)
        ),
    ] {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(head.as_bytes()).await?;
        let mut response = [0; 12];
        stream.read_exact(&mut response).await?;
        assert_eq!(&response, b"HTTP/1.1 431");
    }
    Ok(())
}

/// As some clients do: the whole body is sent before the response is read.
#[tokio::test]
async fn the_sender_of_a_large_body_receives_the_refusal() -> std::io::Result<()> {
    let server = TestServer::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (router, shutdown) = (server.router.clone(), server.state.shutdown.clone());
    tokio::spawn(HttpServer::default().serve(listener, router, shutdown, Duration::from_secs(1)));
    // More than the buffers of both sides have room for.
    let body = vec![b'a'; 32 << 20];
    for path in ["plugins", "firmware"] {
        let head = format!(
            "POST /api/v1/{path} HTTP/1.1\r\nhost: x\r\nx-api-key: wrong\r\ncontent-length: {}\r\n\
             content-type: multipart/form-data; boundary=b\r\n\r\n",
            body.len()
        );
        let mut client = TcpStream::connect(address).await?;
        client.write_all(head.as_bytes()).await?;
        client.write_all(&body).await?;
        let mut response = String::new();
        client.read_to_string(&mut response).await?;
        assert!(response.starts_with("HTTP/1.1 401"), "{response}");
        assert!(response.contains("\r\nconnection: close\r\n"), "{response}");
    }
    Ok(())
}

#[tokio::test]
async fn shutdown_does_not_wait_for_a_request_that_is_not_sent() -> anyhow::Result<()> {
    let server = TestServer::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (router, shutdown) = (server.router.clone(), server.state.shutdown.clone());
    let grace = Duration::from_mins(1);
    let serving =
        tokio::spawn(HttpServer::default().serve(listener, router, shutdown.clone(), grace));
    let mut silent = TcpStream::connect(address).await?;
    let mut half_sent = TcpStream::connect(address).await?;
    half_sent
        .write_all(b"GET /health HTTP/1.1\r\nhost: ")
        .await?;
    let mut second = TcpStream::connect(address).await?;
    second
        .write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\nGET /hea")
        .await?;
    let mut head = [0; 15];
    second.read_exact(&mut head).await?;
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(10), serving).await???;
    for stream in [&mut silent, &mut half_sent, &mut second] {
        let mut rest = Vec::new();
        // Closed, by its end or by a reset.
        let _ = stream.read_to_end(&mut rest).await;
    }
    Ok(())
}
