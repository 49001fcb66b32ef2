use sqlx::any::AnyRow;
use tidegate_core::{
    Named as _,
    id::{CampaignId, DeviceKey, FirmwareId, TenantId, UpdateId},
    time::Timestamp,
    update::{Attempt, FetchFailure, Purpose, PurposeName, Update, UpdateError, UpdateState},
};

use super::{compatibility, deadlines::StoredDeadlines};
use crate::{
    rows::{RowError, RowExt as _},
    update_options::{options, success_criteria, take_u32, update_option_columns},
};

/// The columns of an update `u` that [`update`] reads.
pub(crate) fn columns() -> String {
    let options = update_option_columns("u");
    format!(
        "u.id, u.tenant_id, u.device_key, u.firmware_id, u.campaign_id, u.purpose, u.wave, u.weight, u.status, \
         u.soaks_until, u.revision, u.progress_n, u.progress_of, u.phase, u.file_fetch, u.cancel_acknowledged, u.code, u.refusal, u.fetch_failed_at, u.fetch_failure, u.from_version, u.to_version, \
         u.from_firmware_id, u.error_code, u.error_message, u.earlier_error_code, u.earlier_error_message, u.installed_reported, u.created_at, u.started_at, \
         u.completed_at, u.timeout_at, u.ends_at, u.waits_since, u.retry_count, u.retry_of, u.scheduled_at, u.is_retried, u.compatibility, {options}"
    )
}

/// Reads an update and its revision. `stopped_ms`: how long the reporting clock has stood still.
pub(crate) fn update(row: &AnyRow, stopped_ms: i64) -> Result<(Update, i32), RowError> {
    let update = Update {
        id: UpdateId(row.take("id")?),
        tenant: TenantId(row.take("tenant_id")?),
        device: DeviceKey(row.take("device_key")?),
        firmware: FirmwareId(row.take("firmware_id")?),
        campaign: campaign(row)?,
        weight: row.take("weight")?,
        state: state(row, stopped_ms)?,
        from_version: row.take("from_version")?,
        to_version: row.take("to_version")?,
        from_firmware: row.take::<Option<i64>>("from_firmware_id")?.map(FirmwareId),
        created_at: Timestamp(row.take("created_at")?),
        attempt: attempt(row)?,
        compatibility: compatibility::from_row(row)?,
    };
    Ok((update, row.take("revision")?))
}

fn attempt(row: &AnyRow) -> Result<Attempt, RowError> {
    Ok(Attempt {
        count: take_u32(row, "retry_count")?,
        first: row.take::<Option<i32>>("retry_of")?.map(UpdateId),
        scheduled_at: row.take::<Option<i64>>("scheduled_at")?.map(Timestamp),
        is_retried: row.flag("is_retried")?,
    })
}

fn campaign(row: &AnyRow) -> Result<Option<(CampaignId, Purpose)>, RowError> {
    let Some(campaign) = row.take::<Option<i64>>("campaign_id")? else {
        return Ok(None);
    };
    let purpose: Option<PurposeName> = row.parse_optional("purpose")?;
    let wave: Option<i64> = row.take("wave")?;
    let purpose = match (purpose, wave.map(u32::try_from)) {
        (Some(PurposeName::Forward), Some(Ok(wave))) => Purpose::Forward { wave },
        (Some(PurposeName::Rollback), None) => Purpose::Rollback,
        (purpose, _) => {
            return Err(RowError::UnknownValue {
                column: "purpose",
                value: purpose.map_or("", |name| name.as_str()).to_owned(),
            });
        }
    };
    Ok(Some((CampaignId(campaign), purpose)))
}

fn state(row: &AnyRow, stopped_ms: i64) -> Result<UpdateState, RowError> {
    let time = |column| Ok::<_, RowError>(row.take::<Option<i64>>(column)?.map(Timestamp));
    let stored = StoredDeadlines {
        timeout_at: row.take("timeout_at")?,
        ends_at: row.take("ends_at")?,
        soaks_until: row.take("soaks_until")?,
        waits_since: row.take("waits_since")?,
    };
    let mut state = UpdateState {
        status: row.parse("status")?,
        success_criteria: success_criteria(row)?,
        options: options(row)?,
        progress: n_of_m(row)?,
        phase: row.parse_optional("phase")?,
        cancel_acknowledged: row.flag("cancel_acknowledged")?,
        fetch: row.parse_optional("file_fetch")?,
        code: code(row)?,
        refusal: row.parse_optional("refusal")?,
        fetch_failure: fetch_failure(row)?,
        started_at: time("started_at")?,
        completed_at: time("completed_at")?,
        timeout_at: Timestamp(stored.timeout_at),
        ends_at: Timestamp(stored.ends_at),
        soaks_until: None,
        waits_since: None,
        error: error(row, "error_code", "error_message")?,
        earlier_error: error(row, "earlier_error_code", "earlier_error_message")?,
        installed_reported: row.flag("installed_reported")?,
    };
    stored.restore(&mut state, stopped_ms);
    Ok(state)
}

fn error(
    row: &AnyRow,
    code: &'static str,
    message: &'static str,
) -> Result<Option<UpdateError>, RowError> {
    let code: Option<String> = row.take(code)?;
    code.map(|code| {
        Ok::<_, RowError>(UpdateError {
            code,
            message: row.take(message)?,
        })
    })
    .transpose()
}

fn fetch_failure(row: &AnyRow) -> Result<Option<FetchFailure>, RowError> {
    let at: Option<i64> = row.take("fetch_failed_at")?;
    at.map(|at| {
        Ok::<_, RowError>(FetchFailure {
            at: Timestamp(at),
            reason: row.take("fetch_failure")?,
        })
    })
    .transpose()
}

/// Reads `code`.
pub(super) fn code(row: &AnyRow) -> Result<Option<i32>, RowError> {
    let code: Option<i64> = row.take("code")?;
    let take_u32 = |value| {
        i32::try_from(value).map_err(|_| RowError::OutOfRange {
            column: "code",
            value,
        })
    };
    code.map(take_u32).transpose()
}

/// Reads `progress_n` and `progress_of`.
pub(super) fn n_of_m(row: &AnyRow) -> Result<Option<(u32, u32)>, RowError> {
    let optional_u32 = |column| {
        let value: Option<i64> = row.take(column)?;
        value
            .map(|value| u32::try_from(value).map_err(|_| RowError::OutOfRange { column, value }))
            .transpose()
    };
    Ok(optional_u32("progress_n")?.zip(optional_u32("progress_of")?))
}
