//! All HTTP interfaces as one service.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    middleware::{self, Next},
    response::Response,
};
use http::Method;
use tower::{Service, ServiceExt as _};

use crate::{
    AppState, ddi, metrics_endpoint, observe::observe, own_task::respond_in_own_task, probes,
    problem::Problem, rest, route::Route,
};

/// The service that answers every request of an address.
#[derive(Clone)]
pub struct HttpApi {
    /// None on an address that serves no devices.
    device_state: Option<AppState>,
    /// All interfaces but the device API.
    router: Router,
}

impl HttpApi {
    /// The device API, the REST API and the probes, and `/metrics` unless that has an address of its own.
    pub fn new(state: AppState) -> Self {
        let mut router = Router::new()
            .merge(probes::router())
            .nest("/api/v1", rest::router(&state));
        if !state.settings.metrics.has_own_address {
            router = router.merge(metrics_endpoint::router());
        }
        Self {
            device_state: Some(state.clone()),
            router: observed(router, state),
        }
    }

    /// `/metrics` alone, for an address of its own.
    pub fn metrics(state: AppState) -> Self {
        Self {
            device_state: None,
            router: observed(metrics_endpoint::router(), state),
        }
    }
}

impl Service<Request> for HttpApi {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    /// Devices, whose requests are by far the most, do not go through the router: it allocates more for a request than
    /// all the rest of a poll.
    fn call(&mut self, request: Request) -> Self::Future {
        if let Some(state) = &self.device_state
            && let Some(endpoint) = ddi::endpoint(request.uri().path())
        {
            let state = state.clone();
            return Box::pin(async move {
                let route = Route::Device(endpoint.route);
                let respond = |request| endpoint.respond(request, state.clone());
                Ok(observe(&state, route, request, respond).await)
            });
        }
        Box::pin(self.router.clone().oneshot(request))
    }
}

fn observed(router: Router<AppState>, state: AppState) -> Router {
    router
        .fallback(|| async { Problem::no_route() })
        .layer(middleware::from_fn_with_state(
            state.clone(),
            observe_routed,
        ))
        .with_state(state)
}

/// Observes a request of the router, which has found its route. A change over REST has a task of its own: when its client
/// disconnects, it is made, logged and counted all the same, and never left half done.
async fn observe_routed(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let route = Route::Other(request.extensions().get::<MatchedPath>().cloned());
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let is_change = !is_read && request.uri().path().starts_with("/api/");
    let responding = async move {
        let respond = |request| next.run(request);
        observe(&state, route, request, respond).await
    };
    if !is_change {
        return responding.await;
    }
    respond_in_own_task("respond to a change", responding).await
}
