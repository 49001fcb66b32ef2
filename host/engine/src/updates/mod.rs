//! Updates by themselves: made by operators for one device or for many, called back, and looked at. They go through the
//! same ledger as those of campaigns.

mod bring_back;
mod bulk;
mod cancel;
mod check;
mod create;
mod get;
mod held;
mod log;
mod obstacle;
mod retry;
mod roll_back;
mod totals;
mod wish;

pub use bulk::{Bulk, MAX_DEVICES, create_many};
pub use cancel::cancel;
pub use create::create;
pub use get::get;
pub use held::explain_open;
pub use log::{UpdateLog, log, newest};
pub use obstacle::Obstacle;
pub use retry::retry;
pub use roll_back::roll_back;
pub use totals::totals;
pub use wish::Wish;
