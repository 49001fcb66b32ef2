use axum::{Json, extract::State};
use tidegate_engine::tenants;

use super::shape::Settings;
use crate::{AppState, problem::Result, rest::access::Viewer};

/// What the tenant set for itself, and the server's defaults.
#[utoipa::path(
    get, path = "/settings", tag = "settings", responses((status = 200, body = Settings)),
)]
pub(crate) async fn show_settings(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
) -> Result<Json<Settings>> {
    let settings = tenants::settings(&state.engine, &actor).await?;
    Ok(Json(Settings::new(&settings, &state.engine.settings)))
}
