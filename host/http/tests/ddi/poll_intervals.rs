//! The polling intervals of devices.

use std::{collections::HashSet, time::Duration};

use serde_json::json;
use tidegate_core::{
    polling::{PollingOverride, PollingSettings},
    settings::TenantSettings,
};
use tidegate_engine::{
    Admin, Error,
    ports::{DeviceChange, NewDevice},
    registry, tenants,
};

use crate::{
    raw_http::{get, request},
    test_server::TestServer,
};

impl TestServer {
    async fn set_polling(&self, polling: PollingSettings) -> anyhow::Result<()> {
        let change = |_| {
            Ok::<_, Error>(TenantSettings {
                polling: polling.clone(),
                ..TenantSettings::default()
            })
        };
        tenants::change_settings(
            &self.ctx(),
            self.engine.store(),
            self.engine.caches(),
            change,
        )
        .await?;
        Ok(())
    }

    async fn sleep(&self, device: &str) -> anyhow::Result<String> {
        let response = self
            .send(get(format!("/lab/controller/v1/{device}")))
            .await?;
        let sleep = response.json()["config"]["polling"]["sleep"].clone();
        Ok(sleep.as_str().unwrap_or_default().to_owned())
    }
}

fn override_for(filter: &str, seconds: u64) -> PollingOverride {
    let interval = Duration::from_secs(seconds);
    PollingOverride::new(filter.to_owned(), interval, None).expect("a valid selector")
}

#[tokio::test]
async fn a_change_of_the_interval_takes_effect_at_the_next_poll() -> anyhow::Result<()> {
    let server = TestServer::anonymous().await?;
    assert_eq!(server.sleep("dev-1").await?, "00:05:00");
    server
        .set_polling(PollingSettings {
            interval: Some(Duration::from_mins(10)),
            ..PollingSettings::default()
        })
        .await?;
    assert_eq!(server.sleep("dev-1").await?, "00:10:00");
    server.set_polling(PollingSettings::default()).await?;
    assert_eq!(server.sleep("dev-1").await?, "00:05:00");

    let own = NewDevice {
        device_id: "dev-2".to_owned(),
        polling_interval: Some(Duration::from_secs(12)),
        ..NewDevice::default()
    };
    server
        .engine
        .store()
        .create_device(&server.ctx::<Admin>(), own)
        .await?;
    assert_eq!(server.sleep("dev-2").await?, "00:00:12");
    for (interval, expected) in [
        (Some(Duration::from_secs(7)), "00:00:07"),
        (None, "00:05:00"),
    ] {
        let change = DeviceChange {
            polling_interval: Some(interval),
            ..DeviceChange::at(server.engine.now())
        };
        registry::change(
            &server.ctx(),
            server.engine.store(),
            server.engine.caches(),
            server.engine.signals(),
            "dev-2",
            change,
        )
        .await?;
        assert_eq!(server.sleep("dev-2").await?, expected);
    }
    let change = DeviceChange {
        polling_interval: Some(Some(Duration::ZERO)),
        ..DeviceChange::at(server.engine.now())
    };
    let refused = registry::change(
        &server.ctx(),
        server.engine.store(),
        server.engine.caches(),
        server.engine.signals(),
        "dev-2",
        change,
    )
    .await;
    assert!(matches!(refused, Err(Error::Invalid { .. })), "{refused:?}");
    Ok(())
}

#[tokio::test]
async fn overrides_follow_the_devices_attributes_and_state() -> anyhow::Result<()> {
    let server = TestServer::anonymous().await?;
    assert_eq!(server.sleep("dev-1").await?, "00:05:00");
    let polling = PollingSettings {
        overrides: vec![
            override_for("attribute.site==lab*", 10),
            override_for("state==pending", 20),
            override_for("hw_model==rpi4", 30),
        ],
        ..PollingSettings::default()
    };
    server.set_polling(polling.clone()).await?;
    assert_eq!(server.sleep("dev-1").await?, "00:05:00");

    let report = |attributes| {
        let body = json!({"mode": "merge", "data": attributes});
        request("PUT", "/lab/controller/v1/dev-1/configData").json(&body)
    };
    server.send(report(json!({"hw_model": "rpi4"}))).await?;
    assert_eq!(server.sleep("dev-1").await?, "00:00:30");
    server.send(report(json!({"site": "lab-3"}))).await?;
    assert_eq!(server.sleep("dev-1").await?, "00:00:10");
    server.send(report(json!({"site": null}))).await?;
    assert_eq!(server.sleep("dev-1").await?, "00:00:30");

    let update = server.offer("dev-1", "2.0.0").await?;
    assert_eq!(server.sleep("dev-1").await?, "00:00:20");
    let feedback = format!("/lab/controller/v1/dev-1/deploymentBase/{update}/feedback");
    for (execution, expected) in [("proceeding", "00:00:20"), ("closed", "00:00:30")] {
        let body = json!({"status": {"execution": execution, "result": {"finished": "success"}}});
        let taken = server.send(request("POST", &feedback).json(&body)).await?;
        assert_eq!(taken.status, 200);
        assert_eq!(server.sleep("dev-1").await?, expected, "{execution}");
    }

    let polling = PollingSettings {
        overrides: vec![override_for("hw_model==rpi4", 40)],
        ..polling
    };
    server.set_polling(polling).await?;
    assert_eq!(server.sleep("dev-1").await?, "00:00:40");
    Ok(())
}

#[tokio::test]
async fn jitter_spreads_the_polls_of_a_fleet() -> anyhow::Result<()> {
    let server = TestServer::anonymous().await?;
    server
        .set_polling(PollingSettings {
            interval: Some(Duration::from_hours(1)),
            jitter_percent: Some(50),
            ..PollingSettings::default()
        })
        .await?;
    let mut sleeps = HashSet::new();
    for n in 0..20 {
        sleeps.insert(server.sleep(&format!("dev-{n}")).await?);
    }
    assert!(sleeps.len() > 15, "{sleeps:?}");
    assert!(
        sleeps
            .iter()
            .all(|sleep| ("00:30:00"..="01:30:00").contains(&&**sleep)),
        "{sleeps:?}"
    );
    // A device always gets the same interval, so that an unchanged poll can be answered 304.
    let response = server.send(get("/lab/controller/v1/dev-1")).await?;
    let tag = response.header("etag").expect("an entity tag").to_owned();
    let again = get("/lab/controller/v1/dev-1").header("If-None-Match", &tag);
    assert_eq!(server.send(again).await?.status, 304);
    Ok(())
}
