//! Use cases of single updates and of operators on any update: create, approve, cancel, retry, roll back, read logs. Single
//! updates use the same unit of work as those of campaigns.

mod approve;
mod bulk;
mod cancel;
mod create;
mod explain;
mod last_report;
mod log;
mod offer_refusal;
mod policies;
mod read;
mod request;
mod retry;
mod rollback;

pub use approve::{approve, reject};
pub use bulk::{BulkResult, create_many};
pub use cancel::cancel;
pub use create::create;
pub use explain::explain_open_updates;
pub(crate) use explain::waits_behind;
pub(crate) use last_report::explain_last_report;
pub use log::{UpdateLog, log, newest_update};
pub use offer_refusal::OfferRefusal;
pub use read::{get, list, totals};
pub use request::{MAX_DEVICES, UpdateRequest, validate};
pub use retry::retry;
pub use rollback::roll_back;

pub use crate::update_options::RetryOptions;
