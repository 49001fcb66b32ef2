use tidegate_core::{
    Named as _,
    feedback::Execution,
    id::{CampaignId, DeviceKey, FirmwareId, TenantId, UpdateId},
    rollback::RollbackActionName,
    time::Timestamp,
    update::{
        Attempt, FetchFailure, FileFetch, Purpose, PurposeName, Refusal, Update, UpdateError,
        UpdateState, UpdateStatus,
    },
};

use super::{compatibility::CompatibilityJson, deadlines::StoredDeadlines};
use crate::{
    json_row::{Flag, Json, Name, json_row},
    rows::{RowError, unknown_value},
    update_options::StoredOptions,
};

json_row! {
    /// An update without its options.
    pub(super) struct StoredUpdate {
        id: i32,
        tenant_id: i64,
        device_key: i64,
        firmware_id: i64,
        campaign_id: Option<i64>,
        purpose: Option<Name<PurposeName>>,
        wave: Option<u32>,
        weight: i32,
        status: Name<UpdateStatus>,
        revision: i32,
        progress_n: Option<u32>,
        progress_of: Option<u32>,
        phase: Option<Name<Execution>>,
        file_fetch: Option<Name<FileFetch>>,
        cancel_acknowledged: Flag,
        code: Option<i32>,
        refusal: Option<Name<Refusal>>,
        fetch_failed_at: Option<i64>,
        fetch_failure: Option<String>,
        from_version: Option<String>,
        to_version: String,
        from_firmware_id: Option<i64>,
        error_code: Option<String>,
        error_message: Option<String>,
        earlier_error_code: Option<String>,
        earlier_error_message: Option<String>,
        installed_reported: Flag,
        feedback_count: u32,
        log_lines: u64,
        cancel_requests: u32,
        created_at: i64,
        started_at: Option<i64>,
        completed_at: Option<i64>,
        timeout_at: i64,
        ends_at: i64,
        soaks_until: Option<i64>,
        waits_since: Option<i64>,
        cancel_requested_at: Option<i64>,
        rollback_processed_at: Option<i64>,
        rollback_action: Option<Name<RollbackActionName>>,
        retry_count: u32,
        retry_of: Option<i32>,
        scheduled_at: Option<i64>,
        is_retried: Flag,
        compatibility: Option<Json<CompatibilityJson>>,
    }
}

/// An update with its options.
pub(super) type StoredRow = (StoredUpdate, StoredOptions);

/// An update as it is stored.
pub(super) struct UpdateRecord {
    pub(super) update: Update,
    pub(super) revision: i32,
    pub(super) feedback_count: u32,
    pub(super) log_lines: u64,
    pub(super) cancel_requests: u32,
    pub(super) cancel_requested_at: Option<Timestamp>,
    pub(super) rollback_processed_at: Option<Timestamp>,
    pub(super) rollback_action: Option<RollbackActionName>,
}

impl UpdateRecord {
    /// `stopped_ms`: how long the reporting clock has stood still.
    pub(super) fn new((update, options): StoredRow, stopped_ms: i64) -> Result<Self, RowError> {
        update.into_record(options, stopped_ms)
    }
}

impl StoredUpdate {
    fn into_record(
        self,
        options: StoredOptions,
        stopped_ms: i64,
    ) -> Result<UpdateRecord, RowError> {
        let time = |at: Option<i64>| at.map(Timestamp);
        let campaign = self.campaign()?;
        let deadlines = self.deadlines();
        let (options, success_criteria) = options.into_parts()?;
        let fetch_failure = with_text(self.fetch_failed_at, self.fetch_failure, "fetch_failure")?;
        let fetch_failure = fetch_failure.map(|(at, reason)| FetchFailure {
            at: Timestamp(at),
            reason,
        });
        let mut state = UpdateState {
            status: self.status.0,
            success_criteria,
            options,
            progress: self.progress_n.zip(self.progress_of),
            phase: self.phase.map(|Name(phase)| phase),
            cancel_acknowledged: self.cancel_acknowledged.0,
            fetch: self.file_fetch.map(|Name(fetch)| fetch),
            code: self.code,
            refusal: self.refusal.map(|Name(refusal)| refusal),
            fetch_failure,
            started_at: time(self.started_at),
            completed_at: time(self.completed_at),
            timeout_at: Timestamp(0),
            ends_at: Timestamp(0),
            soaks_until: None,
            waits_since: None,
            error: error(self.error_code, self.error_message)?,
            earlier_error: error(self.earlier_error_code, self.earlier_error_message)?,
            installed_reported: self.installed_reported.0,
        };
        deadlines.restore(&mut state, stopped_ms);
        let compatibility = self.compatibility.map(|Json(basis)| basis.try_into());
        Ok(UpdateRecord {
            update: Update {
                id: UpdateId(self.id),
                tenant: TenantId(self.tenant_id),
                device: DeviceKey(self.device_key),
                firmware: FirmwareId(self.firmware_id),
                campaign,
                weight: self.weight,
                state,
                from_version: self.from_version,
                to_version: self.to_version,
                from_firmware: self.from_firmware_id.map(FirmwareId),
                created_at: Timestamp(self.created_at),
                attempt: Attempt {
                    count: self.retry_count,
                    first: self.retry_of.map(UpdateId),
                    scheduled_at: time(self.scheduled_at),
                    is_retried: self.is_retried.0,
                },
                compatibility: compatibility.transpose()?,
            },
            revision: self.revision,
            feedback_count: self.feedback_count,
            log_lines: self.log_lines,
            cancel_requests: self.cancel_requests,
            cancel_requested_at: time(self.cancel_requested_at),
            rollback_processed_at: time(self.rollback_processed_at),
            rollback_action: self.rollback_action.map(|Name(action)| action),
        })
    }

    fn campaign(&self) -> Result<Option<(CampaignId, Purpose)>, RowError> {
        let Some(campaign) = self.campaign_id else {
            return Ok(None);
        };
        let purpose = self.purpose.as_ref().map(|Name(purpose)| *purpose);
        let purpose = match (purpose, self.wave) {
            (Some(PurposeName::Forward), Some(wave)) => Purpose::Forward { wave },
            (Some(PurposeName::Rollback), None) => Purpose::Rollback,
            (purpose, _) => {
                let name = purpose.map_or("", |name| name.as_str());
                return Err(unknown_value("purpose", name));
            }
        };
        Ok(Some((CampaignId(campaign), purpose)))
    }

    fn deadlines(&self) -> StoredDeadlines {
        StoredDeadlines {
            timeout_at: self.timeout_at,
            ends_at: self.ends_at,
            soaks_until: self.soaks_until,
            waits_since: self.waits_since,
        }
    }
}

fn error(code: Option<String>, message: Option<String>) -> Result<Option<UpdateError>, RowError> {
    let error = with_text(code, message, "error_message")?;
    Ok(error.map(|(code, message)| UpdateError { code, message }))
}

/// A value with the text that belongs to it, which is in this column.
fn with_text<T>(
    value: Option<T>,
    text: Option<String>,
    column: &'static str,
) -> Result<Option<(T, String)>, RowError> {
    let pair = |value| {
        let text = text.ok_or_else(|| unknown_value(column, "null"))?;
        Ok((value, text))
    };
    value.map(pair).transpose()
}
