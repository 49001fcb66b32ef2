use tidegate_core::{
    campaign::{Campaign, CampaignStatus},
    device::Device,
    rollback::{EndedUpdate, RollbackAction, RollbackPosition, rollback_action},
    update::Purpose,
};

use crate::{
    Result,
    ports::{PageRequest, Store, UpdateFilter, UpdateRow},
};

/// How many of a device's newest updates are searched for one that rolls it back.
const NEWEST: PageRequest = PageRequest {
    limit: 100,
    offset: 0,
};

/// What the campaign's rollback means for a device with this newest update. `None`: there is no rollback, or no update.
pub(super) async fn explain_rollback(
    store: &dyn Store,
    campaign: &Campaign,
    device: &Device,
    newest: Option<&UpdateRow>,
) -> Result<Option<String>> {
    let (Some(rollback), Some(newest)) = (&campaign.rollback, newest) else {
        return Ok(None);
    };
    let update = &newest.update;
    if let Some((_, Purpose::Rollback)) = update.campaign {
        let (name, version) = (&newest.firmware_name, &update.to_version);
        return Ok(Some(format!(
            "the campaign was rolled back: this update returns the device to {name} {version}"
        )));
    }
    if update.state.status.is_open() {
        return Ok(None);
    }
    let before = match (update.from_firmware, &update.from_version) {
        (None, Some(version)) => {
            let (name, model) = (&newest.firmware_name, device.hw_model.as_deref());
            store
                .firmware_of_version(campaign.tenant, name, version, model)
                .await?
        }
        (known, _) => known,
    };
    let view = store.poll_view(campaign.tenant, &device.device_id).await?;
    let every = UpdateFilter {
        campaign: None,
        device: Some(device.key),
        status: None,
    };
    let updates = store.list_updates(campaign.tenant, &every, NEWEST).await?;
    let position = RollbackPosition {
        installed: view.and_then(|view| view.installed),
        reported_version: device.sw_version.as_deref(),
        is_pinned: device.pinned,
        updates: updates.items.iter().map(|row| &row.update).collect(),
    };
    let ended = EndedUpdate::of(update, before, rollback.since, &position);
    let decided = ended.map_or(RollbackAction::NotNeeded, |ended| {
        rollback_action(&ended, rollback.scope)
    });
    let had = update.from_version.as_deref().unwrap_or("unknown");
    Ok(match decided {
        // The skip reason explains it.
        RollbackAction::Pinned => None,
        RollbackAction::Impossible => Some(format!(
            "the campaign was rolled back, but the device keeps its firmware: its previous version ({had}) is not on \
             this server for its model"
        )),
        RollbackAction::Install(_) if campaign.status == CampaignStatus::RollingBack => {
            Some("the campaign is being rolled back, and this device will be too".to_owned())
        }
        RollbackAction::AlreadyRollingBack(id) => Some(format!(
            "the campaign was rolled back; update {id} was already rolling this device back"
        )),
        RollbackAction::Install(_) => Some(
            "the campaign was rolled back, but the device does not have its previous firmware again: roll it back"
                .to_owned(),
        ),
        RollbackAction::NotNeeded => {
            Some("the campaign was rolled back; this device needed no rollback".to_owned())
        }
    })
}
