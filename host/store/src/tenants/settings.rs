//! Tenant settings as JSON, which SQL does not read. A missing member means the server's default.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidegate_core::{
    Named as _,
    polling::{PollingOverride, PollingSettings},
    selector::SelectorText,
    settings::{DdiSettings, TenantSettings, VersionScheme},
};
use tidegate_engine::ports::StoreError;

use super::access::AccessJson;
use crate::{
    dialect::storable,
    error::internal,
    rows::{RowError, parse_value, to_json},
    selector_json::SyntaxJson,
};

const COLUMN: &str = "settings";

#[derive(Serialize, Deserialize)]
#[serde(default)]
#[derive(Default)]
struct SettingsJson {
    polling: PollingJson,
    access: AccessJson,
    track_address: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    overdue_after_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    versions: Option<String>,
    ddi: DdiJson,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    requires_approval: bool,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct DdiJson {
    #[serde(skip_serializing_if = "Option::is_none")]
    links: Option<String>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct PollingJson {
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jitter_percent: Option<u8>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    overrides: Vec<OverrideJson>,
}

#[derive(Serialize, Deserialize)]
struct OverrideJson {
    filter: String,
    /// Rules of the filter.
    #[serde(default)]
    filter_syntax: SyntaxJson,
    seconds: u64,
    jitter_percent: Option<u8>,
}

pub(super) fn to_text(settings: &TenantSettings) -> Result<String, StoreError> {
    to_json(&SettingsJson::from(settings))
}

/// For the audit trail.
pub(super) fn to_value(settings: &TenantSettings) -> Result<serde_json::Value, StoreError> {
    serde_json::to_value(SettingsJson::from(settings))
        .map_err(|error| internal("write settings as JSON")(Box::new(error)))
}

pub(super) fn from_text(text: &str) -> Result<TenantSettings, RowError> {
    let json: SettingsJson = serde_json::from_str(text).map_err(|error| RowError::Json {
        column: COLUMN,
        error,
    })?;
    json.try_into()
}

impl From<&TenantSettings> for SettingsJson {
    fn from(settings: &TenantSettings) -> Self {
        Self {
            polling: (&settings.polling).into(),
            access: (&settings.access).into(),
            track_address: settings.track_address,
            overdue_after_seconds: settings.overdue_after.map(|after| after.as_secs()),
            versions: (settings.versions != VersionScheme::default())
                .then(|| settings.versions.as_str().to_owned()),
            ddi: settings.ddi.into(),
            requires_approval: settings.requires_approval,
        }
    }
}

impl TryFrom<SettingsJson> for TenantSettings {
    type Error = RowError;

    fn try_from(json: SettingsJson) -> Result<Self, RowError> {
        Ok(Self {
            polling: json.polling.try_into()?,
            access: json.access.try_into()?,
            track_address: json.track_address,
            overdue_after: json.overdue_after_seconds.map(Duration::from_secs),
            versions: match json.versions {
                Some(versions) => parse_value(COLUMN, &versions)?,
                None => VersionScheme::default(),
            },
            ddi: json.ddi.try_into()?,
            requires_approval: json.requires_approval,
        })
    }
}

impl From<DdiSettings> for DdiJson {
    fn from(ddi: DdiSettings) -> Self {
        Self {
            links: ddi.links.map(|links| links.as_str().to_owned()),
        }
    }
}

impl TryFrom<DdiJson> for DdiSettings {
    type Error = RowError;

    fn try_from(json: DdiJson) -> Result<Self, RowError> {
        let links = json.links.map(|links| parse_value(COLUMN, &links));
        Ok(Self {
            links: links.transpose()?,
        })
    }
}

impl From<&PollingSettings> for PollingJson {
    fn from(polling: &PollingSettings) -> Self {
        let overrides = polling.overrides.iter().map(|one| OverrideJson {
            filter: storable(&one.filter().text).into_owned(),
            filter_syntax: one.filter().syntax.into(),
            seconds: one.interval.as_secs(),
            jitter_percent: one.jitter_percent,
        });
        Self {
            seconds: polling.interval.map(|interval| interval.as_secs()),
            jitter_percent: polling.jitter_percent,
            overrides: overrides.collect(),
        }
    }
}

impl TryFrom<PollingJson> for PollingSettings {
    type Error = RowError;

    fn try_from(json: PollingJson) -> Result<Self, RowError> {
        let overrides = json.overrides.into_iter().map(|one| {
            let interval = Duration::from_secs(one.seconds);
            let filter = SelectorText {
                text: one.filter,
                syntax: one.filter_syntax.into(),
            };
            PollingOverride::new(filter.clone(), interval, one.jitter_percent).map_err(|_| {
                RowError::UnknownValue {
                    column: COLUMN,
                    value: filter.text,
                }
            })
        });
        Ok(Self {
            interval: json.seconds.map(Duration::from_secs),
            jitter_percent: json.jitter_percent,
            overrides: overrides.collect::<Result<_, _>>()?,
        })
    }
}
