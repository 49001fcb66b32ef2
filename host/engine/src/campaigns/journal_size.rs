//! The bound of the size of a journal, and the removal of its old entries.

use tidegate_core::{campaign::Campaign, time::Timestamp};

use crate::{Result, ports::Store, settings::JournalSettings};

/// Maximum number of entries removed in one transaction.
const BATCH_SIZE: u32 = 500;

/// Why no plugin is called for a campaign, if its journal has the maximum size. The entries of one more tick would fit
/// only by chance, and a decision that is made must not be lost.
pub(super) fn full_journal(settings: JournalSettings, campaign: &Campaign) -> Option<String> {
    let remedy = "Raise the setting, restart the server and resume the campaign; if the plugin writes more than it should, \
                  move the campaign to another revision of it before. Or cancel the campaign, or roll it back";
    Some(format!("{}. {remedy}", excess(settings, campaign)?))
}

/// The same for a campaign that is to be started: those that fail to start are recorded as well.
pub(super) fn unrecordable_start(settings: JournalSettings, campaign: &Campaign) -> Option<String> {
    let remedy = "Raise the setting, restart the server and start the campaign again; or create another campaign";
    Some(format!("{}. {remedy}", excess(settings, campaign)?))
}

fn excess(settings: JournalSettings, campaign: &Campaign) -> Option<String> {
    let (bytes, most) = (campaign.journal_bytes, settings.max_bytes_per_campaign);
    (bytes >= most).then(|| {
        format!(
            "the journal of the campaign has {bytes} bytes, and the server's setting `journal.max_bytes_per_campaign` allows \
             {most}: no plugin is called, because its calls could not be recorded"
        )
    })
}

/// Removes the entries whose time to be kept has passed.
pub(crate) async fn remove_old_entries(
    store: &dyn Store,
    settings: JournalSettings,
    now: Timestamp,
) -> Result<()> {
    let Some(retention) = settings.retention else {
        return Ok(());
    };
    let before = now.minus(retention);
    while store.remove_old_entries(before, BATCH_SIZE).await? > 0 {}
    Ok(())
}
