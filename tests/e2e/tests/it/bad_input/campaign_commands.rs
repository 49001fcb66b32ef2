//! Invalid transitions and changes of campaigns.

use reqwest::Method;
use serde_json::json;

use super::BadRequest;

const INVALID: &str = "invalid_campaign";

pub(super) fn cases() -> Vec<BadRequest> {
    vec![
        BadRequest::post(
            "start before approval",
            "campaigns/{waiting}/start",
            409,
            "not_approved",
        ),
        BadRequest::post(
            "second start",
            "campaigns/{running}/start",
            409,
            "invalid_transition",
        ),
        BadRequest::post(
            "approval of a running campaign",
            "campaigns/{running}/approve",
            409,
            "not_waiting",
        )
        .json(json!({})),
        BadRequest::post(
            "pause before start",
            "campaigns/{created}/pause",
            409,
            "invalid_transition",
        ),
        BadRequest::post(
            "resume of a running campaign",
            "campaigns/{running}/resume",
            409,
            "invalid_transition",
        ),
        BadRequest::post(
            "rollback before start",
            "campaigns/{created}/rollback",
            409,
            "invalid_transition",
        ),
        BadRequest::post(
            "advance before start",
            "campaigns/{created}/waves/0/advance",
            409,
            "invalid_transition",
        ),
        BadRequest::post(
            "advance of a released wave",
            "campaigns/{running}/waves/0/advance",
            409,
            "gate_passed",
        ),
        BadRequest::post(
            "advance of an unknown wave",
            "campaigns/{running}/waves/4294967295/advance",
            404,
            "not_found",
        ),
        BadRequest::post(
            "too long reason",
            "campaigns/{running}/pause",
            422,
            "invalid_reason",
        )
        .json(json!({ "reason": "x".repeat(1001) }))
        .field("/reason"),
        BadRequest::post(
            "reason that is not a string",
            "campaigns/{running}/cancel",
            422,
            "wrong_type",
        )
        .json(json!({ "reason": 7 }))
        .field("/reason"),
        BadRequest::post(
            "command with an unknown field",
            "campaigns/{running}/cancel",
            422,
            "unknown_field",
        )
        .json(json!({ "why": "because" }))
        .field("/why"),
        BadRequest::post(
            "unknown scope",
            "campaigns/{running}/rollback",
            422,
            "wrong_type",
        )
        .json(json!({ "scope": "half" }))
        .field("/scope"),
        BadRequest::new(
            "limit of 0",
            Method::PATCH,
            "campaigns/{running}",
            422,
            INVALID,
        )
        .json(json!({ "max_concurrent_updates": 0 }))
        .field("/max_concurrent_updates"),
        BadRequest::new(
            "change of a field after the start",
            Method::PATCH,
            "campaigns/{running}",
            409,
            "campaign_started",
        )
        .json(json!({ "name": "another" }))
        .field("/name"),
        BadRequest::post(
            "replay of an unknown entry",
            "campaigns/{created}/journal/1/replay",
            404,
            "not_found",
        ),
        BadRequest::post(
            "replay with an invalid revision",
            "campaigns/{running}/journal/1/replay?revision=x",
            422,
            "wrong_type",
        )
        .field("revision"),
    ]
}
