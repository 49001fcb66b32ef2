use axum::extract::State;
use serde::Deserialize;
use serde_json::Value;
use tidegate_core::{
    campaign::{self, Targets},
    id::{Digest, FirmwareId},
    plugin::FieldError,
    update,
};
use tidegate_engine::{
    Authorized, Error, Operator,
    campaigns::{self, Draft, PluginChoice},
};
use utoipa::ToSchema;

use super::{
    body::{CampaignBody, detail},
    options::{OnDenied, RetryForm, UpdateOptionsForm, UpdateType, from_minutes},
    short_form::{DeploymentStrategy, RolloutStage, ShortForm},
};
use crate::{
    AppState,
    problem::Result,
    rest::{json::JsonBody, response::Created, window::WindowBody},
};

/// A campaign to be created: `strategy` or the short form that begins with `deployment_strategy`, and at least one of
/// the three kinds of targets.
#[derive(Debug, Deserialize, ToSchema)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent options of a campaign"
)]
pub(crate) struct NewCampaign {
    /// 1 to 200 characters.
    name: String,
    #[serde(default)]
    description: String,
    firmware_id: i64,
    /// Device ids.
    #[serde(default)]
    target_devices: Vec<String>,
    #[serde(default)]
    target_groups: Vec<String>,
    /// RSQL, such as `hw_model==rpi4;sw_version=lt=2.0.0`.
    target_filter: Option<String>,
    /// Devices that follow this feed, instead of other targets. The newest campaign on a feed wins: an older one offers
    /// nothing more to a device that a newer one selected.
    target_feed: Option<String>,
    /// Allows beta firmware.
    #[serde(default)]
    allow_beta: bool,
    strategy: Option<PluginSelection>,
    #[serde(default)]
    policies: Vec<PluginSelection>,
    deployment_strategy: Option<DeploymentStrategy>,
    /// With `staged` and `canary`: the share of devices that the campaign covers in the end, 1 to 100 percent.
    rollout_percentage: Option<u8>,
    /// With `immediate`: 1 to 500.
    batch_size: Option<u32>,
    /// With `staged`.
    rollout_stages: Option<Vec<RolloutStage>>,
    /// With `canary`.
    canary_percentage: Option<f64>,
    /// With `canary`.
    canary_duration_minutes: Option<f64>,
    /// With `blue_green`: names of groups.
    blue_group: Option<Vec<String>>,
    /// With `blue_green`: names of groups.
    green_group: Option<Vec<String>>,
    #[serde(default)]
    priority: Priority,
    /// Maximum number of devices in flight; unlimited when left out.
    max_concurrent_updates: Option<u64>,
    /// From the offer to the end of the update, 5 to 1440; 60 when left out.
    #[serde(default = "default_timeout_minutes")]
    timeout_minutes: u64,
    /// From the start of the download to its last byte, 1 to `timeout_minutes`; no separate limit when left out.
    download_timeout_minutes: Option<u64>,
    /// From the last byte until the device is done, 1 to `timeout_minutes`; no separate limit when left out.
    install_timeout_minutes: Option<u64>,
    /// When its updates may be installed; at any time when left out. Timeouts do not run while a device waits for the
    /// window: `timeout_minutes` begins when it opens. Rollbacks do not wait for it.
    maintenance_window: Option<WindowBody>,
    /// How often an update is retried when its device fails or times out, 0 to 10; 0 when left out.
    max_retries: Option<u32>,
    /// With `max_retries`: seconds before the first retry, 1 to 3600; 60 when left out. It doubles with each retry, up
    /// to an hour.
    retry_delay: Option<u64>,
    #[serde(default)]
    update_type: UpdateType,
    /// With `time_forced`: RFC 3339.
    #[schema(format = DateTime)]
    forced_at: Option<String>,
    /// Whether the device's user must confirm an update before it begins.
    #[serde(default)]
    requires_confirmation: bool,
    /// With `requires_confirmation`: `offer_again` when left out.
    on_denied: Option<OnDenied>,
    /// With `requires_confirmation`: how long to wait for the confirmation, 5 to 43200; 10080, a week, when left out.
    /// The other timeouts begin at the confirmation.
    confirmation_timeout_minutes: Option<u64>,
    /// Whether a user other than its creator must approve it before it starts.
    #[serde(default)]
    requires_approval: bool,
    /// Whether the server carries out a rollback that a policy asks for.
    #[serde(default)]
    auto_rollback: bool,
    /// Share of a wave, 1 to 100 percent, whose failure stops the campaign, whatever its plugins decide; 20 when left
    /// out.
    #[serde(default = "default_failure_threshold")]
    failure_threshold_percent: u8,
    #[serde(default)]
    success_criteria: SuccessCriteria,
    /// With `soaked`: 1 to 43200.
    soak_minutes: Option<u64>,
}

/// A plugin by name, with its config.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = PluginWish)]
pub(crate) struct PluginSelection {
    plugin: String,
    /// `sha256:...`; the newest enabled revision when left out.
    revision: Option<String>,
    /// Must match the plugin's config schema; `{}` when left out.
    config: Option<Value>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Priority {
    Low,
    #[default]
    Normal,
    High,
    Critical,
    Emergency,
}

/// When an update counts as completed.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SuccessCriteria {
    /// When the device reports success.
    #[default]
    Reported,
    /// When the device comes back and reports the new version.
    Attested,
    /// As `attested`, and when it reports the same again after `soak_minutes` without a failure.
    Soaked,
}

impl SuccessCriteria {
    /// Converts to the engine's criteria. Returns none after adding an error.
    pub(crate) fn to_criteria(
        self,
        soak_minutes: Option<u64>,
        path: &str,
        errors: &mut Vec<FieldError>,
    ) -> Option<update::SuccessCriteria> {
        let message = match (self, soak_minutes) {
            (Self::Reported, None) => return Some(update::SuccessCriteria::Reported),
            (Self::Attested, None) => return Some(update::SuccessCriteria::Attested),
            (Self::Soaked, Some(time)) => {
                return Some(update::SuccessCriteria::Soaked(from_minutes(time)));
            }
            (Self::Soaked, None) => "is required with success_criteria `soaked`",
            (Self::Reported | Self::Attested, Some(_)) => {
                "is only allowed with success_criteria `soaked`"
            }
        };
        errors.push(FieldError {
            path: path.to_owned(),
            message: message.to_owned(),
        });
        None
    }
}

/// Creates a campaign. Configs are validated by the plugins' schemas and by the plugins before anything is stored.
#[utoipa::path(
    post, path = "/campaigns", tag = "campaigns", request_body = NewCampaign,
    responses((status = 201, body = CampaignBody)),
)]
pub(crate) async fn create_campaign(
    ctx: Authorized<Operator>,
    State(state): State<AppState>,
    JsonBody(request): JsonBody<NewCampaign>,
) -> Result<Created<CampaignBody>> {
    let campaign = campaigns::create(&ctx, &state.engine, request.into_draft()?).await?;
    let location = format!("/campaigns/{}", campaign.id);
    let body = detail(&ctx, &state.engine, campaign).await?;
    Ok(Created { location, body })
}

impl NewCampaign {
    fn into_draft(mut self) -> Result<Draft, Error> {
        let mut errors = Vec::new();
        let strategy = self.strategy(&mut errors);
        let mut policies = Vec::with_capacity(self.policies.len());
        for (index, policy) in std::mem::take(&mut self.policies).into_iter().enumerate() {
            policies.push(policy.into_choice(&format!("/policies/{index}"), &mut errors));
        }
        let options = self.options_form().to_options(&mut errors);
        let success_criteria =
            self.success_criteria
                .to_criteria(self.soak_minutes, "/soak_minutes", &mut errors);
        let (Some(strategy), Some(options), Some(success_criteria), []) =
            (strategy, options, success_criteria, &errors[..])
        else {
            return Err(invalid_campaign(errors));
        };
        Ok(Draft {
            name: self.name,
            description: self.description,
            firmware: FirmwareId(self.firmware_id),
            targets: Targets {
                devices: self.target_devices,
                groups: self.target_groups,
                filter: self.target_filter,
                feed: self.target_feed,
            },
            allow_beta: self.allow_beta,
            strategy,
            policies,
            priority: self.priority.into(),
            max_concurrent_updates: self.max_concurrent_updates,
            options,
            requires_approval: self.requires_approval,
            auto_rollback: self.auto_rollback,
            failure_threshold_percent: self.failure_threshold_percent,
            success_criteria,
        })
    }

    fn options_form(&mut self) -> UpdateOptionsForm {
        UpdateOptionsForm {
            update_type: self.update_type,
            forced_at: self.forced_at.take(),
            requires_confirmation: self.requires_confirmation,
            on_denied: self.on_denied,
            timeout_minutes: self.timeout_minutes,
            confirmation_timeout_minutes: self.confirmation_timeout_minutes,
            download_timeout_minutes: self.download_timeout_minutes,
            install_timeout_minutes: self.install_timeout_minutes,
            maintenance_window: self.maintenance_window.take(),
            retries: RetryForm {
                max_retries: self.max_retries,
                retry_delay: self.retry_delay,
            },
        }
    }

    /// The strategy, from either of its two forms.
    fn strategy(&mut self, errors: &mut Vec<FieldError>) -> Option<PluginChoice> {
        let form = ShortForm {
            deployment_strategy: self.deployment_strategy,
            rollout_percentage: self.rollout_percentage,
            batch_size: self.batch_size,
            rollout_stages: self.rollout_stages.take(),
            canary_percentage: self.canary_percentage,
            canary_duration_minutes: self.canary_duration_minutes,
            blue_group: self.blue_group.take(),
            green_group: self.green_group.take(),
        };
        let mut error = |path: &str, message: &str| {
            errors.push(FieldError {
                path: path.to_owned(),
                message: message.to_owned(),
            });
        };
        match (self.strategy.take(), form.first_field()) {
            (Some(strategy), None) => Some(strategy.into_choice("/strategy", errors)),
            (Some(_), Some(field)) => {
                error(field, "cannot be combined with `strategy`");
                None
            }
            (None, None) => {
                error(
                    "/strategy",
                    "is required unless `deployment_strategy` is given",
                );
                None
            }
            (None, Some(_)) => match form.to_choice() {
                Ok(choice) => choice,
                Err(found) => {
                    errors.extend(found);
                    None
                }
            },
        }
    }
}

impl PluginSelection {
    /// Converts to the engine's choice and adds what is invalid to `errors`, with paths below `path`.
    pub(crate) fn into_choice(self, path: &str, errors: &mut Vec<FieldError>) -> PluginChoice {
        let revision = self.revision.map(|text| text.parse::<Digest>()).transpose();
        let revision = revision.unwrap_or_else(|error| {
            let path = format!("{path}/revision");
            errors.push(FieldError {
                path,
                message: error.to_string(),
            });
            None
        });
        let config = self
            .config
            .map_or_else(|| "{}".to_owned(), |config| config.to_string());
        PluginChoice {
            plugin: self.plugin,
            revision,
            config,
        }
    }
}

fn invalid_campaign(errors: Vec<FieldError>) -> Error {
    let message = match &errors[..] {
        [error] => format!("{}: {}", error.path, error.message),
        many => format!("{} invalid fields", many.len()),
    };
    Error::Invalid {
        code: "invalid_campaign",
        message,
        errors,
    }
}

fn default_timeout_minutes() -> u64 {
    60
}

fn default_failure_threshold() -> u8 {
    20
}

impl From<Priority> for campaign::Priority {
    fn from(priority: Priority) -> Self {
        match priority {
            Priority::Low => Self::Low,
            Priority::Normal => Self::Normal,
            Priority::High => Self::High,
            Priority::Critical => Self::Critical,
            Priority::Emergency => Self::Emergency,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;
    use tidegate_core::update::UpdateOptions;

    use super::*;

    fn draft(extra: Value) -> Result<Draft, Vec<String>> {
        let mut body = json!({"name": "spring", "firmware_id": 1, "target_groups": ["lab"]});
        if let (Value::Object(body), Value::Object(extra)) = (&mut body, extra) {
            body.extend(extra);
        }
        let request: NewCampaign = serde_json::from_value(body).expect("a campaign");
        request.into_draft().map_err(|error| match error {
            Error::Invalid { errors, .. } => errors.into_iter().map(|error| error.path).collect(),
            error => vec![error.to_string()],
        })
    }

    #[test]
    fn a_strategy_is_given_in_one_form() {
        let full = draft(json!({"strategy": {"plugin": "canary", "config": {"steps": [100]}}}));
        assert_eq!(
            full.expect("a valid campaign").strategy.config,
            r#"{"steps":[100]}"#
        );
        let short = draft(json!({"deployment_strategy": "immediate"}));
        assert_eq!(
            short.expect("a valid campaign").strategy.plugin,
            "immediate"
        );

        let both = json!({"strategy": {"plugin": "canary"}, "batch_size": 1});
        assert_eq!(draft(both), Err(vec!["/batch_size".to_owned()]));
        assert_eq!(draft(json!({})), Err(vec!["/strategy".to_owned()]));
    }

    #[test]
    fn defaults_match_the_documentation() {
        let draft = draft(json!({"strategy": {"plugin": "canary"}})).expect("a valid campaign");
        assert_eq!(
            draft.options,
            UpdateOptions::forced(Duration::from_hours(1))
        );
        assert_eq!(draft.failure_threshold_percent, 20);
        assert_eq!(draft.priority, campaign::Priority::Normal);
        assert_eq!(
            (draft.requires_approval, draft.auto_rollback),
            (false, false)
        );
        assert_eq!(draft.strategy.config, "{}");
    }

    #[test]
    fn a_revision_is_a_digest() {
        let bad = json!({"strategy": {"plugin": "canary"}, "policies": [
            {"plugin": "failure-rate", "revision": "latest"},
        ]});
        assert_eq!(draft(bad), Err(vec!["/policies/0/revision".to_owned()]));
    }
}
