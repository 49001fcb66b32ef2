//! `/metrics`, on the address of the API or on one of its own, with or without a token.

use axum::{
    Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{Extensions, HeaderMap, StatusCode, header::CONTENT_TYPE};
use tidegate_engine::fingerprint;

use crate::{
    AppState,
    bearer::bearer_token,
    client::Client,
    metrics::LoginKind,
    problem::{Problem, Result},
    refused_logins::{RefusedLogin, too_many_refused},
};

pub(crate) fn router() -> Router<AppState> {
    Router::new()
        .route("/metrics", get(show_metrics))
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
}

async fn show_metrics(
    State(state): State<AppState>,
    headers: HeaderMap,
    extensions: Extensions,
) -> Response {
    if let Err(problem) = check_token(&state, &headers, &extensions) {
        return problem.into_response();
    }
    state.metrics.refresh_fleet_gauges(&state.engine).await;
    (
        [(CONTENT_TYPE, prometheus::TEXT_FORMAT)],
        state.metrics.encode(),
    )
        .into_response()
}

fn check_token(state: &AppState, headers: &HeaderMap, extensions: &Extensions) -> Result<()> {
    let Some(expected) = &state.settings.metrics.token else {
        return Ok(());
    };
    let presented = bearer_token(headers).map(fingerprint);
    // Of the hashes, so that the duration reveals nothing about the token.
    if presented == Some(fingerprint(expected)) {
        return Ok(());
    }
    let address = extensions.get().and_then(|client: &Client| client.address);
    let (kind, reason) = match presented {
        Some(_) => (LoginKind::MetricsToken, "wrong token of /metrics"),
        None => (LoginKind::None, "no token of /metrics"),
    };
    let refused = RefusedLogin {
        credential: presented,
        ..RefusedLogin::new(kind, reason)
    };
    let wait = state
        .refused_logins
        .record(&state.metrics, address, &refused);
    Err(match wait.filter(|_| presented.is_some()) {
        Some(wait) => too_many_refused(wait),
        None => Problem::new(
            StatusCode::UNAUTHORIZED,
            "unauthenticated",
            "send `Authorization: Bearer <token>` with the setting `metrics.token` of the server",
        ),
    })
}
