//! Steps that a campaign cannot take, and changes that cannot be made to it.

use reqwest::Method;
use serde_json::json;

use super::BadRequest;

const INVALID: &str = "invalid_campaign";

pub(super) fn cases() -> Vec<BadRequest> {
    vec![
        BadRequest::post(
            "a start before its approval",
            "campaigns/{waiting}/start",
            409,
            "not_approved",
        ),
        BadRequest::post(
            "a second start",
            "campaigns/{running}/start",
            409,
            "invalid_transition",
        ),
        BadRequest::post(
            "an approval of one's own",
            "campaigns/{running}/approve",
            409,
            "not_waiting",
        )
        .json(json!({})),
        BadRequest::post(
            "a pause before the start",
            "campaigns/{created}/pause",
            409,
            "invalid_transition",
        ),
        BadRequest::post(
            "a resume of what runs",
            "campaigns/{running}/resume",
            409,
            "invalid_transition",
        ),
        BadRequest::post(
            "a rollback before the start",
            "campaigns/{created}/rollback",
            409,
            "invalid_transition",
        ),
        BadRequest::post(
            "a gate of what waits",
            "campaigns/{created}/waves/0/advance",
            409,
            "invalid_transition",
        ),
        BadRequest::post(
            "a gate that is open",
            "campaigns/{running}/waves/0/advance",
            409,
            "gate_passed",
        ),
        BadRequest::post(
            "a gate that is not there",
            "campaigns/{running}/waves/4294967295/advance",
            404,
            "not_found",
        ),
        BadRequest::post(
            "a reason without end",
            "campaigns/{running}/pause",
            422,
            "invalid_reason",
        )
        .json(json!({ "reason": "x".repeat(1001) }))
        .field("/reason"),
        BadRequest::post(
            "a reason that is no text",
            "campaigns/{running}/cancel",
            422,
            "wrong_type",
        )
        .json(json!({ "reason": 7 }))
        .field("/reason"),
        BadRequest::post(
            "a step with an unknown field",
            "campaigns/{running}/cancel",
            422,
            "unknown_field",
        )
        .json(json!({ "why": "because" }))
        .field("/why"),
        BadRequest::post(
            "a scope that nobody knows",
            "campaigns/{running}/rollback",
            422,
            "wrong_type",
        )
        .json(json!({ "scope": "half" }))
        .field("/scope"),
        BadRequest::new(
            "a limit of nothing",
            Method::PATCH,
            "campaigns/{running}",
            422,
            INVALID,
        )
        .json(json!({ "max_concurrent_updates": 0 }))
        .field("/max_concurrent_updates"),
        BadRequest::new(
            "a change of what cannot change",
            Method::PATCH,
            "campaigns/{running}",
            422,
            "unknown_field",
        )
        .json(json!({ "name": "another" }))
        .field("/name"),
        BadRequest::post(
            "a replay of nothing",
            "campaigns/{created}/journal/1/replay",
            404,
            "not_found",
        ),
        BadRequest::post(
            "a replay by no revision",
            "campaigns/{running}/journal/1/replay?revision=x",
            422,
            "wrong_type",
        )
        .field("revision"),
    ]
}
