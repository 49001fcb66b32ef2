//! How updates are shown.

use serde_json::Value;
use tidegate_core::{Named as _, update::UpdateStatus};

use super::update_options::OPTION_ROWS;
use crate::client::table;

/// The columns of a list of updates.
pub(super) const UPDATES: [table::Column<'_>; 9] = [
    ("UPDATE", "/update_id"),
    ("DEVICE", "/device_id"),
    ("WAVE", "/wave"),
    ("STATUS", "/status"),
    ("RETRY", "/retry_count"),
    ("FROM", "/from_version"),
    ("TO", "/to_version"),
    ("ERROR", "/error_code"),
    ("ENDED AT", "/completed_at"),
];

/// What was decided on an approval.
pub(super) fn decision(decided: &Value) -> String {
    let action = if decided["approved"] == true {
        "approved"
    } else {
        "rejected"
    };
    match decided["updates"].as_u64() {
        Some(1) => format!("1 update is {action}"),
        updates => format!("{} updates are {action}", updates.unwrap_or_default()),
    }
}

/// The fields of an update.
pub(super) fn details(update: &Value) -> String {
    let mut update = update.clone();
    // An ended update has no deadline, and a scheduled one does not have one yet.
    if !update["completed_at"].is_null() || update["status"] == UpdateStatus::Scheduled.as_str() {
        update["timeout_at"] = Value::Null;
    }
    let rows: [&[(&str, &str)]; 3] = [
        &[
            ("id", "/update_id"),
            ("device", "/device_id"),
            ("campaign", "/campaign_id"),
            ("firmware", "/firmware_name"),
            ("from", "/from_version"),
            ("to", "/to_version"),
            ("on its way to", "/upgrade_path/target_version"),
            ("because", "/upgrade_path/reason"),
            ("status", "/status"),
            ("approval", "/approval/approval_id"),
            ("requested by", "/approval/requested_by"),
            ("approved", "/approval/approved"),
            ("decided by", "/approval/decided_by"),
            ("comment", "/approval/comment"),
            ("phase", "/phase"),
            ("code", "/code"),
            ("percent", "/progress_percentage"),
        ],
        OPTION_ROWS,
        &[
            ("retry", "/retry_count"),
            ("max retries", "/max_retries"),
            ("retry of", "/retry_of"),
            ("scheduled", "/scheduled_at"),
            ("error", "/error_code"),
            ("why", "/error_message"),
            ("earlier error", "/earlier_error_code"),
            ("its reason", "/earlier_error_message"),
            ("created", "/created_at"),
            ("started", "/started_at"),
            ("ended", "/completed_at"),
            ("times out at", "/timeout_at"),
        ],
    ];
    table::details(&update, &rows.concat())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_decision_says_how_many_updates_it_concerns() {
        for (approved, updates, expected) in [
            (true, 1, "1 update is approved"),
            (false, 3, "3 updates are rejected"),
        ] {
            let decided = json!({"approved": approved, "updates": updates});
            assert_eq!(decision(&decided), expected);
        }
    }

    #[test]
    fn only_open_updates_show_a_deadline() {
        let update = |status: &str, completed_at: Option<&str>| {
            details(&json!({"status": status, "completed_at": completed_at, "timeout_at": "12:00"}))
        };
        assert!(update("offered", None).contains("times out at  12:00"));
        assert!(!update("completed", Some("11:00")).contains("12:00"));
        assert!(!update("scheduled", None).contains("12:00"));
    }
}
