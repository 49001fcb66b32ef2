//! The device API: hawkBit's Direct Device Integration (DDI).
//!
//! Every handler takes a [`device_auth::DeviceAuth`] first, which limits the rate of requests, finds the tenant and
//! authenticates the device. [`error`] turns failures into a status and, where devices expect one, a body.

mod artifact;
mod body;
mod cancel_action;
mod config_data;
mod confirmation;
mod deployment;
mod device_auth;
mod error;
mod feedback;
mod history;
mod installed;
mod lenient;
mod links;
mod log;
mod params;
mod path;
mod poll;
mod representation;

use std::pin::Pin;

use axum::{
    body::{Body, HttpBody as _},
    extract::Request,
    handler::Handler as _,
    response::Response,
};
use http::{
    HeaderValue, Method, StatusCode,
    header::{ALLOW, CONTENT_LENGTH},
};

use crate::AppState;

use self::{
    device_auth::WithinRateLimit,
    path::{DevicePath, matches},
};

pub(crate) use error::{NotServed, internal_error};

type Responding = Pin<Box<dyn Future<Output = Response> + Send>>;

/// A resource of devices.
pub(crate) struct Endpoint {
    /// The template of its paths.
    pub(crate) route: &'static str,
    /// Its only method, or `GET` for that and `HEAD`; none: any.
    method: Option<Method>,
    handler: fn(Request, AppState) -> Responding,
}

/// The template of the paths of a device's resource.
macro_rules! route {
    ($resource:literal) => {
        concat!("/{tenant}/controller/v1/{device}", $resource)
    };
}

/// How the paths of devices begin.
const DEVICE: &str = route!("");

macro_rules! endpoint {
    ($method:ident $resource:literal, $handler:path) => {
        Endpoint {
            route: route!($resource),
            method: Some(Method::$method),
            handler: |request, state| $handler.call(request, state),
        }
    };
}

/// Of two that match a path, the first one counts.
static ENDPOINTS: [Endpoint; 16] = [
    endpoint!(GET "", poll::get),
    endpoint!(PUT "/configData", config_data::put),
    endpoint!(GET "/deploymentBase/{update}", deployment::get),
    endpoint!(POST "/deploymentBase/{update}/feedback", feedback::on_deployment),
    endpoint!(PUT "/installedBase", installed::put),
    endpoint!(GET "/installedBase/{update}", deployment::get_installed),
    endpoint!(GET "/cancelAction/{update}", cancel_action::get),
    endpoint!(POST "/cancelAction/{update}/feedback", feedback::on_cancel),
    endpoint!(GET "/confirmationBase", confirmation::base),
    endpoint!(POST "/confirmationBase/activateAutoConfirm", confirmation::activate),
    endpoint!(POST "/confirmationBase/deactivateAutoConfirm", confirmation::deactivate),
    endpoint!(GET "/confirmationBase/{update}", confirmation::get),
    endpoint!(POST "/confirmationBase/{update}/feedback", confirmation::feedback),
    endpoint!(GET "/softwaremodules/{module}/artifacts", deployment::list_artifacts),
    endpoint!(GET "/softwaremodules/{module}/artifacts/{filename}", artifact::get),
    endpoint!(PUT "/log", log::put),
];

/// Any resource that devices do not have.
static UNKNOWN: Endpoint = Endpoint {
    route: route!("/{*rest}"),
    method: None,
    handler: |request, state| not_found.call(request, state),
};

/// The resource that a path names; none if it is not a device's path. Of a device, every path has one.
pub(crate) fn endpoint(path: &str) -> Option<&'static Endpoint> {
    let path = DevicePath::parse(path)?;
    let named = ENDPOINTS
        .iter()
        .find(|endpoint| matches(&endpoint.route[DEVICE.len()..], path.resource));
    Some(named.unwrap_or(&UNKNOWN))
}

impl Endpoint {
    pub(crate) async fn respond(&self, request: Request, state: AppState) -> Response {
        let method = request.method();
        let is_head = method == Method::HEAD;
        let requested = if is_head { &Method::GET } else { method };
        let Some(allowed) = self.method.as_ref().filter(|it| *it != requested) else {
            let response = (self.handler)(request, state).await;
            return if is_head {
                without_body(response)
            } else {
                response
            };
        };
        let allowed = match *allowed {
            Method::GET => "GET,HEAD",
            Method::PUT => "PUT",
            _ => "POST",
        };
        let mut response = method_not_allowed.call(request, state).await;
        let headers = response.headers_mut();
        headers.insert(ALLOW, HeaderValue::from_static(allowed));
        response
    }
}

async fn method_not_allowed(_: WithinRateLimit) -> StatusCode {
    StatusCode::METHOD_NOT_ALLOWED
}

async fn not_found(_: WithinRateLimit) -> StatusCode {
    StatusCode::NOT_FOUND
}

/// The response to `HEAD`: the headers of the one to `GET`.
fn without_body(mut response: Response) -> Response {
    let size = response.body().size_hint().exact();
    if let Some(size) = size {
        let headers = response.headers_mut();
        headers.entry(CONTENT_LENGTH).or_insert(size.into());
    }
    response.map(|_| Body::empty())
}
