//! Authentication with tokens of devices and gateways.

use std::time::Duration;

use tidegate_engine::{Admin, access, tenants};

use crate::{
    raw_http::{get, request},
    test_server::{GATEWAY, TestServer},
};

const BASE: &str = "/LAB/controller/v1/dev-1";

impl TestServer {
    /// The status of a poll with this `Authorization` header.
    async fn poll_status(&self, path: &str, authorization: &str) -> anyhow::Result<u16> {
        let response = self
            .send(get(path).header("Authorization", authorization))
            .await?;
        assert!(
            response.status == 200 || response.body.is_empty(),
            "a refusal has no body"
        );
        Ok(response.status)
    }

    /// Replaces the device's token; the old one stays valid for `old_life`.
    async fn replace_token(&self, device: &str, old_life: Duration) -> anyhow::Result<String> {
        let new = access::replace_token(
            &self.ctx(),
            self.engine.store(),
            self.engine.caches(),
            self.engine.entropy(),
            device,
            None,
            old_life,
        )
        .await?;
        Ok(format!("TargetToken {}", new.token))
    }
}

#[tokio::test]
async fn a_token_is_replaced_without_a_gap() -> anyhow::Result<()> {
    let server = TestServer::authenticated().await?;
    server.put_device("dev-1", "first").await?;
    let first = "TargetToken first";
    assert_eq!(server.poll_status(BASE, first).await?, 200);

    let day = Duration::from_hours(24);
    let second = server.replace_token("dev-1", day).await?;
    for _ in 0..2 {
        assert_eq!(
            server.poll_status(BASE, first).await?,
            200,
            "the new token was not used yet"
        );
    }
    assert_eq!(server.poll_status(BASE, &second).await?, 200);
    assert_eq!(
        server.poll_status(BASE, first).await?,
        401,
        "the new one was used"
    );
    assert_eq!(server.poll_status(BASE, &second).await?, 200);

    // A device that never uses its new token is refused once the old one has expired.
    let third = server.replace_token("dev-1", day).await?;
    server.clock.advance(24 * 60 * 60 - 1);
    assert_eq!(server.poll_status(BASE, &second).await?, 200);
    server.clock.advance(1);
    assert_eq!(server.poll_status(BASE, &second).await?, 401);
    assert_eq!(server.poll_status(BASE, &third).await?, 200);

    let fourth = server.replace_token("dev-1", Duration::ZERO).await?;
    assert_eq!(
        server.poll_status(BASE, &third).await?,
        401,
        "the old token is invalid immediately"
    );
    assert_eq!(server.poll_status(BASE, &fourth).await?, 200);
    Ok(())
}

#[tokio::test]
async fn feedback_does_not_revoke_the_old_token() -> anyhow::Result<()> {
    let server = TestServer::authenticated().await?;
    server.put_device("dev-1", "first").await?;
    let first = "TargetToken first";
    assert_eq!(server.poll_status(BASE, first).await?, 200);
    let second = server
        .replace_token("dev-1", Duration::from_hours(1))
        .await?;
    let attributes = request("PUT", format!("{BASE}/configData"))
        .header("Authorization", first)
        .json(&serde_json::json!({"data": {"site": "lab"}}));
    assert_eq!(server.send(attributes).await?.status, 200);
    assert_eq!(server.poll_status(BASE, first).await?, 200);
    assert_eq!(server.poll_status(BASE, &second).await?, 200);
    assert_eq!(server.poll_status(BASE, first).await?, 401);
    Ok(())
}

#[tokio::test]
async fn a_revoked_token_is_refused() -> anyhow::Result<()> {
    let server = TestServer::authenticated().await?;
    server.put_device("dev-1", "first").await?;
    let second = server
        .replace_token("dev-1", Duration::from_hours(1))
        .await?;
    access::revoke_token(
        &server.ctx(),
        server.engine.store(),
        server.engine.caches(),
        "dev-1",
    )
    .await?;
    for token in [
        "TargetToken first",
        &second,
        "TargetToken ",
        "TargetToken x",
    ] {
        assert_eq!(server.poll_status(BASE, token).await?, 401, "{token}");
    }
    let third = server.replace_token("dev-1", Duration::ZERO).await?;
    assert_eq!(server.poll_status(BASE, &third).await?, 200);
    Ok(())
}

#[tokio::test]
async fn a_gateway_of_a_group_is_refused_for_other_devices() -> anyhow::Result<()> {
    let server = TestServer::authenticated().await?;
    let (engine, tenant) = (&server.engine, server.tenant);
    let hall = access::create_gateway(
        &server.ctx(),
        engine.store(),
        engine.caches(),
        engine.entropy(),
        access::GatewayRequest {
            name: "hall".to_owned(),
            group: Some("hall".to_owned()),
            ..access::GatewayRequest::default()
        },
    )
    .await?;
    let yard = access::create_gateway(
        &server.ctx(),
        engine.store(),
        engine.caches(),
        engine.entropy(),
        access::GatewayRequest {
            name: "yard".to_owned(),
            group: Some("yard".to_owned()),
            ..access::GatewayRequest::default()
        },
    )
    .await?;
    let hall_token = format!("GatewayToken {}", hall.token);
    let yard_token = format!("GatewayToken {}", yard.token);
    server.put_device("ungrouped", "secret").await?;

    // A device that it registers is put into its group.
    assert_eq!(server.poll_status(BASE, &hall_token).await?, 200);
    let device = engine.store().device(tenant, "dev-1").await?;
    assert_eq!(
        device.map(|device| device.groups),
        Some(vec!["hall".to_owned()])
    );
    for (path, token, status) in [
        (BASE, &hall_token, 200),
        (BASE, &yard_token, 404),
        ("/LAB/controller/v1/ungrouped", &hall_token, 404),
        ("/LAB/controller/v1/dev-2", &yard_token, 200),
        ("/LAB/controller/v1/dev-2", &hall_token, 404),
    ] {
        assert_eq!(
            server.poll_status(path, token).await?,
            status,
            "{path} {token}"
        );
    }
    let feedback = request("POST", format!("{BASE}/deploymentBase/1/feedback"))
        .header("Authorization", &yard_token)
        .json(&serde_json::json!({}));
    assert_eq!(server.send(feedback).await?.status, 404);
    Ok(())
}

#[tokio::test]
async fn a_deleted_gateway_is_revoked() -> anyhow::Result<()> {
    let server = TestServer::authenticated().await?;
    let engine = &server.engine;
    let other = tenants::create(&server.server_ctx()?, server.engine.store(), "other").await?;
    let made = access::create_gateway(
        &server.ctx(),
        engine.store(),
        engine.caches(),
        engine.entropy(),
        access::GatewayRequest {
            name: "hall".to_owned(),
            ..access::GatewayRequest::default()
        },
    )
    .await?;
    let token = format!("GatewayToken {}", made.token);
    assert_eq!(server.poll_status(BASE, &token).await?, 200);
    assert_eq!(
        server
            .poll_status("/OTHER/controller/v1/dev-1", &token)
            .await?,
        401
    );

    // The time of its last use is recorded, though not for each request.
    let used_at = engine.now();
    access::flush_gateway_uses(engine.store(), engine.caches()).await?;
    let gateways = access::gateways(&server.ctx::<Admin>(), engine.store()).await?;
    let hall = gateways.iter().find(|gateway| gateway.name == "hall");
    assert_eq!(hall.and_then(|hall| hall.last_used), Some(used_at));

    assert!(
        access::delete_gateway(
            &server.ctx_of(other.id),
            engine.store(),
            engine.caches(),
            made.gateway.id
        )
        .await
        .is_err()
    );
    assert_eq!(server.poll_status(BASE, &token).await?, 200);
    access::delete_gateway(
        &server.ctx(),
        engine.store(),
        engine.caches(),
        made.gateway.id,
    )
    .await?;
    assert_eq!(server.poll_status(BASE, &token).await?, 401);
    Ok(())
}

#[tokio::test]
async fn only_the_first_token_is_trusted() -> anyhow::Result<()> {
    let server = TestServer::authenticated().await?;
    assert_eq!(server.poll_status(BASE, "TargetToken first").await?, 401);
    server
        .change_access(|access| access.trust_on_first_use = true)
        .await?;
    let configured = request("PUT", format!("{BASE}/configData"))
        .header("Authorization", "TargetToken first")
        .json(&serde_json::json!({"data": {"site": "lab"}}));
    assert_eq!(
        server.send(configured).await?.status,
        404,
        "only a poll registers"
    );
    for (token, status) in [
        ("TargetToken ", 401),
        ("TargetToken first", 200),
        ("TargetToken second", 401),
        ("TargetToken first", 200),
    ] {
        assert_eq!(server.poll_status(BASE, token).await?, status, "{token}");
    }
    // A device that was registered without a token, or whose token was revoked, gets none this way.
    let gate = "/LAB/controller/v1/behind-the-gate";
    assert_eq!(server.poll_status(gate, GATEWAY).await?, 200);
    assert_eq!(server.poll_status(gate, "TargetToken mine").await?, 401);
    access::revoke_token(
        &server.ctx(),
        server.engine.store(),
        server.engine.caches(),
        "dev-1",
    )
    .await?;
    assert_eq!(server.poll_status(BASE, "TargetToken first").await?, 401);
    Ok(())
}

#[tokio::test]
async fn only_one_of_concurrent_first_tokens_is_trusted() -> anyhow::Result<()> {
    let server = TestServer::authenticated().await?;
    server
        .change_access(|access| access.trust_on_first_use = true)
        .await?;
    let tokens: Vec<_> = (0..8).map(|n| format!("TargetToken {n}")).collect();
    let polls = tokens.iter().map(|token| server.poll_status(BASE, token));
    let statuses = futures::future::try_join_all(polls).await?;
    let again = tokens.iter().map(|token| server.poll_status(BASE, token));
    let again = futures::future::try_join_all(again).await?;
    assert_eq!(statuses, again, "only the first token stays valid");
    let authenticated = again.iter().filter(|&&status| status == 200);
    assert_eq!(authenticated.count(), 1, "{again:?}");
    Ok(())
}

#[tokio::test]
async fn a_tenant_can_disable_a_token_kind() -> anyhow::Result<()> {
    let server = TestServer::authenticated().await?;
    server.put_device("dev-1", "secret").await?;
    for (target_tokens, gateway_tokens) in [(true, false), (false, true), (false, false)] {
        server
            .change_access(|access| {
                access.target_tokens = target_tokens;
                access.gateway_tokens = gateway_tokens;
            })
            .await?;
        let status = |is_open| if is_open { 200 } else { 401 };
        assert_eq!(
            server.poll_status(BASE, "TargetToken secret").await?,
            status(target_tokens)
        );
        assert_eq!(
            server.poll_status(BASE, GATEWAY).await?,
            status(gateway_tokens)
        );
    }
    Ok(())
}
