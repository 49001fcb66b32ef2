//! Devices and their attributes.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use icu_normalizer::ComposingNormalizerBorrowed;
use strum::{EnumString, IntoStaticStr, VariantArray, VariantNames};

use crate::{
    id::{DeviceKey, FirmwareId, TenantId, UpdateId},
    mode::DeviceMode,
    plugin::ClassKey,
    time::Timestamp,
    visible_text::{is_harmful, is_invisible},
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
    /// Set while the version changes too often, until this time if it does so no longer: see
    /// [`VersionChanges`](crate::version_changes::VersionChanges).
    pub unstable_version_until: Option<Timestamp>,
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

/// Ids that are parts of the paths under `/devices`, so that a device with such an id could not be named in a URL.
const RESERVED_IDS: [&str; 3] = [".", "..", "bulk"];

/// Why a text is not a valid device id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDeviceId {
    /// It is empty or too long.
    #[error("a device id has 1 to {MAX_ID_CHARS} characters")]
    Length,
    /// It has a character that is not seen, or that deceives where it is shown.
    #[error(
        "a device id has no white space and no control, invisible or bidirectional character, but this one has U+{0:04X}"
    )]
    Character(u32),
    /// Another sequence of characters is the same text.
    #[error("a device id is in Unicode's normal form NFC")]
    NotNormalized,
    /// It is a part of a path.
    #[error("`.`, `..` and `bulk` are parts of URLs and no device ids")]
    Reserved,
}

/// Checks a device id. Equal ids look equal, and different ids look different, except for letters that are similar.
pub fn check_device_id(text: &str) -> Result<(), InvalidDeviceId> {
    if RESERVED_IDS.contains(&text) {
        return Err(InvalidDeviceId::Reserved);
    }
    // Most ids are plain, and each request of a device has one.
    if (1..=MAX_ID_CHARS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
    {
        return Ok(());
    }
    if !(1..=MAX_ID_CHARS).contains(&text.chars().count()) {
        return Err(InvalidDeviceId::Length);
    }
    if let Some(c) = text.chars().find(|&c| is_harmful(c) || is_invisible(c)) {
        return Err(InvalidDeviceId::Character(c.into()));
    }
    if !ComposingNormalizerBorrowed::new_nfc().is_normalized(text) {
        return Err(InvalidDeviceId::NotNormalized);
    }
    Ok(())
}

/// Whether a device with this id may be registered already: earlier versions accepted ids that [`check_device_id`] refuses.
pub fn may_be_registered(id: &str) -> bool {
    (1..=MAX_ID_CHARS).contains(&id.chars().count()) && !id.chars().any(char::is_control)
}

/// A rule of attributes: of those that devices report and of those that operators set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAttribute {
    /// The key is empty, too long or has a control character.
    #[error(
        "keys must have 1 to {MAX_ATTRIBUTE_CHARS} characters and no control characters but white space"
    )]
    Key,
    /// The value is too long or has a control character.
    #[error(
        "values must have at most {MAX_ATTRIBUTE_CHARS} characters and no control characters but white space"
    )]
    Value,
}

/// Checks an attribute; `None` removes it.
pub fn check_attribute(key: &str, value: Option<&str>) -> Result<(), InvalidAttribute> {
    if key.is_empty() || !is_attribute_text(key) {
        return Err(InvalidAttribute::Key);
    }
    if value.is_some_and(|value| !is_attribute_text(value)) {
        return Err(InvalidAttribute::Value);
    }
    Ok(())
}

fn is_attribute_text(text: &str) -> bool {
    text.chars().count() <= MAX_ATTRIBUTE_CHARS
        && !text.chars().any(|c| c.is_control() && !c.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_id_is_visible_and_in_one_form() {
        use InvalidDeviceId::{Character, Length, NotNormalized, Reserved};
        for (id, expected) in [
            ("pi-1", Ok(())),
            ("ü/b?#%25", Ok(())),
            ("機器-7🦀", Ok(())),
            ("...", Ok(())),
            ("Bulk", Ok(())),
            (&*"x".repeat(256), Ok(())),
            (&*"ü".repeat(256), Ok(())),
            ("", Err(Length)),
            (&*"x".repeat(257), Err(Length)),
            (&*"ü".repeat(257), Err(Length)),
            ("a b", Err(Character(0x20))),
            ("a\0", Err(Character(0))),
            ("a\u{1b}[2J", Err(Character(0x1b))),
            ("a\u{9b}", Err(Character(0x9b))),
            ("a\u{a0}b", Err(Character(0xa0))),
            ("pi\u{200b}-1", Err(Character(0x200b))),
            ("pi\u{ad}-1", Err(Character(0xad))),
            ("\u{202e}1-ip", Err(Character(0x202e))),
            ("u\u{308}", Err(NotNormalized)),
            ("\u{212b}", Err(NotNormalized)),
            (".", Err(Reserved)),
            ("..", Err(Reserved)),
            ("bulk", Err(Reserved)),
        ] {
            assert_eq!(check_device_id(id), expected, "{id:?}");
        }
    }

    #[test]
    fn ids_of_earlier_versions_may_be_registered() {
        for (id, expected) in [
            ("pi-1", true),
            ("a b", true),
            ("pi\u{200b}-1", true),
            ("u\u{308}", true),
            (&*"ü".repeat(256), true),
            ("", false),
            (&*"ü".repeat(257), false),
            ("a\0", false),
            ("a\u{9b}", false),
        ] {
            assert_eq!(may_be_registered(id), expected, "{id:?}");
        }
    }

    #[test]
    fn attributes_are_short_texts_of_any_language() {
        for (key, value, is_valid) in [
            ("hw_model", Some("rpi 4 (rev. 1.2)"), true),
            ("gone", None, true),
            ("empty", Some(""), true),
            ("lines", Some("a\r\n\tb"), true),
            ("Ort", Some("Zürich"), true),
            ("größe", Some("~`"), true),
            ("long", Some(&*"ü".repeat(128)), true),
            ("longer", Some(&*"ü".repeat(129)), false),
            ("", Some("x"), false),
            (&*"k".repeat(129), Some("x"), false),
            ("zero", Some("\0"), false),
            ("escape", Some("\u{1b}[2J"), false),
            ("k\u{9b}", Some("x"), false),
        ] {
            let checked = check_attribute(key, value);
            assert_eq!(checked.is_ok(), is_valid, "{key:?} {value:?}");
        }
    }
}
