use strum::{IntoStaticStr, VariantNames};
use tidegate_core::{
    Named as _,
    campaign::{Campaign, CampaignStatus},
    device::Device,
    id::CampaignId,
    mode::{DeviceMode, SkipReason},
    time::Timestamp,
    update::{INCOMPATIBLE, IntermediateFirmware},
};

use super::{
    advance::explain_advance, explain_retry::explain_retry, explain_rollback::explain_rollback,
};
use crate::{
    Ctx, Error, Result,
    compatibility::{class_name, explain_compatibility},
    ports::{Membership, Page, PageRequest, Store, UpdateFilter, UpdateRow, Wave},
    updates::{explain_last_report, waits_behind},
};

/// Why a device has been offered a campaign's firmware, or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The campaign.
    pub campaign: Campaign,
    /// The device's status in the campaign.
    pub status: MembershipStatus,
    /// Reasons in chronological order.
    pub reasons: Vec<String>,
    /// The device's updates from this campaign, newest first.
    pub updates: Vec<UpdateRow>,
}

/// Status of a device in a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "snake_case")]
#[expect(missing_docs, reason = "self-explanatory names")]
pub enum MembershipStatus {
    NotStarted,
    NotSelected,
    Excluded,
    InNoWave,
    Waiting,
    #[strum(serialize = "passed_over")]
    Skipped,
    #[strum(serialize = "admitted")]
    Offered,
}

/// Explains a device's status in a page of the campaigns that have started: first those that have an open update for it,
/// newest first. Or in one campaign, whether it has started or not.
pub async fn explain(
    ctx: &Ctx,
    store: &dyn Store,
    device_id: &str,
    campaign: Option<CampaignId>,
    page: PageRequest,
) -> Result<Page<Explanation>> {
    let device = store.device(ctx.tenant, device_id).await?;
    let device = device.ok_or_else(|| Error::not_found("device", device_id))?;
    let campaigns = match campaign {
        Some(id) => Page {
            items: vec![super::get(ctx, store, id).await?],
            total: 1,
        },
        None => {
            store
                .started_campaigns(ctx.tenant, device.key, page)
                .await?
        }
    };
    let mut items = Vec::with_capacity(campaigns.items.len());
    for campaign in campaigns.items {
        items.push(explain_campaign(ctx, store, &device, campaign).await?);
    }
    Ok(Page {
        items,
        total: campaigns.total,
    })
}

async fn explain_campaign(
    ctx: &Ctx,
    store: &dyn Store,
    device: &Device,
    campaign: Campaign,
) -> Result<Explanation> {
    let (tenant, id) = (campaign.tenant, campaign.id);
    let membership = store.membership(tenant, id, device.key).await?;
    let filter = UpdateFilter {
        campaign: Some(id),
        device: Some(device.key),
        status: None,
    };
    let newest_ten = PageRequest {
        limit: 10,
        offset: 0,
    };
    let updates = store.list_updates(tenant, &filter, newest_ten).await?.items;
    let (status, reasons) = match membership {
        Membership::NotStarted => (
            MembershipStatus::NotStarted,
            vec!["the campaign has not started".to_owned()],
        ),
        Membership::NotSelected => (MembershipStatus::NotSelected, vec![not_selected(&campaign)]),
        Membership::Excluded {
            class,
            reason,
            excluded_later_at,
        } => {
            let mut reasons = vec![selected()];
            reasons.extend(excluded_later_at.map(|at| {
                format!("it came to be among them after the start, and was checked at {at}")
            }));
            reasons.push(format!("excluded as {}: {reason}", class_name(&class)));
            (MembershipStatus::Excluded, reasons)
        }
        Membership::InNoWave => {
            let reason = "no wave of the strategy's plan includes it".to_owned();
            (MembershipStatus::InNoWave, vec![selected(), reason])
        }
        Membership::InWave {
            wave,
            position,
            joined_later_at,
            intermediate,
        } => {
            let waves = store.waves(tenant, id).await?;
            let skip_reason = store.skip_reason(tenant, id, device.key).await?;
            let (mut status, mut reasons) = explain_wave_member(
                &campaign,
                waves.get(wave as usize),
                &MemberPosition {
                    wave,
                    position,
                    joined_later_at,
                    intermediate,
                },
                &updates,
                ctx.now,
            );
            reasons.extend(explain_retry(&campaign, &updates, ctx.now));
            let waits = updates
                .first()
                .and_then(|newest| waits_behind(&newest.update, device));
            reasons.extend(waits.map(|waits| format!("it {waits}")));
            if let Some(newest) = updates.first() {
                reasons.extend(explain_last_report(store, newest).await?);
            }
            if status == MembershipStatus::Offered {
                let newest = updates.first();
                let checks = newest.map(|row| explain_compatibility(&row.update));
                reasons.extend(checks.into_iter().flatten());
                reasons.extend(explain_rollback(store, &campaign, device, newest).await?);
                reasons.extend(rollback_skip_explanation(&campaign, skip_reason));
            }
            if status == MembershipStatus::Waiting {
                reasons.extend(skip_explanation(device, skip_reason));
            }
            if let (MembershipStatus::Waiting, Some(_)) = (status, skip_reason) {
                status = MembershipStatus::Skipped;
            }
            let newest = updates.first().map(|row| &row.update.state);
            let error = newest.and_then(|state| state.error.as_ref());
            if error.is_some_and(|error| error.code == INCOMPATIBLE) {
                status = MembershipStatus::Skipped;
            }
            (status, reasons)
        }
    };
    Ok(Explanation {
        campaign,
        status,
        reasons,
        updates,
    })
}

/// Why a device is offered another firmware first.
fn explain_intermediate(intermediate: &IntermediateFirmware) -> String {
    let IntermediateFirmware {
        firmware,
        version,
        reason,
    } = intermediate;
    format!(
        "every compatibility policy allows it after the intermediate version {version} (firmware {firmware}), which it is \
         offered first: {reason}"
    )
}

/// Why a member of a wave was skipped, or will be.
fn skip_explanation(device: &Device, skip_reason: Option<SkipReason>) -> Option<String> {
    if let Some(reason) = skip_reason {
        let until = match reason {
            SkipReason::Superseded => "",
            _ => {
                "; it is offered its update as soon as this no longer applies, while the campaign is in progress"
            }
        };
        return Some(format!("{}{until}", reason.sentence()));
    }
    if device.pinned {
        return Some(
            "it is pinned, and will be skipped if it is still pinned when its turn comes"
                .to_owned(),
        );
    }
    (device.mode != DeviceMode::Rollout).then(|| {
        let mode = device.mode.as_str();
        format!("its mode is {mode}, and it will be skipped unless its mode is rollout when its turn comes")
    })
}

/// Why the rollback skipped the device.
fn rollback_skip_explanation(
    campaign: &Campaign,
    skip_reason: Option<SkipReason>,
) -> Option<String> {
    let keeps_firmware = campaign.rollback.is_some() && skip_reason == Some(SkipReason::Pinned);
    let why = "it was pinned when the campaign was rolled back, and keeps the campaign's firmware";
    keeps_firmware.then(|| why.to_owned())
}

fn selected() -> String {
    "the campaign's targets include it".to_owned()
}

fn not_selected(campaign: &Campaign) -> String {
    let targets = &campaign.spec.targets;
    let mut parts = Vec::new();
    if !targets.devices.is_empty() {
        parts.push(format!("{} named devices", targets.devices.len()));
    }
    if !targets.groups.is_empty() {
        parts.push(format!("the groups {}", targets.groups.join(", ")));
    }
    parts.extend(
        targets
            .feed
            .as_ref()
            .map(|feed| format!("devices that follow the feed {feed}")),
    );
    parts.extend(
        targets
            .filter
            .as_ref()
            .map(|filter| format!("devices where {}", filter.text)),
    );
    let targets = parts.join(", or ");
    if campaign.is_dynamic && CampaignStatus::JOINABLE.contains(&campaign.status) {
        return format!(
            "when the campaign started, it was not among its targets: {targets}; the plan of the strategy is dynamic, so it \
             joins the last wave once it is among them and its mode is rollout"
        );
    }
    format!("when the campaign started, it was not among its targets: {targets}")
}

/// The place of a device in a wave.
struct MemberPosition {
    wave: u32,
    position: u64,
    joined_later_at: Option<Timestamp>,
    intermediate: Option<IntermediateFirmware>,
}

fn explain_wave_member(
    campaign: &Campaign,
    wave: Option<&Wave>,
    member: &MemberPosition,
    updates: &[UpdateRow],
    now: Timestamp,
) -> (MembershipStatus, Vec<String>) {
    let mut reasons = vec![selected()];
    reasons.extend(member.joined_later_at.map(|at| {
        format!("it joined later, at {at}: the plan of the strategy is dynamic, and the device came to be among the targets after the start")
    }));
    reasons.push(member.intermediate.as_ref().map_or_else(
        || "every compatibility policy allows it".to_owned(),
        explain_intermediate,
    ));
    let Some(wave) = wave else {
        return (MembershipStatus::Waiting, reasons);
    };
    let (index, place) = (member.wave, member.position + 1);
    let (name, size) = (&wave.report.name, wave.report.size);
    reasons.push(format!(
        "it is number {place} of {size} in wave {index} ({name})"
    ));
    reasons.extend(explain_advance(wave));
    if let Some(newest) = updates.first() {
        reasons.push(format!(
            "it was offered an update; its newest update is {}",
            newest.update.state.status.as_str()
        ));
        if newest.update.state.awaits_version() {
            let awaited = "it acknowledged the cancellation, but may have installed the firmware: its next report of its \
                           version decides";
            reasons.push(awaited.to_owned());
        }
        reasons.extend(newest.update.state.window_wait_reason(now));
        reasons.extend(newest.update.state.fetch_failure_reason(now));
        reasons.extend(
            newest
                .update
                .state
                .error
                .as_ref()
                .map(|error| format!("{}: {}", error.code, error.message)),
        );
        reasons.extend(newest.update.state.earlier_error.as_ref().map(|error| {
            let (code, message) = (&error.code, &error.message);
            format!("it had ended with {code}: {message}; then its device succeeded after all")
        }));
        return (MembershipStatus::Offered, reasons);
    }
    reasons.push(format!(
        "{} devices of the wave have been released so far",
        wave.report.released
    ));
    let checked_at = member.joined_later_at.or(campaign.started_at);
    reasons.extend(checked_at.map(|at| {
        format!("policies checked its compatibility at {at}, and check it again if it has changed when its turn comes")
    }));
    reasons.extend(status_reason(campaign));
    for sentence in &campaign.explain {
        if !reasons.contains(sentence) {
            reasons.push(sentence.clone());
        }
    }
    (MembershipStatus::Waiting, reasons)
}

fn status_reason(campaign: &Campaign) -> Option<String> {
    if campaign.status == CampaignStatus::InProgress {
        return None;
    }
    let status = campaign.status.as_str();
    let hold = campaign
        .hold
        .as_ref()
        .map(|hold| format!(" by {}: {}", hold.by, hold.reason));
    let rollback = campaign
        .rollback
        .as_ref()
        .map(|rollback| format!(" by {}: {}", rollback.by, rollback.reason));
    Some(format!(
        "the campaign is {status}{}",
        rollback.or(hold).unwrap_or_default()
    ))
}
