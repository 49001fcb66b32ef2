//! Updates, and the reports of devices on them.

pub(crate) mod approvals;
mod attributes;
mod authorship;
pub(crate) mod auto_confirm;
pub(crate) mod chosen_policies;
pub(crate) mod class_attributes;
pub(crate) mod compatibility;
mod deadlines;
mod effects;
mod feedback_log;
pub(crate) mod history;
mod installed_report;
pub(crate) mod log;
pub(crate) mod read;
mod record;
mod rollback_backlog;
mod row;
pub(crate) mod single_updates;
pub(crate) mod unit_of_work;

#[cfg(test)]
mod tests;

pub(crate) use read::UpdateBatch;
pub(crate) use record::ReportBatch;
