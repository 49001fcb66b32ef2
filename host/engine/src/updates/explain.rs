use tidegate_core::{
    Named as _,
    device::Device,
    update::{INCOMPATIBLE, Update, UpdateStatus},
};

use super::explain_last_report;
use crate::{
    Ctx, Error, Result,
    compatibility::explain_compatibility,
    ports::{PageRequest, Store, UpdateFilter, UpdateRow},
};

/// How many of a device's newest updates are searched for those that wait.
const NEWEST: PageRequest = PageRequest {
    limit: 50,
    offset: 0,
};

/// Explains, in sentences, the open update that a device is shown, what it waits for, and which others wait behind it or
/// for a check of the device; and the newest update, if it ended because the device was not compatible. For an update of
/// a campaign the campaign's explanation covers the window, and that it waits behind another, and the device's last
/// report.
pub async fn explain_open_updates(
    ctx: &Ctx,
    store: &dyn Store,
    device: &Device,
) -> Result<Vec<String>> {
    let mut reasons = match device.open_update {
        // It may have been deleted meanwhile.
        Some(id) => match super::get(ctx, store, id).await {
            Err(Error::NotFound { .. }) => return Ok(Vec::new()),
            row => explain_shown(ctx, store, &row?).await?,
        },
        None => Vec::new(),
    };
    let of_device = UpdateFilter {
        campaign: None,
        device: Some(device.key),
        status: None,
    };
    let updates = store.list_updates(ctx.tenant, &of_device, NEWEST).await?;
    let newest = updates.items.first().map(|row| row.update.id);
    for row in &updates.items {
        let update = &row.update;
        if update.campaign.is_some() {
            continue;
        }
        let id = update.id;
        if update.state.status == UpdateStatus::WaitingApproval {
            reasons.push(explain_approval(row));
            continue;
        }
        let waits = waits_behind(update, device);
        reasons.extend(waits.map(|waits| format!("update {id} {waits}")));
        let error = update.state.error.as_ref();
        let is_skipped = error.is_some_and(|error| error.code == INCOMPATIBLE);
        if update.state.status == UpdateStatus::Scheduled || (is_skipped && newest == Some(id)) {
            let checks = explain_compatibility(update);
            reasons.extend(checks.iter().map(|check| format!("update {id}: {check}")));
        }
    }
    Ok(reasons)
}

fn explain_approval(row: &UpdateRow) -> String {
    let id = row.update.id;
    let authors = row.authors().join(" and ");
    format!("update {id} waits for the approval of another user than {authors}")
}

/// Explains the update that a device is shown.
async fn explain_shown(ctx: &Ctx, store: &dyn Store, row: &UpdateRow) -> Result<Vec<String>> {
    let mut reasons: Vec<String> = explain_shown_update(ctx, row).into_iter().collect();
    // The explanation of a campaign covers its updates.
    if row.update.campaign.is_none() {
        reasons.extend(explain_compatibility(&row.update));
        reasons.extend(row.update.state.fetch_failure_reason(ctx.now));
        reasons.extend(explain_last_report(store, row).await?);
    }
    Ok(reasons)
}

/// That an update waits behind the one that its device is shown.
pub(crate) fn waits_behind(update: &Update, device: &Device) -> Option<String> {
    update.state.waits_since?;
    let shown = device.open_update.filter(|shown| *shown != update.id)?;
    Some(format!(
        "waits behind update {shown}; its time does not run meanwhile"
    ))
}

fn explain_shown_update(ctx: &Ctx, row: &UpdateRow) -> Option<String> {
    let id = row.update.id;
    let state = &row.update.state;
    match state.window_wait_reason(ctx.now) {
        Some(_) if row.update.campaign.is_some() => None,
        Some(why) => Some(format!("update {id} waits: {why}")),
        None if state.status == UpdateStatus::Cancelling => Some(format!(
            "update {id} is being cancelled and the device has not answered: until then it is offered nothing else"
        )),
        None => Some(format!(
            "its current update is {id}: it is {}",
            state.status.as_str()
        )),
    }
}
