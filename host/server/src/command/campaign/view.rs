//! Campaigns as text.

use serde_json::Value;
use tidegate_core::campaign::CampaignStatus;

use crate::{client::table, command::update_options::OPTION_ROWS};

/// One line with the campaign's status.
pub(super) fn summary(campaign: &Value) -> String {
    let number = |name: &str| campaign[name].as_u64().unwrap_or(0);
    let name = campaign["name"].as_str().unwrap_or_default();
    let status = campaign["status"].as_str().unwrap_or_default();
    let mut parts = vec![format!(
        "campaign {} {name}: {status}",
        campaign["campaign_id"]
    )];
    if number("total_devices") > 0 {
        parts.push(format!(
            "{} of {} done, {} in progress, {} failed, {} timed out",
            number("completed_devices"),
            number("total_devices"),
            number("in_progress_devices"),
            number("failed_devices"),
            number("timed_out_devices"),
        ));
    }
    if number("rollback_devices") > 0 {
        parts.push(format!(
            "{} of {} rolled back",
            number("rolled_back_devices"),
            number("rollback_devices"),
        ));
        let failed = number("rollback_failed_devices");
        parts.extend((failed > 0).then(|| format!("{failed} rollbacks failed")));
    }
    let hold = campaign.pointer("/hold/reason").and_then(Value::as_str);
    let word = stopped(campaign);
    parts.extend(hold.map(|reason| format!("{word} because {reason}")));
    parts.join(", ")
}

/// The word for the campaign's stop: a strategy that fails a campaign gives its reason in `hold` too.
fn stopped(campaign: &Value) -> &'static str {
    match status(campaign) {
        Some(CampaignStatus::Failed) => "failed",
        _ => "held",
    }
}

/// The campaign's status; `None`: this version does not know it.
pub(super) fn status(campaign: &Value) -> Option<CampaignStatus> {
    campaign["status"].as_str()?.parse().ok()
}

/// The campaign with its waves and the explanation of its last decision.
pub(super) fn details(campaign: &Value) -> String {
    let word = stopped(campaign);
    let (because, by) = (format!("{word} because"), format!("{word} by"));
    let rows: [&[(&str, &str)]; 3] = [
        &[
            ("id", "/campaign_id"),
            ("name", "/name"),
            ("status", "/status"),
            (because.as_str(), "/hold/reason"),
            (by.as_str(), "/hold/by"),
            ("waits at gate", "/awaiting/gate"),
            ("rolled back because", "/rollback/reason"),
            ("rolled back by", "/rollback/by"),
            ("firmware", "/firmware/name"),
            ("version", "/firmware/version"),
            ("strategy", "/strategy/plugin"),
            ("priority", "/priority"),
        ],
        OPTION_ROWS,
        &[
            ("retries", "/max_retries"),
            ("approved by", "/approved_by"),
            ("devices", "/total_devices"),
            ("pending", "/pending_devices"),
            ("in progress", "/in_progress_devices"),
            ("completed", "/completed_devices"),
            ("failed", "/failed_devices"),
            ("timed out", "/timed_out_devices"),
            ("cancelled", "/cancelled_devices"),
            ("rejected", "/rejected_devices"),
            ("progress %", "/progress_percentage"),
            ("started at", "/actual_start"),
            ("ended at", "/actual_end"),
            ("created by", "/created_by"),
        ],
    ];
    let mut rows = rows.concat();
    if campaign["dynamic"] == true {
        rows.extend_from_slice(&DYNAMIC_ROWS);
    }
    if campaign["rollback"].is_object() {
        rows.extend_from_slice(&ROLLBACK_ROWS);
    }
    let mut parts = vec![table::details(campaign, &rows)];
    let waves = campaign["waves"].as_array().map_or(&[][..], Vec::as_slice);
    if !waves.is_empty() {
        parts.push(table::list(waves, &WAVES));
    }
    let explain = campaign["explain"].as_array().into_iter().flatten();
    let sentences: Vec<_> = explain.filter_map(Value::as_str).collect();
    if !sentences.is_empty() {
        parts.push(sentences.join("\n"));
    }
    parts.join("\n\n")
}

const DYNAMIC_ROWS: [(&str, &str); 2] =
    [("dynamic", "/dynamic"), ("joined later", "/joined_devices")];

const ROLLBACK_ROWS: [(&str, &str); 3] = [
    ("to roll back", "/rollback_devices"),
    ("rolled back", "/rolled_back_devices"),
    ("rollbacks failed", "/rollback_failed_devices"),
];

pub(super) const CAMPAIGNS: [table::Column<'_>; 8] = [
    ("ID", "/campaign_id"),
    ("NAME", "/name"),
    ("STATUS", "/status"),
    ("VERSION", "/firmware/version"),
    ("STRATEGY", "/strategy/plugin"),
    ("DEVICES", "/total_devices"),
    ("DONE", "/completed_devices"),
    ("FAILED", "/failed_devices"),
];

pub(super) const WAVES: [table::Column<'_>; 12] = [
    ("WAVE", "/index"),
    ("NAME", "/name"),
    ("STATUS", "/status"),
    ("TOTAL", "/total"),
    ("PENDING", "/counts/pending"),
    ("OFFERED", "/counts/offered"),
    ("IN PROGRESS", "/counts/in_progress"),
    ("COMPLETED", "/counts/completed"),
    ("FAILED", "/counts/failed"),
    ("TIMED OUT", "/counts/timed_out"),
    ("CANCELLED", "/counts/cancelled"),
    ("REJECTED", "/counts/rejected"),
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_rollback_shows_how_many_devices_are_back() {
        let campaign = json!({
            "campaign_id": 7, "name": "spring", "status": "rolling_back", "rollback": { "reason": "bad" },
            "rollback_devices": 5, "rolled_back_devices": 3, "rollback_failed_devices": 1,
        });
        let line = summary(&campaign);
        let expected = "campaign 7 spring: rolling_back, 3 of 5 rolled back, 1 rollbacks failed";
        assert_eq!(line, expected);
        let text = details(&campaign);
        for row in ["to roll back", "rolled back", "rollbacks failed"] {
            assert!(text.contains(row), "{text}");
        }
    }

    #[test]
    fn the_stop_reason_uses_the_word_of_the_status() {
        for (status, word) in [("held", "held"), ("failed", "failed")] {
            let campaign = json!({
                "campaign_id": 7, "name": "spring", "status": status,
                "hold": { "reason": "too warm", "by": "canary" },
            });
            let expected = format!("campaign 7 spring: {status}, {word} because too warm");
            assert_eq!(summary(&campaign), expected);
            let text = details(&campaign);
            assert!(text.contains(&format!("{word} because")), "{text}");
            assert!(text.contains(&format!("{word} by")), "{text}");
        }
    }
}
