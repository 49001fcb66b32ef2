//! Who is let in.

use super::say;
use crate::{
    adapter::Need,
    case::{Case, Standing, Standing::*},
};

fn case(name: &str, standing: Standing) -> Case {
    Case::new("1.3", name, standing)
}

pub(super) fn cases() -> Vec<Case> {
    [headers(), own_tokens(), nobody()].concat()
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
        case(&format!("Authorization: {authorization}"), Introduced)
            .get("")
            .unauthorized()
            .with("Authorization", authorization)
            .is(401)
            .empty()
    })
    .collect();
    let long = format!("GatewayToken {}", "x".repeat(5000));
    cases.extend([
        case("a token without end", Introduced)
            .get("")
            .unauthorized()
            .with("Authorization", &long)
            .is(401),
        case("the scheme's case may matter", Introduced)
            .get("")
            .unauthorized()
            .with("Authorization", "gatewaytoken {gateway}")
            .one_of(&[200, 401]),
        case("a tenant that is not there lets nobody in", Introduced)
            .get("/NOBODY/controller/v1/{device}")
            .one_of(&[401, 404])
            .empty(),
        case(
            "headers of a proxy open nothing for whoever is no proxy",
            Introduced,
        )
        .needing(Need::Stranger)
        .get("")
        .unauthorized()
        .with("X-Controller-Id", "{device}")
        .with("X-Authority", "x")
        .is(401),
        case("their older spelling neither", Introduced)
            .needing(Need::Stranger)
            .get("")
            .unauthorized()
            .with("X-Ssl-Client-Cn", "{device}")
            .with("X-Ssl-Issuer-Hash-1", "x")
            .is(401),
        case("an operator's header opens nothing here", Introduced)
            .get("")
            .unauthorized()
            .with("X-API-Key", "{gateway}")
            .is(401),
    ]);
    cases
}

fn own_tokens() -> Vec<Case> {
    vec![
        case("a device's own token", Unknown)
            .with_token()
            .get("")
            .is(200)
            .has("/_links/configData"),
        case("a device's own token, with a letter more", Introduced)
            .with_token()
            .get("")
            .unauthorized()
            .with("Authorization", "TargetToken {token}x")
            .is(401)
            .empty(),
        case("a device's own token is no gateway's", Introduced)
            .with_token()
            .get("")
            .unauthorized()
            .with("Authorization", "GatewayToken {token}")
            .is(401),
        case("a device's own token is no other device's", Introduced)
            .with_token()
            .get("/{tenant}/controller/v1/{device}-other")
            .is(401)
            .empty(),
        case(
            "a device that has a token may come through the gateway",
            Introduced,
        )
        .with_token()
        .get("")
        .unauthorized()
        .with("Authorization", "GatewayToken {gateway}")
        .is(200),
        case("its whole update with its own token", Busy)
            .with_token()
            .get("deploymentBase/{id}")
            .is(200)
            .get("softwaremodules/{module}/artifacts/{file}")
            .is(200)
            .post(
                "deploymentBase/{id}/feedback",
                say::body("closed", "success"),
            )
            .is(200)
            .get("installedBase/{id}")
            .is(200),
    ]
}

/// Who is not let in leaves no trace.
fn nobody() -> Vec<Case> {
    vec![
        case("a poll without credentials registers nobody", Unknown)
            .get("")
            .unauthorized()
            .is(401)
            .put("configData", r#"{"data": {"a": "b"}}"#)
            .is(404),
        case("a token registers nobody", Unknown)
            .get("")
            .unauthorized()
            .with(
                "Authorization",
                "TargetToken 0123456789abcdef0123456789abcdef",
            )
            .is(401)
            .put("configData", r#"{"data": {"a": "b"}}"#)
            .is(404),
        case("feedback without credentials closes nothing", Busy)
            .post(
                "deploymentBase/{id}/feedback",
                say::body("closed", "success"),
            )
            .unauthorized()
            .is(401)
            .get("")
            .has("/_links/deploymentBase"),
        case(
            "an answer to a call back without credentials settles nothing",
            CalledBack,
        )
        .post("cancelAction/{id}/feedback", say::body("closed", "success"))
        .unauthorized()
        .is(401)
        .get("")
        .has("/_links/cancelAction"),
        case("attributes without credentials are not heard", Known)
            .put("configData", r#"{"data": {"a": "b"}}"#)
            .unauthorized()
            .is(401)
            .get("")
            .has("/_links/configData"),
    ]
}
