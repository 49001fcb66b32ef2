use serde::Serialize;
use tidegate_core::{
    Named as _,
    update::{Purpose, UpdateState, UpdateStatus},
};
use tidegate_engine::ports::UpdateRow;
use utoipa::ToSchema;

use super::{
    approval::UpdateApprovalBody, update_options::UpdateOptionsView, upgrade_path::UpgradePathBody,
};
use crate::rest::response::{CreatedResponse, Time, percent};

/// An update of one device to one firmware.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Update)]
pub(crate) struct UpdateBody {
    update_id: i32,
    device_id: String,
    campaign_id: Option<i64>,
    /// The wave that released the device; null for a rollback and without a campaign.
    wave: Option<u32>,
    /// Whether it is the rollback of a campaign to the previous firmware.
    is_return: bool,
    firmware_id: i64,
    firmware_name: String,
    from_version: Option<String>,
    to_version: String,
    /// `waiting_approval`, `scheduled`, `waiting_confirmation`, `offered`, `downloading`, `installing`, `verifying`,
    /// `cancelling`, `completed`, `failed`, `timed_out`, `cancelled` or `rejected`.
    status: &'static str,
    /// Null: it needs no approval.
    approval: Option<UpdateApprovalBody>,
    #[serde(flatten)]
    options: UpdateOptionsView,
    /// As the device reports it; 100 when completed.
    progress_percentage: Option<f64>,
    /// The last `execution` that the device reported: `download`, `downloaded`, `proceeding`, `scheduled`, `resumed`,
    /// `rejected`, `canceled`, `closed`, `confirmed` or `denied`; null before the first.
    phase: Option<&'static str>,
    /// The last status code that the device reported.
    code: Option<i32>,
    /// How many attempts preceded this one.
    retry_count: u32,
    /// The update that was the first attempt.
    retry_of: Option<i32>,
    /// Whether another update took its place: a retry after it failed, or the next one of its `upgrade_path` after it
    /// completed. Counters ignore it from then on.
    is_retried: bool,
    /// Of a retry: the earliest time of its offer.
    scheduled_at: Option<Time>,
    /// Null: the device needs no intermediate version.
    upgrade_path: Option<UpgradePathBody>,
    error_code: Option<String>,
    error_message: Option<String>,
    /// Of an update that had failed or timed out before its device succeeded after all: the error then.
    earlier_error_code: Option<String>,
    earlier_error_message: Option<String>,
    created_at: Time,
    started_at: Option<Time>,
    completed_at: Option<Time>,
    /// When it times out without further feedback: the earlier of the deadlines of its phase and of the update. While
    /// it is `scheduled`: when it is offered. Null while it waits for approval, or behind another update of its device: its
    /// time does not run.
    timeout_at: Option<Time>,
}

impl From<UpdateRow> for UpdateBody {
    fn from(row: UpdateRow) -> Self {
        let update = row.update;
        let purpose = update.campaign.map(|(_, purpose)| purpose);
        let progress_percentage = to_percentage(&update.state);
        let state = update.state;
        let path = update.compatibility.and_then(|basis| basis.path);
        let (error_code, error_message) =
            state.error.map(|error| (error.code, error.message)).unzip();
        let earlier = state.earlier_error;
        let (earlier_error_code, earlier_error_message) =
            earlier.map(|error| (error.code, error.message)).unzip();
        Self {
            update_id: update.id.0,
            device_id: row.device_id,
            campaign_id: update.campaign.map(|(campaign, _)| campaign.0),
            wave: match purpose {
                Some(Purpose::Forward { wave }) => Some(wave),
                Some(Purpose::Rollback) | None => None,
            },
            is_return: purpose == Some(Purpose::Rollback),
            firmware_id: update.firmware.0,
            firmware_name: row.firmware_name,
            from_version: update.from_version,
            to_version: update.to_version,
            status: state.status.as_str(),
            approval: row.approval.map(UpdateApprovalBody::from),
            options: UpdateOptionsView::new(&state.options, state.success_criteria),
            progress_percentage,
            phase: state.phase.map(|phase| phase.as_str()),
            code: state.code,
            retry_count: update.attempt.count,
            retry_of: update.attempt.first.map(|id| id.0),
            is_retried: update.attempt.is_retried,
            scheduled_at: update.attempt.scheduled_at.map(Time::from),
            upgrade_path: path.map(UpgradePathBody::from),
            error_code,
            error_message,
            earlier_error_code,
            earlier_error_message,
            created_at: update.created_at.into(),
            started_at: state.started_at.map(Time::from),
            completed_at: state.completed_at.map(Time::from),
            timeout_at: match state.waits_since {
                Some(_) => None,
                None => Some(state.timeout_at.into()),
            },
        }
    }
}

fn to_percentage(state: &UpdateState) -> Option<f64> {
    match (state.status, state.progress) {
        (UpdateStatus::Completed, _) => Some(100.0),
        (_, Some((done, of))) if of > 0 => Some(percent(u64::from(done.min(of)), u64::from(of))),
        _ => None,
    }
}

/// 201 for an update that was created.
pub(crate) fn created_update(row: UpdateRow) -> CreatedResponse<UpdateBody> {
    CreatedResponse {
        location: format!("/updates/{}", row.update.id),
        body: row.into(),
    }
}
