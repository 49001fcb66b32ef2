//! The server's own loop, over real connections.

use std::time::Duration;

use tidegate_http::Serving;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::world::World;

#[tokio::test]
async fn it_finishes_what_it_has_and_takes_no_more() -> std::io::Result<()> {
    let world = World::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (router, stopping) = (world.router.clone(), world.state.stopping.clone());
    let grace = Duration::from_secs(10);
    let serving = tokio::spawn(Serving::default().serve(listener, router, stopping.clone(), grace));

    let body = r#"{"user_id": "maker"}"#;
    let head = format!(
        "POST /api/v1/devices HTTP/1.1\r\nhost: x\r\nx-api-key: {}\r\nexpect: 100-continue\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        world.admin,
        body.len()
    );
    let mut busy = TcpStream::connect(address).await?;
    busy.write_all(head.as_bytes()).await?;
    // The handler waits for the body.
    let mut go_on = [0; 25];
    busy.read_exact(&mut go_on).await?;
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    stopping.cancel();
    busy.write_all(body.as_bytes()).await?;
    let mut text = String::new();
    busy.read_to_string(&mut text).await?;
    assert!(text.starts_with("HTTP/1.1 422"), "{text}");
    serving.await??;
    assert!(TcpStream::connect(address).await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() -> std::io::Result<()> {
    let world = World::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (router, stopping) = (world.router.clone(), world.state.stopping.clone());
    tokio::spawn(Serving::default().serve(listener, router, stopping, Duration::from_secs(1)));
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
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await?;
        assert_eq!(&answer, b"HTTP/1.1 431");
    }
    Ok(())
}
