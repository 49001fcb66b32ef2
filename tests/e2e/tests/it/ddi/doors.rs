//! Who is let in.

use reqwest::Method;

use super::{
    case::{Case, Standing::*, case},
    feedback,
};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![
        case(
            "the scheme's case does not matter to some clients",
            Introduced,
        )
        .get("")
        .unauthorized()
        .with("Authorization", "gatewaytoken {gateway}")
        .one_of(&[200, 401]),
        case("a gateway's token is no device's token", Introduced)
            .get("")
            .unauthorized()
            .with("Authorization", "TargetToken {gateway}")
            .is(401)
            .empty(),
        case("a tenant that is not there lets nobody in", Introduced)
            .get("/NOBODY/controller/v1/{device}")
            .one_of(&[401, 404])
            .empty(),
        case(
            "headers of a proxy open nothing for whoever is no proxy",
            Introduced,
        )
        .get("")
        .unauthorized()
        .with("X-Controller-Id", "{device}")
        .with("X-Ssl-Client-Cn", "{device}")
        .with("X-Authority", "x")
        .with("X-Ssl-Issuer-Hash-1", "x")
        .is(401),
        case("an operator's credentials open nothing here", Introduced)
            .get("")
            .unauthorized()
            .with("X-API-Key", "{gateway}")
            .is(401),
    ];
    for authorization in [
        "",
        "GatewayToken",
        "GatewayToken ",
        "GatewayToken nonsense",
        "TargetToken nonsense",
        "Bearer {gateway}",
        "Basic {gateway}",
        "{gateway}",
        "GatewayToken {gateway}x",
    ] {
        cases.push(
            case(&format!("Authorization: {authorization}"), Introduced)
                .get("")
                .unauthorized()
                .with("Authorization", authorization)
                .is(401)
                .empty(),
        );
    }
    let long = format!("GatewayToken {}", "x".repeat(5000));
    cases.push(
        case("a token without end", Introduced)
            .get("")
            .unauthorized()
            .with("Authorization", &long)
            .is(401),
    );
    for (method, path) in [
        (Method::GET, ""),
        (Method::GET, "deploymentBase/{id}"),
        (Method::GET, "installedBase/{id}"),
        (Method::GET, "cancelAction/{id}"),
        (Method::GET, "softwaremodules/{module}/artifacts/{file}"),
        (
            Method::GET,
            "softwaremodules/{module}/artifacts/{file}.MD5SUM",
        ),
    ] {
        cases.push(
            case(&format!("{method} {path} without credentials"), Busy)
                .send(method, path)
                .unauthorized()
                .is(401)
                .empty(),
        );
    }
    cases.extend([
        case("feedback without credentials", Busy)
            .post(
                "deploymentBase/{id}/feedback",
                feedback::body("closed", "success"),
            )
            .unauthorized()
            .is(401)
            .empty()
            .get("")
            .has("/_links/deploymentBase"),
        case("an answer to a call back without credentials", CalledBack)
            .post(
                "cancelAction/{id}/feedback",
                feedback::body("closed", "success"),
            )
            .unauthorized()
            .is(401)
            .get("")
            .has("/_links/cancelAction"),
        case("attributes without credentials", Known)
            .put("configData", r#"{"data": {"a": "b"}}"#)
            .unauthorized()
            .is(401)
            .get("")
            .has("/_links/configData"),
    ]);
    cases
}
