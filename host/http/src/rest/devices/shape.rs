use std::collections::BTreeMap;

use serde::Serialize;
use tidegate_core::device::Device;
use utoipa::ToSchema;

use crate::rest::wire::Time;

/// A device.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Device)]
pub(super) struct DeviceBody {
    device_id: String,
    /// The device id unless somebody named it.
    name: String,
    /// What it reports of itself.
    attributes: BTreeMap<String, String>,
    hw_model: Option<String>,
    hw_revision: Option<String>,
    sw_version: Option<String>,
    groups: Vec<String>,
    /// `unknown`, `registered`, `pending`, `in_sync` or `error`.
    state: &'static str,
    /// Its last poll.
    last_seen: Option<Time>,
    created_at: Time,
    /// The id of the firmware that its last completed update brought.
    installed_firmware: Option<i64>,
    /// The id of the update that it is offered now.
    open_update: Option<i32>,
    /// How it speaks to the server.
    transport: &'static str,
}

impl From<Device> for DeviceBody {
    fn from(device: Device) -> Self {
        Self {
            device_id: device.device_id,
            name: device.name,
            attributes: device.attributes,
            hw_model: device.hw_model,
            hw_revision: device.hw_revision,
            sw_version: device.sw_version,
            groups: device.groups,
            state: device.state.as_str(),
            last_seen: device.last_seen.map(Time::from),
            created_at: device.created_at.into(),
            installed_firmware: device.installed_firmware.map(|firmware| firmware.0),
            open_update: device.open_update.map(|update| update.0),
            transport: "ddi",
        }
    }
}
