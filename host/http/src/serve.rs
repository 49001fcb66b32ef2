use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Router, body::Body};
use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto::Builder,
        graceful::{GracefulShutdown, Watcher},
    },
    service::TowerToHyperService,
};
use tidegate_engine::chain;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::{client::Connection, idle_timeout::IdleTimeoutStream, tls::Tls};

/// Maximum time to receive a request's head, and maximum idle time of a connection.
const HEAD_TIMEOUT: Duration = Duration::from_mins(1);
/// Maximum time for a TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(20);
/// Maximum number of header fields of a request.
const MAX_HEADERS: usize = 100;
/// Maximum size of a request's head.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// Delay after a failed accept: most failures are due to a lack of file descriptors.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);
/// How long a connection without a request is kept at shutdown: the last response may still be on its way.
const LINGER: Duration = Duration::from_millis(250);
/// A response body of at most this size is written to the socket at once.
const SMALL_BODY: u64 = 16 << 10;
/// Minimum interval between warnings about the connection limit.
const WARNING_INTERVAL: Duration = Duration::from_mins(1);

/// Serves HTTP over TCP, with or without TLS.
#[derive(Clone)]
pub struct HttpServer {
    /// TLS; none for plain HTTP.
    pub tls: Option<Tls>,
    /// Maximum number of concurrent connections. Further clients wait in the listener's backlog.
    pub max_connections: usize,
    /// Maximum time in which a client reads nothing of a response.
    pub write_idle_timeout: Duration,
}

impl Default for HttpServer {
    fn default() -> Self {
        Self {
            tls: None,
            max_connections: 10_000,
            write_idle_timeout: Duration::from_mins(1),
        }
    }
}

impl HttpServer {
    /// Serves connections until `shutdown`, then accepts no more and finishes the open ones, for at most `grace`. Fails if
    /// a request is not finished then.
    pub async fn serve(
        self,
        listener: TcpListener,
        router: Router,
        shutdown: CancellationToken,
        grace: Duration,
    ) -> io::Result<()> {
        let connections = GracefulShutdown::new();
        let limit = ConnectionLimit::new(self.max_connections);
        let builder = connection_builder();
        loop {
            let accepted = tokio::select! {
                accepted = accept(&listener, &limit) => accepted,
                () = shutdown.cancelled() => break,
            };
            let (stream, peer, permit) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "cannot accept connection");
                    tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
                    continue;
                }
            };
            let _ = stream.set_nodelay(true);
            let (tls, write_idle_timeout) = (self.tls.clone(), self.write_idle_timeout);
            let task = ConnectionTask {
                builder: builder.clone(),
                router: router.clone(),
                watcher: connections.watcher(),
                shutdown: shutdown.clone(),
                write_idle_timeout,
                connection: Connection {
                    peer,
                    local: stream.local_addr().ok(),
                    is_tls: tls.is_some(),
                    certificates: None,
                },
            };
            tokio::spawn(async move {
                let _permit = permit;
                // Clients that disconnect are normal: not worth more than a debug event.
                if let Err(error) = task.run(stream, tls).await {
                    tracing::debug!(%peer, error = %chain(&*error), "connection ended");
                }
            });
        }
        drop(listener);
        if timeout(grace, connections.shutdown()).await.is_err() {
            tracing::warn!(?grace, "requests unfinished after the grace period");
            let error = io::Error::new(io::ErrorKind::TimedOut, "requests did not end in time");
            return Err(error);
        }
        Ok(())
    }
}

/// Limits the number of concurrent connections.
struct ConnectionLimit {
    permits: Arc<Semaphore>,
    max: usize,
    last_warning: parking_lot::Mutex<Option<Instant>>,
}

impl ConnectionLimit {
    fn new(max: usize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS))),
            max,
            last_warning: parking_lot::Mutex::default(),
        }
    }

    /// Waits for a permit.
    async fn acquire(&self) -> io::Result<OwnedSemaphorePermit> {
        if self.permits.available_permits() == 0 {
            self.warn_full();
        }
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        permit.map_err(io::Error::other)
    }

    fn warn_full(&self) {
        let mut last_warning = self.last_warning.lock();
        if last_warning.is_none_or(|at| at.elapsed() >= WARNING_INTERVAL) {
            *last_warning = Some(Instant::now());
            tracing::warn!(connections = self.max, "connection limit reached");
        }
    }
}

async fn accept(
    listener: &TcpListener,
    limit: &ConnectionLimit,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = limit.acquire().await?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, permit))
}

type ConnectionError = Box<dyn std::error::Error + Send + Sync>;

struct ConnectionTask {
    builder: Builder<TokioExecutor>,
    router: Router,
    watcher: Watcher,
    shutdown: CancellationToken,
    write_idle_timeout: Duration,
    connection: Connection,
}

impl ConnectionTask {
    async fn run(mut self, stream: TcpStream, tls: Option<Tls>) -> Result<(), ConnectionError> {
        let Some(tls) = tls else {
            return self.serve(stream).await;
        };
        let (stream, certificates) = timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await??;
        self.connection.certificates = certificates.map(Arc::new);
        self.serve(stream).await
    }

    async fn serve<S>(self, stream: S) -> Result<(), ConnectionError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (router, connection) = (self.router, self.connection);
        let open_requests = OpenRequests::default();
        let counted = open_requests.clone();
        let service =
            TowerToHyperService::new(tower::service_fn(move |mut request: Request<Incoming>| {
                let open_request = counted.begin();
                request.extensions_mut().insert(connection.clone());
                let responding = router.clone().oneshot(request.map(Body::new));
                async move {
                    let response = responding.await?;
                    Ok::<_, Infallible>(open_request.until_sent(response))
                }
            }));
        let stream = TokioIo::new(IdleTimeoutStream::new(
            stream,
            HEAD_TIMEOUT,
            self.write_idle_timeout,
        ));
        let connection = self.builder.serve_connection(stream, service);
        tokio::select! {
            ended = self.watcher.watch(connection.into_owned()) => ended,
            // A head that is half sent would keep the connection open.
            () = open_requests.ended_after(&self.shutdown) => Ok(()),
        }
    }
}

/// The requests of a connection whose responses are not sent yet.
#[derive(Debug, Clone, Default)]
struct OpenRequests(Arc<AtomicUsize>);

struct OpenRequest(OpenRequests);

impl OpenRequests {
    fn begin(&self) -> OpenRequest {
        self.0.fetch_add(1, Ordering::Relaxed);
        OpenRequest(self.clone())
    }

    /// Returns when the server shuts down and the connection had no request for [`LINGER`].
    async fn ended_after(&self, shutdown: &CancellationToken) {
        shutdown.cancelled().await;
        let mut was_idle = false;
        loop {
            let is_idle = self.0.load(Ordering::Relaxed) == 0;
            if is_idle && was_idle {
                return;
            }
            was_idle = is_idle;
            tokio::time::sleep(LINGER).await;
        }
    }
}

impl OpenRequest {
    /// Keeps the request open until its body is sent. A small body is sent at once, in the time of [`LINGER`].
    fn until_sent(self, response: Response<Body>) -> Response<Body> {
        if response
            .body()
            .size_hint()
            .exact()
            .is_some_and(|bytes| bytes <= SMALL_BODY)
        {
            return response;
        }
        response.map(|body| {
            Body::new(body.map_frame(move |frame| {
                let _open = &self;
                frame
            }))
        })
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn connection_builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(HEAD_TIMEOUT)
        .max_header_list_size(MAX_HEAD_BYTES as u32);
    builder
}
