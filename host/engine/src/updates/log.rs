use tidegate_core::{
    id::{DeviceKey, UpdateId},
    log::{LogLine, LogSource, MAX_LINES, lines},
    update::Update,
};

use crate::{
    Engine, Result,
    ports::{LogReport, PageRequest, Role, UpdateFilter, UpdateRow},
    tenants::Actor,
};

/// A part of an update's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateLog {
    /// The update, as it stood before the lines were read.
    pub update: UpdateRow,
    /// In order.
    pub lines: Vec<LogLine>,
    /// How many older lines are not kept any more.
    pub dropped: u64,
}

/// The log of an update: the first `limit` lines after this one, or, without one, the newest.
pub async fn log(
    engine: &Engine,
    actor: &Actor,
    id: UpdateId,
    after: Option<u64>,
    limit: u32,
) -> Result<UpdateLog> {
    actor.require(Role::Viewer)?;
    let update = super::get(engine, actor, id).await?;
    let after = if let Some(after) = after {
        after
    } else {
        // Lines that come meanwhile come after these.
        let all = engine.store().log(actor.tenant, id, u64::MAX, 1).await?;
        all.total.saturating_sub(u64::from(limit))
    };
    let log = engine.store().log(actor.tenant, id, after, limit).await?;
    Ok(UpdateLog {
        update,
        lines: log.lines,
        dropped: log.total.saturating_sub(MAX_LINES),
    })
}

/// Notes in an update's log what an operator did with it. What was done stays done where the note cannot be written.
pub(super) async fn note(
    engine: &Engine,
    actor: &Actor,
    update: &Update,
    action: &str,
    reason: &str,
) {
    let colon = if reason.is_empty() { "" } else { ": " };
    let report = LogReport {
        tenant: update.tenant,
        device: update.device,
        update: Some(update.id),
        source: LogSource::Host,
        lines: lines(&format!("{action} by {}{colon}{reason}", actor.user)),
        at: engine.now(),
    };
    if let Err(error) = engine.store().record_log(report).await {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(error, update = %update.id, "cannot note what was done with an update");
    }
    engine.signals.notify_log_watchers(update.device);
}

/// The newest update of a device.
pub async fn newest_update(
    engine: &Engine,
    actor: &Actor,
    device: DeviceKey,
) -> Result<Option<UpdateId>> {
    actor.require(Role::Viewer)?;
    let filter = UpdateFilter {
        campaign: None,
        device: Some(device),
    };
    let first = PageRequest {
        limit: 1,
        offset: 0,
    };
    let page = engine
        .store()
        .list_updates(actor.tenant, &filter, first)
        .await?;
    Ok(page.items.first().map(|row| row.update.id))
}
