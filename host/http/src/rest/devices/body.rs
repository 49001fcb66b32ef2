use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidegate_core::{
    device::{AutoConfirm, Device, Drift},
    mode::DeviceMode,
};
use utoipa::ToSchema;

use crate::rest::{response::Time, time_of_day::TimeOfDay};

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
    /// Which feed it follows.
    feed: Option<String>,
    /// What operators note of it.
    labels: BTreeMap<String, String>,
    mode: Mode,
    /// Nothing new goes to it, whatever its mode.
    pinned: bool,
    /// `unknown`, `registered`, `pending`, `in_sync` or `error`.
    state: &'static str,
    /// Its last poll.
    last_seen: Option<Time>,
    /// From where that came; null unless the tenant keeps it (`track_address` in its settings).
    address: Option<String>,
    created_at: Time,
    /// The id of the firmware that its last completed update brought.
    installed_firmware: Option<i64>,
    /// Set while it reports another version than its last completed update brought.
    drift: Option<DriftBody>,
    /// The id of the update that it is offered now.
    open_update: Option<i32>,
    /// Who agrees to all of its updates beforehand; none: it is asked where a campaign wants it.
    auto_confirm: Option<AutoConfirmBody>,
    /// How often it is to poll, where it is told something of its own.
    polling_interval: Option<TimeOfDay>,
    /// How it speaks to the server.
    transport: &'static str,
}

/// How a device comes by its firmware: campaigns give it to it (`rollout`), it gets the newest compatible one by itself
/// (`latest`), or it gets only what an operator assigns to it (`manual`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = DeviceMode)]
pub(crate) enum Mode {
    #[default]
    Rollout,
    Latest,
    Manual,
}

/// A device that is not on the version that it should be on.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Drift)]
struct DriftBody {
    /// What its last completed update brought.
    expected: String,
    /// What it reports.
    reported: Option<String>,
    /// When it first reported another.
    since: Time,
}

impl From<Mode> for DeviceMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Rollout => Self::Rollout,
            Mode::Latest => Self::Latest,
            Mode::Manual => Self::Manual,
        }
    }
}

impl From<DeviceMode> for Mode {
    fn from(mode: DeviceMode) -> Self {
        match mode {
            DeviceMode::Rollout => Self::Rollout,
            DeviceMode::Latest => Self::Latest,
            DeviceMode::Manual => Self::Manual,
        }
    }
}

/// That all updates of a device are agreed to beforehand.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AutoConfirm)]
struct AutoConfirmBody {
    /// Who said so, in their own words.
    initiator: Option<String>,
    remark: Option<String>,
    activated_at: Time,
}

impl From<AutoConfirm> for AutoConfirmBody {
    fn from(auto_confirm: AutoConfirm) -> Self {
        Self {
            initiator: auto_confirm.initiator,
            remark: auto_confirm.remark,
            activated_at: auto_confirm.activated_at.into(),
        }
    }
}

impl From<Device> for DeviceBody {
    fn from(device: Device) -> Self {
        let reported = device.sw_version.clone();
        let drift = |Drift { expected, since }| DriftBody {
            expected,
            reported,
            since: since.into(),
        };
        Self {
            device_id: device.device_id,
            name: device.name,
            attributes: device.attributes,
            hw_model: device.hw_model,
            hw_revision: device.hw_revision,
            sw_version: device.sw_version,
            groups: device.groups,
            feed: device.feed,
            labels: device.labels,
            mode: device.mode.into(),
            pinned: device.pinned,
            state: device.state.as_str(),
            last_seen: device.last_seen.map(Time::from),
            address: device.address.map(|address| address.to_string()),
            created_at: device.created_at.into(),
            installed_firmware: device.installed_firmware.map(|firmware| firmware.0),
            drift: device.drift.map(drift),
            open_update: device.open_update.map(|update| update.0),
            auto_confirm: device.auto_confirm.map(AutoConfirmBody::from),
            polling_interval: device.polling_interval.map(TimeOfDay),
            transport: "ddi",
        }
    }
}
