//! The device API: hawkBit's Direct Device Integration (DDI).
//!
//! Every handler takes a [`device_auth::DeviceAuth`] first, which limits the rate of requests, finds the tenant and
//! authenticates the device. [`error`]
//! turns failures into a status and, where devices expect one, a body.

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
mod poll;
mod representation;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{any, get, post, put},
};
use http::StatusCode;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;

use crate::AppState;

use device_auth::WithinRateLimit;

pub(crate) use error::NotServed;

/// Maximum size of a body, in bytes. Fifty messages in any language are far smaller.
const MAX_BODY: usize = 1 << 20;

/// The routes below `/{tenant}/controller/v1/{device}`.
pub(crate) fn router() -> Router<AppState> {
    Router::new()
        .route("/", get(poll::get))
        .route("/configData", put(config_data::put))
        .route(
            "/log",
            put(log::put).layer(DefaultBodyLimit::max(log::MAX_BODY)),
        )
        .route("/deploymentBase/{update}", get(deployment::get))
        .route(
            "/deploymentBase/{update}/feedback",
            post(feedback::on_deployment),
        )
        .route("/installedBase", put(installed::put))
        .route("/installedBase/{update}", get(deployment::get_installed))
        .route("/cancelAction/{update}", get(cancel_action::get))
        .route("/cancelAction/{update}/feedback", post(feedback::on_cancel))
        .route("/confirmationBase", get(confirmation::base))
        .route("/confirmationBase/{update}", get(confirmation::get))
        .route(
            "/confirmationBase/{update}/feedback",
            post(confirmation::feedback),
        )
        .route(
            "/confirmationBase/activateAutoConfirm",
            post(confirmation::activate),
        )
        .route(
            "/confirmationBase/deactivateAutoConfirm",
            post(confirmation::deactivate),
        )
        .route(
            "/softwaremodules/{module}/artifacts",
            get(deployment::list_artifacts),
        )
        .route(
            "/softwaremodules/{module}/artifacts/{filename}",
            get(artifact::get),
        )
        // A route instead of a fallback: nested routers cannot each have a fallback of their own.
        .route(
            "/{*rest}",
            any(|_: WithinRateLimit| async { StatusCode::NOT_FOUND }),
        )
        .method_not_allowed_fallback(|_: WithinRateLimit| async { StatusCode::METHOD_NOT_ALLOWED })
        // One stack, because each call of `layer` boxes the service and its future for every request.
        .layer(
            ServiceBuilder::new()
                .layer(CatchPanicLayer::custom(error::from_panic))
                .layer(DefaultBodyLimit::max(MAX_BODY)),
        )
}
