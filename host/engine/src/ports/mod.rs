//! What the engine needs from its environment, as traits that the adapters implement.

mod access;
mod artifacts;
mod campaigns;
mod clock;
mod clocks;
mod devices;
mod dynamic_plans;
mod file_leases;
mod firmware;
mod journal;
mod keyed_requests;
mod latest;
mod logs;
mod observer;
mod page;
mod plugins;
mod registry;
mod runs;
mod sandbox;
mod single_updates;
mod stats;
mod store;
mod store_error;
mod tenants;
mod updates;

use std::sync::Arc;

pub use access::{
    Access, Authority, Enrolment, Gateway, GatewayUse, NewAuthority, NewGateway, OldToken,
};
pub use artifacts::{Artifacts, ByteStream, FileContent, PutError, ReceivedFile};
pub use campaigns::{
    Advance, CampaignChange, CampaignDetail, CampaignFilter, CampaignStart, CampaignSummary,
    Campaigns, ClassVerdict, Membership, NewCampaign, NewWave, Repin, Wave,
};
pub use clock::{Clock, Entropy};
pub use clocks::{Beat, ClockAfterBeat, Clocks, Interruption};
pub use devices::{
    DeviceFilter, DeviceSort, DeviceUpdate, Devices, LastSeenRecord, NewDevice, OverdueRule,
    PollView, SelectedDevice,
};
pub use dynamic_plans::{
    ChangedDevice, DynamicCampaign, DynamicPlans, KnownClass, KnownClasses, LateDevice,
    LateDevices, Outsider,
};
pub use file_leases::FileLeases;
pub use firmware::{CandidateFilter, FirmwareFilter, Firmwares, NewFirmware, NewModule};
pub use journal::{EntryKind, Journal, JournalEntry, NewJournalEntry, RecordedCall};
pub use keyed_requests::{
    ExistingRequest, KeyedRequests, NewRequest, Quota, RequestState, ReservationId, ReserveResult,
};
pub use latest::LatestDevices;
pub use logs::{Log, Logs};
pub use observer::{NoopObserver, Observer, PluginFiles};
pub use page::{Page, PageRequest};
pub use plugins::{NewRevision, Plugins, PutRevisionError, RejectedUpload, Revision, Usage};
pub use registry::{AttributeChange, ChangeError, DeviceChange, MAX_CHANGES, MAX_LABELS, Registry};
pub use runs::{
    AcceptedClass, AcceptedClasses, AffectedDevice, CheckOutcome, CheckedUpdates, Fence, Offer,
    OfferCompatibility, OfferedBatch, OfferedFirmware, PluginFailureState, RecentTicks,
    RollbackBatch, RollbackProgress, Run, RunRef, Runs, TickOutcome, UpdateCheck, UpdateToCheck,
};
pub use sandbox::{
    Call, CallFailure, CallFailureClass, CallLimits, CallQuota, CallRecord, ComponentSource,
    Inspection, Record, Rejection, Sandbox, Validation, Wants,
};
pub use single_updates::{
    ApprovalSummary, CancelledUpdates, OfferAction, OfferActor, OfferOverrides, OfferResult,
    RequestedApproval, SingleUpdates,
};
pub use stats::{Statistics, Stats};
pub use store::{DatabaseHealth, Store};
pub use store_error::StoreError;
pub use tenants::{ApiKey, ApiKeyRecord, ApiKeyUse, Tenant, Tenants};
pub use updates::{
    ApprovalDecision, DeviceEvent, DeviceReport, FeedbackRow, RecordError, RecordedReport,
    ReportActor, ReportedAttributes, ReportedFirmware, ReportedLines, UpdateApproval,
    UpdateAuthorship, UpdateFilter, UpdateRow, Updates,
};

/// The adapters of the engine.
#[derive(Clone)]
#[expect(missing_docs, reason = "the ports' names")]
pub struct Ports {
    pub store: Arc<dyn Store>,
    pub artifacts: Arc<dyn Artifacts>,
    pub sandbox: Arc<dyn Sandbox>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub observer: Arc<dyn Observer>,
}
