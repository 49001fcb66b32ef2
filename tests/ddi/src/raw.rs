//! Requests sent byte for byte, for framing that no client library exposes: a body that waits for `100 Continue`, and
//! chunks of a chosen size.

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tidegate_ddi_client::HttpResponse;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::{WAIT_TIMEOUT, case::Framing};

/// Sends one request on a new connection and reads the response until the server closes it.
pub(crate) async fn exchange(
    method: &str,
    url: &str,
    headers: &[(String, String)],
    body: &[u8],
    framing: Framing,
) -> Result<HttpResponse> {
    let (host, path) = split(url)?;
    let mut lines = vec![
        format!("{method} {path} HTTP/1.1"),
        format!("Host: {host}"),
        "Connection: close".to_owned(),
    ];
    lines.extend(
        headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}")),
    );
    lines.push(match framing {
        Framing::Chunked => "Transfer-Encoding: chunked".to_owned(),
        Framing::ContentLength | Framing::ExpectContinue => {
            format!("Content-Length: {}", body.len())
        }
    });
    if framing == Framing::ExpectContinue {
        lines.push("Expect: 100-continue".to_owned());
    }
    let head = lines.join("\r\n") + "\r\n\r\n";
    let mut stream = TcpStream::connect(address(host))
        .await
        .with_context(|| host.to_owned())?;
    stream.write_all(head.as_bytes()).await?;
    let mut received = Vec::new();
    match framing {
        Framing::ContentLength => stream.write_all(body).await?,
        Framing::ExpectContinue => {
            timeout(WAIT_TIMEOUT, interim(&mut stream, &mut received))
                .await
                .context("no `100 Continue` was received")??;
            stream.write_all(body).await?;
        }
        Framing::Chunked => {
            for part in body.chunks(16) {
                stream
                    .write_all(format!("{:x}\r\n", part.len()).as_bytes())
                    .await?;
                stream.write_all(part).await?;
                stream.write_all(b"\r\n").await?;
            }
            stream.write_all(b"0\r\n\r\n").await?;
        }
    }
    timeout(WAIT_TIMEOUT, stream.read_to_end(&mut received))
        .await
        .context("the server did not close the connection")??;
    parse(format!("{method} {url}"), &received)
}

/// Splits a URL into `host:port` and the path with its query.
fn split(url: &str) -> Result<(&str, &str)> {
    let rest = url
        .strip_prefix("http://")
        .context("the URL must start with http://")?;
    let end = rest.find('/').unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    Ok((host, if path.is_empty() { "/" } else { path }))
}

fn address(host: &str) -> String {
    let has_port = host
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if has_port {
        host.to_owned()
    } else {
        format!("{host}:80")
    }
}

/// Reads an interim response and removes it from the received bytes.
async fn interim(stream: &mut TcpStream, received: &mut Vec<u8>) -> Result<()> {
    const END: &[u8] = b"\r\n\r\n";
    loop {
        if let Some(end) = received.windows(END.len()).position(|part| part == END) {
            let head = String::from_utf8_lossy(&received[..end]).into_owned();
            ensure!(
                head.starts_with("HTTP/1.1 100"),
                "the server responded before the body was sent: {head}"
            );
            received.drain(..end + END.len());
            return Ok(());
        }
        let mut part = [0; 1024];
        match stream.read(&mut part).await? {
            0 => bail!("the server closed the connection before `100 Continue`"),
            count => received.extend_from_slice(&part[..count]),
        }
    }
}

fn parse(request_line: String, bytes: &[u8]) -> Result<HttpResponse> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(end) = response.parse(bytes)? else {
        bail!("{request_line}: the response is incomplete");
    };
    let mut headers = HeaderMap::new();
    for field in response.headers.iter() {
        headers.append(
            HeaderName::try_from(field.name)?,
            HeaderValue::from_bytes(field.value)?,
        );
    }
    let status = response.code.context("the response has no status")?;
    let status = StatusCode::from_u16(status)?;
    Ok(HttpResponse {
        request_line,
        status,
        headers,
        body: Bytes::copy_from_slice(&bytes[end..]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_split() {
        for (url, expected) in [
            ("http://h:1/a?b", Some(("h:1", "/a?b"))),
            ("http://h", Some(("h", "/"))),
            ("https://h/", None),
        ] {
            assert_eq!(split(url).ok(), expected, "{url}");
        }
        assert_eq!(
            (address("h"), address("h:1"), address("[::1]:1")),
            ("h:80".into(), "h:1".into(), "[::1]:1".into())
        );
    }

    #[test]
    fn responses_are_parsed() {
        let response = parse("GET /".to_owned(), b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nbody")
            .expect("a valid response");
        assert_eq!(
            (response.status, response.header("a"), &response.body[..]),
            (StatusCode::OK, "b", &b"body"[..])
        );
        assert!(parse(String::new(), b"HTTP/1.1 200 OK\r\n").is_err());
    }
}
