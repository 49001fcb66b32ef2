//! The rules of HTTP itself, byte by byte.

use std::time::Duration;

use anyhow::Context as _;
use tidegate_http::HttpServer;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    time::timeout,
};

use crate::test_server::{GATEWAY, TestServer};

const POLL: &str = "/LAB/controller/v1/dev-1";

/// Sends the text and reads until the server closes the connection.
async fn exchange(server: &TestServer, text: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(server.addr).await?;
    // A server that refuses a request by its head may close the connection before it has read the body.
    let _ = stream.write_all(text.as_bytes()).await;
    let mut bytes = Vec::new();
    // The end may be a reset.
    let _ = timeout(Duration::from_secs(20), stream.read_to_end(&mut bytes)).await?;
    Ok(String::from_utf8_lossy(&bytes).to_lowercase())
}

/// Reads one response of a connection that stays open.
async fn read_answer(stream: &mut BufReader<TcpStream>) -> anyhow::Result<String> {
    let mut answer = String::new();
    while !answer.ends_with("\r\n\r\n") {
        let read = timeout(Duration::from_secs(20), stream.read_line(&mut answer)).await??;
        anyhow::ensure!(read > 0, "the connection was closed: {answer}");
    }
    answer.make_ascii_lowercase();
    let length = answer
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.context("a length")?.parse()?];
    stream.read_exact(&mut body).await?;
    Ok(answer + &String::from_utf8_lossy(&body))
}

fn head(line: &str, headers: &[&str]) -> String {
    let headers: String = headers.iter().flat_map(|it| [*it, "\r\n"]).collect();
    format!("{line}\r\n{headers}authorization: {GATEWAY}\r\n\r\n")
}

#[tokio::test]
async fn a_request_names_one_host() -> anyhow::Result<()> {
    let server = TestServer::authenticated().await?;
    for path in [POLL, "/api/v1/openapi.json", "/health"] {
        let line = format!("GET {path} HTTP/1.1");
        for hosts in [&[][..], &["host: a", "host: a"], &["host: a", "host: b"]] {
            let answer = exchange(&server, &head(&line, hosts)).await?;
            assert!(answer.starts_with("http/1.1 400 "), "{hosts:?}: {answer}");
            assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
        }
        let one = ["host: a", "connection: close"];
        let answer = exchange(&server, &head(&line, &one)).await?;
        assert!(answer.starts_with("http/1.1 200 "), "{path}: {answer}");

        let line = format!("GET {path} HTTP/1.0");
        for (hosts, status) in [
            (&[][..], "200"),
            (&["host: a"], "200"),
            (&["host: a", "host: b"], "400"),
        ] {
            let answer = exchange(&server, &head(&line, hosts)).await?;
            let start = format!("http/1.0 {status} ");
            assert!(answer.starts_with(&start), "{path}, {hosts:?}: {answer}");
        }
    }
    Ok(())
}

/// Also one that is compressed by the connection only, and taken for the text that it is not.
#[tokio::test]
async fn a_body_of_any_coding_but_chunked_is_refused() -> anyhow::Result<()> {
    let server = TestServer::authenticated().await?;
    let poll = head(
        &format!("GET {POLL} HTTP/1.1"),
        &["host: a", "connection: close"],
    );
    exchange(&server, &poll).await?;
    let body = r#"{"data": {"a": "b"}}"#;
    let chunks = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    for (codings, status) in [
        (&["transfer-encoding: chunked"][..], "200"),
        (&["transfer-encoding: gzip, chunked"], "415"),
        (
            &["transfer-encoding: gzip", "transfer-encoding: chunked"],
            "415",
        ),
        (
            &["transfer-encoding: chunked", "content-encoding: identity"],
            "200",
        ),
        (
            &[
                "transfer-encoding: chunked",
                "content-encoding: identity, gzip",
            ],
            "415",
        ),
        // No length follows from it.
        (&["transfer-encoding: gzip"], "400"),
    ] {
        let headers = [
            &[
                "host: a",
                "connection: close",
                "content-type: application/json",
            ],
            codings,
        ]
        .concat();
        for line in [
            format!("PUT {POLL}/configData HTTP/1.1"),
            "POST /api/v1/devices HTTP/1.1".to_owned(),
        ] {
            let status = match status {
                "200" if line.starts_with("POST") => "401",
                status => status,
            };
            let answer = exchange(&server, &(head(&line, &headers) + &chunks)).await?;
            assert!(
                answer.starts_with(&format!("http/1.1 {status} ")),
                "{line}, {codings:?}: {answer}"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn links_have_the_public_url() -> anyhow::Result<()> {
    let proxies = ["127.0.0.0/8".parse()?];
    let start = |public_url: Option<&'static str>| {
        let proxies = proxies.to_vec();
        async move {
            let public_url = public_url.map(str::parse).transpose()?;
            let set = |settings: &mut tidegate_http::HttpSettings| {
                settings.public_url = public_url;
                settings.proxies.networks = proxies;
            };
            TestServer::authenticated_with(set, HttpServer::default()).await
        }
    };
    let of_public = start(Some("https://gate.example:8443/ota")).await?;
    let without = start(None).await?;
    let own = format!("http://{}", without.addr);
    for (line, headers, expected) in [
        ("HTTP/1.0", &[][..], &*own),
        (
            "HTTP/1.1",
            &["host: other", "connection: close"],
            "http://other",
        ),
        (
            "HTTP/1.1",
            &[
                "host: a",
                "connection: close",
                "x-forwarded-host: b",
                "x-forwarded-prefix: /c",
            ],
            "http://b/c",
        ),
    ] {
        let request = head(&format!("GET {POLL} {line}"), headers);
        for (server, expected) in [
            (&of_public, "https://gate.example:8443/ota"),
            (&without, expected),
        ] {
            let answer = exchange(server, &request).await?;
            let link = format!("\"{expected}/lab/controller/v1/dev-1/configdata\"");
            assert!(answer.contains(&link), "{headers:?}: {answer}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_server_says_that_it_closes_the_connection() -> anyhow::Result<()> {
    let server = TestServer::authenticated().await?;
    let large = "x".repeat(100_000);
    let body = [
        "host: a",
        "content-length: 100000",
        "content-type: application/json",
    ];
    for (request, status) in [
        // The client asks for it.
        (
            head(
                &format!("GET {POLL} HTTP/1.1"),
                &["host: a", "connection: close"],
            ),
            "200",
        ),
        // The body is not read.
        (head(&format!("GET {POLL} HTTP/1.1"), &body) + &large, "200"),
        (
            head(&format!("PUT {POLL}/unknown HTTP/1.1"), &body) + &large,
            "404",
        ),
        // No HTTP, or too much of it.
        ("nonsense\r\n\r\n".to_owned(), "400"),
        (
            head("GET / HTTP/1.1", &["host: a", &format!("x: {large}")]),
            "431",
        ),
    ] {
        let answer = exchange(&server, &request).await?;
        let line = request.lines().next().unwrap_or_default();
        assert!(
            answer.starts_with(&format!("http/1.1 {status} ")),
            "{line}: {answer}"
        );
        assert!(
            answer.contains("\r\nconnection: close\r\n"),
            "{line}: {answer}"
        );
        // These have none of the headers of other answers, and nothing to which they would apply.
        if ["400", "431"].contains(&status) {
            assert!(
                answer.contains("\r\ncontent-length: 0\r\n"),
                "{line}: {answer}"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_small_body_that_arrives_after_its_head_does_not_end_the_connection() -> anyhow::Result<()>
{
    let server = TestServer::authenticated().await?;
    let fields = [
        "host: a",
        "content-length: 7",
        "content-type: application/json",
    ];
    for (line, status) in [
        ("PUT /LAB2/controller/v1/dev-1/configData HTTP/1.1", "401"),
        ("PUT /lab/controller/v1/dev-1/unknown HTTP/1.1", "404"),
        ("POST /health HTTP/1.1", "405"),
        ("GET /health HTTP/1.1", "200"),
    ] {
        let mut stream = BufReader::new(TcpStream::connect(server.addr).await?);
        for _ in 0..2 {
            stream.write_all(head(line, &fields).as_bytes()).await?;
            // The head is on its way before the body.
            tokio::task::yield_now().await;
            stream.write_all(b"{\"a\":1}").await?;
            let answer = read_answer(&mut stream).await?;
            assert!(answer.contains(status), "{line}: {answer}");
            assert!(!answer.contains("connection: close"), "{line}: {answer}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_connection_ends_after_a_small_body_that_does_not_arrive() -> anyhow::Result<()> {
    let server = TestServer::authenticated().await?;
    let fields = ["host: a", "content-length: 7"];
    let unfinished = head("PUT /lab/controller/v1/dev-1/unknown HTTP/1.1", &fields) + "{";
    let answer = exchange(&server, &unfinished).await?;
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    Ok(())
}

#[tokio::test]
async fn answers_are_neither_stored_nor_sniffed() -> anyhow::Result<()> {
    let server = TestServer::authenticated().await?;
    for (line, status) in [
        (format!("GET {POLL} HTTP/1.1"), "200"),
        (format!("HEAD {POLL} HTTP/1.1"), "200"),
        (format!("GET {POLL}/deploymentBase/7 HTTP/1.1"), "404"),
        (format!("POST {POLL} HTTP/1.1"), "405"),
        (format!("GET {POLL}/confirmationBase HTTP/1.1"), "200"),
        ("GET /LAB2/controller/v1/dev-1 HTTP/1.1".to_owned(), "401"),
        ("GET /api/v1/devices HTTP/1.1".to_owned(), "401"),
        ("GET /api/v1/openapi.json HTTP/1.1".to_owned(), "200"),
        ("GET /nowhere HTTP/1.1".to_owned(), "404"),
    ] {
        let request = head(&line, &["host: a", "connection: close"]);
        let answer = exchange(&server, &request).await?;
        assert!(
            answer.starts_with(&format!("http/1.1 {status} ")),
            "{line}: {answer}"
        );
        for header in ["cache-control: no-store", "x-content-type-options: nosniff"] {
            assert_eq!(answer.matches(header).count(), 1, "{line}: {answer}");
        }
    }
    Ok(())
}
