use std::collections::BTreeMap;

use axum::{Json, extract::State};
use http::StatusCode;
use serde::Deserialize;
use tidegate_core::{plugin::FieldError, time::Timestamp};
use tidegate_engine::{Authorized, Ctx, Operator, ports, registry};
use utoipa::ToSchema;

use super::body::DeviceBody;
use crate::{
    AppState,
    field_names::to_request_fields,
    problem::Result,
    rest::{
        enum_field::{DeviceModeField, EnumField},
        extract::PathParams,
        json::JsonBody,
        patch::Patch,
        rules::{BodyRules, RuleContext},
        shared::TimeOfDay,
    },
};

/// Shows a device.
#[utoipa::path(
    get, path = "/devices/{device_id}", tag = "devices", params(("device_id" = String, Path)),
    responses((status = 200, description = "The device.", body = DeviceBody)),
)]
pub(crate) async fn get_device(
    ctx: Ctx,
    State(state): State<AppState>,
    PathParams(device): PathParams<String>,
) -> Result<Json<DeviceBody>> {
    Ok(Json(
        registry::get(&ctx, state.engine.store(), state.engine.caches(), &device)
            .await?
            .into(),
    ))
}

/// A merge patch: fields that are left out stay as they are, null resets.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = DeviceChange)]
pub(crate) struct DevicePatch {
    /// At most 200 characters; null: the device id.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    name: Patch<String>,
    /// Replaces all of its groups; null: none.
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>)]
    groups: Patch<Vec<String>>,
    /// The feed that it follows; null: none.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    feed: Patch<String>,
    /// Labels to set. A label that is null is removed; if the field is null, all are removed.
    #[serde(default)]
    #[schema(value_type = Option<BTreeMap<String, Option<String>>>)]
    labels: Patch<BTreeMap<String, Option<String>>>,
    /// Null: `rollout`.
    #[serde(default)]
    #[schema(value_type = Option<DeviceModeField>)]
    mode: Patch<DeviceModeField>,
    /// A pinned device is offered no updates; null: not pinned.
    #[serde(default)]
    #[schema(value_type = Option<bool>)]
    pinned: Patch<bool>,
    /// How often it polls, `00:00:01` to `23:59:59`; null: as the tenant's settings say.
    #[serde(default)]
    #[schema(value_type = Option<TimeOfDay>)]
    polling_interval: Patch<TimeOfDay>,
    /// True: the device is asked for its attributes from its next poll until it reports them. False or null: it is no
    /// longer asked.
    #[serde(default)]
    #[schema(value_type = Option<bool>)]
    request_attributes: Patch<bool>,
}

/// Changes a device. An open update continues, also when the device is pinned.
#[utoipa::path(
    patch, path = "/devices/{device_id}", tag = "devices", params(("device_id" = String, Path)),
    request_body = DevicePatch,
    responses((
        status = 200, description = "The device after the change.",
        body = DeviceBody,
    )),
)]
pub(crate) async fn change_device(
    ctx: Authorized<Operator>,
    State(state): State<AppState>,
    PathParams(device): PathParams<String>,
    JsonBody(request): JsonBody<DevicePatch>,
) -> Result<Json<DeviceBody>> {
    let changed = registry::change(
        &ctx,
        state.engine.store(),
        state.engine.caches(),
        state.engine.signals(),
        &device,
        request.into_change(state.engine.now()),
    )
    .await?;
    Ok(Json(changed.into()))
}

/// Deletes a device with its updates, feedback and logs. Counters of campaigns stay as they are.
#[utoipa::path(
    delete, path = "/devices/{device_id}", tag = "devices", params(("device_id" = String, Path)),
    responses((status = 204, description = "Deleted.")),
)]
pub(crate) async fn delete_device(
    ctx: Authorized<Operator>,
    State(state): State<AppState>,
    PathParams(device): PathParams<String>,
) -> Result<StatusCode> {
    registry::delete(
        &ctx,
        state.engine.store(),
        state.engine.caches(),
        state.engine.signals(),
        &device,
    )
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

impl DevicePatch {
    fn into_change(self, now: Timestamp) -> ports::DeviceChange {
        ports::DeviceChange {
            name: self.name.or_default(),
            groups: self.groups.or_default(),
            feed: self.feed.or_absent(),
            clears_labels: self.labels == Patch::Clear,
            labels: self.labels.or_default().unwrap_or_default(),
            mode: self.mode.or_default().map(|EnumField(mode)| mode),
            pinned: self.pinned.or_default(),
            polling_interval: self
                .polling_interval
                .or_absent()
                .map(|interval| interval.map(|interval| interval.0)),
            requests_attributes: self.request_attributes.or_default(),
            at: now,
        }
    }
}

impl BodyRules for DevicePatch {
    async fn broken_rules(self, context: &RuleContext<'_>) -> Result<Vec<FieldError>> {
        let change = self.into_change(context.engine.now());
        Ok(to_request_fields(registry::validate_change(&change)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(text: &str) -> ports::DeviceChange {
        let request: DevicePatch = serde_json::from_str(text).expect("a patch");
        request.into_change(Timestamp(7))
    }

    #[test]
    fn fields_left_out_stay_and_null_resets() {
        assert_eq!(change("{}"), ports::DeviceChange::at(Timestamp(7)));
        let cleared = change(r#"{"name": null, "feed": null, "labels": null, "pinned": null}"#);
        assert_eq!(cleared.name.as_deref(), Some(""));
        assert_eq!(cleared.feed, Some(None));
        assert!(cleared.clears_labels);
        assert_eq!(cleared.pinned, Some(false));
        let requests = |text| change(text).requests_attributes;
        assert_eq!(requests(r#"{"request_attributes": true}"#), Some(true));
        assert_eq!(requests(r#"{"request_attributes": null}"#), Some(false));
        let labels = change(r#"{"labels": {"rack": "7", "row": null}}"#).labels;
        let set = [("rack", Some("7")), ("row", None)];
        let set = set.map(|(key, value)| (key.to_owned(), value.map(str::to_owned)));
        assert_eq!(labels, BTreeMap::from(set));
    }
}
