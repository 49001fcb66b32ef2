use tidegate_core::{
    campaign::{Campaign, CampaignStatus},
    device::Device,
    rollback::{EndedUpdate, RollbackAction, RollbackPosition, rollback_action},
    update::Purpose,
};

use crate::{
    Engine, Result,
    ports::{PageRequest, UpdateFilter, UpdateRow},
};

/// Among how many of a device's newest updates the one is looked for that brings it back.
const NEWEST: PageRequest = PageRequest {
    limit: 100,
    offset: 0,
};

/// What the campaign's rollback means for a device whose newest update this is; nothing where there was none.
pub(super) async fn explain_rollback(
    engine: &Engine,
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
            "the campaign went back: that update brings {name} {version} again"
        )));
    }
    if update.state.status.is_open() {
        return Ok(None);
    }
    let before = match (update.from_firmware, &update.from_version) {
        (None, Some(version)) => {
            let (name, model) = (&newest.firmware_name, device.hw_model.as_deref());
            let store = engine.store();
            store
                .firmware_of_version(campaign.tenant, name, version, model)
                .await?
        }
        (known, _) => known,
    };
    let store = engine.store();
    let view = store.poll_view(campaign.tenant, &device.device_id).await?;
    let every = UpdateFilter {
        campaign: None,
        device: Some(device.key),
    };
    let updates = store.list_updates(campaign.tenant, &every, NEWEST).await?;
    let position = RollbackPosition {
        installed: view.and_then(|view| view.installed),
        reported_version: device.sw_version.as_deref(),
        is_pinned: device.pinned,
        updates: updates.items.iter().map(|row| &row.update).collect(),
    };
    let ended = EndedUpdate::of(update, before, &position);
    let decided = ended.map_or(RollbackAction::NotNeeded, |ended| {
        rollback_action(&ended, rollback.scope)
    });
    let had = update.from_version.as_deref().unwrap_or("of no known name");
    Ok(match decided {
        // What passed over it says so itself.
        RollbackAction::Pinned => None,
        RollbackAction::Impossible => Some(format!(
            "the campaign went back, and the device stays where it is: the version that it had, {had}, is not on this \
             server for its model"
        )),
        RollbackAction::Install(_) if campaign.status == CampaignStatus::RollingBack => {
            Some("the campaign goes back, and so will this device".to_owned())
        }
        RollbackAction::AlreadyRollingBack(id) => Some(format!(
            "the campaign went back, and leaves this device to update {id}, which brings it back already"
        )),
        RollbackAction::Install(_) => Some(
            "the campaign went back, and what the device had before is not there again: roll the device back by itself"
                .to_owned(),
        ),
        RollbackAction::NotNeeded => {
            Some("the campaign went back, and had nothing to bring back here".to_owned())
        }
    })
}
