//! Steps that a campaign cannot take, and changes that cannot be made to it.

use reqwest::Method;
use serde_json::json;

use super::Bad;

const INVALID: &str = "invalid_campaign";

pub(super) fn cases() -> Vec<Bad> {
    vec![
        Bad::post(
            "a start before its approval",
            "campaigns/{waiting}/start",
            409,
            "not_approved",
        ),
        Bad::post(
            "a second start",
            "campaigns/{running}/start",
            409,
            "invalid_transition",
        ),
        Bad::post(
            "an approval of one's own",
            "campaigns/{running}/approve",
            409,
            "not_waiting",
        )
        .json(json!({})),
        Bad::post(
            "a pause before the start",
            "campaigns/{created}/pause",
            409,
            "invalid_transition",
        ),
        Bad::post(
            "a resume of what runs",
            "campaigns/{running}/resume",
            409,
            "invalid_transition",
        ),
        Bad::post(
            "a rollback before the start",
            "campaigns/{created}/rollback",
            409,
            "invalid_transition",
        ),
        Bad::post(
            "a gate of what waits",
            "campaigns/{created}/waves/0/advance",
            409,
            "invalid_transition",
        ),
        Bad::post(
            "a gate that is open",
            "campaigns/{running}/waves/0/advance",
            409,
            "gate_passed",
        ),
        Bad::post(
            "a gate that is not there",
            "campaigns/{running}/waves/4294967295/advance",
            404,
            "not_found",
        ),
        Bad::post(
            "a reason without end",
            "campaigns/{running}/pause",
            422,
            "invalid_reason",
        )
        .json(json!({ "reason": "x".repeat(1001) }))
        .field("/reason"),
        Bad::post(
            "a reason that is no text",
            "campaigns/{running}/cancel",
            422,
            "wrong_type",
        )
        .json(json!({ "reason": 7 }))
        .field("/reason"),
        Bad::post(
            "a step with an unknown field",
            "campaigns/{running}/cancel",
            422,
            "unknown_field",
        )
        .json(json!({ "why": "because" }))
        .field("/why"),
        Bad::post(
            "a scope that nobody knows",
            "campaigns/{running}/rollback",
            422,
            "wrong_type",
        )
        .json(json!({ "scope": "half" }))
        .field("/scope"),
        Bad::new(
            "a limit of nothing",
            Method::PATCH,
            "campaigns/{running}",
            422,
            INVALID,
        )
        .json(json!({ "max_concurrent_updates": 0 }))
        .field("/max_concurrent_updates"),
        Bad::new(
            "a change of what cannot change",
            Method::PATCH,
            "campaigns/{running}",
            422,
            "unknown_field",
        )
        .json(json!({ "name": "another" }))
        .field("/name"),
        Bad::post(
            "a replay of nothing",
            "campaigns/{created}/journal/1/replay",
            404,
            "not_found",
        ),
        Bad::post(
            "a replay by no revision",
            "campaigns/{running}/journal/1/replay?revision=x",
            422,
            "wrong_type",
        )
        .field("revision"),
    ]
}
