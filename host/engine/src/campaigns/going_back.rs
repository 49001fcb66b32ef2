use tidegate_core::{
    campaign::{Campaign, CampaignStatus},
    device::Device,
    rollback::{Ended, Return, after},
    update::Purpose,
};

use crate::{Engine, Result, ports::UpdateRow};

/// What the campaign's rollback means for a device whose newest update this is; nothing where there was none.
pub(super) async fn of_newest(
    engine: &Engine,
    campaign: &Campaign,
    device: &Device,
    newest: Option<&UpdateRow>,
) -> Result<Option<String>> {
    let (Some(rollback), Some(newest)) = (&campaign.rollback, newest) else {
        return Ok(None);
    };
    let update = &newest.update;
    if let Some((_, Purpose::Return)) = update.campaign {
        let (name, version) = (&newest.firmware_name, &update.to_version);
        return Ok(Some(format!(
            "the campaign went back: that update brings {name} {version} again"
        )));
    }
    if update.progress.status.is_open() {
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
    let ended = Ended::of(
        update,
        before,
        view.and_then(|view| view.installed),
        device.sw_version.as_deref(),
        device.pinned,
    );
    let decided = ended.map_or(Return::NotNeeded, |ended| after(&ended, rollback.scope));
    let had = update.from_version.as_deref().unwrap_or("of no known name");
    Ok(match decided {
        // What passed over it says so itself.
        Return::Pinned => None,
        Return::Impossible => Some(format!(
            "the campaign went back, and the device stays where it is: the version that it had, {had}, is not on this \
             server for its model"
        )),
        Return::To(_) if campaign.status == CampaignStatus::RollingBack => {
            Some("the campaign goes back, and so will this device".to_owned())
        }
        Return::To(_) | Return::NotNeeded => {
            Some("the campaign went back, and had nothing to bring back here".to_owned())
        }
    })
}
