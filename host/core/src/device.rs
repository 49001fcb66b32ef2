//! Devices.

use std::{borrow::Cow, collections::BTreeMap, net::IpAddr, time::Duration};

use crate::{
    id::{DeviceKey, FirmwareId, TenantId, UpdateId},
    mode::DeviceMode,
    plugin::ClassKey,
    selector::FieldValues,
    time::Timestamp,
};

/// Longest device id, in characters.
pub const MAX_ID_CHARS: usize = 256;
/// Most attributes of a device.
pub const MAX_ATTRIBUTES: usize = 100;
/// Longest key and longest value of an attribute, in characters.
pub const MAX_ATTRIBUTE_CHARS: usize = 128;

/// One thing that takes updates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its row.
    pub key: DeviceKey,
    /// Whose it is.
    pub tenant: TenantId,
    /// DDI's controllerId.
    pub device_id: String,
    /// For people; the device id unless somebody named it.
    pub name: String,
    /// What it reports of itself.
    pub attributes: BTreeMap<String, String>,
    /// Read from the attributes.
    pub hw_model: Option<String>,
    /// Read from the attributes.
    pub hw_revision: Option<String>,
    /// What it reports, or what the last completed update brought.
    pub sw_version: Option<String>,
    /// Ordered by name.
    pub groups: Vec<String>,
    /// Which feed it follows: campaigns on a feed reach the devices that follow it.
    pub feed: Option<String>,
    /// What operators note of it.
    pub labels: BTreeMap<String, String>,
    /// How it comes by its firmware.
    pub mode: DeviceMode,
    /// Nothing new goes to it, whatever its mode.
    pub pinned: bool,
    /// Where it stands.
    pub state: DeviceState,
    /// Its last poll; written in batches.
    pub last_seen: Option<Timestamp>,
    /// From where it last asked anything; none unless the tenant wants to know.
    pub address: Option<IpAddr>,
    /// Its first registration.
    pub created_at: Timestamp,
    /// What the last completed update brought.
    pub installed_firmware: Option<FirmwareId>,
    /// That it reports another version than its last completed update brought.
    pub drift: Option<Drift>,
    /// The update that it is offered now.
    pub open_update: Option<UpdateId>,
    /// How often it is to poll; none: as others like it.
    pub polling_interval: Option<Duration>,
    /// Who agrees to all of its updates beforehand.
    pub auto_confirm: Option<AutoConfirm>,
}

/// That all updates of a device are agreed to beforehand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AutoConfirm {
    /// Who said so, in their own words.
    pub initiator: Option<String>,
    /// Why, in their own words.
    pub remark: Option<String>,
    /// Since when.
    pub activated_at: Timestamp,
}

/// A device that is not on the version that it should be on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// What its last completed update brought.
    pub expected: String,
    /// When it first reported another.
    pub since: Timestamp,
}

/// Where a device stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceState {
    /// Made by an operator, never seen.
    Unknown,
    /// Seen, never updated.
    Registered,
    /// Has an open update.
    Pending,
    /// Its last update succeeded.
    InSync,
    /// Its last update did not.
    Error,
}

impl DeviceState {
    const ALL: [Self; 5] = [
        Self::Unknown,
        Self::Registered,
        Self::Pending,
        Self::InSync,
        Self::Error,
    ];

    /// Its name in SQL and REST.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Registered => "registered",
            Self::Pending => "pending",
            Self::InSync => "in_sync",
            Self::Error => "error",
        }
    }

    /// The state of this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

impl Device {
    /// The class that plugins see it in, given the attributes that they want.
    pub fn class(&self, wanted: &[String]) -> ClassKey {
        let attributes = wanted
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

impl FieldValues for Device {
    fn values(&self, field: &str) -> Vec<Cow<'_, str>> {
        let one = |value: Option<&str>| {
            value
                .map(|value| Cow::Owned(value.to_owned()))
                .into_iter()
                .collect()
        };
        match field {
            "device_id" => one(Some(&self.device_id)),
            "name" => one(Some(&self.name)),
            "hw_model" => one(self.hw_model.as_deref()),
            "hw_revision" => one(self.hw_revision.as_deref()),
            "sw_version" => one(self.sw_version.as_deref()),
            "group" => self.groups.iter().map(Cow::from).collect(),
            "feed" => one(self.feed.as_deref()),
            "mode" => one(Some(self.mode.as_str())),
            "pinned" => one(Some(bool_text(self.pinned))),
            "drifted" => one(Some(bool_text(self.drift.is_some()))),
            "state" => one(Some(self.state.as_str())),
            "created_at" => vec![Cow::Owned(self.created_at.0.to_string())],
            "last_seen" => self
                .last_seen
                .map(|at| Cow::Owned(at.0.to_string()))
                .into_iter()
                .collect(),
            _ => one(prefixed_value(field, "attribute.", &self.attributes)
                .or_else(|| prefixed_value(field, "label.", &self.labels))),
        }
    }
}

/// A flag as selectors see it.
fn bool_text(is_set: bool) -> &'static str {
    if is_set { "true" } else { "false" }
}

fn prefixed_value<'a>(
    field: &str,
    prefix: &str,
    values: &'a BTreeMap<String, String>,
) -> Option<&'a str> {
    let key = field.strip_prefix(prefix)?;
    values.get(key).map(String::as_str)
}

/// What of a device's attributes the host reads itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributeNames {
    /// Names of the hardware model, first match wins.
    pub hw_model: Vec<String>,
    /// Names of the hardware revision.
    pub hw_revision: Vec<String>,
    /// Names of the software version.
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
    /// The first of these names that the device reports.
    pub fn read<'a>(names: &[String], attributes: &'a BTreeMap<String, String>) -> Option<&'a str> {
        names
            .iter()
            .find_map(|name| attributes.get(name))
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }
}

/// Why a text is no device id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a device id has 1 to {MAX_ID_CHARS} characters, none of them white space or a control character"
)]
pub struct InvalidDeviceId;

/// Checks a device id: 1 to 256 characters, no white space.
pub fn check_device_id(text: &str) -> Result<(), InvalidDeviceId> {
    let length = text.chars().count();
    let good = (1..=MAX_ID_CHARS).contains(&length)
        && !text.chars().any(|c| c.is_whitespace() || c.is_control());
    good.then_some(()).ok_or(InvalidDeviceId)
}
