use axum::extract::State;
use serde::Deserialize;
use tidegate_core::{campaign::Targets, id::FirmwareId, plugin::FieldError};
use tidegate_engine::{
    Authorized, Ctx, Engine, Operator,
    campaigns::{self, CampaignRequest},
};
use utoipa::ToSchema;

use super::{
    body::{CampaignBody, detail},
    short_form::{SHORT_FORM_FIELDS, ShortForm, ShortStrategy},
};
use crate::{
    AppState,
    field_names::to_request_fields,
    problem::{Problem, Result},
    rest::{
        enum_field::PriorityField,
        from_json::{BodyPair, is_below},
        json::JsonBody,
        response::CreatedResponse,
        rules::{BodyRules, RuleContext, add_errors},
        shared::{
            PluginSelection,
            update_options::{self, WithUpdateOptions},
        },
    },
};

/// A campaign to be created: `strategy` or the short form that begins with `deployment_strategy`, and at least one of
/// the three kinds of targets.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewCampaign)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent choices of a campaign"
)]
pub(crate) struct NewCampaignBody {
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
    /// Uses no compatibility policy: devices get the firmware whatever their hardware and version.
    #[serde(default)]
    allow_incompatible: bool,
    strategy: Option<PluginSelection>,
    /// Compatibility and health policies. Without a compatibility policy among them the default ones, `hardware` and
    /// `version-path`, are added.
    #[serde(default)]
    policies: Vec<PluginSelection>,
    #[serde(default)]
    priority: PriorityField,
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

/// A campaign to be created, with the short form of its strategy and the options of its updates.
pub(crate) type NewCampaignRequest = WithUpdateOptions<BodyPair<NewCampaignBody, ShortForm>>;

/// Creates a campaign. Configs are validated by the plugins' schemas and by the plugins before anything is stored.
#[utoipa::path(
    post, path = "/campaigns", tag = "campaigns", request_body = NewCampaignRequest,
    responses((status = 201, description = "The created campaign.", body = CampaignBody)),
)]
pub(crate) async fn create_campaign(
    ctx: Authorized<Operator>,
    State(state): State<AppState>,
    JsonBody(request): JsonBody<NewCampaignRequest>,
) -> Result<CreatedResponse<CampaignBody>> {
    let engine = &state.engine;
    let ConvertedCampaign { request, short, .. } = request.convert_valid(&ctx, engine).await?;
    let campaign = campaigns::create(&ctx, engine.store(), engine.plugins(), request)
        .await
        .map_err(|error| Problem::from(error).map_fields(|field| rename(short.as_ref(), field)))?;
    let location = format!("/campaigns/{}", campaign.id);
    let body = detail(&ctx, engine, campaign).await?;
    Ok(CreatedResponse { location, body })
}

/// The engine's input. Invalid fields have placeholders and errors.
pub(super) struct ConvertedCampaign {
    pub(super) request: CampaignRequest,
    /// The strategy, if it was given in the short form.
    pub(super) short: Option<ShortStrategy>,
    errors: Vec<FieldError>,
}

impl NewCampaignRequest {
    /// Converts a request. If that has errors, they are all reported, also those of the engine.
    pub(super) async fn convert_valid(
        self,
        ctx: &Ctx,
        engine: &Engine,
    ) -> Result<ConvertedCampaign> {
        let converted = self.convert(ctx, engine).await?;
        if converted.errors.is_empty() {
            return Ok(converted);
        }
        let context = RuleContext {
            engine,
            ctx: Some(ctx),
        };
        let errors = converted.all_errors(&context).await?;
        Err(Problem::invalid("invalid_campaign", errors))
    }

    async fn convert(self, ctx: &Ctx, engine: &Engine) -> Result<ConvertedCampaign> {
        let Self(BodyPair(campaign, short_form), options) = self;
        let mut errors = Vec::new();
        let (strategy, short) = match (campaign.strategy, short_form.first_field()) {
            (Some(strategy), None) => (Some(strategy.into_choice("/strategy", &mut errors)), None),
            (Some(_), Some(field)) => {
                errors.push(error(field, "cannot be combined with `strategy`"));
                (None, None)
            }
            (None, None) => {
                let message = "is required unless `deployment_strategy` is given";
                errors.push(error("/strategy", message));
                (None, None)
            }
            (None, Some(_)) => {
                let short = short_form.into_strategy(ctx, engine, &mut errors).await?;
                (short.as_ref().map(|short| short.choice.clone()), short)
            }
        };
        let mut policies = Vec::with_capacity(campaign.policies.len());
        for (index, policy) in campaign.policies.into_iter().enumerate() {
            policies.push(policy.into_choice(&format!("/policies/{index}"), &mut errors));
        }
        let (options, success_criteria) = options.to_options(&mut errors);
        let request = CampaignRequest {
            name: campaign.name,
            description: campaign.description,
            firmware: FirmwareId(campaign.firmware_id),
            targets: Targets {
                devices: campaign.target_devices,
                groups: campaign.target_groups,
                filter: campaign.target_filter.map(Into::into),
                feed: campaign.target_feed,
            },
            allow_beta: campaign.allow_beta,
            allow_incompatible: campaign.allow_incompatible,
            strategy: strategy.unwrap_or_default(),
            policies,
            priority: campaign.priority.0,
            max_concurrent_updates: campaign.max_concurrent_updates,
            options,
            requires_approval: campaign.requires_approval,
            auto_rollback: campaign.auto_rollback,
            failure_threshold_percent: campaign.failure_threshold_percent,
            success_criteria,
        };
        Ok(ConvertedCampaign {
            request,
            short,
            errors,
        })
    }
}

impl ConvertedCampaign {
    /// The errors of the conversion and of the engine.
    async fn all_errors(self, context: &RuleContext<'_>) -> Result<Vec<FieldError>> {
        let Self {
            request,
            short,
            mut errors,
        } = self;
        let Some(ctx) = context.ctx else {
            return Ok(errors);
        };
        let engine = context.engine;
        let found = campaigns::validate(ctx, engine.store(), engine.plugins(), &request).await?;
        let found = to_request_fields(found).into_iter();
        // A strategy that is missing is reported once.
        let found = found.filter(|error| {
            !request.strategy.plugin.is_empty() || !is_below(&error.path, "/strategy")
        });
        let found = found.map(|error| FieldError {
            path: rename(short.as_ref(), error.path),
            message: error.message,
        });
        add_errors(&mut errors, found.collect());
        Ok(errors)
    }
}

impl BodyRules for NewCampaignRequest {
    async fn broken_rules(self, context: &RuleContext<'_>) -> Result<Vec<FieldError>> {
        let Some(ctx) = context.ctx else {
            return Ok(Vec::new());
        };
        let converted = self.convert(ctx, context.engine).await?;
        converted.all_errors(context).await
    }

    fn also_reads(field: &str) -> &'static [&'static str] {
        match field {
            "/target_filter" => &["/target_devices", "/target_groups", "/target_feed"],
            "/target_feed" => &["/target_devices", "/target_groups", "/target_filter"],
            "/firmware_id" => &["/allow_beta"],
            "/policies" => &["/allow_incompatible"],
            "/allow_incompatible" => &["/policies"],
            "/strategy" | "/deployment_strategy" => &SHORT_FORM_FIELDS,
            "/rollout_percentage"
            | "/batch_size"
            | "/rollout_stages"
            | "/canary_percentage"
            | "/canary_duration_minutes"
            | "/blue_group"
            | "/green_group" => &["/deployment_strategy", "/strategy", "/rollout_stages"],
            option => update_options::also_reads(option),
        }
    }
}

/// The request's field for a field that the engine names.
pub(super) fn rename(short: Option<&ShortStrategy>, field: String) -> String {
    match short {
        Some(short) => short.rename(field),
        None => field,
    }
}

fn error(path: &str, message: &str) -> FieldError {
    FieldError {
        path: path.to_owned(),
        message: message.to_owned(),
    }
}

fn default_failure_threshold() -> u8 {
    20
}
