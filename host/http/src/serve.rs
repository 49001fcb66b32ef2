use std::{convert::Infallible, io, pin::pin, sync::Arc, task::Poll, time::Duration};

use axum::body::Body;
use http::{Request, Response, Version, header::CONNECTION};
use hyper::body::{Body as _, Incoming};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::{Builder, Connection as HttpConnection},
    service::TowerToHyperService,
};
use tidegate_engine::chain;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceExt as _};

use crate::{
    client::Connection,
    connections::{Activity, ConnectionLimits, Connections, OpenConnection, OpenRequest},
    metrics::Metrics,
    observed_body::{ObservedBody, is_small},
    observed_stream::{ObservedRequests, ObservedSocket},
    tls::Tls,
    tls_failure::TlsFailure,
};

/// Interval of the pings that find dead HTTP/2 peers.
const PING_INTERVAL: Duration = Duration::from_mins(1);
/// Maximum number of header fields of a request.
const MAX_HEADERS: usize = 100;
/// Maximum size of a request's head.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// Delay after a failed accept: most failures are due to a lack of file descriptors.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// Serves HTTP over TCP, with or without TLS.
#[derive(Clone)]
pub struct HttpServer {
    /// TLS; none for plain HTTP.
    pub tls: Option<Tls>,
    /// Maximum number of concurrent connections. When it is near, idle connections are closed, the longest idle first; a
    /// twentieth is for operators and probes. Further clients wait only while all connections are being answered.
    pub max_connections: usize,
    /// Maximum number of connections of one address that have not sent a whole request, when the maximum of all is near;
    /// none: a quarter of all.
    pub incomplete_per_address: Option<usize>,
    /// Maximum time from the opening of a connection to the end of the first request's head, including the TLS handshake,
    /// and from the first byte of a further request to the end of its head.
    pub head_timeout: Duration,
    /// Maximum time between two requests on a connection.
    pub keep_alive_timeout: Duration,
    /// Maximum time in which a client reads nothing of a response.
    pub write_idle_timeout: Duration,
    /// Where failed TLS handshakes are counted.
    pub metrics: Option<Arc<Metrics>>,
}

impl Default for HttpServer {
    fn default() -> Self {
        Self {
            tls: None,
            max_connections: 10_000,
            incomplete_per_address: None,
            head_timeout: Duration::from_secs(10),
            keep_alive_timeout: Duration::from_mins(1),
            write_idle_timeout: Duration::from_mins(1),
            metrics: None,
        }
    }
}

impl HttpServer {
    /// Serves connections until `shutdown`, then accepts no more and finishes the open ones, for at most `grace`. Fails if
    /// a request is not finished then.
    pub async fn serve<A: Api>(
        self,
        listener: TcpListener,
        api: A,
        shutdown: CancellationToken,
        grace: Duration,
    ) -> io::Result<()> {
        let limits = self.connection_limits();
        let mut sweeps = interval(limits.sweep_interval());
        sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let connections = Connections::new(limits);
        let builder = connection_builder();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = sweeps.tick() => {
                    connections.sweep();
                    continue;
                }
                () = shutdown.cancelled() => break,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "cannot accept connection");
                    connections.make_room();
                    tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
                    continue;
                }
            };
            let open = tokio::select! {
                open = connections.open(peer.ip()) => open,
                () = shutdown.cancelled() => break,
            };
            let _ = stream.set_nodelay(true);
            let tls = self.tls.clone();
            let task = ConnectionTask {
                builder: builder.clone(),
                api: api.clone(),
                metrics: self.metrics.clone(),
                connection: Connection {
                    peer,
                    local: stream.local_addr().ok(),
                    is_tls: tls.is_some(),
                    uses_reserve: open.uses_reserve,
                    certificates: None,
                },
                open,
            };
            tokio::spawn(async move {
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

    fn connection_limits(&self) -> ConnectionLimits {
        let max = self.max_connections;
        ConnectionLimits {
            max,
            incomplete_per_address: self.incomplete_per_address.unwrap_or((max / 4).max(1)),
            head_timeout: self.head_timeout,
            keep_alive_timeout: self.keep_alive_timeout,
            write_idle_timeout: self.write_idle_timeout,
        }
    }
}

/// What answers the requests of a server: [`crate::HttpApi`] or a router.
pub trait Api:
    Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
    + Clone
    + Send
    + 'static
{
}

impl<A> Api for A where
    A: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static
{
}

type ConnectionError = Box<dyn std::error::Error + Send + Sync>;

struct ConnectionTask<A> {
    builder: Builder<TokioExecutor>,
    api: A,
    metrics: Option<Arc<Metrics>>,
    connection: Connection,
    open: OpenConnection,
}

impl<A: Api> ConnectionTask<A> {
    async fn run(mut self, stream: TcpStream, tls: Option<Tls>) -> Result<(), ConnectionError> {
        let stream = ObservedSocket::new(stream, Arc::clone(&self.open.activity));
        let Some(tls) = tls else {
            return self.serve(stream).await;
        };
        let handshake = pin!(tls.accept(stream));
        let accepted = self.open.activity.run(handshake, |_| {}).await;
        if let Some(metrics) = &self.metrics
            && let Some(failure) = TlsFailure::of(accepted.as_ref())
        {
            metrics.tls_handshake_failed(failure);
        }
        let Some(accepted) = accepted else {
            return Ok(());
        };
        let (stream, certificates) = accepted?;
        self.connection.certificates = certificates.map(Arc::new);
        self.serve(stream).await
    }

    async fn serve<S>(self, stream: S) -> Result<(), ConnectionError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (api, connection) = (self.api, self.connection);
        let activity = Arc::clone(&self.open.activity);
        let closer = Arc::new(self.open.closer());
        let service =
            TowerToHyperService::new(tower::service_fn(move |mut request: Request<Incoming>| {
                let is_multiplexed = request.version() == Version::HTTP_2;
                let open_request = activity.begin_request(is_multiplexed);
                request.extensions_mut().insert(connection.clone());
                let request = request.map(|body| receive(body, &activity));
                let responding = api.clone().oneshot(request);
                let closer = is_multiplexed.then(|| Arc::clone(&closer));
                async move {
                    let mut response = responding.await?;
                    // In HTTP/1 the header itself closes the connection, in HTTP/2 a GOAWAY frame does.
                    if let Some(closer) = closer
                        && response.headers_mut().remove(CONNECTION).is_some()
                    {
                        closer.close_gracefully();
                    }
                    Ok::<_, Infallible>(until_sent(open_request, is_multiplexed, response))
                }
            }));
        let activity = &self.open.activity;
        let stream = TokioIo::new(ObservedRequests::new(stream, Arc::clone(activity)));
        let connection = pin!(self.builder.serve_connection(stream, service));
        let served = activity.run(connection, HttpConnection::graceful_shutdown);
        served.await.unwrap_or(Ok(()))
    }
}

/// The body of a request. Its connection has an incomplete request until it is received.
fn receive(body: Incoming, activity: &Arc<Activity>) -> Body {
    if body.is_end_stream() {
        return Body::new(body);
    }
    let mut receiving = Some(activity.begin_body());
    Body::new(ObservedBody::new(body, move |body: &Incoming, polled| {
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) || body.is_end_stream() {
            drop(receiving.take());
        }
    }))
}

/// Keeps the request open until the body of its response is sent, and records when the client does not take it. In HTTP/1 a
/// small body is sent at once: a connection that closes leaves it the time. In HTTP/2 the client says how much it takes.
fn until_sent(
    open_request: OpenRequest,
    is_multiplexed: bool,
    response: Response<Body>,
) -> Response<Body> {
    if !is_multiplexed && is_small(response.body()) {
        return response;
    }
    let mut handed_over = None;
    response.map(|body| {
        Body::new(ObservedBody::new(body, move |_: &Body, polled| {
            // The next frame is asked for when the connection has taken the last one.
            drop(handed_over.take());
            if let Poll::Ready(Some(Ok(_))) = polled {
                handed_over = open_request.begin_send();
            }
        }))
    })
}

fn connection_builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        // `Connections` limits the time of a head, without a timer for each request.
        .header_read_timeout(None)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .max_header_list_size(MAX_HEAD_BYTES as u32);
    builder
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observed_body::SMALL_BODY;

    #[tokio::test]
    async fn the_size_of_a_response_stays_known_until_it_is_sent() {
        for size in [0, SMALL_BODY, SMALL_BODY + 1, 100 * SMALL_BODY] {
            for is_multiplexed in [false, true] {
                let request = Activity::unshared().begin_request(is_multiplexed);
                let body = Body::from(vec![b'a'; size as usize]);
                let response = until_sent(request, is_multiplexed, Response::new(body));
                let body = response.body();
                assert_eq!(body.size_hint().exact(), Some(size), "{is_multiplexed}");
                assert_eq!(body.is_end_stream(), size == 0);
            }
        }
    }
}
