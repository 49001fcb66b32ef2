//! Requests that are rejected before their content is validated.

use reqwest::Method;
use serde_json::json;

use super::{BadRequest, Caller};

const JSON: &str = "application/json";

pub(super) fn cases() -> Vec<BadRequest> {
    let mut cases = vec![
        BadRequest::get(
            "unknown path below /api/v1",
            "nothing",
            404,
            "no_such_route",
        ),
        BadRequest::get("unknown path", "/nothing", 404, "no_such_route"),
        BadRequest::get(
            "dev token without development mode",
            "auth/dev-token",
            404,
            "no_such_route",
        ),
        BadRequest::post(
            "dev token without development mode",
            "auth/dev-token",
            404,
            "no_such_route",
        )
        .json(json!({ "user_id": "mallory" })),
        BadRequest::new(
            "other method",
            Method::PUT,
            "campaigns",
            405,
            "method_not_allowed",
        ),
        BadRequest::new(
            "other method",
            Method::PUT,
            "campaigns/{created}",
            405,
            "method_not_allowed",
        ),
        BadRequest::new(
            "deletion of a campaign that has started",
            Method::DELETE,
            "campaigns/{running}",
            409,
            "campaign_started",
        ),
        BadRequest::new(
            "other method on a path outside /api/v1",
            Method::POST,
            "/health",
            405,
            "method_not_allowed",
        ),
        BadRequest::get("no credentials", "campaigns", 401, "unauthenticated")
            .with_caller(Caller::Anonymous),
        BadRequest::post("no credentials", "campaigns", 401, "unauthenticated")
            .with_caller(Caller::Anonymous)
            .text(JSON, "{"),
        BadRequest::post("campaign by a viewer", "campaigns", 403, "role_missing")
            .with_caller(Caller::Viewer)
            .text(JSON, "{"),
        BadRequest::post(
            "start by a viewer",
            "campaigns/{created}/start",
            403,
            "role_missing",
        )
        .with_caller(Caller::Viewer),
        BadRequest::post(
            "start by a publisher",
            "campaigns/{created}/start",
            403,
            "role_missing",
        )
        .with_caller(Caller::Publisher),
        BadRequest::new(
            "deletion by a viewer",
            Method::DELETE,
            "firmware/{beta}",
            403,
            "role_missing",
        )
        .with_caller(Caller::Viewer),
        BadRequest::post("upload by a viewer", "plugins", 403, "role_missing")
            .with_caller(Caller::Viewer),
        BadRequest::post("no body", "campaigns", 415, "unsupported_media_type"),
        BadRequest::post(
            "text in place of JSON",
            "campaigns",
            415,
            "unsupported_media_type",
        )
        .text("text/plain", "{}"),
        BadRequest::post(
            "form in place of JSON",
            "campaigns",
            415,
            "unsupported_media_type",
        )
        .text("application/x-www-form-urlencoded", "name=x"),
        BadRequest::post("empty body", "campaigns", 400, "malformed_json").text(JSON, ""),
        BadRequest::post("half an object", "campaigns", 400, "malformed_json")
            .text(JSON, r#"{"name": "#),
        BadRequest::post("two objects", "campaigns", 400, "malformed_json").text(JSON, "{}{}"),
        BadRequest::post(
            "bytes that are not UTF-8",
            "campaigns",
            400,
            "malformed_json",
        )
        .text(JSON, vec![0xff, 0xfe, 0x00]),
        BadRequest::post(
            "command with half an object",
            "campaigns/{running}/pause",
            400,
            "malformed_json",
        )
        .text(JSON, "{"),
        BadRequest::post("more than four megabytes", "campaigns", 413, "too_large")
            .text(JSON, format!(r#"{{"name": "{}"}}"#, "x".repeat(5 << 20))),
        BadRequest::post(
            "command with more than four megabytes",
            "campaigns/{running}/cancel",
            413,
            "too_large",
        )
        .text(JSON, format!(r#"{{"reason": "{}"}}"#, "x".repeat(5 << 20))),
    ];
    for page in ["limit=0", "limit=501", "offset=18446744073709551615"] {
        cases.push(BadRequest::get(
            page,
            &format!("campaigns?{page}"),
            422,
            "invalid_page",
        ));
    }
    for query in ["limit=x", "limit=-1", "offset=-1", "limit=1&limit=2"] {
        cases.push(BadRequest::get(
            query,
            &format!("devices?{query}"),
            422,
            "wrong_type",
        ));
    }
    cases.extend([
        BadRequest::get(
            "unknown parameter",
            "campaigns?color=red",
            422,
            "unknown_field",
        )
        .field("color"),
        BadRequest::get(
            "unknown status",
            "campaigns?status=asleep",
            422,
            "wrong_type",
        )
        .field("status"),
        BadRequest::get(
            "invalid boolean",
            "firmware?is_beta=maybe",
            422,
            "wrong_type",
        )
        .field("is_beta"),
    ]);
    for path in [
        "campaigns/987654321",
        "campaigns/0",
        "campaigns/-1",
        "campaigns/x",
        "campaigns/99999999999999999999",
        "campaigns/987654321/waves",
        "campaigns/987654321/updates",
        "campaigns/987654321/journal",
        "stats/campaigns/987654321",
        "firmware/987654321",
        "firmware/987654321/download",
        "firmware/x",
        "devices/unknown",
        "devices/unknown/updates",
        "devices/unknown/log",
        "devices/unknown/explain",
        "devices/%F0%9F%8C%8A",
        "plugins/acme/nothing",
        "plugins/%20/canary",
        "plugins/acme%2Fa/b",
        "plugins/tidegate/canary/revisions/sha256:x",
    ] {
        cases.push(BadRequest::get(
            &format!("GET {path}"),
            path,
            404,
            "not_found",
        ));
    }
    for command in [
        "start",
        "pause",
        "resume",
        "cancel",
        "rollback",
        "approve",
        "waves/0/advance",
    ] {
        let path = format!("campaigns/987654321/{command}");
        cases.push(BadRequest::post(&path, &path, 404, "not_found"));
    }
    cases
}
