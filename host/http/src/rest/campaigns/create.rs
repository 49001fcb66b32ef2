use axum::extract::State;
use serde::Deserialize;
use serde_json::Value;
use tidegate_core::{
    campaign::{self, Targets},
    id::{Digest, FirmwareId},
    plugin::FieldError,
};
use tidegate_engine::{
    Authorized, Error, Operator,
    campaigns::{self, Draft, PluginChoice},
};
use utoipa::ToSchema;

use super::{
    body::{CampaignBody, detail},
    short_form::{DeploymentStrategy, RolloutStage, ShortForm},
};
use crate::{
    AppState,
    problem::Result,
    rest::{decode::Merged, json::JsonBody, response::Created, update_options::WithUpdateOptions},
};

/// A campaign to be created: `strategy` or the short form that begins with `deployment_strategy`, and at least one of
/// the three kinds of targets.
#[derive(Debug, Deserialize, ToSchema)]
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
}

/// A campaign to be created, with the options of its updates.
pub(crate) type NewCampaignRequest = WithUpdateOptions<NewCampaign>;

/// A plugin by name, with its config.
#[derive(Debug, Deserialize, ToSchema)]
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

/// Creates a campaign. Configs are validated by the plugins' schemas and by the plugins before anything is stored.
#[utoipa::path(
    post, path = "/campaigns", tag = "campaigns", request_body = NewCampaignRequest,
    responses((status = 201, body = CampaignBody)),
)]
pub(crate) async fn create_campaign(
    ctx: Authorized<Operator>,
    State(state): State<AppState>,
    JsonBody(request): JsonBody<NewCampaignRequest>,
) -> Result<Created<CampaignBody>> {
    let campaign = campaigns::create(&ctx, &state.engine, into_draft(request)?).await?;
    let location = format!("/campaigns/{}", campaign.id);
    let body = detail(&ctx, &state.engine, campaign).await?;
    Ok(Created { location, body })
}

fn into_draft(Merged(mut campaign, options): NewCampaignRequest) -> Result<Draft, Error> {
    let mut errors = Vec::new();
    let strategy = campaign.strategy(&mut errors);
    let mut policies = Vec::with_capacity(campaign.policies.len());
    for (index, policy) in campaign.policies.into_iter().enumerate() {
        policies.push(policy.into_choice(&format!("/policies/{index}"), &mut errors));
    }
    let (options, success_criteria) = options.to_options(&mut errors);
    let (Some(strategy), []) = (strategy, &errors[..]) else {
        return Err(invalid_campaign(errors));
    };
    Ok(Draft {
        name: campaign.name,
        description: campaign.description,
        firmware: FirmwareId(campaign.firmware_id),
        targets: Targets {
            devices: campaign.target_devices,
            groups: campaign.target_groups,
            filter: campaign.target_filter,
            feed: campaign.target_feed,
        },
        allow_beta: campaign.allow_beta,
        strategy,
        policies,
        priority: campaign.priority.into(),
        max_concurrent_updates: campaign.max_concurrent_updates,
        options,
        requires_approval: campaign.requires_approval,
        auto_rollback: campaign.auto_rollback,
        failure_threshold_percent: campaign.failure_threshold_percent,
        success_criteria,
    })
}

impl NewCampaign {
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
    use crate::rest::decode::FromJson as _;

    fn draft(extra: Value) -> Result<Draft, Vec<String>> {
        let mut body = json!({"name": "spring", "firmware_id": 1, "target_groups": ["lab"]});
        if let (Value::Object(body), Value::Object(extra)) = (&mut body, extra) {
            body.extend(extra);
        }
        let request = NewCampaignRequest::from_json(&body).value;
        into_draft(request.expect("a campaign")).map_err(|error| match error {
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
