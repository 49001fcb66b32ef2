use std::{io, time::Duration};

use axum::{Router, body::Body, extract::ConnectInfo};
use http::Request;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto::Builder, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::first_bytes::FirstBytes;

/// Longest time for a request's head, and longest idle time of a connection.
const HEAD_TIMEOUT: Duration = Duration::from_mins(1);
/// Most header fields of a request.
const MAX_HEADERS: usize = 100;
/// Largest head of a request, in bytes.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// How long after a failed accept the next one is tried: most failures are a want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves connections until `stopping`, then takes no more and finishes those that it has, for `grace` at most.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    stopping: CancellationToken,
    grace: Duration,
) -> io::Result<()> {
    let connections = GracefulShutdown::new();
    let builder = builder();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopping.cancelled() => break,
        };
        let (stream, peer) = match accepted {
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
        let router = router.clone();
        let service =
            TowerToHyperService::new(tower::service_fn(move |mut request: Request<Incoming>| {
                request.extensions_mut().insert(ConnectInfo(peer));
                router.clone().oneshot(request.map(Body::new))
            }));
        let _ = stream.set_nodelay(true);
        let stream = FirstBytes::within(HEAD_TIMEOUT, stream);
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let watched = connections.watch(connection.into_owned());
        tokio::spawn(async move {
            // A client that breaks off is its own affair.
            if let Err(error) = watched.await {
                tracing::debug!(%peer, error, "connection ended");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(grace, connections.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("some requests were not finished within {grace:?}");
    }
    Ok(())
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
