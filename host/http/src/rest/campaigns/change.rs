use std::borrow::Cow;

use axum::extract::State;
use http::HeaderMap;
use serde::Deserialize;
use serde_json::Value;
use tidegate_core::{
    campaign::{Campaign, CampaignStatus},
    plugin::FieldError,
};
use tidegate_engine::{Authorized, Engine, Operator, campaigns};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{Ref, RefOr, schema::Schema},
};

use super::{
    body::CampaignBody,
    create::{ConvertedCampaign, NewCampaignRequest, rename},
    etag::{TaggedCampaign, change_problem, required_generation},
    merged::{creation_fields, merged_body, misplaced_nulls, named_policies},
};
use crate::{
    AppState,
    field_names::to_request_fields,
    problem::{Problem, Result},
    rest::{
        enum_field::{EnumField, PriorityField},
        extract::{PathParams, parse_id},
        json::{JsonBody, from_value},
        patch::{Patch, merge_patch_schema, nullable},
        rules::{BodyRules, RuleContext},
        shared::{PluginSelection, WindowBody},
    },
};

/// The fields that can be changed at any time before the campaign ends.
#[derive(Debug, Deserialize)]
pub(crate) struct RunningCampaignPatch {
    #[serde(default)]
    priority: Patch<PriorityField>,
    /// At least 1; null: unlimited.
    #[serde(default)]
    max_concurrent_updates: Patch<u64>,
}

/// The schema of a change: the fields of a new campaign, none of them required. Null resets what has a default.
pub(crate) enum CampaignPatch {}

impl PartialSchema for CampaignPatch {
    fn schema() -> RefOr<Schema> {
        let mut schema = merge_patch_schema::<NewCampaignRequest>(
            "Fields that are left out stay as they are; null resets a field to its default. After the start only \
             `priority` and `max_concurrent_updates` can be changed.",
        );
        // Objects are merged, so that a part of one is a change.
        for (field, part) in [
            ("strategy", STRATEGY_CHANGE),
            ("maintenance_window", WINDOW_CHANGE),
        ] {
            let part = nullable(Ref::from_schema_name(part).into());
            schema.properties.insert(field.to_owned(), part);
        }
        schema.into()
    }
}

const STRATEGY_CHANGE: &str = "StrategyChange";
const WINDOW_CHANGE: &str = "MaintenanceWindowChange";

impl ToSchema for CampaignPatch {
    fn name() -> Cow<'static, str> {
        "CampaignPatch".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        NewCampaignRequest::schemas(schemas);
        let strategy = merge_patch_schema::<PluginSelection>(
            "A part of the strategy; another plugin replaces it as a whole.",
        );
        let window = merge_patch_schema::<WindowBody>("A part of the maintenance window.");
        schemas.push((STRATEGY_CHANGE.to_owned(), strategy.into()));
        schemas.push((WINDOW_CHANGE.to_owned(), window.into()));
    }
}

/// Changes a campaign with a merge patch (RFC 7396).
///
/// Before the start it takes every field of a new campaign. The changed campaign is checked as at creation, and a change
/// voids the approval. After the start it takes the priority and the limit of concurrent updates; other fields are 409
/// `campaign_started`.
#[utoipa::path(
    patch, path = "/campaigns/{campaign_id}", tag = "campaigns",
    params(
        ("campaign_id" = i64, Path),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that the campaign must have; otherwise 412."),
    ),
    request_body = CampaignPatch,
    responses((
        status = 200, description = "The campaign after the change.", body = CampaignBody,
        headers(("ETag" = String, description = "For `If-Match`. Every command and every decision changes it.")),
    )),
)]
pub(crate) async fn change_campaign(
    ctx: Authorized<Operator>,
    State(state): State<AppState>,
    PathParams(campaign): PathParams<String>,
    headers: HeaderMap,
    JsonBody(patch): JsonBody<Value>,
) -> Result<TaggedCampaign> {
    let engine = &state.engine;
    let id = parse_id("campaign", &campaign)?;
    let campaign = campaigns::get(&ctx, engine.store(), id).await?;
    let required = required_generation(&headers, &campaign)?;
    let status = campaign.status;
    let change = RequestedChange {
        ctx: &ctx,
        engine,
        campaign,
        patch: &patch,
        required,
    };
    let changed = if status == CampaignStatus::Created {
        change.edit().await?
    } else {
        change.change_limits().await?
    };
    TaggedCampaign::stored(&ctx, engine, changed).await
}

/// A change of a campaign that was read.
struct RequestedChange<'a> {
    ctx: &'a Authorized<Operator>,
    engine: &'a Engine,
    campaign: Campaign,
    patch: &'a Value,
    /// The generation that the campaign must have; `None`: any.
    required: Option<i64>,
}

impl RequestedChange<'_> {
    async fn edit(self) -> Result<Campaign> {
        let misplaced = misplaced_nulls(self.patch);
        if !misplaced.is_empty() {
            return Err(Problem::invalid("invalid_campaign", misplaced));
        }
        let named: Vec<_> = named_policies(self.patch).collect();
        let store = self.engine.store();
        let names_compatibility =
            campaigns::have_compatibility_policy(self.ctx, store, &named).await?;
        let body = merged_body(&self.campaign, self.patch, names_compatibility)?;
        let body: NewCampaignRequest = self.decode(&body).await?;
        let Self {
            ctx,
            engine,
            campaign,
            patch,
            required,
        } = self;
        let ConvertedCampaign {
            mut request, short, ..
        } = body.convert_valid(ctx, engine).await?;
        if patch.get("target_filter").is_none() {
            // It keeps the syntax that it was accepted under.
            request
                .targets
                .filter
                .clone_from(&campaign.spec.targets.filter);
        }
        let (store, signals) = (engine.store(), engine.signals());
        campaigns::edit(ctx, store, engine.plugins(), signals, campaign, request)
            .await
            .map_err(|error| {
                change_problem(error, required).map_fields(|field| rename(short.as_ref(), field))
            })
    }

    async fn change_limits(self) -> Result<Campaign> {
        let fixed: Vec<_> = creation_fields(self.patch)
            .into_iter()
            .filter(|name| !["priority", "max_concurrent_updates"].contains(&name.as_str()))
            .map(|name| FieldError {
                path: format!("/{name}"),
                message: "can be changed only before the start".to_owned(),
            })
            .collect();
        if !fixed.is_empty() {
            campaigns::check_editable(&self.campaign)
                .map_err(|error| Problem::from(error).with_errors(fixed))?;
        }
        let request: RunningCampaignPatch = self.decode(self.patch).await?;
        let priority = request.priority.or_default();
        let priority = priority.map(|EnumField(priority)| priority);
        let limit = request.max_concurrent_updates.or_absent();
        let Self {
            ctx,
            engine,
            campaign,
            required,
            ..
        } = self;
        let (store, signals) = (engine.store(), engine.signals());
        campaigns::change_limits(ctx, store, signals, campaign, priority, limit, required)
            .await
            .map_err(|error| change_problem(error, required))
    }

    async fn decode<T: BodyRules>(&self, json: &Value) -> Result<T> {
        let context = RuleContext {
            engine: self.engine,
            ctx: Some(self.ctx),
        };
        from_value(json, &context).await
    }
}

impl BodyRules for RunningCampaignPatch {
    async fn broken_rules(self, _: &RuleContext<'_>) -> Result<Vec<FieldError>> {
        let limit = self.max_concurrent_updates.or_absent().flatten();
        Ok(to_request_fields(campaigns::limit_errors(limit)))
    }
}
