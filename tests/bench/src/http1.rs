//! A minimal HTTP/1.1 client for the load generator, so that the client is not what is measured. The client
//! for devices, `tidegate-ddi-client`, works on reqwest, whose work would compete with the server for the same
//! processors. It provides the paths, the credentials and the bodies of the requests.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// A keep-alive connection, with one request at a time.
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
}

/// A response, valid until the next request is sent.
pub(crate) struct HttpResponse<'a> {
    pub(crate) status: u16,
    pub(crate) head: &'a str,
    pub(crate) body: &'a [u8],
}

impl Connection {
    pub(crate) async fn open(addr: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(addr).await.context("connect")?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: vec![0; 16 << 10],
        })
    }

    /// Sends a request and reads the whole response.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Result<HttpResponse<'_>> {
        self.stream.write_all(request).await.context("send")?;
        self.read_response().await
    }

    /// Reads the response to a request that was sent already.
    pub(crate) async fn read_response(&mut self) -> Result<HttpResponse<'_>> {
        let mut filled = 0;
        let head = loop {
            filled += self.read(filled).await?;
            if let Some(at) = end_of_head(&self.buffer[..filled]) {
                break at;
            }
        };
        let end = head + length(&self.buffer[..head])?;
        while filled < end {
            filled += self.read(filled).await?;
        }
        let head_text =
            str::from_utf8(&self.buffer[..head]).context("the response header is not UTF-8")?;
        let status = head_text.get(9..12).and_then(|status| status.parse().ok());
        Ok(HttpResponse {
            status: status.context("the response has no status")?,
            head: head_text,
            body: &self.buffer[head..end],
        })
    }

    async fn read(&mut self, filled: usize) -> Result<usize> {
        if filled == self.buffer.len() {
            self.buffer.resize(filled * 2, 0);
        }
        let read = self.stream.read(&mut self.buffer[filled..]).await?;
        if read == 0 {
            bail!("the server closed the connection");
        }
        Ok(read)
    }
}

impl HttpResponse<'_> {
    /// The header fields, names in lower case.
    pub(crate) fn headers(&self) -> Vec<(String, String)> {
        let lines = self.head.lines().skip(1);
        lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect()
    }

    pub(crate) fn expect_status(&self, status: u16) -> Result<()> {
        if self.status != status {
            let body = String::from_utf8_lossy(self.body);
            bail!("expected {status}, not {}: {body}", self.status);
        }
        Ok(())
    }
}

/// The offset of the body.
pub(crate) fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let at = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some(at + 4)
}

/// The `Content-Length` of a response header. Other framing is not supported.
pub(crate) fn length(head: &[u8]) -> Result<usize> {
    for line in head.split(|byte| *byte == b'\n') {
        const NAME: &[u8] = b"content-length:";
        if line.len() > NAME.len() && line[..NAME.len()].eq_ignore_ascii_case(NAME) {
            let text = str::from_utf8(&line[NAME.len()..])?;
            return text.trim().parse().context("invalid Content-Length");
        }
    }
    bail!(
        "the response has no Content-Length: {}",
        String::from_utf8_lossy(head)
    )
}

/// Builds a request. `fields` are header lines, each with its CRLF.
pub(crate) fn request(
    method: &str,
    path: &str,
    addr: SocketAddr,
    fields: &str,
    body: &[u8],
) -> Vec<u8> {
    let mut request = format!("{method} {path} HTTP/1.1\r\nhost: {addr}\r\n{fields}").into_bytes();
    if !body.is_empty() {
        let length = format!(
            "content-type: application/json\r\ncontent-length: {}\r\n",
            body.len()
        );
        request.extend_from_slice(length.as_bytes());
    }
    request.extend_from_slice(b"\r\n");
    request.extend_from_slice(body);
    request
}
