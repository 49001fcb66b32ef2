use std::collections::BTreeMap;

use async_trait::async_trait;
use tidegate_core::{
    device::{AttributeMode, AttributeNames},
    feedback::Feedback,
    id::{ApprovalId, CampaignId, DeviceKey, TenantId, UpdateId},
    log::LogSource,
    time::Timestamp,
    update::{EventError, Update, UpdateEvent, UpdateStatus},
};

use crate::Ctx;

use super::{Page, PageRequest, PollView, StoreError};

/// Updates, and the reports of devices about them.
#[async_trait]
pub trait Updates: Send + Sync {
    /// The update of this id.
    async fn update(&self, tenant: TenantId, id: UpdateId)
    -> Result<Option<UpdateRow>, StoreError>;

    /// A page of the updates that match, newest first.
    async fn list_updates(
        &self,
        tenant: TenantId,
        filter: &UpdateFilter,
        page: PageRequest,
    ) -> Result<Page<UpdateRow>, StoreError>;

    /// The device's feedback on an update, newest first.
    async fn history(
        &self,
        tenant: TenantId,
        id: UpdateId,
        limit: u32,
    ) -> Result<Vec<FeedbackRow>, StoreError>;

    /// The feedback that has messages or a code, newest first by the device's own time.
    async fn messages(
        &self,
        tenant: TenantId,
        id: UpdateId,
        limit: u32,
    ) -> Result<Vec<FeedbackRow>, StoreError>;

    /// Records what a device reports, in order of arrival. Concurrent reports share one transaction; durable on return.
    /// Idempotent: repeated feedback changes nothing.
    async fn report(&self, report: DeviceReport) -> Result<RecordedReport, RecordError>;
}

/// An update with the names of its device and firmware.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateRow {
    /// The update.
    pub update: Update,
    /// Id of the device.
    pub device_id: String,
    /// Name of the firmware.
    pub firmware_name: String,
    /// Incremented with every change of the update.
    pub revision: i32,
    /// The approval that it waits or waited for.
    pub approval: Option<UpdateApproval>,
    /// Who requested it; `None`: the server, a campaign, or an earlier version of the server.
    pub authorship: Option<UpdateAuthorship>,
}

impl UpdateRow {
    /// The users who requested it or an update that it retries. They cannot approve it.
    pub fn authors(&self) -> Vec<&str> {
        let requested_by = self.approval.iter().map(|approval| &*approval.requested_by);
        let authors = self.authorship.iter().flat_map(|it| &it.authors);
        let mut all: Vec<&str> = Vec::new();
        for author in requested_by.chain(authors.map(String::as_str)) {
            if !all.contains(&author) {
                all.push(author);
            }
        }
        all
    }
}

/// Which users requested an update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateAuthorship {
    /// The user who requested it, and those of the updates that it retries.
    pub authors: Vec<String>,
    /// Whether a bulk request created it, or an update that it retries.
    pub is_bulk: bool,
}

impl UpdateAuthorship {
    /// The authorship of an update of one device that the actor requests.
    pub fn single(ctx: &Ctx) -> Self {
        Self {
            authors: vec![ctx.actor.name.to_string()],
            is_bulk: false,
        }
    }

    /// The authorship of the updates of a bulk request.
    pub fn bulk(ctx: &Ctx) -> Self {
        Self {
            is_bulk: true,
            ..Self::single(ctx)
        }
    }

    /// The authorship of a retry of this update that the actor requests.
    pub fn retry(ctx: &Ctx, retried: &UpdateRow) -> Self {
        let mut authorship = Self::single(ctx);
        let earlier = retried.authors().into_iter().map(str::to_owned);
        let earlier = earlier.filter(|author| **author != *ctx.actor.name);
        authorship.authors.extend(earlier);
        authorship.is_bulk = retried.authorship.as_ref().is_some_and(|it| it.is_bulk);
        authorship
    }
}

/// The approval of the updates of one request by another user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateApproval {
    /// Its id.
    pub id: ApprovalId,
    /// The user who created the updates.
    pub requested_by: String,
    /// When they were created.
    pub requested_at: Timestamp,
    /// Until when more updates may join it, unless it is completed before; `None`: it is.
    pub incomplete_until: Option<Timestamp>,
    /// The decision, once it is made.
    pub decision: Option<ApprovalDecision>,
}

impl UpdateApproval {
    /// Whether its updates are approved.
    pub fn is_approved(&self) -> bool {
        let decision = self.decision.as_ref();
        decision.is_some_and(|decision| decision.is_approved)
    }

    /// Whether more updates may join it.
    pub fn is_incomplete(&self, now: Timestamp) -> bool {
        self.incomplete_until.is_some_and(|until| until > now)
    }
}

/// A user's decision on an approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalDecision {
    /// False: the updates end.
    pub is_approved: bool,
    /// The user.
    pub by: String,
    /// The user's comment; may be empty.
    pub comment: String,
    /// When it was made.
    pub at: Timestamp,
}

/// Which updates to list. All filters that are set must match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UpdateFilter {
    /// Only updates of this campaign.
    pub campaign: Option<CampaignId>,
    /// Only updates of this device.
    pub device: Option<DeviceKey>,
    /// Only updates with this status.
    pub status: Option<UpdateStatus>,
}

/// A stored feedback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedbackRow {
    /// When it arrived.
    pub at: Timestamp,
    /// The feedback.
    pub feedback: Feedback,
    /// Whether it answers a cancellation.
    pub on_cancel: bool,
}

/// What a device reports, or an operator or the server on its behalf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceReport {
    /// The tenant that owns the device.
    pub tenant: TenantId,
    /// Row key of the device.
    pub device: DeviceKey,
    /// The actor who acts for the device, for the audit trail; none: the device itself, or the server.
    pub by: Option<ReportActor>,
    /// Time of the report.
    pub at: Timestamp,
    /// When the device read the update of the event, if that is not recorded yet.
    pub read_at: Option<Timestamp>,
    /// The content.
    pub event: DeviceEvent,
}

/// The actor who acts for a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportActor {
    /// The request.
    pub ctx: Ctx,
    /// The reason that the actor gives; may be empty.
    pub reason: String,
}

/// The content of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceEvent {
    /// An event of an update; an update of another device is not found.
    Update(UpdateId, UpdateEvent),
    /// Attributes. A reported version completes an update that waits for it.
    Attributes(ReportedAttributes),
    /// Lines for the log of an update. Not found: the device has no such update, or has no open update.
    Log(ReportedLines),
    /// A firmware that is installed, recorded as an update that is completed immediately. While an update of the device
    /// is open nothing is recorded, except that an update of this firmware that waits for its success criteria is
    /// completed. Not found: the firmware does not exist.
    Installed(ReportedFirmware),
    /// Activates auto-confirmation: confirms the updates that wait for a confirmation, and all later ones.
    AutoConfirmActivated {
        /// As in [`AutoConfirm`](tidegate_core::device::AutoConfirm).
        initiator: Option<String>,
        /// As in [`AutoConfirm`](tidegate_core::device::AutoConfirm).
        remark: Option<String>,
    },
    /// Deactivates auto-confirmation for later updates. Does nothing when it is inactive.
    AutoConfirmDeactivated,
}

/// Attributes that a device reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedAttributes {
    /// How the attributes are combined with the stored ones.
    pub mode: AttributeMode,
    /// `None` removes the attribute. Validated by the caller, except for the total number.
    pub data: BTreeMap<String, Option<String>>,
    /// Names of the attributes that the server itself interprets.
    pub names: AttributeNames,
}

/// Lines for the log of an update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedLines {
    /// The update, open or not; `None`: the device's current update.
    pub update: Option<UpdateId>,
    /// Origin of the lines.
    pub source: LogSource,
    /// At least one line, in the form of [`tidegate_core::log::lines`].
    pub lines: Vec<String>,
}

/// A firmware that a device reports as installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedFirmware {
    /// Name of the firmware.
    pub name: String,
    /// Version of the firmware, in the firmware's own spelling.
    pub version: String,
}

/// Result of recording a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedReport {
    /// Whether an update changed.
    pub changes_update: bool,
    /// Campaigns of the changed updates, to be woken.
    pub campaigns: Vec<CampaignId>,
    /// Whether the device is recorded to have this firmware for the first time. False for all other reports.
    pub is_new_installation: bool,
    /// What later polls of the device need.
    pub view: PollView,
    /// Whether the device's attributes, versions or state changed.
    pub changes_device: bool,
}

/// Why a report was not recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The device has no such update, or does not exist.
    #[error("the device has no such update")]
    NotFound,
    /// The update does not accept the event in its status.
    #[error(transparent)]
    Refused(#[from] EventError),
    /// Auto-confirmation is active already.
    #[error("auto-confirm is active already")]
    AlreadyActive,
    /// The limit of stored attributes is exceeded.
    #[error("at most {0} are stored")]
    TooMany(usize),
    /// The limit of stored feedback of the update is exceeded.
    #[error(
        "at most {0} reports of this update are stored; the limit ends with the update: its final report (`closed`) is \
         accepted, and the next update starts again at none"
    )]
    FeedbackQuota(u32),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
