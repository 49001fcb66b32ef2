//! Polls while the database does not answer, and while changes of other servers are not heard.

use anyhow::Context as _;
use serde_json::json;
use tidegate_core::{
    feedback::{Execution, Feedback, Finished},
    update::UpdateEvent,
};
use tidegate_engine::{
    Caches,
    devices::{self, DeviceCredential, DeviceWait},
    ports::{DeviceEvent, DeviceReport, Devices as _, Updates as _},
};

use crate::{
    raw_http::{Response, get, request},
    test_server::{GATEWAY, TestServer},
};

const TOKEN: &str = "TargetToken secret";

async fn poll(server: &TestServer, device: &str, authorization: &str) -> anyhow::Result<Response> {
    let path = format!("/lab/controller/v1/{device}");
    server
        .send(get(path).header("authorization", authorization))
        .await
}

/// A server with a device that has nothing to do and one with an offer, which both have polled.
async fn server_with_devices() -> anyhow::Result<TestServer> {
    let server = TestServer::authenticated().await?;
    for device in ["idle", "offered"] {
        server.put_device(device, "secret").await?;
        assert_eq!(poll(&server, device, GATEWAY).await?.status, 200);
        assert_eq!(poll(&server, device, TOKEN).await?.status, 200);
    }
    server.offer("offered", "1.1.0").await?;
    let offered = poll(&server, "offered", TOKEN).await?.text();
    assert!(offered.contains("deploymentBase"), "{offered}");
    Ok(server)
}

#[tokio::test]
async fn idle_devices_are_answered_from_memory_during_an_outage() -> anyhow::Result<()> {
    let server = server_with_devices().await?;
    let idle = poll(&server, "idle", TOKEN).await?.json();
    server.store.close().await;
    // When a write has an unknown result, and when the connection is lost that hears other servers.
    let doubts: [fn(&Caches); 2] = [Caches::invalidate_all, Caches::suspend];
    for doubt in doubts {
        doubt(server.engine.caches());
        for authorization in [TOKEN, GATEWAY] {
            let response = poll(&server, "idle", authorization).await?;
            assert_eq!((response.status, response.json()), (200, idle.clone()));
            for device in ["offered", "new"] {
                let response = poll(&server, device, authorization).await?;
                assert_eq!(response.status, 429, "{device}");
                assert_eq!(response.header("retry-after"), Some("1"));
            }
        }
        let wrong = poll(&server, "idle", "TargetToken wrong").await?;
        assert_eq!(wrong.status, 401);
        let path = "/lab/controller/v1/idle/configData";
        let report = request("PUT", path).header("authorization", TOKEN);
        let report = report.json(&json!({"mode": "merge", "data": {"site": "north"}}));
        assert_eq!(server.send(report).await?.status, 429);
    }
    Ok(())
}

/// The server knows whose reports it refuses.
#[tokio::test]
async fn remembered_devices_are_authenticated_during_an_outage() -> anyhow::Result<()> {
    let server = server_with_devices().await?;
    let engine = &server.engine;
    let tenant = engine.store().tenant("LAB").await?;
    let tenant = tenant.context("the tenant")?;
    server.store.close().await;
    engine.caches().suspend();
    let (right, wrong) = ("secret", "wrong");
    for (device, token, expected) in [
        ("idle", right, Some(true)),
        ("idle", wrong, Some(false)),
        ("offered", right, Some(true)),
        // It may have been issued meanwhile.
        ("offered", wrong, None),
        ("new", right, None),
    ] {
        let credentials = [DeviceCredential::TargetToken(token)];
        let wait = DeviceWait::new(engine.settings().device_wait);
        let id = device.to_owned();
        let found = devices::authenticate(engine, &tenant, id, &credentials, wait).await;
        let is_authentic = found.ok().map(|caller| caller.is_some());
        assert_eq!(is_authentic, expected, "{device} {token}");
    }
    Ok(())
}

#[tokio::test]
async fn nothing_is_offered_from_memory_while_other_servers_are_not_heard() -> anyhow::Result<()> {
    let server = server_with_devices().await?;
    let view = server.store.poll_view(server.tenant, "offered").await?;
    let view = view.context("the device")?;
    let update = view.open.context("an update")?.id;
    // As another server does, of which this one is not told.
    let done = Feedback::new(Execution::Closed, Finished::Success);
    let done = DeviceReport {
        tenant: server.tenant,
        device: view.device,
        by: None,
        read_at: None,
        at: server.engine.now(),
        event: DeviceEvent::Update(update, UpdateEvent::Feedback(done)),
    };
    server.store.report(done).await?;
    server.engine.caches().suspend();
    let answered = poll(&server, "offered", TOKEN).await?.text();
    assert!(!answered.contains("deploymentBase"), "{answered}");
    server.engine.caches().resume();
    let answered = poll(&server, "offered", TOKEN).await?.text();
    assert!(!answered.contains("deploymentBase"), "{answered}");
    Ok(())
}
