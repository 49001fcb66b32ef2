//! How often devices are told to poll.

use std::{collections::HashSet, time::Duration};

use serde_json::json;
use tidegate_core::{
    polling::{Polling, PollingOverride},
    settings::TenantSettings,
};
use tidegate_engine::{
    Error,
    ports::{DeviceChange, NewDevice, Role},
    registry,
    tenants::{self, Actor},
};

use crate::{
    wire::{get, request},
    world::World,
};

impl World {
    fn admin(&self) -> Actor {
        Actor {
            tenant: self.tenant,
            user: "admin".to_owned(),
            role: Role::Admin,
        }
    }

    async fn set(&self, polling: Polling) -> anyhow::Result<()> {
        let change = |_| {
            Ok::<_, Error>(TenantSettings {
                polling: polling.clone(),
                ..TenantSettings::default()
            })
        };
        tenants::change_settings(&self.engine, &self.admin(), change).await?;
        Ok(())
    }

    async fn sleep(&self, device: &str) -> anyhow::Result<String> {
        let answer = self
            .send(get(format!("/lab/controller/v1/{device}")))
            .await?;
        let sleep = answer.json()["config"]["polling"]["sleep"].clone();
        Ok(sleep.as_str().unwrap_or_default().to_owned())
    }
}

fn over(filter: &str, seconds: u64) -> PollingOverride {
    let interval = Duration::from_secs(seconds);
    PollingOverride::new(filter.to_owned(), interval, None).expect("a selector")
}

#[tokio::test]
async fn the_tenant_says_how_often_and_the_next_poll_knows() -> anyhow::Result<()> {
    let world = World::open().await?;
    assert_eq!(world.sleep("dev-1").await?, "00:05:00");
    world
        .set(Polling {
            interval: Some(Duration::from_mins(10)),
            ..Polling::default()
        })
        .await?;
    assert_eq!(world.sleep("dev-1").await?, "00:10:00");
    world.set(Polling::default()).await?;
    assert_eq!(world.sleep("dev-1").await?, "00:05:00");

    let own = NewDevice {
        device_id: "dev-2".to_owned(),
        polling_interval: Some(Duration::from_secs(12)),
        ..NewDevice::default()
    };
    world
        .engine
        .store()
        .create_device(world.tenant, own)
        .await?;
    assert_eq!(world.sleep("dev-2").await?, "00:00:12");
    for (interval, expected) in [
        (Some(Duration::from_secs(7)), "00:00:07"),
        (None, "00:05:00"),
    ] {
        let change = DeviceChange {
            polling_interval: Some(interval),
            ..DeviceChange::at(world.engine.now())
        };
        registry::change(&world.engine, &world.admin(), "dev-2", change).await?;
        assert_eq!(world.sleep("dev-2").await?, expected);
    }
    let change = DeviceChange {
        polling_interval: Some(Some(Duration::ZERO)),
        ..DeviceChange::at(world.engine.now())
    };
    let refused = registry::change(&world.engine, &world.admin(), "dev-2", change).await;
    assert!(matches!(refused, Err(Error::Invalid { .. })), "{refused:?}");
    Ok(())
}

#[tokio::test]
async fn overrides_follow_what_devices_report_and_what_becomes_of_them() -> anyhow::Result<()> {
    let world = World::open().await?;
    assert_eq!(world.sleep("dev-1").await?, "00:05:00");
    let polling = Polling {
        overrides: vec![
            over("attribute.site==lab*", 10),
            over("state==pending", 20),
            over("hw_model==rpi4", 30),
        ],
        ..Polling::default()
    };
    world.set(polling.clone()).await?;
    assert_eq!(world.sleep("dev-1").await?, "00:05:00");

    let report = |attributes| {
        let body = json!({"mode": "merge", "data": attributes});
        request("PUT", "/lab/controller/v1/dev-1/configData").json(&body)
    };
    world.send(report(json!({"hw_model": "rpi4"}))).await?;
    assert_eq!(world.sleep("dev-1").await?, "00:00:30");
    world.send(report(json!({"site": "lab-3"}))).await?;
    assert_eq!(world.sleep("dev-1").await?, "00:00:10");
    world.send(report(json!({"site": null}))).await?;
    assert_eq!(world.sleep("dev-1").await?, "00:00:30");

    let update = world.offer("dev-1", "2.0.0").await?;
    assert_eq!(world.sleep("dev-1").await?, "00:00:20");
    let feedback = format!("/lab/controller/v1/dev-1/deploymentBase/{update}/feedback");
    for (execution, expected) in [("proceeding", "00:00:20"), ("closed", "00:00:30")] {
        let body = json!({"status": {"execution": execution, "result": {"finished": "success"}}});
        let taken = world.send(request("POST", &feedback).json(&body)).await?;
        assert_eq!(taken.status, 200);
        assert_eq!(world.sleep("dev-1").await?, expected, "{execution}");
    }

    let polling = Polling {
        overrides: vec![over("hw_model==rpi4", 40)],
        ..polling
    };
    world.set(polling).await?;
    assert_eq!(world.sleep("dev-1").await?, "00:00:40");
    Ok(())
}

#[tokio::test]
async fn a_fleet_with_jitter_does_not_come_back_at_once() -> anyhow::Result<()> {
    let world = World::open().await?;
    world
        .set(Polling {
            interval: Some(Duration::from_hours(1)),
            jitter_percent: Some(50),
            ..Polling::default()
        })
        .await?;
    let mut sleeps = HashSet::new();
    for n in 0..20 {
        sleeps.insert(world.sleep(&format!("dev-{n}")).await?);
    }
    assert!(sleeps.len() > 15, "{sleeps:?}");
    assert!(
        sleeps
            .iter()
            .all(|sleep| ("00:30:00"..="01:30:00").contains(&&**sleep)),
        "{sleeps:?}"
    );
    // A device hears the same again, so that it can be told that nothing is new.
    let answer = world.send(get("/lab/controller/v1/dev-1")).await?;
    let tag = answer.header("etag").expect("a tag").to_owned();
    let again = get("/lab/controller/v1/dev-1").header("If-None-Match", &tag);
    assert_eq!(world.send(again).await?.status, 304);
    Ok(())
}
