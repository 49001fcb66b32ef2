use serde::{Deserialize, Serialize};
use tidegate_core::{
    polling::{PollInterval, PollingOverride, PollingSettings},
    settings::TenantSettings,
};
use tidegate_engine::Error;
use utoipa::ToSchema;

use super::access::AccessBody;
use crate::rest::{extract::object_or_null, time_of_day::TimeOfDay};

/// The settings of a tenant, and the server's defaults.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Settings {
    #[serde(flatten)]
    settings: SettingsBody,
    /// The server's defaults.
    defaults: Defaults,
}

/// Null: the server's default.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = TenantSettings)]
pub(crate) struct SettingsBody {
    #[serde(deserialize_with = "object_or_null")]
    polling: Option<PollingBody>,
    #[serde(deserialize_with = "object_or_null")]
    access: Option<AccessBody>,
    /// Whether the address of a device's last poll is stored and shown; false by default. When it becomes false, stored
    /// addresses are deleted.
    track_address: Option<bool>,
}

/// How often devices poll.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = Polling)]
struct PollingBody {
    /// `00:00:01` to `23:59:59`.
    interval: Option<TimeOfDay>,
    /// Random deviation of each interval, 0 to 100 percent in both directions.
    jitter_percent: Option<u8>,
    /// Intervals for some devices, at most 32; the first that matches applies.
    overrides: Option<Vec<OverrideBody>>,
}

/// How often some devices poll.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = PollingOverride)]
struct OverrideBody {
    /// RSQL, such as `hw_model==rpi4`; all fields but `last_seen`.
    filter: String,
    /// `00:00:01` to `23:59:59`.
    interval: TimeOfDay,
    /// The tenant's when left out.
    #[serde(default)]
    jitter_percent: Option<u8>,
}

/// The server's settings, used where a tenant set none.
#[derive(Debug, Serialize, ToSchema)]
struct Defaults {
    polling: DefaultPolling,
}

#[derive(Debug, Serialize, ToSchema)]
struct DefaultPolling {
    interval: TimeOfDay,
    jitter_percent: u8,
}

impl Settings {
    pub(super) fn new(settings: &TenantSettings, server: &tidegate_engine::Settings) -> Self {
        let PollInterval {
            interval,
            jitter_percent,
        } = server.polling;
        Self {
            settings: settings.into(),
            defaults: Defaults {
                polling: DefaultPolling {
                    interval: TimeOfDay(interval),
                    jitter_percent,
                },
            },
        }
    }
}

impl From<&TenantSettings> for SettingsBody {
    fn from(settings: &TenantSettings) -> Self {
        Self {
            polling: Some((&settings.polling).into()),
            access: Some((&settings.access).into()),
            track_address: Some(settings.track_address),
        }
    }
}

impl SettingsBody {
    pub(super) fn into_settings(self) -> Result<TenantSettings, Error> {
        Ok(TenantSettings {
            polling: self.polling.unwrap_or_default().into_polling()?,
            access: self.access.unwrap_or_default().into(),
            track_address: self.track_address.unwrap_or_default(),
        })
    }
}

impl From<&PollingSettings> for PollingBody {
    fn from(polling: &PollingSettings) -> Self {
        let overrides = polling.overrides.iter().map(|item| OverrideBody {
            filter: item.filter().to_owned(),
            interval: TimeOfDay(item.interval),
            jitter_percent: item.jitter_percent,
        });
        Self {
            interval: polling.interval.map(TimeOfDay),
            jitter_percent: polling.jitter_percent,
            overrides: Some(overrides.collect()),
        }
    }
}

impl PollingBody {
    fn into_polling(self) -> Result<PollingSettings, Error> {
        let overrides = self.overrides.unwrap_or_default().into_iter().enumerate();
        let overrides = overrides.map(|(index, body)| {
            let item = PollingOverride::new(body.filter, body.interval.0, body.jitter_percent);
            item.map_err(|error| {
                let path = format!("/polling/overrides/{index}/filter");
                Error::invalid("invalid_settings", path, error.to_string())
            })
        });
        Ok(PollingSettings {
            interval: self.interval.map(|interval| interval.0),
            jitter_percent: self.jitter_percent,
            overrides: overrides.collect::<Result<_, _>>()?,
        })
    }
}
