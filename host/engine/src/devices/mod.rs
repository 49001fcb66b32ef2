//! What devices do: poll, fetch, report. None of it waits for a plugin.

mod forget;
mod read_model;
mod seen;

pub use forget::forget;
pub use read_model::ReadModel;
pub use seen::SeenLog;
