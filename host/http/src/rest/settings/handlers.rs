use axum::{Json, extract::State};
use serde_json::Value;
use tidegate_core::settings::TenantSettings;
use tidegate_engine::{Admin, Authorized, Ctx, tenants};

use super::body::{Settings, SettingsBody};
use crate::{
    AppState,
    problem::{Problem, Result},
    rest::{
        json::{JsonBody, from_value},
        patch::merge,
        rules::RuleContext,
    },
};

/// Shows the settings of the tenant and the server's defaults.
#[utoipa::path(
    get, path = "/settings", tag = "settings",
    responses((
        status = 200, description = "The tenant's settings and the server's defaults.",
        body = Settings,
    )),
)]
pub(crate) async fn show_settings(
    ctx: Ctx,
    State(state): State<AppState>,
) -> Result<Json<Settings>> {
    let settings = tenants::settings(&ctx, state.engine.store()).await?;
    Ok(Json(Settings::new(&settings, state.engine.settings())))
}

/// Changes the settings of the tenant with a JSON merge patch (RFC 7396): fields that are left out stay as they are,
/// null restores the server's default, a list replaces the previous one.
#[utoipa::path(
    patch, path = "/settings", tag = "settings", request_body = SettingsBody,
    responses((status = 200, description = "The settings after the change.", body = Settings)),
)]
pub(crate) async fn change_settings(
    ctx: Authorized<Admin>,
    State(state): State<AppState>,
    JsonBody(patch): JsonBody<Value>,
) -> Result<Json<Settings>> {
    // Merging drops members that are null, so that unknown fields must be rejected before.
    let context = RuleContext {
        engine: &state.engine,
        ctx: Some(&ctx),
    };
    from_value::<SettingsBody>(&patch, &context).await?;
    let patches_overrides = patch.get("polling").is_some_and(|polling| {
        let fields = polling.as_object();
        fields.is_none_or(|fields| fields.contains_key("overrides"))
    });
    let change = |before: TenantSettings| -> Result<TenantSettings> {
        let mut body =
            serde_json::to_value(SettingsBody::from(&before)).map_err(|_| serialize_error())?;
        merge(&mut body, patch.clone());
        let unchanged = (!patches_overrides).then_some(before.polling.overrides);
        SettingsBody::from_merged(body)?.into_settings(unchanged)
    };
    let settings =
        tenants::change_settings(&ctx, state.engine.store(), state.engine.caches(), change).await?;
    Ok(Json(Settings::new(&settings, state.engine.settings())))
}

fn serialize_error() -> Problem {
    tidegate_engine::Error::internal("serialize settings", "not JSON").into()
}
