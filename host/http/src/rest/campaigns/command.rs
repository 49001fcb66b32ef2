//! Commands that change the status of a campaign: start, pause, resume, cancel, roll back.

use std::sync::Arc;

use axum::{Json, extract::FromRequestParts};
use http::request::Parts;
use serde::Deserialize;
use tidegate_core::{campaign::Campaign, id::CampaignId};
use tidegate_engine::{Authorized, Engine, Operator, Signals, campaigns, ports::Store};
use utoipa::ToSchema;

use super::body::{CampaignBody, detail};
use crate::{
    AppState,
    problem::{Problem, Result},
    rest::{
        access,
        enum_field::{EnumField, RollbackScopeField},
        extract::{PathParams, parse_id},
        from_json::BodyPair,
        json::OptionalJson,
        shared::{CommandBody, Reason},
    },
};

/// Extractor for a command: authenticates an operator and reads the campaign's id from the path.
pub(crate) struct CampaignCommand {
    pub(super) ctx: Authorized<Operator>,
    pub(super) engine: Arc<Engine>,
    pub(super) campaign: CampaignId,
}

impl FromRequestParts<AppState> for CampaignCommand {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self> {
        let ctx = access::authorize(parts, state).await?;
        let PathParams(campaign) = PathParams::<String>::from_request_parts(parts, state).await?;
        Ok(Self {
            ctx,
            engine: Arc::clone(&state.engine),
            campaign: parse_id("campaign", &campaign)?,
        })
    }
}

impl CampaignCommand {
    fn store(&self) -> &dyn Store {
        self.engine.store()
    }

    fn signals(&self) -> &Signals {
        self.engine.signals()
    }

    /// The response: the campaign after the command.
    pub(super) async fn respond(&self, campaign: Campaign) -> Result<Json<CampaignBody>> {
        let body = detail(&self.ctx, &self.engine, campaign).await?;
        Ok(Json(body))
    }
}

/// Starts a campaign: selects its devices, evaluates its policies, asks its strategy for a plan and fixes its waves.
///
/// 409 if a plugin fails (`plan_failed`) or excludes all devices (`no_compatible_devices`): the calls are in the journal,
/// with an entry `not_started`, and the campaign can be edited and started again. 503 if a plugin exceeds its deadline or
/// the server cannot run it now.
#[utoipa::path(
    post, path = "/campaigns/{campaign_id}/start", tag = "campaigns",
    params(("campaign_id" = i64, Path)),
    responses((status = 200, description = "The started campaign.", body = CampaignBody)),
)]
pub(crate) async fn start_campaign(command: CampaignCommand) -> Result<Json<CampaignBody>> {
    let started = campaigns::start(
        &command.ctx,
        command.store(),
        command.engine.caches(),
        command.engine.plugins(),
        command.signals(),
        command.campaign,
    )
    .await?;
    command.respond(started).await
}

/// Stops releasing devices until the campaign is resumed. Updates in flight continue.
#[utoipa::path(
    post, path = "/campaigns/{campaign_id}/pause", tag = "campaigns",
    params(("campaign_id" = i64, Path)), request_body = Option<Reason>,
    responses((status = 200, description = "The paused campaign.", body = CampaignBody)),
)]
pub(crate) async fn pause_campaign(
    command: CampaignCommand,
    OptionalJson(request): OptionalJson<Reason>,
) -> Result<Json<CampaignBody>> {
    let reason = request.into_text()?;
    let paused = campaigns::pause(
        &command.ctx,
        command.store(),
        command.signals(),
        command.campaign,
        &reason,
    )
    .await?;
    command.respond(paused).await
}

/// Resumes a campaign that is paused or held.
///
/// 409 `unknown_contract` if the server does not speak the version of the plugin contract of one of its plugins: move it
/// to a revision that was built for a version that the server speaks first.
#[utoipa::path(
    post, path = "/campaigns/{campaign_id}/resume", tag = "campaigns",
    params(("campaign_id" = i64, Path)),
    responses((status = 200, description = "The resumed campaign.", body = CampaignBody)),
)]
pub(crate) async fn resume_campaign(command: CampaignCommand) -> Result<Json<CampaignBody>> {
    let resumed = campaigns::resume(
        &command.ctx,
        command.store(),
        command.engine.plugins(),
        command.signals(),
        command.campaign,
    )
    .await?;
    command.respond(resumed).await
}

/// Ends a campaign for good and cancels its open updates.
#[utoipa::path(
    post, path = "/campaigns/{campaign_id}/cancel", tag = "campaigns",
    params(("campaign_id" = i64, Path)), request_body = Option<Reason>,
    responses((status = 200, description = "The cancelled campaign.", body = CampaignBody)),
)]
pub(crate) async fn cancel_campaign(
    command: CampaignCommand,
    OptionalJson(request): OptionalJson<Reason>,
) -> Result<Json<CampaignBody>> {
    let reason = request.into_text()?;
    let cancelled = campaigns::cancel(
        &command.ctx,
        command.store(),
        command.signals(),
        command.campaign,
        &reason,
    )
    .await?;
    command.respond(cancelled).await
}

/// What of a campaign is rolled back, and why.
pub(crate) type CampaignRollbackRequest = CommandBody<CampaignRollbackScope>;

#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = RollbackRequest)]
pub(crate) struct CampaignRollbackScope {
    /// `everything`: devices in flight and devices that completed the update. `in_flight`: devices in flight only.
    #[serde(default)]
    scope: RollbackScopeField,
}

/// Rolls a campaign back: cancels its open updates and updates devices that completed it to their previous firmware.
#[utoipa::path(
    post, path = "/campaigns/{campaign_id}/rollback", tag = "campaigns",
    params(("campaign_id" = i64, Path)), request_body = Option<CampaignRollbackRequest>,
    responses((status = 200, description = "The campaign, which rolls back.", body = CampaignBody)),
)]
pub(crate) async fn roll_back_campaign(
    command: CampaignCommand,
    OptionalJson(BodyPair(request, reason)): OptionalJson<CampaignRollbackRequest>,
) -> Result<Json<CampaignBody>> {
    let reason = reason.into_text()?;
    let EnumField(scope) = request.scope;
    let rolling_back = campaigns::roll_back(
        &command.ctx,
        command.store(),
        command.signals(),
        command.campaign,
        scope,
        &reason,
    )
    .await?;
    command.respond(rolling_back).await
}
