use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidegate_core::{
    plugin::FieldError,
    polling::{PollInterval, PollingOverride, PollingSettings},
    settings::{DdiSettings, TenantSettings},
};
use utoipa::ToSchema;

use super::access::AccessBody;
use crate::{
    field_names::to_request_fields,
    problem::{Problem, Result},
    rest::{
        enum_field::{DdiLinksField, EnumField, VersionSchemeField},
        extract::object_or_null,
        rules::{BodyRules, RuleContext, add_errors, no_rules},
        shared::TimeOfDay,
    },
};

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
    /// How long after its last poll the state of a device is `overdue`: 1 minute to 30 days, `7d` for example. Null: never.
    overdue_after: Option<TimeOfDay>,
    /// Which versions an uploaded firmware may have: `semver` (default), or with `loose` any of 1 to 50 characters
    /// without control characters. Mode `latest` skips versions without an order.
    versions: Option<VersionSchemeField>,
    #[serde(deserialize_with = "object_or_null")]
    ddi: Option<DdiBody>,
    /// Whether campaigns, bulk updates and updates with `force` wait until another user with the role approver approves
    /// them; false by default.
    requires_approval: Option<bool>,
}

/// What devices are sent.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = DdiSettings)]
struct DdiBody {
    /// The links to each file: `http`: `download-http` and `md5sum-http`; `https`: `download` and `md5sum`; `both`: all
    /// four, which small devices cannot read. Each has the scheme that the device uses.
    links: Option<DdiLinksField>,
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
    ddi: DefaultDdi,
}

#[derive(Debug, Serialize, ToSchema)]
struct DefaultDdi {
    links: DdiLinksField,
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
                ddi: DefaultDdi {
                    links: EnumField(server.ddi_links),
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
            overdue_after: settings.overdue_after.map(TimeOfDay),
            versions: Some(EnumField(settings.versions)),
            ddi: Some(settings.ddi.into()),
            requires_approval: Some(settings.requires_approval),
        }
    }
}

impl SettingsBody {
    /// Converts stored settings with a patch, each of which was decoded before.
    pub(super) fn from_merged(json: Value) -> Result<Self> {
        serde_json::from_value(json)
            .map_err(|error| Problem::invalid("wrong_type", vec![error_at("", &error)]))
    }

    /// The settings. `unchanged_overrides` are kept as they are, also if their filters would not be accepted any more.
    pub(super) fn into_settings(
        mut self,
        unchanged_overrides: Option<Vec<PollingOverride>>,
    ) -> Result<TenantSettings> {
        if let (Some(polling), Some(_)) = (&mut self.polling, &unchanged_overrides) {
            polling.overrides = None;
        }
        let (mut settings, errors) = self.convert();
        let kept = unchanged_overrides.into_iter().flatten();
        settings.polling.overrides.extend(kept);
        if errors.is_empty() {
            return Ok(settings);
        }
        let mut all = errors;
        add_errors(&mut all, to_request_fields(settings.validation_errors()));
        Err(Problem::invalid("invalid_settings", all))
    }

    /// The settings without the overrides that are invalid, and the errors of those.
    fn convert(self) -> (TenantSettings, Vec<FieldError>) {
        let (polling, errors) = self.polling.unwrap_or_default().into_polling();
        let settings = TenantSettings {
            polling,
            access: self.access.unwrap_or_default().into(),
            track_address: self.track_address.unwrap_or_default(),
            overdue_after: self.overdue_after.map(|after| after.0),
            versions: self.versions.unwrap_or_default().0,
            ddi: self.ddi.unwrap_or_default().into(),
            requires_approval: self.requires_approval.unwrap_or_default(),
        };
        (settings, errors)
    }
}

impl BodyRules for SettingsBody {
    async fn broken_rules(self, _: &RuleContext<'_>) -> Result<Vec<FieldError>> {
        let (settings, mut errors) = self.convert();
        add_errors(&mut errors, to_request_fields(settings.validation_errors()));
        Ok(errors)
    }
}

no_rules!(Value);

fn error_at(path: impl Into<String>, error: &impl ToString) -> FieldError {
    FieldError {
        path: path.into(),
        message: error.to_string(),
    }
}

impl From<DdiSettings> for DdiBody {
    fn from(ddi: DdiSettings) -> Self {
        Self {
            links: ddi.links.map(EnumField),
        }
    }
}

impl From<DdiBody> for DdiSettings {
    fn from(body: DdiBody) -> Self {
        Self {
            links: body.links.map(|EnumField(links)| links),
        }
    }
}

impl From<&PollingSettings> for PollingBody {
    fn from(polling: &PollingSettings) -> Self {
        let overrides = polling.overrides.iter().map(|item| OverrideBody {
            filter: item.filter().text.clone(),
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
    fn into_polling(self) -> (PollingSettings, Vec<FieldError>) {
        let (mut overrides, mut errors) = (Vec::new(), Vec::new());
        for (index, body) in self.overrides.unwrap_or_default().into_iter().enumerate() {
            match PollingOverride::new(body.filter, body.interval.0, body.jitter_percent) {
                Ok(item) => overrides.push(item),
                Err(error) => {
                    let path = format!("/polling/overrides/{index}/filter");
                    errors.push(error_at(path, &error));
                }
            }
        }
        let settings = PollingSettings {
            interval: self.interval.map(|interval| interval.0),
            jitter_percent: self.jitter_percent,
            overrides,
        };
        (settings, errors)
    }
}
