use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidegate_core::{Named as _, plugin::FieldError};
use tidegate_engine::{Authorized, Operator, updates};
use utoipa::ToSchema;

use super::update_config::{
    UpdateConfigRequest, also_reads, below_root, broken_update_rules, into_request,
};
use crate::{
    AppState,
    problem::{Problem, Result},
    rest::{
        from_json::{DecodeResult, FromJson},
        json::JsonBody,
        rules::{BodyRules, RuleContext},
    },
};

/// The field with the options.
const ROOT: &str = "/update_config";

/// One firmware for many devices.
#[derive(Debug, ToSchema)]
pub(crate) struct BulkUpdate {
    /// 1 to 10000 device ids.
    device_ids: Vec<String>,
    firmware_id: i64,
    #[schema(required = false)]
    update_config: UpdateConfigRequest,
}

/// The fields of [`BulkUpdate`] that serde decodes.
#[derive(Deserialize)]
struct BulkTargets {
    device_ids: Vec<String>,
    firmware_id: i64,
    #[serde(default)]
    update_config: serde_json::Map<String, Value>,
}

impl FromJson for BulkUpdate {
    fn from_json(json: &Value) -> DecodeResult<Self> {
        let targets = BulkTargets::from_json(json);
        let config = targets.value.as_ref().map(|body| &body.update_config);
        let config = Value::Object(config.cloned().unwrap_or_default());
        let config = UpdateConfigRequest::from_json(&config).below(ROOT);
        targets.and(config).map(|(targets, update_config)| Self {
            device_ids: targets.device_ids,
            firmware_id: targets.firmware_id,
            update_config,
        })
    }
}

impl BodyRules for BulkUpdate {
    const OPTIONS_ROOT: &'static str = ROOT;

    async fn broken_rules(self, context: &RuleContext<'_>) -> Result<Vec<FieldError>> {
        let (firmware, ids) = (self.firmware_id, Some(&self.device_ids[..]));
        broken_update_rules(self.update_config, firmware, ids, ROOT, context).await
    }

    fn also_reads(field: &str) -> &'static [&'static str] {
        also_reads(field)
    }
}

/// The result for each device; both lists are in the order of the request.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BulkOutcome {
    accepted: Vec<AcceptedDevice>,
    refused: Vec<RefusedDevice>,
    /// The id under which another user approves all of the updates with `POST /updates/{approval_id}/approve`. Null: they
    /// need no approval.
    approval_id: Option<i32>,
}

/// A device that is offered the firmware.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Accepted)]
pub(crate) struct AcceptedDevice {
    device_id: String,
    update_id: i32,
}

/// A device that is not offered the firmware.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Refused)]
pub(crate) struct RefusedDevice {
    device_id: String,
    /// `not_found`, `named_twice`, `update_open`, `pinned`, `already_installed`, `incompatible` or
    /// `approval_decided`.
    code: &'static str,
    /// An explanation for people.
    reason: String,
}

/// Offers a firmware to many devices. A refusal for one device does not affect the others. If the tenant has
/// `requires_approval`, the updates wait for the approval of another user.
#[utoipa::path(
    post, path = "/devices/bulk/update", tag = "devices", request_body = BulkUpdate,
    responses((
        status = 200, description = "The devices that get the update, and those that do not.",
        body = BulkOutcome,
    )),
)]
pub(crate) async fn update_devices(
    ctx: Authorized<Operator>,
    State(state): State<AppState>,
    JsonBody(request): JsonBody<BulkUpdate>,
) -> Result<Json<BulkOutcome>> {
    let context = RuleContext {
        engine: &state.engine,
        ctx: Some(&ctx),
    };
    let (firmware, ids) = (request.firmware_id, Some(&request.device_ids[..]));
    let update = into_request(request.update_config, firmware, ids, ROOT, &context).await?;
    let outcome = updates::create_many(
        &ctx,
        state.engine.update_writer(),
        state.engine.plugins(),
        request.device_ids,
        &update,
    )
    .await
    .map_err(|error| Problem::from(error).map_fields(|field| below_root(ROOT, field)))?;
    let accepted = outcome
        .accepted
        .into_iter()
        .map(|(device_id, update)| AcceptedDevice {
            device_id,
            update_id: update.0,
        });
    let refused = outcome
        .refused
        .into_iter()
        .map(|(device_id, obstacle)| RefusedDevice {
            device_id,
            code: obstacle.as_str(),
            reason: obstacle.to_string(),
        });
    Ok(Json(BulkOutcome {
        accepted: accepted.collect(),
        refused: refused.collect(),
        approval_id: outcome.approval.map(|id| id.0),
    }))
}
