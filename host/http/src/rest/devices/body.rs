use std::collections::BTreeMap;

use serde::Serialize;
use tidegate_core::{
    Named as _,
    device::{AutoConfirm, Device, Drift},
};
use utoipa::ToSchema;

use crate::rest::{
    enum_field::{DeviceModeField, EnumField},
    response::Time,
    shared::TimeOfDay,
};

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Device)]
pub(super) struct DeviceBody {
    device_id: String,
    /// The device id unless a name was set.
    name: String,
    /// Attributes that the device reports.
    attributes: BTreeMap<String, String>,
    hw_model: Option<String>,
    hw_revision: Option<String>,
    sw_version: Option<String>,
    /// Whether its version changed more than 60 times in an hour. Statistics count it with the version before, until an
    /// hour with fewer changes has passed and the device reports again.
    unstable_version: bool,
    groups: Vec<String>,
    /// The feed that it follows.
    feed: Option<String>,
    /// Labels set by operators.
    labels: BTreeMap<String, String>,
    /// How it is assigned firmware: by campaigns (`rollout`), automatically the newest compatible one (`latest`), or
    /// only by an operator (`manual`).
    mode: DeviceModeField,
    /// A pinned device is offered no updates, whatever its mode.
    pinned: bool,
    /// `unknown`, `registered`, `pending`, `in_sync` or `error`; `overdue` instead while it has not polled for longer than
    /// `overdue_after` in the tenant's settings.
    state: &'static str,
    /// When it last polled.
    last_seen: Option<Time>,
    /// The address of its last poll; null unless the tenant keeps addresses (`track_address` in its settings).
    address: Option<String>,
    created_at: Time,
    /// The id of the firmware that its last completed update installed.
    installed_firmware: Option<i64>,
    /// Set while it reports a version other than the one its last completed update installed.
    drift: Option<DriftBody>,
    /// The id of its open update.
    open_update: Option<i32>,
    /// Set while all updates of the device count as confirmed in advance.
    auto_confirm: Option<AutoConfirmBody>,
    /// How often it polls, if set for this device; null: as the tenant's settings say.
    polling_interval: Option<TimeOfDay>,
    /// The protocol that it uses.
    transport: &'static str,
}

/// A device reports a version other than the expected one.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Drift)]
struct DriftBody {
    /// The version that its last completed update installed.
    expected: String,
    /// The version that it reports.
    reported: Option<String>,
    /// When it first reported a different version.
    since: Time,
}

/// All updates of a device count as confirmed in advance.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AutoConfirm)]
struct AutoConfirmBody {
    /// Who activated it, as given by the client.
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
            unstable_version: device.unstable_version_until.is_some(),
            groups: device.groups,
            feed: device.feed,
            labels: device.labels,
            mode: EnumField(device.mode),
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
