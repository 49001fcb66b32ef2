use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use opentelemetry_http::{HttpClient, HttpError};
use tidegate_engine::chain;
use tokio::runtime::Handle;

use crate::http_client::{client_builder, read_body};

/// Maximum size of a response: it says at most which spans are refused.
const MAX_RESPONSE_BYTES: usize = 64 << 10;

/// Sends batches with the server's own HTTP client. The export's thread is outside of the runtime, so requests are
/// spawned in it.
#[derive(Debug)]
pub(super) struct CollectorClient {
    http: reqwest::Client,
    runtime: Handle,
    has_failed: AtomicBool,
}

impl CollectorClient {
    pub(super) fn new(timeout: Duration) -> Result<Self> {
        let http = client_builder().timeout(timeout);
        Ok(Self {
            http: http.build().context("set up the client of the collector")?,
            runtime: Handle::current(),
            has_failed: AtomicBool::new(false),
        })
    }

    /// Logs only the first failure and the first success after it: a collector may be unavailable for hours.
    fn log_change(&self, failure: Option<&HttpError>) {
        let had_failed = self.has_failed.swap(failure.is_some(), Ordering::Relaxed);
        match failure {
            Some(error) if !had_failed => {
                tracing::warn!(error = %chain(&**error), "cannot export spans; retrying with the next ones");
            }
            None if had_failed => tracing::info!("spans are exported again"),
            _ => {}
        }
    }
}

#[async_trait]
impl HttpClient for CollectorClient {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let sent = self.runtime.spawn(send(self.http.clone(), request)).await;
        let sent = sent.unwrap_or_else(|stopped| Err(stopped.into()));
        self.log_change(sent.as_ref().err());
        sent
    }
}

async fn send(
    client: reqwest::Client,
    request: Request<Bytes>,
) -> Result<Response<Bytes>, HttpError> {
    let response = client.execute(request.try_into()?).await?;
    let response = response.error_for_status()?;
    let (status, address) = (
        response.status(),
        response.url().origin().ascii_serialization(),
    );
    if !status.is_success() {
        let error = format!(
            "the collector at {address} answered {status}; a redirect to another server is not followed: \
             set `telemetry.otlp_endpoint` to that server"
        );
        return Err(error.into());
    }
    let body = read_body(response, MAX_RESPONSE_BYTES).await?;
    let body = body.ok_or_else(|| {
        let max = MAX_RESPONSE_BYTES >> 10;
        format!("the answer of the collector at {address} has more than {max} KiB")
    })?;
    Ok(Response::builder().status(status).body(body.into())?)
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::TcpListener,
        sync::mpsc,
        thread,
    };

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(20);

    /// Answers each request with this head and, if it is not empty, with these bytes without end. Sends how many bytes
    /// of the body each client has taken.
    fn collector(head: String, endless: &'static [u8]) -> Result<(String, mpsc::Receiver<usize>)> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}", listener.local_addr()?);
        let (sender, taken) = mpsc::channel();
        thread::spawn(move || -> Result<()> {
            for stream in listener.incoming() {
                let mut stream = stream?;
                // The request is small, so one read has it.
                let _ = stream.read(&mut [0; 4096])?;
                stream.write_all(head.as_bytes())?;
                let mut bytes = 0;
                while !endless.is_empty() && stream.write_all(endless).is_ok() {
                    bytes += endless.len();
                }
                sender.send(bytes)?;
            }
            Ok(())
        });
        Ok((url, taken))
    }

    async fn export(url: &str) -> Result<Response<Bytes>, HttpError> {
        // Fails if another test has installed it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let request = Request::post(format!("{url}/v1/traces")).body("spans".into())?;
        CollectorClient::new(TIMEOUT)?.send_bytes(request).await
    }

    fn error(sent: Result<Response<Bytes>, HttpError>) -> String {
        sent.expect_err("it fails").to_string()
    }

    #[tokio::test]
    async fn spans_are_not_sent_where_a_redirect_points() -> Result<()> {
        let accepted = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        let (other, received) = collector(accepted.to_owned(), b"")?;
        for status in [301, 302, 303, 307, 308] {
            let head = format!(
                "HTTP/1.1 {status} Moved\r\nlocation: {other}/v1/traces\r\ncontent-length: 0\r\n\
                 connection: close\r\n\r\n"
            );
            let (url, _) = collector(head, b"")?;
            let error = error(export(&url).await);
            let expected = format!("the collector at {url} answered {status}");
            assert!(error.starts_with(&expected), "{error}");
            assert_eq!(received.try_recv().ok(), None, "{status}");
        }
        let sent = export(&other).await.map_err(anyhow::Error::from_boxed)?;
        assert_eq!(sent.status(), 200);
        received.recv_timeout(TIMEOUT)?;
        Ok(())
    }

    #[tokio::test]
    async fn an_endless_answer_is_not_read_into_memory() -> Result<()> {
        let head = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
        let (url, taken) = collector(head.to_owned(), &[b'x'; 8 << 10])?;
        let error = error(export(&url).await);
        let expected = format!("the answer of the collector at {url} has more than 64 KiB");
        assert_eq!(error, expected);
        // The rest is in buffers of the connection.
        let taken = taken.recv_timeout(TIMEOUT)?;
        assert!(taken < 32 << 20, "{taken}");
        Ok(())
    }

    #[tokio::test]
    async fn a_collector_that_is_silent_is_not_waited_for() -> Result<()> {
        // The system completes the connection, and nothing answers.
        let silent = TcpListener::bind("127.0.0.1:0")?;
        let _ = rustls::crypto::ring::default_provider().install_default();
        let url = format!("http://{}/v1/traces", silent.local_addr()?);
        let request = Request::post(url).body(Bytes::from("spans"))?;
        let client = CollectorClient::new(Duration::from_millis(100))?;
        let error = client.send_bytes(request).await.expect_err("it fails");
        let error = error.downcast_ref::<reqwest::Error>();
        assert!(error.is_some_and(reqwest::Error::is_timeout), "{error:?}");
        Ok(())
    }
}
