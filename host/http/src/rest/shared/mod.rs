//! Parts of requests and responses that several resources have in common.

mod approval;
mod comment;
mod counts;
mod dependent_options;
mod log_line;
mod log_stream;
mod plugin_selection;
mod time_of_day;
mod update;
pub(crate) mod update_options;
mod updates_query;
mod upgrade_path;
mod window;

pub(crate) use approval::{ApprovalRequest, UpdateApprovalBody};
pub(crate) use comment::{CommandBody, Reason, check_comment, comment_error};
pub(crate) use counts::{CountsBody, progress_percentage, sum_counts};
pub(crate) use dependent_options::remove_dependent_options;
pub(crate) use log_line::LogLineBody;
pub(crate) use log_stream::{accepts_event_stream, follow_logs};
pub(crate) use plugin_selection::PluginSelection;
pub(crate) use time_of_day::TimeOfDay;
pub(crate) use update::{UpdateBody, created_update};
pub(crate) use updates_query::UpdatesQuery;
pub(crate) use window::WindowBody;
