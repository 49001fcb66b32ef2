use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{Router, body::Body};
use http::Request;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto::Builder,
        graceful::{GracefulShutdown, Watcher},
    },
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::{client::Connection, patient::Patient, tls::Tls};

/// Longest time for a request's head, and longest idle time of a connection.
const HEAD_TIMEOUT: Duration = Duration::from_mins(1);
/// Longest time for a TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(20);
/// Most header fields of a request.
const MAX_HEADERS: usize = 100;
/// Largest head of a request, in bytes.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// How long after a failed accept the next one is tried: most failures are a want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often it is said that no more connections are taken.
const SAID_EVERY: Duration = Duration::from_mins(1);

/// How connections are served.
#[derive(Clone)]
pub struct Serving {
    /// Encrypts them; none: plain HTTP.
    pub tls: Option<Tls>,
    /// Most at once. Whoever comes then waits in the system's queue until one ends.
    pub connections: usize,
    /// Longest time for which a client may take nothing of an answer.
    pub silence: Duration,
}

impl Default for Serving {
    fn default() -> Self {
        Self {
            tls: None,
            connections: 10_000,
            silence: Duration::from_mins(1),
        }
    }
}

impl Serving {
    /// Serves connections until `stopping`, then takes no more and finishes those that it has, for `grace` at most.
    pub async fn serve(
        self,
        listener: TcpListener,
        router: Router,
        stopping: CancellationToken,
        grace: Duration,
    ) -> io::Result<()> {
        let connections = GracefulShutdown::new();
        let places = Places::new(self.connections);
        let builder = builder();
        loop {
            let accepted = tokio::select! {
                accepted = accept(&listener, &places) => accepted,
                () = stopping.cancelled() => break,
            };
            let (stream, peer, place) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "accept connection"
                    );
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let _ = stream.set_nodelay(true);
            let (tls, silence) = (self.tls.clone(), self.silence);
            let one = One {
                builder: builder.clone(),
                router: router.clone(),
                watcher: connections.watcher(),
                silence,
                connection: Connection {
                    peer,
                    is_tls: tls.is_some(),
                    certificates: None,
                },
            };
            tokio::spawn(async move {
                let _place = place;
                // A client that breaks off is its own affair.
                if let Err(error) = one.accepted(stream, tls).await {
                    tracing::debug!(%peer, error, "connection ended");
                }
            });
        }
        drop(listener);
        if timeout(grace, connections.shutdown()).await.is_err() {
            tracing::warn!("some requests were not finished within {grace:?}");
        }
        Ok(())
    }
}

/// Places for connections.
struct Places {
    free: Arc<Semaphore>,
    most: usize,
    said: std::sync::Mutex<Option<Instant>>,
}

impl Places {
    fn new(most: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))),
            most,
            said: std::sync::Mutex::default(),
        }
    }

    /// Waits for a free one.
    async fn take(&self) -> io::Result<OwnedSemaphorePermit> {
        if self.free.available_permits() == 0 {
            self.say_full();
        }
        let place = Arc::clone(&self.free).acquire_owned().await;
        place.map_err(io::Error::other)
    }

    fn say_full(&self) {
        let mut said = self
            .said
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if said.is_none_or(|said| said.elapsed() >= SAID_EVERY) {
            *said = Some(Instant::now());
            tracing::warn!("there are {} connections: no more are taken", self.most);
        }
    }
}

async fn accept(
    listener: &TcpListener,
    places: &Places,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = places.take().await?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, place))
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// One connection.
struct One {
    builder: Builder<TokioExecutor>,
    router: Router,
    watcher: Watcher,
    silence: Duration,
    connection: Connection,
}

impl One {
    async fn accepted(mut self, stream: TcpStream, tls: Option<Tls>) -> Result<(), Failure> {
        let Some(tls) = tls else {
            return self.serve(stream).await;
        };
        let (stream, shown) = timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await??;
        self.connection.certificates = shown.map(Arc::new);
        self.serve(stream).await
    }

    async fn serve<S>(self, stream: S) -> Result<(), Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (router, connection) = (self.router, self.connection);
        let service =
            TowerToHyperService::new(tower::service_fn(move |mut request: Request<Incoming>| {
                request.extensions_mut().insert(connection.clone());
                router.clone().oneshot(request.map(Body::new))
            }));
        let stream = TokioIo::new(Patient::new(stream, HEAD_TIMEOUT, self.silence));
        let connection = self.builder.serve_connection(stream, service);
        self.watcher.watch(connection.into_owned()).await
    }
}

fn builder() -> Builder<TokioExecutor> {
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
