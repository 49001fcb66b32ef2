use std::{borrow::Cow, cmp::Reverse};

use serde::Serialize;
use tidegate_core::update::UpdateStatus;
use tidegate_engine::ports::{DeviceUpdate, FeedbackRow};

/// The messages that the device sent about an update.
#[derive(Serialize)]
pub(super) struct ActionHistory<'a> {
    status: &'static str,
    messages: Vec<Cow<'a, str>>,
}

impl<'a> ActionHistory<'a> {
    /// The newest messages first, by the device's own time. None if there are no messages.
    pub(super) fn new(
        update: &DeviceUpdate,
        rows: &'a [FeedbackRow],
        limit: usize,
    ) -> Option<Self> {
        let mut rows: Vec<_> = rows.iter().collect();
        rows.sort_by_key(|row| Reverse(row.feedback.device_time.unwrap_or(row.at)));
        let messages = rows.into_iter().flat_map(messages);
        let messages: Vec<_> = messages.take(limit).collect();
        (!messages.is_empty()).then_some(Self {
            status: status_name(update),
            messages,
        })
    }
}

/// The messages of one feedback. Its status code becomes a message of its own.
fn messages(row: &FeedbackRow) -> impl Iterator<Item = Cow<'_, str>> {
    let texts = row.feedback.messages.iter();
    let code = row.feedback.code;
    texts
        .map(|message| Cow::Borrowed(message.as_str()))
        .chain(code.map(|code| Cow::Owned(format!("Device reported status code: {code}"))))
}

/// hawkBit's name of the status.
fn status_name(update: &DeviceUpdate) -> &'static str {
    match update.status {
        UpdateStatus::WaitingApproval | UpdateStatus::Scheduled => "SCHEDULED",
        UpdateStatus::WaitingConfirmation => "WAIT_FOR_CONFIRMATION",
        UpdateStatus::Downloading => "RETRIEVED",
        UpdateStatus::Offered | UpdateStatus::Installing | UpdateStatus::Verifying => "RUNNING",
        UpdateStatus::Cancelling => "CANCELING",
        UpdateStatus::Completed if !update.update_type.installs() => "DOWNLOADED",
        UpdateStatus::Completed => "FINISHED",
        UpdateStatus::Failed | UpdateStatus::TimedOut => "ERROR",
        UpdateStatus::Cancelled | UpdateStatus::Rejected => "CANCELED",
    }
}

#[cfg(test)]
mod tests {
    use tidegate_core::{
        feedback::{Execution, Feedback, Finished},
        id::{FirmwareId, UpdateId},
        time::Timestamp,
        update::UpdateType,
    };

    use super::*;

    fn row(at: i64, device_time: Option<i64>, code: Option<i32>, messages: &[&str]) -> FeedbackRow {
        FeedbackRow {
            at: Timestamp(at),
            feedback: Feedback {
                device_time: device_time.map(Timestamp),
                code,
                messages: messages.iter().map(|&message| message.to_owned()).collect(),
                ..Feedback::new(Execution::Proceeding, Finished::None)
            },
            on_cancel: false,
        }
    }

    fn update(status: UpdateStatus) -> DeviceUpdate {
        DeviceUpdate {
            id: UpdateId(8),
            status,
            refusal: None,
            revision: 3,
            firmware: FirmwareId(9),
            update_type: UpdateType::Forced,
            window: None,
        }
    }

    #[test]
    fn history_has_the_newest_messages_first() {
        let rows = [
            row(40, None, None, &["d"]),
            row(30, Some(5), None, &["a1", "a2"]),
            row(20, None, None, &[]),
            row(10, Some(35), Some(7), &["c"]),
        ];
        let code = "Device reported status code: 7";
        for (limit, expected) in [
            (100, &["d", "c", code, "a1", "a2"][..]),
            (4, &["d", "c", code, "a1"]),
            (0, &[]),
        ] {
            let history = ActionHistory::new(&update(UpdateStatus::Installing), &rows, limit);
            let messages = history.map(|history| history.messages);
            assert_eq!(messages.as_deref().unwrap_or_default(), expected, "{limit}");
        }
        assert!(ActionHistory::new(&update(UpdateStatus::Installing), &[], 100).is_none());
    }

    #[test]
    fn a_download_only_update_is_downloaded() {
        let mut done = update(UpdateStatus::Completed);
        assert_eq!(status_name(&done), "FINISHED");
        done.update_type = UpdateType::DownloadOnly;
        assert_eq!(status_name(&done), "DOWNLOADED");
    }
}
