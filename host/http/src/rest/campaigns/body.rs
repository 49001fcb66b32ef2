use serde::Serialize;
use serde_json::Value;
use tidegate_core::{
    Named as _,
    campaign::{Campaign, CampaignStatus, PluginUse},
    id::CampaignId,
    wave::Counts,
};
use tidegate_engine::{
    Ctx, Engine, Error, campaigns,
    ports::{CampaignDetail, CampaignSummary},
};
use utoipa::ToSchema;

use super::waves::WaveBody;
use crate::{
    problem::Result,
    rest::{
        response::Time,
        shared::{progress_percentage, sum_counts, update_options::UpdateOptionsView},
    },
};

#[derive(Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = Campaign)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent properties of a campaign"
)]
pub(crate) struct CampaignBody {
    campaign_id: i64,
    name: String,
    description: String,
    /// `created`, `in_progress`, `paused`, `held`, `rolling_back`, `rolled_back`, `completed`, `failed` or `cancelled`.
    status: &'static str,
    firmware_id: i64,
    firmware: FirmwareRef,
    target_devices: Vec<String>,
    target_groups: Vec<String>,
    target_filter: Option<String>,
    target_feed: Option<String>,
    allow_beta: bool,
    strategy: PluginUseBody,
    policies: Vec<PluginUseBody>,
    priority: &'static str,
    max_concurrent_updates: Option<u64>,
    #[serde(flatten)]
    options: UpdateOptionsView,
    requires_approval: bool,
    auto_rollback: bool,
    failure_threshold_percent: u8,
    /// Devices selected when it started, and later if the plan is dynamic; 0 before.
    total_devices: u64,
    /// Whether the strategy's plan is dynamic: devices that match the targets later join the last wave. False before the
    /// start.
    dynamic: bool,
    /// Devices that joined the last wave after the start.
    joined_devices: u64,
    /// Selected devices that are in no wave: a policy rejects them, or the plan leaves them out.
    excluded_devices: u64,
    pending_devices: u64,
    in_progress_devices: u64,
    completed_devices: u64,
    failed_devices: u64,
    timed_out_devices: u64,
    cancelled_devices: u64,
    /// Devices whose user denied the update.
    rejected_devices: u64,
    /// Of those in progress: devices that acknowledged a cancellation, but may have installed the firmware. The next report
    /// of their version decides; until then, or until they time out, the campaign is `rolling_back`.
    awaiting_version_devices: u64,
    /// Devices that are back on their previous firmware: the updates of a rollback that completed.
    rolled_back_devices: u64,
    /// Updates of a rollback that failed, timed out or were cancelled.
    rollback_failed_devices: u64,
    /// Devices that a rollback has given an update to their previous firmware so far. It grows while open updates are being
    /// cancelled and ended ones are processed.
    rollback_devices: u64,
    /// Share of the devices in its waves whose update has ended, in percent. Below 100 until the campaign has ended: until
    /// then it is not decided that nothing follows.
    progress_percentage: f64,
    /// In the plan's order; empty before the start. Left out in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    waves: Option<Vec<WaveBody>>,
    /// The explanation of the last decision; before the start, why the last attempt to start the campaign failed. Once all
    /// devices have ended and the next decision is due, that instead.
    explain: Vec<String>,
    /// Risks that its creator has chosen, such as that no compatibility policy is used.
    warnings: Vec<String>,
    hold: Option<HoldBody>,
    awaiting: Option<AwaitedGateBody>,
    rollback: Option<RollbackBody>,
    approved: bool,
    approved_by: Option<String>,
    approved_at: Option<Time>,
    approval_comment: Option<String>,
    actual_start: Option<Time>,
    actual_end: Option<Time>,
    created_at: Time,
    created_by: String,
    /// The user who last edited it before its start. None of the users who edited it can approve it.
    edited_by: Option<String>,
}

/// The firmware that a campaign rolls out.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
struct FirmwareRef {
    firmware_id: i64,
    name: String,
    version: String,
}

/// A plugin as a campaign uses it.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = PluginUse)]
struct PluginUseBody {
    plugin: String,
    /// `strategy`, `compatibility` or `health`.
    kind: &'static str,
    /// The revision that the campaign is pinned to, `sha256:...`.
    revision: String,
    /// The revision's own version.
    version: String,
    config: Value,
}

/// A stop by the server itself; an operator resumes.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = Hold)]
struct HoldBody {
    reason: String,
    by: String,
    since: Time,
}

/// A gate at which the campaign waits for an operator to advance it.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = AwaitedGate)]
struct AwaitedGateBody {
    /// The gate's name.
    gate: String,
    /// The wave that opens behind it; null if the gate is inside a wave.
    wave: Option<u32>,
    since: Time,
}

/// A rollback that was requested.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = Rollback)]
struct RollbackBody {
    /// `everything` or `in_flight`.
    scope: &'static str,
    reason: String,
    by: String,
}

/// A campaign as a command has stored it, with its waves.
pub(super) async fn detail(ctx: &Ctx, engine: &Engine, campaign: Campaign) -> Result<CampaignBody> {
    let waves = campaigns::waves_of(ctx, engine.store(), &campaign).await?;
    with_waves(CampaignDetail { campaign, waves })
}

/// A campaign with its waves, from one snapshot.
pub(super) async fn read_detail(
    ctx: &Ctx,
    engine: &Engine,
    id: CampaignId,
) -> Result<CampaignBody> {
    with_waves(campaigns::detail(ctx, engine.store(), id).await?)
}

/// A campaign as it was read.
pub(super) fn with_waves(detail: CampaignDetail) -> Result<CampaignBody> {
    let CampaignDetail { campaign, waves } = detail;
    let counts = (!waves.is_empty()).then(|| sum_counts(&waves));
    let mut body = CampaignBody::new(campaign, counts)?;
    body.waves = Some(waves.into_iter().zip(0..).map(WaveBody::from).collect());
    Ok(body)
}

/// A campaign without its waves, for lists.
pub(super) fn summary(summary: CampaignSummary) -> Result<CampaignBody> {
    CampaignBody::new(summary.campaign, summary.counts)
}

impl CampaignBody {
    /// `counts`: of all waves together; `None` before the start.
    fn new(campaign: Campaign, counts: Option<Counts>) -> Result<Self> {
        let excluded_devices = counts.map_or(0, |counts| {
            campaign.total_devices.saturating_sub(counts.total())
        });
        let warnings = campaigns::warnings(&campaign);
        let counts = counts.unwrap_or_default();
        let explain = explain(&campaign, &counts);
        let spec = campaign.spec;
        let policies: Result<_> = spec.policies.into_iter().map(PluginUseBody::new).collect();
        let (approval, rollback) = (campaign.approval, campaign.rollback);
        Ok(Self {
            campaign_id: campaign.id.0,
            name: spec.name,
            description: spec.description,
            status: campaign.status.as_str(),
            firmware_id: spec.firmware.0,
            firmware: FirmwareRef {
                firmware_id: spec.firmware.0,
                name: campaign.firmware_name,
                version: campaign.firmware_version,
            },
            target_devices: spec.targets.devices,
            target_groups: spec.targets.groups,
            target_filter: spec.targets.filter.map(|filter| filter.text),
            target_feed: spec.targets.feed,
            allow_beta: spec.allow_beta,
            strategy: PluginUseBody::new(spec.strategy)?,
            policies: policies?,
            priority: spec.priority.as_str(),
            max_concurrent_updates: spec.max_concurrent_updates,
            options: UpdateOptionsView::new(&spec.options, spec.success_criteria),
            requires_approval: spec.requires_approval,
            auto_rollback: spec.auto_rollback,
            failure_threshold_percent: spec.failure_threshold_percent,
            total_devices: campaign.total_devices,
            dynamic: campaign.is_dynamic,
            joined_devices: campaign.joined_devices,
            excluded_devices,
            pending_devices: counts.pending,
            in_progress_devices: counts.in_flight(),
            completed_devices: counts.completed,
            failed_devices: counts.failed,
            timed_out_devices: counts.timed_out,
            cancelled_devices: counts.cancelled,
            rejected_devices: counts.rejected,
            awaiting_version_devices: campaign.awaiting_version,
            rolled_back_devices: campaign.rollback_counts.completed,
            rollback_failed_devices: campaign.rollback_counts.failed,
            rollback_devices: campaign.rollback_counts.total(),
            progress_percentage: progress_percentage(campaign.status, &counts),
            waves: None,
            explain,
            warnings,
            hold: campaign.hold.map(|hold| HoldBody {
                reason: hold.reason,
                by: hold.by,
                since: hold.since.into(),
            }),
            awaiting: campaign.awaiting.map(|awaiting| AwaitedGateBody {
                gate: awaiting.gate.name,
                wave: awaiting.gate.before,
                since: awaiting.since.into(),
            }),
            rollback: rollback.map(|rollback| RollbackBody {
                scope: rollback.scope.as_str(),
                reason: rollback.reason,
                by: rollback.by,
            }),
            approved: approval.is_some(),
            approved_by: approval.as_ref().map(|approval| approval.by.clone()),
            approved_at: approval.as_ref().map(|approval| approval.at.into()),
            approval_comment: approval.map(|approval| approval.comment),
            actual_start: campaign.started_at.map(Time::from),
            actual_end: campaign.ended_at.map(Time::from),
            created_at: campaign.created_at.into(),
            created_by: campaign.created_by,
            edited_by: campaign.edited_by,
        })
    }
}

/// The explanation of the last decision, unless it speaks of devices in flight and all have ended since.
fn explain(campaign: &Campaign, counts: &Counts) -> Vec<String> {
    let is_outdated = campaign.decision_due
        && campaign.status == CampaignStatus::InProgress
        && counts.total() > 0
        && counts.finished() == counts.total();
    if is_outdated {
        return vec!["all devices have ended; the next decision is due".to_owned()];
    }
    campaign.explain.clone()
}

impl PluginUseBody {
    fn new(plugin: PluginUse) -> Result<Self> {
        let config = serde_json::from_str(&plugin.config)
            .map_err(|error| Error::internal("read config", error))?;
        Ok(Self {
            plugin: plugin.plugin.to_string(),
            kind: plugin.kind.as_str(),
            revision: plugin.revision.to_string(),
            version: plugin.version,
            config,
        })
    }
}
