//! Devices and their attributes.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use strum::{EnumString, IntoStaticStr, VariantArray, VariantNames};

use crate::{
    id::{DeviceKey, FirmwareId, TenantId, UpdateId},
    mode::DeviceMode,
    plugin::ClassKey,
    time::Timestamp,
};

/// Maximum length of a device id, in characters.
pub const MAX_ID_CHARS: usize = 256;
/// Maximum attributes of a device.
pub const MAX_ATTRIBUTES: usize = 100;
/// Maximum length of an attribute's key and of its value, in characters.
pub const MAX_ATTRIBUTE_CHARS: usize = 128;

/// How reported attributes are combined with the stored ones.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString, VariantArray, VariantNames,
)]
#[strum(serialize_all = "snake_case")]
#[expect(missing_docs, reason = "the words of the device API")]
pub enum AttributeMode {
    Merge,
    Replace,
    Remove,
}

/// A device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Row id.
    pub key: DeviceKey,
    /// Owner.
    pub tenant: TenantId,
    /// DDI's `controllerId`.
    pub device_id: String,
    /// Display name; defaults to the device id.
    pub name: String,
    /// Attributes that the device reports.
    pub attributes: BTreeMap<String, String>,
    /// Hardware model, from the attributes.
    pub hw_model: Option<String>,
    /// Hardware revision, from the attributes.
    pub hw_revision: Option<String>,
    /// Software version: as reported, or of the last completed update.
    pub sw_version: Option<String>,
    /// Group names, sorted.
    pub groups: Vec<String>,
    /// Feed that the device follows: campaigns on a feed target the devices on it.
    pub feed: Option<String>,
    /// Labels that operators set.
    pub labels: BTreeMap<String, String>,
    /// How the device gets its firmware.
    pub mode: DeviceMode,
    /// Excludes the device from new updates in every mode.
    pub pinned: bool,
    /// Current state; [`DeviceState::Overdue`] only where the engine has checked that.
    pub state: DeviceState,
    /// Time of the last poll, written in batches.
    pub last_seen: Option<Timestamp>,
    /// Address of the last request; stored only if the tenant enables it.
    pub address: Option<IpAddr>,
    /// Time of the registration.
    pub created_at: Timestamp,
    /// Firmware of the last completed update.
    pub installed_firmware: Option<FirmwareId>,
    /// Set while the device reports another version than that of its last completed update.
    pub drift: Option<Drift>,
    /// The update that the device is offered.
    pub open_update: Option<UpdateId>,
    /// Polling interval of this device; `None`: that of the tenant's settings.
    pub polling_interval: Option<Duration>,
    /// Set while all updates of the device are confirmed automatically.
    pub auto_confirm: Option<AutoConfirm>,
}

/// Automatic confirmation of all updates of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AutoConfirm {
    /// Initiator, as the request names it.
    pub initiator: Option<String>,
    /// Remark of the initiator.
    pub remark: Option<String>,
    /// Time of activation.
    pub activated_at: Timestamp,
}

/// A device that reports another version than expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// Version of the last completed update.
    pub expected: String,
    /// Time of the first report of another version.
    pub since: Timestamp,
}

/// State of a device.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString, VariantArray, VariantNames,
)]
#[strum(serialize_all = "snake_case")]
pub enum DeviceState {
    /// Created by an operator; has never polled.
    Unknown,
    /// Has polled; has had no update.
    Registered,
    /// Has an open update.
    Pending,
    /// The last update succeeded.
    InSync,
    /// The last update did not succeed.
    Error,
    /// Has polled, but not for longer than the tenant's setting `overdue_after`. Never stored: it depends on the time, and
    /// hides the stored state until the next poll.
    Overdue,
}

impl Device {
    /// The device's class for plugins, over the attributes that they request.
    pub fn class(&self, requested: &[String]) -> ClassKey {
        let attributes = requested
            .iter()
            .filter_map(|key| Some((key.clone(), self.attributes.get(key)?.clone())));
        ClassKey {
            hardware_model: self.hw_model.clone(),
            hardware_revision: self.hw_revision.clone(),
            version: self.sw_version.clone(),
            attributes: attributes.collect(),
        }
    }
}

/// Names of the attributes that the host itself interprets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributeNames {
    /// Attributes that hold the hardware model; the first reported one counts.
    pub hw_model: Vec<String>,
    /// Attributes that hold the hardware revision.
    pub hw_revision: Vec<String>,
    /// Attributes that hold the software version.
    pub sw_version: Vec<String>,
}

impl Default for AttributeNames {
    fn default() -> Self {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            hw_model: names(&["hw_model", "hw_boardname"]),
            hw_revision: names(&["hw_revision"]),
            sw_version: names(&["sw_version"]),
        }
    }
}

impl AttributeNames {
    /// The value of the first of these attributes that the device reports; `None` if it is empty.
    pub fn read<'a>(names: &[String], attributes: &'a BTreeMap<String, String>) -> Option<&'a str> {
        names
            .iter()
            .find_map(|name| attributes.get(name))
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }
}

/// A text that is not a valid device id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a device id has 1 to {MAX_ID_CHARS} characters, none of them white space or a control character"
)]
pub struct InvalidDeviceId;

/// Checks a device id: 1 to 256 characters, no white space, no control characters.
pub fn check_device_id(text: &str) -> Result<(), InvalidDeviceId> {
    let length = text.chars().count();
    let good = (1..=MAX_ID_CHARS).contains(&length)
        && !text.chars().any(|c| c.is_whitespace() || c.is_control());
    good.then_some(()).ok_or(InvalidDeviceId)
}
