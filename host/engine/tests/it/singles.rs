//! Updates of one device: what it goes back to, and what stands against that.

use std::time::Duration;

use tidegate_core::{
    feedback::Finished,
    firmware::FirmwareDetails,
    id::FirmwareId,
    update::{Event, Proof, Terms, UpdateStatus},
};
use tidegate_engine::{
    Error, Result,
    ports::{DeviceChange, Made, NewFirmware, Offer, UpdateRow},
    registry, updates,
};

use crate::world::{World, feedback};

const DEVICE: &str = "device-000";

impl World {
    /// Puts this firmware to the device, which says that it went so; answers the update.
    async fn takes(&self, firmware: FirmwareId, proof: Proof, finished: Finished) -> UpdateRow {
        let row = self.offered(firmware, proof).await;
        self.report(&row, Event::Feedback(feedback(finished))).await;
        self.update(&row).await
    }

    async fn offered(&self, firmware: FirmwareId, proof: Proof) -> UpdateRow {
        let (store, tenant) = (self.engine.store(), self.tenant());
        let device = store.device(tenant, DEVICE).await.expect("it is read");
        let found = store.firmware(tenant, firmware).await.expect("it is read");
        let offer = Offer {
            firmware,
            to_version: found.expect("the firmware").details.version,
            weight: 500,
            proof,
            terms: Terms::forced(Duration::from_mins(30)),
            now: self.engine.now(),
        };
        let key = device.expect("the device").key;
        let made = store.create_update(tenant, key, &offer).await;
        let Ok(Made::Update(id, _)) = made else {
            panic!("{made:?}");
        };
        let row = updates::get(&self.engine, &self.actor, id).await;
        row.expect("the update")
    }

    async fn update(&self, row: &UpdateRow) -> UpdateRow {
        let row = updates::get(&self.engine, &self.actor, row.update.id).await;
        row.expect("the update")
    }

    async fn goes_back(&self, version: Option<&str>, force: bool) -> Result<UpdateRow> {
        updates::roll_back(&self.engine, &self.actor, DEVICE, version, force, "it hums").await
    }

    /// A firmware of this name and version for this model.
    async fn put_for(&self, name: &str, version: &str, model: Option<&str>) -> FirmwareId {
        let firmware = NewFirmware {
            details: FirmwareDetails {
                name: name.to_owned(),
                version: version.to_owned(),
                device_model: model.map(str::to_owned),
                ..FirmwareDetails::default()
            },
            modules: Vec::new(),
            created_by: "op".to_owned(),
            created_at: self.engine.now(),
        };
        let store = self.engine.store();
        let made = store.create_firmware(self.tenant(), firmware).await;
        made.expect("a firmware")
    }
}

fn refused(answer: Result<UpdateRow>) -> (&'static str, String) {
    match answer {
        Err(Error::Conflict { code, message }) => (code, message),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_device_goes_back_to_its_own_product_for_its_own_model() {
    let world = World::new(1).await;
    let new = world.put_firmware("1.1.0").await;
    world.put_for("gateway", "1.0.0", None).await;
    world.put_for("edge", "1.0.0", Some("jetson")).await;
    world.takes(new, Proof::Reported, Finished::Success).await;
    for version in [None, Some("1.0.0")] {
        let (code, why) = refused(world.goes_back(version, true).await);
        assert_eq!(code, "nothing_to_go_back_to");
        assert!(why.contains("there is no edge 1.0.0 for"), "{why}");
    }
    let fits = world.put_for("edge", "v1.0", Some("rpi4")).await;
    let back = world.goes_back(None, false).await.expect("it goes back");
    assert_eq!(back.update.firmware, fits);
}

#[tokio::test]
async fn a_version_that_a_device_had_is_found_in_any_spelling() {
    let world = World::new(1).await;
    let first = world.put_firmware("1.1.0").await;
    let second = world.put_firmware("1.2.0").await;
    let third = world.put_firmware("1.3.0").await;
    for firmware in [first, second, third] {
        world
            .takes(firmware, Proof::Reported, Finished::Success)
            .await;
    }
    let back = world.goes_back(Some("v1.1"), false).await;
    assert_eq!(back.expect("it goes back").update.firmware, first);
}

#[tokio::test]
async fn who_never_had_a_firmware_has_nothing_to_go_back_to() {
    let world = World::new(1).await;
    world.put_firmware("0.9.0").await;
    for version in [None, Some("0.9.0")] {
        let (code, _) = refused(world.goes_back(version, false).await);
        assert_eq!(code, "nothing_to_go_back_to", "{version:?}");
    }
}

#[tokio::test]
async fn what_was_installed_and_not_proven_is_what_a_device_goes_back_from() {
    let world = World::new(1).await;
    let old = world.put_firmware("1.1.0").await;
    let new = world.put_firmware("1.2.0").await;
    world.takes(old, Proof::Reported, Finished::Success).await;
    let unproven = world.takes(new, Proof::Attested, Finished::Success).await;
    assert_eq!(unproven.update.progress.status, UpdateStatus::Verifying);
    let cancelled = updates::cancel(&world.engine, &world.actor, unproven.update.id, true, "");
    assert_eq!(refused(cancelled.await).0, "update_installed");

    let back = world.goes_back(None, false).await.expect("it goes back");
    assert_eq!(back.update.firmware, old);
    let gone = world.update(&unproven).await.update.progress;
    assert_eq!(
        gone.status,
        UpdateStatus::Cancelled,
        "nothing is waited for"
    );
    world
        .report(&back, Event::Feedback(feedback(Finished::Success)))
        .await;
    let (code, _) = refused(world.goes_back(Some("1.1.0"), false).await);
    assert_eq!(code, "already_installed", "it is back");
}

#[tokio::test]
async fn what_is_open_is_called_back() {
    let world = World::new(1).await;
    let first = world.put_firmware("1.1.0").await;
    let second = world.put_firmware("1.2.0").await;
    let third = world.put_firmware("1.3.0").await;
    for firmware in [first, second] {
        world
            .takes(firmware, Proof::Reported, Finished::Success)
            .await;
    }
    let open = world.offered(third, Proof::Reported).await;
    let back = world.goes_back(None, false).await.expect("it goes back");
    assert_eq!(back.update.firmware, first);
    let open = world.update(&open).await;
    assert_eq!(open.update.progress.status, UpdateStatus::Cancelling);
    let log = updates::log(&world.engine, &world.actor, open.update.id, None, 10).await;
    let lines = log.expect("its log").lines;
    let said = format!("called back for update {} by op: it hums", back.update.id);
    assert!(lines.iter().any(|line| line.text == said), "{lines:?}");
}

#[tokio::test]
async fn force_goes_past_a_pin_where_it_can_be_said() {
    let world = World::new(1).await;
    let first = world.put_firmware("1.1.0").await;
    let second = world.put_firmware("1.2.0").await;
    world.takes(first, Proof::Reported, Finished::Success).await;
    let failed = world
        .takes(second, Proof::Reported, Finished::Failure)
        .await;
    world
        .takes(second, Proof::Reported, Finished::Success)
        .await;
    let pin = DeviceChange {
        pinned: Some(true),
        ..DeviceChange::at(world.engine.now())
    };
    let pinned = registry::change(&world.engine, &world.actor, DEVICE, pin).await;
    pinned.expect("it is pinned");

    let retried = updates::retry(&world.engine, &world.actor, failed.update.id, None).await;
    let (code, why) = refused(retried);
    assert_eq!(code, "pinned");
    assert!(
        why.contains("start an update of the firmware with `force`"),
        "{why}"
    );
    let (code, why) = refused(world.goes_back(None, false).await);
    assert_eq!(code, "pinned");
    assert!(why.contains("`force` goes past it"), "{why}");
    let back = world.goes_back(None, true).await.expect("it is forced");
    assert_eq!(back.update.firmware, first);
}

#[tokio::test]
async fn nobody_waits_for_a_device_that_is_told_to_stop() {
    let world = World::new(1).await;
    let firmware = world.put_firmware("1.1.0").await;
    let row = world.offered(firmware, Proof::Reported).await;
    let id = row.update.id;
    let cancel = |force| updates::cancel(&world.engine, &world.actor, id, force, "it is gone");
    assert_eq!(refused(cancel(true).await).0, "update_not_cancelling");
    for _ in 0..2 {
        let called = cancel(false).await.expect("it is called back");
        assert_eq!(called.update.progress.status, UpdateStatus::Cancelling);
    }
    let quit = cancel(true).await.expect("it ends");
    assert_eq!(quit.update.progress.status, UpdateStatus::Cancelled);
    for force in [true, false] {
        assert_eq!(refused(cancel(force).await).0, "update_ended");
    }
}
