use tidegate_core::{Named as _, device::Device, mode::DeviceMode, plugin::DeviceClass};

use super::chooser::{
    FirmwareChoice, FirmwareChooser, MAX_CANDIDATES, SkippedRelease, version_key,
};
use crate::{
    Ctx, PluginCalls, Result,
    ports::{PageRequest, Store, UpdateFilter},
};

/// What mode `latest` chooses for a device and why, in sentences. Empty for a device in another mode.
pub async fn explain(
    ctx: &Ctx,
    store: &dyn Store,
    plugins: &PluginCalls,
    device: &Device,
) -> Result<Vec<String>> {
    if device.mode != DeviceMode::Latest {
        return Ok(Vec::new());
    }
    let Some(chooser) = FirmwareChooser::load(store, plugins, ctx.tenant, ctx.now).await? else {
        let missing = "the policy latest, which chooses firmware, is missing or disabled";
        return Ok(vec![missing.to_owned()]);
    };
    let Some(model) = &device.hw_model else {
        let unknown = "it does not report its hardware model, so no firmware can be chosen for it";
        return Ok(vec![unknown.to_owned()]);
    };
    let class = DeviceClass {
        key: device.class(&chooser.policies.attributes),
        devices: 1,
    };
    let installed_key = class.key.version.clone();
    let choice = chooser.choose(&[class]).await?.pop().unwrap_or_default();
    let chosen = choice.chosen.as_ref();
    let lowest = chosen.map(|firmware| firmware.details.version.clone());
    let lowest = lowest.or(installed_key).as_deref().and_then(version_key);
    let excluded_candidates = chooser.excluded_candidates(model, lowest).await?;
    let mut sentences = skip_sentences(&choice, &excluded_candidates);
    let Some(firmware) = choice.chosen else {
        sentences.push("latest chooses no firmware for it".to_owned());
        return Ok(sentences);
    };
    let (name, version) = (&firmware.details.name, &firmware.details.version);
    sentences.push(format!("latest chooses {name} {version} for it"));
    let filter = UpdateFilter {
        campaign: None,
        device: Some(device.key),
        status: None,
    };
    let last = PageRequest {
        limit: 500,
        offset: 0,
    };
    let updates = store.list_updates(ctx.tenant, &filter, last).await?;
    let previous = updates
        .items
        .iter()
        .find(|row| row.update.firmware == firmware.id);
    sentences.extend(previous.map(|row| {
        let (id, status) = (row.update.id, row.update.state.status.as_str());
        format!("update {id} ({status}) already offered it this firmware; latest offers a firmware only once")
    }));
    Ok(sentences)
}

/// Which releases are not chosen and why.
fn skip_sentences(choice: &FirmwareChoice, excluded_candidates: &[SkippedRelease]) -> Vec<String> {
    let skipped = excluded_candidates.iter().chain(&choice.skipped);
    let mut sentences: Vec<_> = skipped
        .map(|skipped| {
            format!(
                "not {} {}: {}",
                skipped.name, skipped.version, skipped.reason
            )
        })
        .collect();
    if choice.is_truncated {
        sentences.push(format!(
            "more releases may be for its model; only the {MAX_CANDIDATES} of the highest versions were checked"
        ));
    }
    sentences
}
