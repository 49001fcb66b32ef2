//! Mode `latest`: which firmware policies are asked about, and what is said of the rest.

use std::sync::{Arc, Mutex};

use tidegate_core::{
    firmware::FirmwareDetails,
    mode::DeviceMode,
    plugin::{CheckInput, Compatibility, Kind},
    time::Timestamp,
};
use tidegate_engine::{
    latest,
    ports::{DeviceChange, PageRequest, UpdateFilter},
};

use crate::world::World;

/// The versions that the policy `latest` was asked about.
type Asked = Arc<Mutex<Vec<String>>>;

/// A fleet in mode `latest`; as for its policy, devices may have whatever this says.
async fn world(may: impl Fn(&CheckInput) -> bool + Send + 'static) -> (World, Asked) {
    let world = World::new(2).await;
    for policy in ["latest", "hardware"] {
        world.put_plugin(policy, Kind::Compatibility).await;
    }
    for n in 0..2 {
        let change = DeviceChange {
            mode: Some(DeviceMode::Latest),
            ..DeviceChange::at(Timestamp(0))
        };
        let id = format!("device-{n:03}");
        let changed = world.engine.store();
        let changed = changed.change_device(world.tenant(), &id, change).await;
        changed.expect("a device");
    }
    let asked = Asked::default();
    let heard = Arc::clone(&asked);
    world.sandbox.checks(move |input| {
        heard
            .lock()
            .expect("no panic")
            .push(input.firmware.version.clone());
        let verdict = if may(input) {
            Compatibility::Compatible
        } else {
            Compatibility::Incompatible("no".to_owned())
        };
        Ok(vec![verdict; input.classes.len()])
    });
    (world, asked)
}

async fn put(world: &World, version: &str, change: impl FnOnce(&mut FirmwareDetails)) {
    let mut details = FirmwareDetails {
        name: "edge".to_owned(),
        version: version.to_owned(),
        device_model: Some("rpi4".to_owned()),
        ..FirmwareDetails::default()
    };
    change(&mut details);
    world.put_firmware_of(details).await;
}

async fn offered(world: &World) -> Vec<String> {
    let all = PageRequest {
        limit: 500,
        offset: 0,
    };
    let every = UpdateFilter::default();
    let updates = world.engine.store();
    let updates = updates.list_updates(world.tenant(), &every, all).await;
    let updates = updates.expect("a list").items;
    updates
        .into_iter()
        .map(|row| row.update.to_version)
        .collect()
}

async fn look(world: &World) -> Vec<String> {
    latest::look(&world.engine).await.expect("it looks");
    offered(world).await
}

async fn explained(world: &World) -> String {
    let device = world.engine.store();
    let device = device.device(world.tenant(), "device-000").await;
    let device = device.expect("a store").expect("a device");
    let said = latest::explain(&world.engine, &world.actor, &device).await;
    said.expect("words").join("\n")
}

#[tokio::test]
async fn betas_and_other_models_do_not_stand_in_the_way_of_a_release() {
    let (world, asked) = world(|_| true).await;
    put(&world, "1.1.0", |_| {}).await;
    for n in 0..120 {
        put(&world, &format!("2.0.{n}"), |details| {
            details.is_beta = true;
        })
        .await;
        put(&world, &format!("3.0.0-rc.{n}"), |_| {}).await;
        let other = Some("cm4".to_owned());
        put(&world, &format!("4.0.{n}"), |details| {
            details.device_model = other;
        })
        .await;
    }
    put(&world, "9.0.0", |details| details.device_model = None).await;
    assert_eq!(look(&world).await, ["1.1.0", "1.1.0"]);
    // Each of the two policies, once for both devices.
    assert_eq!(*asked.lock().expect("no panic"), ["1.1.0", "1.1.0"]);

    let said = explained(&world).await;
    for sentence in [
        "not edge 9.0.0: neither its upload nor its image says which hardware it is for",
        "not edge 3.0.0-rc.119: it is a beta",
        "latest chooses edge 1.1.0 for it",
    ] {
        assert!(said.contains(sentence), "{sentence}: {said}");
    }
    assert!(!said.contains("4.0."), "{said}");
}

#[tokio::test]
async fn policies_are_asked_down_to_the_version_that_a_device_has() {
    let (world, asked) = world(|input| input.firmware.version == "1.1.0").await;
    for version in ["0.8.0", "0.9.0", "1.0.0", "1.1.0"] {
        put(&world, version, |_| {}).await;
    }
    for n in 0..60 {
        put(&world, &format!("2.0.{n}"), |_| {}).await;
    }
    assert_eq!(look(&world).await, ["1.1.0", "1.1.0"]);
    asked.lock().expect("no panic").clear();

    world.sandbox.checks({
        let heard = Arc::clone(&asked);
        move |input| {
            heard
                .lock()
                .expect("no panic")
                .push(input.firmware.version.clone());
            Ok(vec![
                Compatibility::Incompatible("no".to_owned());
                input.classes.len()
            ])
        }
    });
    let said = explained(&world).await;
    assert!(said.ends_with("latest chooses nothing for it"), "{said}");
    assert!(said.contains("not edge 2.0.59: latest: no"), "{said}");
    let asked = asked.lock().expect("no panic");
    // Whoever was refused by one policy is not shown to the next.
    assert_eq!(
        (asked.len(), asked.last().map(String::as_str)),
        (62, Some("1.0.0"))
    );
}

#[tokio::test]
async fn what_is_not_looked_at_any_more_is_said() {
    let (world, asked) = world(|input| input.firmware.version == "1.1.0").await;
    put(&world, "1.1.0", |_| {}).await;
    for n in 0..220 {
        put(&world, &format!("2.0.{n}"), |_| {}).await;
    }
    assert!(look(&world).await.is_empty());
    assert_eq!(asked.lock().expect("no panic").len(), 200);
    let said = explained(&world).await;
    assert!(
        said.contains("the 200 of the highest versions were looked at"),
        "{said}"
    );
}

#[tokio::test]
async fn an_image_says_for_which_models_it_is() {
    let image = |key: &'static str, value: &'static str| {
        move |details: &mut FirmwareDetails| {
            details.device_model = None;
            details.metadata.insert(key.to_owned(), value.to_owned());
        }
    };
    let (world, _) = world(|_| true).await;
    put(&world, "9.0.0", image("rauc.compatible", "cm4")).await;
    put(&world, "8.0.0", image("swu.boards", r#"{"cm4":["1.0"]}"#)).await;
    put(
        &world,
        "7.0.0",
        image("swu.boards", r#"{"cm4":["1.0"],"rpi4":["1.0"]}"#),
    )
    .await;
    assert_eq!(look(&world).await, ["7.0.0", "7.0.0"]);
    put(&world, "7.1.0", image("rauc.compatible", "rpi4")).await;
    put(
        &world,
        "7.2.0",
        image("swu.hardware_compatibility", r#"["1.0"]"#),
    )
    .await;
    let said = explained(&world).await;
    assert!(said.contains("latest chooses edge 7.2.0"), "{said}");

    // Without the policy that reads images, nobody gets one for its image's word.
    let store = world.engine.store();
    let revision = store.revision(world.tenant(), "hardware", None).await;
    let digest = revision
        .expect("a store")
        .expect("a revision")
        .stored
        .digest;
    let disabled = store
        .enable_revision(world.tenant(), "hardware", digest, false)
        .await;
    disabled.expect("a revision");
    let said = explained(&world).await;
    assert!(
        said.contains("not edge 7.2.0: the policy hardware, which reads"),
        "{said}"
    );
    assert!(said.ends_with("latest chooses nothing for it"), "{said}");
}
