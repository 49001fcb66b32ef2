//! Updates by themselves: made by operators for one device or for many, called back, and looked at. They go through the
//! same ledger as those of campaigns.

mod bulk;
mod cancel;
mod check;
mod create;
mod get;
mod obstacle;
mod roll_back;
mod wish;

pub use bulk::{Bulk, MAX_DEVICES, create_many};
pub use cancel::cancel;
pub use create::create;
pub use get::get;
pub use obstacle::Obstacle;
pub use roll_back::roll_back;
pub use wish::Wish;
