//! Who is let in.

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
        case("a token without end", Identified)
            .get("")
            .unauthorized()
            .with_header("Authorization", &long)
            .status(401),
        case("the scheme's case may matter", Identified)
            .get("")
            .unauthorized()
            .with_header("Authorization", "gatewaytoken {gateway}")
            .status_in(&[200, 401]),
        case("a tenant that is not there lets nobody in", Identified)
            .get("/NOBODY/controller/v1/{device}")
            .status_in(&[401, 404])
            .empty(),
        case(
            "headers of a proxy open nothing for whoever is no proxy",
            Identified,
        )
        .requires(Capability::DirectClient)
        .get("")
        .unauthorized()
        .with_header("X-Controller-Id", "{device}")
        .with_header("X-Authority", "x")
        .status(401),
        case("their older spelling neither", Identified)
            .requires(Capability::DirectClient)
            .get("")
            .unauthorized()
            .with_header("X-Ssl-Client-Cn", "{device}")
            .with_header("X-Ssl-Issuer-Hash-1", "x")
            .status(401),
        case("an operator's header opens nothing here", Identified)
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
        case("a device's own token, with a letter more", Identified)
            .with_token()
            .get("")
            .unauthorized()
            .with_header("Authorization", "TargetToken {token}x")
            .status(401)
            .empty(),
        case("a device's own token is no gateway's", Identified)
            .with_token()
            .get("")
            .unauthorized()
            .with_header("Authorization", "GatewayToken {token}")
            .status(401),
        case("a device's own token is no other device's", Identified)
            .with_token()
            .get("/{tenant}/controller/v1/{device}-other")
            .status(401)
            .empty(),
        case(
            "a device that has a token may come through the gateway",
            Identified,
        )
        .with_token()
        .get("")
        .unauthorized()
        .with_header("Authorization", "GatewayToken {gateway}")
        .status(200),
        case("its whole update with its own token", Proceeding)
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

/// Who is not let in leaves no trace.
fn no_side_effects() -> Vec<Case> {
    vec![
        case("a poll without credentials registers nobody", Unknown)
            .get("")
            .unauthorized()
            .status(401)
            .put("configData", r#"{"data": {"a": "b"}}"#)
            .status(404),
        case("a token registers nobody", Unknown)
            .get("")
            .unauthorized()
            .with_header(
                "Authorization",
                "TargetToken 0123456789abcdef0123456789abcdef",
            )
            .status(401)
            .put("configData", r#"{"data": {"a": "b"}}"#)
            .status(404),
        case("feedback without credentials closes nothing", Proceeding)
            .post(
                "deploymentBase/{id}/feedback",
                payloads::feedback("closed", "success"),
            )
            .unauthorized()
            .status(401)
            .get("")
            .has("/_links/deploymentBase"),
        case(
            "an answer to a call back without credentials settles nothing",
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
        case("attributes without credentials are not heard", Registered)
            .put("configData", r#"{"data": {"a": "b"}}"#)
            .unauthorized()
            .status(401)
            .get("")
            .has("/_links/configData"),
    ]
}
