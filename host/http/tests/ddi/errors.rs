use std::{panic, sync::Arc};

use parking_lot::Mutex;
use serde_json::json;
use tidegate_http::{DeviceRequest, running_device_request};

use crate::{
    raw_http::{get, request},
    test_server::{GATEWAY, TestServer},
};

const BASE: &str = "/LAB/controller/v1/dev-1";

/// As hawkBit does; the REST API refuses them.
#[tokio::test]
async fn unknown_query_parameters_are_ignored() -> anyhow::Result<()> {
    let server = TestServer::anonymous().await?;
    for (path, status) in [
        ("", 200),
        ("/deploymentBase/1", 404),
        ("/installedBase/1", 404),
    ] {
        for query in ["nosuch=1", "nosuch", "c=1&nosuch=1&actionHistory=2"] {
            let response = server.send(get(format!("{BASE}{path}?{query}"))).await?;
            assert_eq!(response.status, status, "{path}?{query}");
        }
    }
    let attributes = json!({"mode": "merge", "data": {"hw_model": "rpi4"}});
    let report = request("PUT", format!("{BASE}/configData?nosuch=1"));
    assert_eq!(server.send(report.json(&attributes)).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_missing_resource_is_answered_without_a_body() -> anyhow::Result<()> {
    let server = TestServer::anonymous().await?;
    server.send(get(BASE)).await?;
    for path in [
        "/nothing",
        "/confirmationBase/1",
        "/softwaremodules/1/artifacts",
        "/softwaremodules/1/artifacts/x.bin",
        "/softwaremodules/1/artifacts/x.bin.MD5SUM",
        "/deploymentBase/1",
        "/deploymentBase/99999999999",
        "/cancelAction/1",
        "/installedBase/1",
    ] {
        let response = server.send(get(format!("{BASE}{path}"))).await?;
        assert_eq!(
            (response.status, response.text().as_str()),
            (404, ""),
            "{path}"
        );
    }
    for path in [
        "/deploymentBase/x",
        "/confirmationBase/x",
        "/deploymentBase/1?c=x",
        "/softwaremodules/x/artifacts/y",
    ] {
        assert_eq!(
            server.send(get(format!("{BASE}{path}"))).await?.status,
            400,
            "{path}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn an_id_that_deceives_or_is_a_word_of_a_route_is_answered_400() -> anyhow::Result<()> {
    let server = TestServer::authenticated().await?;
    for id in [
        "bulk",
        "%62ulk",
        "%2E",
        "%2e%2E",
        "a%1B",
        "a%E2%80%8B",
        "%E2%80%AEa",
        "u%CC%88",
    ] {
        let path = format!("/LAB/controller/v1/{id}");
        let report = json!({ "data": { "a": "b" } });
        for request in [
            get(path.clone()),
            get(path.clone()).header("Authorization", "TargetToken wrong"),
            get(path.clone()).header("Authorization", GATEWAY),
            request("PUT", format!("{path}/configData")).json(&report),
        ] {
            let response = server.send(request).await?;
            assert_eq!(response.status, 400, "{id}");
            assert!(response.text().contains("constraintViolation"), "{id}");
        }
    }
    let known = get("/LAB/controller/v1/%C3%BC-7").header("Authorization", GATEWAY);
    assert_eq!(server.send(known).await?.status, 200);
    Ok(())
}

/// An earlier version registered them; a new device with such an id is refused as before.
#[tokio::test]
async fn a_registered_id_that_deceives_stays_valid_for_its_device() -> anyhow::Result<()> {
    let server = TestServer::authenticated().await?;
    let authorized = |path: &str, authorization: &str| {
        get(format!("/LAB/controller/v1/{path}")).header("Authorization", authorization)
    };
    for (id, encoded) in [
        ("pump 7", "pump%207"),
        ("a\u{200b}", "a%E2%80%8B"),
        ("u\u{308}", "u%CC%88"),
        ("\u{202e}a", "%E2%80%AEa"),
    ] {
        for credential in ["TargetToken own", GATEWAY] {
            let refused = server.send(authorized(encoded, credential)).await?;
            assert_eq!(refused.status, 400, "{id:?} before");
        }
        server.put_device(id, "own").await?;
        for credential in ["TargetToken own", GATEWAY] {
            let polled = server.send(authorized(encoded, credential)).await?;
            assert_eq!(polled.status, 200, "{id:?}: {}", polled.text());
            assert!(polled.text().contains(encoded), "{}", polled.text());
        }
        let path = format!("/LAB/controller/v1/{encoded}/configData");
        let report = request("PUT", path).header("Authorization", "TargetToken own");
        let report = report.json(&json!({ "data": { "a": "b" } }));
        assert_eq!(server.send(report).await?.status, 200, "{id:?}");
        // Without its credentials it is as unknown as before.
        for credential in ["TargetToken wrong", "none"] {
            let refused = server.send(authorized(encoded, credential)).await?;
            assert_eq!(refused.status, 400, "{id:?}");
        }
    }
    server
        .change_access(|access| access.trust_on_first_use = true)
        .await?;
    let other = server
        .send(authorized("pump%208", "TargetToken new"))
        .await?;
    assert_eq!(other.status, 400);
    let unknown = get("/NO/controller/v1/pump%207").header("Authorization", "TargetToken own");
    assert_eq!(
        server.send(unknown).await?.status,
        400,
        "as of a known tenant"
    );
    Ok(())
}

/// The span of a device's request has only its id.
#[tokio::test]
async fn the_report_of_a_panic_has_the_route_and_the_tenant() -> anyhow::Result<()> {
    let server = TestServer::anonymous().await?;
    assert_eq!(server.send(get(BASE)).await?.status, 200);
    let requests = Arc::new(Mutex::new(Vec::new()));
    let (of_hook, others) = (Arc::clone(&requests), panic::take_hook());
    panic::set_hook(Box::new(move |panic| {
        let message = panic.payload_as_str().unwrap_or_default();
        if message.starts_with("the clock panics") {
            of_hook.lock().push(running_device_request());
        } else {
            others(panic);
        }
    }));
    // The clock is read first to find the tenant.
    for reads in [1, 0] {
        server.clock.panic_after(reads);
        assert_eq!(server.send(get(BASE)).await?.status, 500);
    }
    let expected = [Some(server.tenant), None].map(|tenant| {
        let route = "/{tenant}/controller/v1/{device}";
        Some(DeviceRequest { route, tenant })
    });
    assert_eq!(*requests.lock(), expected);
    assert_eq!(running_device_request(), None);
    assert_eq!(server.send(get(BASE)).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_panic_is_answered_500_without_a_body() -> anyhow::Result<()> {
    const CENTURY: i64 = 100 * 365 * 24 * 60 * 60;
    let server = TestServer::anonymous().await?;
    assert_eq!(server.send(get(BASE)).await?.status, 200);
    // The clock panics before 1970.
    server.clock.advance(-CENTURY);
    let report = json!({ "data": { "sw_version": "1.0.0" } });
    let report = request("PUT", format!("{BASE}/configData")).json(&report);
    for request in [get(BASE), report] {
        let response = server.send(request).await?;
        assert_eq!((response.status, response.text().as_str()), (500, ""));
        assert_eq!(response.header("content-type"), None);
        assert_eq!(response.header("cache-control"), Some("no-store"));
    }
    server.clock.advance(CENTURY);
    let response = server.send(get(BASE)).await?;
    assert_eq!(response.status, 200, "the server continues");
    Ok(())
}

#[tokio::test]
async fn a_wrong_method_is_answered_405() -> anyhow::Result<()> {
    let server = TestServer::anonymous().await?;
    for (method, path) in [
        ("POST", ""),
        ("GET", "/configData"),
        ("POST", "/configData"),
        ("PUT", "/deploymentBase/1/feedback"),
        ("DELETE", "/installedBase/1"),
    ] {
        let response = server
            .send(request(method, format!("{BASE}{path}")))
            .await?;
        assert_eq!(response.status, 405, "{method} {path}");
        assert!(response.header("allow").is_some());
    }
    Ok(())
}

#[tokio::test]
async fn malformed_bodies_change_nothing() -> anyhow::Result<()> {
    let server = TestServer::anonymous().await?;
    server.send(get(BASE)).await?;
    let put = || request("PUT", format!("{BASE}/configData"));
    let long = json!({"data": {"k": "x".repeat(129)}});
    let huge = " ".repeat((1 << 20) + 1);
    for (refused, status, code) in [
        (
            put().body("application/json", "{"),
            400,
            "hawkbit.server.error.rest.body.notReadable",
        ),
        (
            put().body("application/json", "\u{0}"),
            400,
            "hawkbit.server.error.rest.body.notReadable",
        ),
        (
            put().body("application/cbor", "{}"),
            400,
            "hawkbit.server.error.rest.body.notReadable",
        ),
        (
            put().json(&json!({"mode": "merge"})),
            400,
            "hawkbit.server.error.rest.body.notReadable",
        ),
        (
            put().json(&long),
            400,
            "hawkbit.server.error.repo.invalidTargetAttributes",
        ),
        (
            put().json(&json!({"data": {}})),
            400,
            "hawkbit.server.error.repo.invalidTargetAttributes",
        ),
        (put().body("application/hal+json", "{}"), 415, ""),
        (put(), 415, ""),
        (
            put()
                .header("content-encoding", "gzip")
                .json(&json!({"data": {"k": "v"}})),
            415,
            "",
        ),
        (put().body("application/json", huge), 413, ""),
    ] {
        let response = server.send(refused).await?;
        assert_eq!(response.status, status, "{}", response.text());
        assert_eq!(
            response.json()["errorCode"].as_str().unwrap_or_default(),
            code
        );
    }
    let many: serde_json::Map<_, _> = (0..101).map(|n| (format!("k{n}"), json!("v"))).collect();
    let response = server.send(put().json(&json!({"data": many}))).await?;
    assert_eq!(response.status, 429);
    assert_eq!(
        response.json()["errorCode"],
        "hawkbit.server.error.quota.tooManyEntries"
    );
    let device = server.engine.store().device(server.tenant, "dev-1").await?;
    assert_eq!(device.map(|device| device.attributes.len()), Some(0));
    Ok(())
}

#[tokio::test]
async fn an_invalid_request_head_is_refused() -> anyhow::Result<()> {
    let server = TestServer::anonymous().await?;
    for (refused, status) in [
        (get(BASE).header("Host", "a/b"), 400),
        (get(BASE).header("Host", "user@h"), 400),
        (get("/LAB/controller/v1/%ff"), 400),
        (get("/LAB/controller/v1/a%20b"), 400),
        (get("/LAB/controller/v1/a%00b"), 400),
        (get(format!("/LAB/controller/v1/{}", "x".repeat(257))), 400),
        (get("/%00/controller/v1/d"), 401),
        (get(format!("/{}/controller/v1/d", "x".repeat(5000))), 401),
        (get("/LAB/controller/v1/d%2F1"), 200),
        (get("/LAB/controller/v1/%C3%BC"), 200),
    ] {
        assert_eq!(server.send(refused).await?.status, status);
    }
    Ok(())
}
