//! Authentication.

use super::payloads;
use crate::{
    adapter::Capability,
    case::{Case, DeviceState, DeviceState::*},
};

fn case(name: &str, device_state: DeviceState) -> Case {
    Case::new("1.3", name, device_state)
}

pub(super) fn cases() -> Vec<Case> {
    [headers(), own_tokens(), no_side_effects()].concat()
}

fn headers() -> Vec<Case> {
    let mut cases: Vec<Case> = [
        "",
        "GatewayToken",
        "GatewayToken ",
        "GatewayToken nonsense",
        "TargetToken nonsense",
        "Bearer {gateway}",
        "Basic {gateway}",
        "{gateway}",
        "GatewayToken {gateway}x",
        "TargetToken {gateway}",
    ]
    .into_iter()
    .map(|authorization| {
        case(&format!("Authorization: {authorization}"), Identified)
            .get("")
            .unauthorized()
            .with_header("Authorization", authorization)
            .status(401)
            .empty()
    })
    .collect();
    let long = format!("GatewayToken {}", "x".repeat(5000));
    cases.extend([
        case("a very long token", Identified)
            .get("")
            .unauthorized()
            .with_header("Authorization", &long)
            .status(401),
        case("the scheme may be case-sensitive", Identified)
            .get("")
            .unauthorized()
            .with_header("Authorization", "gatewaytoken {gateway}")
            .status_in(&[200, 401]),
        case("an unknown tenant", Identified)
            .get("/UNKNOWN/controller/v1/{device}")
            .status_in(&[401, 404])
            .empty(),
        case(
            "proxy headers of an untrusted client are ignored",
            Identified,
        )
        .requires(Capability::DirectClient)
        .get("")
        .unauthorized()
        .with_header("X-Controller-Id", "{device}")
        .with_header("X-Authority", "x")
        .status(401),
        case(
            "older proxy headers of an untrusted client are ignored",
            Identified,
        )
        .requires(Capability::DirectClient)
        .get("")
        .unauthorized()
        .with_header("X-Ssl-Client-Cn", "{device}")
        .with_header("X-Ssl-Issuer-Hash-1", "x")
        .status(401),
        case("an operator's API key header is ignored", Identified)
            .get("")
            .unauthorized()
            .with_header("X-API-Key", "{gateway}")
            .status(401),
    ]);
    cases
}

fn own_tokens() -> Vec<Case> {
    vec![
        case("a device's own token", Unknown)
            .with_token()
            .get("")
            .status(200)
            .has("/_links/configData"),
        case(
            "a device's own token with an additional character",
            Identified,
        )
        .with_token()
        .get("")
        .unauthorized()
        .with_header("Authorization", "TargetToken {token}x")
        .status(401)
        .empty(),
        case("a device token is not a gateway token", Identified)
            .with_token()
            .get("")
            .unauthorized()
            .with_header("Authorization", "GatewayToken {token}")
            .status(401),
        case(
            "a device token does not authenticate another device",
            Identified,
        )
        .with_token()
        .get("/{tenant}/controller/v1/{device}-other")
        .status(401)
        .empty(),
        case(
            "a device with a token of its own may use the gateway token",
            Identified,
        )
        .with_token()
        .get("")
        .unauthorized()
        .with_header("Authorization", "GatewayToken {gateway}")
        .status(200),
        case("a complete update with the device's own token", Proceeding)
            .with_token()
            .get("deploymentBase/{id}")
            .status(200)
            .get("softwaremodules/{module}/artifacts/{file}")
            .status(200)
            .post(
                "deploymentBase/{id}/feedback",
                payloads::feedback("closed", "success"),
            )
            .status(200)
            .get("installedBase/{id}")
            .status(200),
    ]
}

/// Unauthenticated requests have no effect.
fn no_side_effects() -> Vec<Case> {
    vec![
        case(
            "a poll without credentials does not register a device",
            Unknown,
        )
        .get("")
        .unauthorized()
        .status(401)
        .put("configData", r#"{"data": {"a": "b"}}"#)
        .status(404),
        case(
            "an unknown device token does not register a device",
            Unknown,
        )
        .get("")
        .unauthorized()
        .with_header(
            "Authorization",
            "TargetToken 0123456789abcdef0123456789abcdef",
        )
        .status(401)
        .put("configData", r#"{"data": {"a": "b"}}"#)
        .status(404),
        case("feedback without credentials has no effect", Proceeding)
            .post(
                "deploymentBase/{id}/feedback",
                payloads::feedback("closed", "success"),
            )
            .unauthorized()
            .status(401)
            .get("")
            .has("/_links/deploymentBase"),
        case(
            "cancel feedback without credentials has no effect",
            Cancelling,
        )
        .post(
            "cancelAction/{id}/feedback",
            payloads::feedback("closed", "success"),
        )
        .unauthorized()
        .status(401)
        .get("")
        .has("/_links/cancelAction"),
        case("attributes without credentials have no effect", Registered)
            .put("configData", r#"{"data": {"a": "b"}}"#)
            .unauthorized()
            .status(401)
            .get("")
            .has("/_links/configData"),
    ]
}
