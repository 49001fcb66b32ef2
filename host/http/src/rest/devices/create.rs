use std::collections::BTreeMap;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tidegate_core::plugin::FieldError;
use tidegate_engine::{Authorized, Operator, ports, registry};
use utoipa::ToSchema;

use super::body::DeviceBody;
use crate::{
    AppState,
    field_names::to_request_fields,
    problem::Result,
    rest::{
        enum_field::DeviceModeField,
        json::JsonBody,
        response::{CreatedResponse, encode_segment},
        rules::{BodyRules, RuleContext},
        shared::TimeOfDay,
    },
};

#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewDevice)]
pub(crate) struct NewDeviceRequest {
    /// 1 to 256 characters, no white space.
    device_id: String,
    /// At most 200 characters; the device id when left out.
    #[serde(default)]
    name: String,
    #[serde(default)]
    groups: Vec<String>,
    /// Attributes assumed until the device reports its own, at most 100.
    #[serde(default)]
    attributes: BTreeMap<String, String>,
    /// The feed that it follows.
    feed: Option<String>,
    /// At most 50: keys of 1 to 64 letters, digits, `_`, `.` or `-`, values of at most 256 characters.
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// How it is assigned firmware: by campaigns (`rollout`), automatically the newest compatible one (`latest`), or
    /// only by an operator (`manual`).
    #[serde(default)]
    mode: DeviceModeField,
    /// A pinned device is offered no updates.
    #[serde(default)]
    pinned: bool,
    /// How often it polls, `00:00:01` to `23:59:59`; as the tenant's settings say when left out.
    polling_interval: Option<TimeOfDay>,
    /// Its token, 16 to 128 letters, digits and `-._~+/=`, for example the one that another server issued; a new one when
    /// left out. Requires the role `admin`.
    token: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CreatedDevice {
    device: DeviceBody,
    /// For the device to send as `Authorization: TargetToken <token>`. It is shown only in this response.
    token: String,
}

/// Creates a device before its first poll and issues its token, which is shown only once.
#[utoipa::path(
    post, path = "/devices", tag = "devices", request_body = NewDeviceRequest,
    responses((status = 201, description = "The created device with its token.", body = CreatedDevice)),
)]
pub(crate) async fn create_device(
    ctx: Authorized<Operator>,
    State(state): State<AppState>,
    JsonBody(request): JsonBody<NewDeviceRequest>,
) -> Result<CreatedResponse<CreatedDevice>> {
    let (device, token) = request.into_parts();
    let created = registry::create(
        &ctx,
        state.engine.store(),
        state.engine.entropy(),
        device,
        token,
    )
    .await?;
    let location = format!("/devices/{}", encode_segment(&created.device.device_id));
    let body = CreatedDevice {
        device: created.device.into(),
        token: created.token,
    };
    Ok(CreatedResponse { location, body })
}

impl NewDeviceRequest {
    /// The device, and its token if one was chosen.
    fn into_parts(self) -> (ports::NewDevice, Option<String>) {
        let device = ports::NewDevice {
            device_id: self.device_id,
            name: self.name,
            groups: self.groups,
            attributes: self.attributes,
            feed: self.feed,
            labels: self.labels,
            mode: self.mode.0,
            pinned: self.pinned,
            polling_interval: self.polling_interval.map(|interval| interval.0),
            ..ports::NewDevice::default()
        };
        (device, self.token)
    }
}

impl BodyRules for NewDeviceRequest {
    async fn broken_rules(self, _: &RuleContext<'_>) -> Result<Vec<FieldError>> {
        let (device, token) = self.into_parts();
        let errors = registry::validate_new(&device, token.as_deref());
        Ok(to_request_fields(errors))
    }
}
