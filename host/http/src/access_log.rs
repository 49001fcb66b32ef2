//! The access log: one event for each answered request, with the target `tidegate::access`.

use std::{net::IpAddr, time::Instant};

use axum::extract::Request;
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode};
use hyper::body::Frame;

use crate::{caller::CallerSlot, client::Client, request_id, route::Route};

/// Logs the request when it is dropped: its response has been sent, or the client has disconnected. A request that was
/// not answered is not logged.
pub(crate) struct AccessLogEntry {
    id: HeaderValue,
    route: Route,
    method: Method,
    path: String,
    client: Option<IpAddr>,
    caller: CallerSlot,
    started: Instant,
    status: Option<StatusCode>,
    /// Bytes of the body that were sent.
    bytes: u64,
}

impl AccessLogEntry {
    /// The entry of a request whose client is identified.
    pub(crate) fn begin(request: &mut Request, route: Route, id: &HeaderValue) -> Self {
        let caller = CallerSlot::default();
        request.extensions_mut().insert(caller.clone());
        let client = request.extensions().get::<Client>();
        Self {
            id: id.clone(),
            route,
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            client: client.and_then(|client| client.address),
            caller,
            started: Instant::now(),
            status: None,
            bytes: 0,
        }
    }

    pub(crate) fn answered(&mut self, status: StatusCode) {
        self.status = Some(status);
    }

    pub(crate) fn count(&mut self, frame: &Frame<Bytes>) {
        self.bytes += frame.data_ref().map_or(0, Bytes::len) as u64;
    }
}

impl Drop for AccessLogEntry {
    fn drop(&mut self) {
        let Some(status) = self.status else {
            return;
        };
        let caller = self.caller.get();
        tracing::info!(
            target: "tidegate::access",
            parent: None,
            method = self.method.as_str(),
            route = self.route.as_str(),
            path = self.path,
            status = status.as_u16(),
            duration_ms = self.started.elapsed().as_micros() as f64 / 1000.0,
            bytes = self.bytes,
            client = self.client.map(tracing::field::display),
            tenant = caller.map(|(tenant, _)| tracing::field::display(tenant)),
            actor = caller.map(|(_, actor)| actor),
            request_id = request_id::as_str(&self.id),
            "request"
        );
    }
}
