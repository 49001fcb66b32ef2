use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::connections::Activity;

/// A socket whose activity records since when the client reads nothing. It is below TLS, which keeps some bytes back and
/// accepts others although the socket takes none.
pub(crate) struct ObservedSocket<S> {
    socket: S,
    activity: Arc<Activity>,
    /// The last write made no progress.
    is_stalled: bool,
}

impl<S> ObservedSocket<S> {
    pub(crate) fn new(socket: S, activity: Arc<Activity>) -> Self {
        Self {
            socket,
            activity,
            is_stalled: false,
        }
    }

    /// Records whether a write made progress. Returns its result.
    fn observe_write<T>(&mut self, sent: Poll<T>) -> Poll<T> {
        if self.is_stalled != sent.is_pending() {
            self.is_stalled = sent.is_pending();
            if self.is_stalled {
                self.activity.note_write_stalled();
            } else {
                self.activity.note_write_progress();
            }
        }
        sent
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ObservedSocket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ObservedSocket<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.observe_write(sent)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.socket).poll_write_vectored(cx, slices);
        self.observe_write(sent)
    }
}

/// A stream of requests whose activity records when a head arrives in parts.
pub(crate) struct ObservedRequests<S> {
    stream: S,
    activity: Arc<Activity>,
    /// Bytes have arrived since the last request, of which there were this many before.
    unread_since: Option<u32>,
}

impl<S> ObservedRequests<S> {
    pub(crate) fn new(stream: S, activity: Arc<Activity>) -> Self {
        Self {
            stream,
            activity,
            unread_since: None,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ObservedRequests<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if polled.is_ready() {
            if buf.filled().len() > before {
                self.unread_since = Some(self.activity.requests());
            }
        } else if let Some(requests) = self.unread_since.take()
            && requests == self.activity.requests()
        {
            // The reader wants more, and what it has was not a whole head.
            self.activity.note_partial_head();
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ObservedRequests<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt as _;
    use rustls::{
        ClientConfig, RootCertStore, ServerConfig,
        pki_types::{PrivateKeyDer, ServerName},
    };
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, duplex},
        time::{Instant, advance, sleep},
    };
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    use super::*;
    use crate::connections::{ConnectionLimits, Connections};

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_nothing_times_out() -> io::Result<()> {
        let write_idle_timeout = Duration::from_mins(1);
        let connections = Connections::new(ConnectionLimits {
            max: 10,
            incomplete_per_address: 10,
            head_timeout: Duration::from_secs(10),
            keep_alive_timeout: Duration::from_mins(1),
            write_idle_timeout,
        });
        let open = connections.open([127, 0, 0, 1].into()).await;
        let (mut client, stream) = duplex(1);
        let mut stream = ObservedSocket::new(stream, Arc::clone(&open.activity));
        let started = Instant::now();
        // A client that reads slowly keeps its connection for longer than the timeout.
        let reading = async {
            while started.elapsed() < write_idle_timeout * 3 / 2 {
                sleep(write_idle_timeout / 20).await;
                client.read_u8().await?;
            }
            io::Result::Ok(Instant::now())
        };
        let request = open.activity.begin_request(false);
        let writing = async {
            let writing = std::pin::pin!(async {
                loop {
                    if stream.write_u8(1).await.is_err() {
                        return;
                    }
                }
            });
            let ended = open.activity.run(writing, |_| {}).await;
            (ended, Instant::now())
        };
        let sweeping = async {
            loop {
                sleep(Duration::from_secs(1)).await;
                connections.sweep();
            }
        };
        let (last_read, (result, ended)) = tokio::select! {
            ended = async { tokio::join!(reading, writing) } => ended,
            () = sweeping => unreachable!("it sweeps for ever"),
        };
        assert_eq!(result, None, "the server closes it");
        let waited = ended - last_read?;
        let expected = write_idle_timeout..=write_idle_timeout + Duration::from_secs(2);
        assert!(expected.contains(&waited), "{waited:?}");
        drop(request);
        Ok(())
    }

    /// What TLS accepts while the socket is full has not reached the client.
    #[tokio::test(start_paused = true)]
    async fn bytes_that_tls_keeps_back_are_no_progress() -> Result<(), Box<dyn std::error::Error>> {
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        let certificate = own.cert.der().clone();
        let key = PrivateKeyDer::try_from(own.signing_key.serialize_der())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let mut roots = RootCertStore::empty();
        roots.add(certificate)?;
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = TlsConnector::from(Arc::new(config));
        let (client, socket) = duplex(4096);
        let activity = Activity::unshared();
        let socket = ObservedSocket::new(socket, Arc::clone(&activity));
        let name = ServerName::try_from("localhost")?;
        let (server, client) =
            tokio::join!(acceptor.accept(socket), connector.connect(name, client));
        let (mut server, _client) = (server?, client?);

        let _request = activity.begin_request(false);
        let sent = server.write_all(&[0; 5000]).now_or_never();
        assert!(matches!(sent, Some(Ok(()))), "TLS accepts it: {sent:?}");
        let since = activity.stalled_since();
        assert!(since.is_some());
        advance(Duration::from_secs(1)).await;
        let sent = server.write_all(b"a").now_or_never();
        assert!(matches!(sent, Some(Ok(()))), "TLS accepts it: {sent:?}");
        assert!(
            server.flush().now_or_never().is_none(),
            "the socket does not"
        );
        assert_eq!(activity.stalled_since(), since);
        Ok(())
    }
}
