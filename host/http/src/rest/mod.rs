//! The REST API: a file for each operation.

pub(crate) mod tokens;

use axum::Router;
use utoipa_axum::router::OpenApiRouter;

use crate::{AppState, problem::Problem};

/// Everything under `/api/v1`.
pub(crate) fn router(_state: &AppState) -> Router<AppState> {
    let (router, _document) = operations().split_for_parts();
    router.method_not_allowed_fallback(|| async { Problem::wrong_method() })
}

/// The OpenAPI document of the REST API.
pub fn openapi() -> utoipa::openapi::OpenApi {
    operations().into_openapi()
}

fn operations() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
}
