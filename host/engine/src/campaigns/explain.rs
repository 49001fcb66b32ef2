use tidegate_core::{
    campaign::{Campaign, CampaignStatus},
    device::Device,
    mode::{DeviceMode, PassedOver},
    plugin::ClassKey,
    time::Timestamp,
};

use super::{going_back, tries};
use crate::{
    Engine, Error, Result,
    ports::{CampaignFilter, Membership, PageRequest, UpdateFilter, UpdateRow, Wave},
    tenants::Actor,
};

/// How many of the newest campaigns are explained.
const CAMPAIGNS: u32 = 50;

/// Why a device has, or has not, been given a campaign's firmware.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The campaign.
    pub campaign: Campaign,
    /// Where the device stands in it.
    pub standing: Standing,
    /// The reasons, in the order in which they came about.
    pub reasons: Vec<String>,
    /// The device's updates by this campaign, newest first.
    pub updates: Vec<UpdateRow>,
}

/// Where a device stands in a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the reasons say more")]
pub enum Standing {
    NotStarted,
    NotSelected,
    Excluded,
    InNoWave,
    Waiting,
    PassedOver,
    Admitted,
}

impl Standing {
    /// Its name in REST.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotStarted => "not_started",
            Self::NotSelected => "not_selected",
            Self::Excluded => "excluded",
            Self::InNoWave => "in_no_wave",
            Self::Waiting => "waiting",
            Self::PassedOver => "passed_over",
            Self::Admitted => "admitted",
        }
    }
}

/// Explains a device's standing in each of the newest campaigns, newest first.
pub async fn explain(engine: &Engine, actor: &Actor, device_id: &str) -> Result<Vec<Explanation>> {
    let device = engine.store().device(actor.tenant, device_id).await?;
    let device = device.ok_or_else(|| Error::not_found("device", device_id))?;
    let newest = PageRequest {
        limit: CAMPAIGNS,
        offset: 0,
    };
    let campaigns = engine
        .store()
        .list_campaigns(actor.tenant, &CampaignFilter::default(), newest)
        .await?;
    let mut explanations = Vec::with_capacity(campaigns.items.len());
    for campaign in campaigns.items {
        explanations.push(explain_one(engine, &device, campaign).await?);
    }
    Ok(explanations)
}

async fn explain_one(engine: &Engine, device: &Device, campaign: Campaign) -> Result<Explanation> {
    let (tenant, id) = (campaign.tenant, campaign.id);
    let membership = engine.store().membership(tenant, id, device.key).await?;
    let filter = UpdateFilter {
        campaign: Some(id),
        device: Some(device.key),
    };
    let few = PageRequest {
        limit: 10,
        offset: 0,
    };
    let updates = engine
        .store()
        .list_updates(tenant, &filter, few)
        .await?
        .items;
    let (standing, reasons) = match membership {
        Membership::NotStarted => (
            Standing::NotStarted,
            vec!["the campaign has not started".to_owned()],
        ),
        Membership::NotSelected => (Standing::NotSelected, vec![not_selected(&campaign)]),
        Membership::Excluded { class, reason } => (
            Standing::Excluded,
            vec![
                selected(),
                format!("left out as {}: {reason}", class_name(&class)),
            ],
        ),
        Membership::InNoWave => {
            let reason = "no wave of the strategy's plan took it".to_owned();
            (Standing::InNoWave, vec![selected(), reason])
        }
        Membership::InWave { wave, position } => {
            let waves = engine.store().waves(tenant, id).await?;
            let passed_over = engine.store().passed_over(tenant, id, device.key).await?;
            let (mut standing, mut reasons) = in_wave(
                &campaign,
                waves.get(wave as usize),
                wave,
                position,
                &updates,
                engine.now(),
            );
            reasons.extend(tries::of_newest(&campaign, &updates, engine.now()));
            if standing == Standing::Admitted {
                let newest = updates.first();
                reasons.extend(going_back::of_newest(engine, &campaign, device, newest).await?);
                reasons.extend(stays(&campaign, passed_over));
            }
            if standing == Standing::Waiting {
                reasons.extend(kept_from(device, passed_over));
            }
            if let (Standing::Waiting, Some(_)) = (standing, passed_over) {
                standing = Standing::PassedOver;
            }
            (standing, reasons)
        }
    };
    Ok(Explanation {
        campaign,
        standing,
        reasons,
        updates,
    })
}

/// What keeps a device of a wave from its update: what did when its turn came, or what will.
fn kept_from(device: &Device, passed_over: Option<PassedOver>) -> Option<String> {
    if let Some(reason) = passed_over {
        let until = match reason {
            PassedOver::Superseded => "",
            _ => "; while the campaign is in progress it is admitted as soon as that is gone",
        };
        return Some(format!("{}{until}", reason.sentence()));
    }
    if device.pinned {
        return Some(
            "it is pinned, and will be passed over if it still is when its turn comes".to_owned(),
        );
    }
    (device.mode != DeviceMode::Rollout).then(|| {
        let mode = device.mode.as_str();
        format!("its mode is {mode}, and it will be passed over if that is so when its turn comes")
    })
}

/// That the way back passed over the device.
fn stays(campaign: &Campaign, passed_over: Option<PassedOver>) -> Option<String> {
    let goes_back = campaign.rollback.is_some() && passed_over == Some(PassedOver::Pinned);
    let why = "it was pinned when the campaign went back, and stays on what the campaign brought";
    goes_back.then(|| why.to_owned())
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
            .map(|filter| format!("devices where {filter}")),
    );
    format!(
        "when the campaign started, it was not among its targets: {}",
        parts.join(", or ")
    )
}

fn class_name(class: &ClassKey) -> String {
    let or_unknown = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".to_owned());
    let (model, revision) = (
        or_unknown(&class.hardware_model),
        or_unknown(&class.hardware_revision),
    );
    format!(
        "hardware {model}, revision {revision}, version {}",
        or_unknown(&class.version)
    )
}

fn in_wave(
    campaign: &Campaign,
    wave: Option<&Wave>,
    index: u32,
    position: u64,
    updates: &[UpdateRow],
    now: Timestamp,
) -> (Standing, Vec<String>) {
    let mut reasons = vec![
        selected(),
        "every compatibility policy allows it".to_owned(),
    ];
    let Some(wave) = wave else {
        return (Standing::Waiting, reasons);
    };
    let place = position + 1;
    let (name, size) = (&wave.report.name, wave.report.size);
    reasons.push(format!(
        "it is number {place} of {size} in wave {index} ({name})"
    ));
    if let Some(newest) = updates.first() {
        reasons.push(format!(
            "it was admitted; its newest update is {}",
            newest.update.progress.status.as_str()
        ));
        reasons.extend(newest.update.progress.why_held(now));
        reasons.extend(
            newest
                .update
                .progress
                .error
                .as_ref()
                .map(|error| format!("{}: {}", error.code, error.message)),
        );
        return (Standing::Admitted, reasons);
    }
    reasons.push(format!(
        "{} devices of the wave have been released so far",
        wave.report.released
    ));
    reasons.extend(why_stopped(campaign));
    reasons.extend(campaign.explain.iter().cloned());
    (Standing::Waiting, reasons)
}

fn why_stopped(campaign: &Campaign) -> Option<String> {
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
