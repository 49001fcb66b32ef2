//! What the engine needs of the world, as traits that the adapters implement.

mod access;
mod artifacts;
mod campaigns;
mod clock;
mod consent;
mod devices;
mod files;
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
mod singles;
mod stats;
mod store;
mod tenants;
mod updates;

pub use access::{
    Access, Authority, Enrolment, Gateway, GatewayUse, NewAuthority, NewGateway, OldToken,
};
pub use artifacts::{Artifacts, ByteStream, PutError, Stored};
pub use campaigns::{
    Beginning, CampaignFilter, Campaigns, Change, ClassVerdict, Membership, NewCampaign, NewWave,
    Wave,
};
pub use clock::{Clock, Entropy};
pub use consent::Consents;
pub use devices::{
    AttributeMode, DeviceFilter, DeviceSort, Devices, NewDevice, OpenUpdate, PollView, Seen,
    Selected,
};
pub use files::Files;
pub use firmware::{Candidates, FirmwareFilter, Firmwares, NewFirmware, NewModule};
pub use journal::{Entry, EntryKind, Journal, NewEntry, Recording};
pub use keyed_requests::{
    KeyedRequests, KnownRequest, NewRequest, Progress, Reserved, Room, Ticket,
};
pub use latest::LatestDevices;
pub use logs::{Log, LogReport, Logs};
pub use observer::{Observer, Unobserved};
pub use page::{Page, PageRequest};
pub use plugins::{NewRevision, Plugins, Revision, Usage};
pub use registry::{AttributeChange, ChangeError, DeviceChange, MAX_CHANGES, MAX_LABELS, Registry};
pub use runs::{
    Admitted, Applied, Ending, Fence, Offer, Returned, Run, RunRef, Runs, Touched, Trouble,
};
pub use sandbox::{
    Call, CallFailure, ComponentSource, Inspection, Record, Rejection, Sandbox, Validation,
};
pub use singles::{CalledBack, Made, Past, SingleUpdates};
pub use stats::{Statistics, Stats};
pub use store::{Store, StoreError};
pub use tenants::{Key, Role, StoredKey, Tenant, Tenants};
pub use updates::{
    AttributesReport, FeedbackRow, InstalledReport, RecordError, Recorded, Report, Told,
    UpdateFilter, UpdateRow, Updates,
};
