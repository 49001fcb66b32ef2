//! The access log: one event for each answered request, with the target `tidegate::access`.

use std::{net::IpAddr, time::Instant};

use axum::{body::Body, extract::Request, middleware::Next, response::Response};
use bytes::Bytes;
use http::{Extensions, Method, StatusCode};
use hyper::body::Frame;

use crate::{
    caller::CallerSlot,
    client::Client,
    observed_body::ObservedBody,
    request_span::{request_id, route},
};

/// Logs a request when its response has been sent, or the client has disconnected.
pub(crate) async fn log_request(mut request: Request, next: Next) -> Response {
    let caller = CallerSlot::default();
    request.extensions_mut().insert(caller.clone());
    let mut entry = AccessLogEntry {
        extensions: request.extensions().clone(),
        method: request.method().clone(),
        path: request.uri().path().to_owned(),
        caller,
        started: Instant::now(),
        status: None,
        bytes: 0,
    };
    let response = next.run(request).await;
    entry.status = Some(response.status());
    response.map(|body| {
        Body::new(ObservedBody::new(body, move |_, frame| {
            if let Some(Ok(frame)) = frame {
                entry.count(frame);
            }
        }))
    })
}

/// Logs the request when it is dropped, unless it was not answered.
struct AccessLogEntry {
    extensions: Extensions,
    method: Method,
    path: String,
    caller: CallerSlot,
    started: Instant,
    status: Option<StatusCode>,
    /// Bytes of the body that were sent.
    bytes: u64,
}

impl AccessLogEntry {
    fn count(&mut self, frame: &Frame<Bytes>) {
        self.bytes += frame.data_ref().map_or(0, Bytes::len) as u64;
    }
}

impl Drop for AccessLogEntry {
    fn drop(&mut self) {
        let Some(status) = self.status else {
            return;
        };
        let client = self.extensions.get::<Client>();
        let client: Option<IpAddr> = client.and_then(|client| client.address);
        let caller = self.caller.get();
        tracing::info!(
            target: "tidegate::access",
            parent: None,
            method = self.method.as_str(),
            route = route(&self.extensions),
            path = self.path,
            status = status.as_u16(),
            duration_ms = self.started.elapsed().as_micros() as f64 / 1000.0,
            bytes = self.bytes,
            client = client.map(tracing::field::display),
            tenant = caller.map(|(tenant, _)| tracing::field::display(tenant)),
            actor = caller.map(|(_, actor)| actor),
            request_id = request_id(&self.extensions),
            "request"
        );
    }
}
