//! Settings of a tenant; unset values fall back to the server's defaults.

use std::time::Duration;

use strum::{EnumString, IntoStaticStr, VariantArray, VariantNames};

use crate::{access::AccessSettings, plugin::FieldError, polling::PollingSettings};

/// Shortest time after which devices may become overdue.
const MIN_OVERDUE_AFTER: Duration = Duration::from_mins(1);
/// Longest time after which devices may become overdue.
const MAX_OVERDUE_AFTER: Duration = Duration::from_hours(30 * 24);

/// All settings of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TenantSettings {
    /// Polling intervals.
    pub polling: PollingSettings,
    /// Device authentication.
    pub access: AccessSettings,
    /// Stores the network address of each device's last request.
    pub track_address: bool,
    /// How long after its last poll a device is overdue; `None`: never. In whole seconds.
    pub overdue_after: Option<Duration>,
    /// Which versions an uploaded firmware may have.
    pub versions: VersionScheme,
    /// The device API.
    pub ddi: DdiSettings,
    /// Campaigns, bulk updates and forced updates wait until another user than their creator approves them.
    pub requires_approval: bool,
}

/// Which versions an uploaded firmware may have.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    IntoStaticStr,
    EnumString,
    VariantArray,
    VariantNames,
)]
#[strum(serialize_all = "snake_case")]
pub enum VersionScheme {
    /// Only `SemVer`.
    #[default]
    Semver,
    /// Any text without control characters. Those that have an order are compared by it.
    Loose,
}

/// Settings of the device API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DdiSettings {
    /// The names of the links to a file; `None`: the server's default.
    pub links: Option<DdiLinks>,
}

/// The names under which a device finds the links to a file and to its checksum. The links themselves are the same under
/// all names: they have the scheme that the device uses.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    IntoStaticStr,
    EnumString,
    VariantArray,
    VariantNames,
)]
#[strum(serialize_all = "snake_case")]
pub enum DdiLinks {
    /// `download-http` and `md5sum-http`, as hawkBit sends them unless it is configured otherwise.
    #[default]
    Http,
    /// `download` and `md5sum`.
    Https,
    /// All four. Small devices cannot read a response of this length.
    Both,
}

impl DdiLinks {
    /// Whether there are `download-http` and `md5sum-http`.
    pub fn has_http(self) -> bool {
        self != Self::Https
    }

    /// Whether there are `download` and `md5sum`.
    pub fn has_https(self) -> bool {
        self != Self::Http
    }
}

impl TenantSettings {
    /// All broken rules; paths have the names of the fields, separated by dots.
    pub fn validation_errors(&self) -> Vec<FieldError> {
        let parts = [
            ("polling", self.polling.validation_errors()),
            ("access", self.access.validation_errors()),
        ];
        let overdue_after = self
            .overdue_after
            .filter(|after| !(MIN_OVERDUE_AFTER..=MAX_OVERDUE_AFTER).contains(after));
        let overdue_after = overdue_after.map(|_| FieldError {
            path: "overdue_after".to_owned(),
            message: "must be 1 minute to 30 days".to_owned(),
        });
        let parts = parts.into_iter();
        parts
            .flat_map(|(part, errors)| {
                errors.into_iter().map(move |error| FieldError {
                    path: format!("{part}.{}", error.path),
                    ..error
                })
            })
            .chain(overdue_after)
            .collect()
    }
}
