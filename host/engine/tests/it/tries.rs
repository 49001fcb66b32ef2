//! Updates that are tried again, and what people are told of it.

use std::time::Duration;

use tidegate_core::{
    campaign::CampaignStatus,
    feedback::Finished,
    id::CampaignId,
    plugin::{Outcome, Scope},
    update::{Event, Retries, UpdateStatus},
};
use tidegate_engine::{campaigns, ports::DeviceChange, registry};

use crate::{
    scripted::decision,
    world::{World, draft, feedback},
};

/// A campaign of one device, which it was offered, that tries twice again.
async fn offered() -> (World, CampaignId) {
    let world = World::new(1).await;
    let mut draft = draft(world.put_firmware("1.1.0").await);
    draft.terms.retries = Retries {
        most: 2,
        delay: Duration::from_mins(1),
    };
    let id = world.started(draft).await;
    world
        .sandbox
        .decides(|_| Ok(decision(&[(0, 1)], Outcome::Proceed)));
    world.tick(id).await;
    (world, id)
}

async fn reasons(world: &World) -> String {
    let explained = campaigns::explain(&world.engine, &world.actor, "device-000").await;
    explained.expect("it is explained")[0].reasons.join("\n")
}

#[tokio::test]
async fn a_try_says_when_it_goes_out_and_what_it_waits_for() {
    let (world, id) = offered().await;
    assert!(
        !reasons(&world).await.contains("try"),
        "the first is no news"
    );
    world.answer(id, Finished::Failure).await;
    let counts = world.counts(id).await;
    assert_eq!((counts.offered, counts.failed), (1, 0));
    let told = reasons(&world).await;
    assert!(told.contains("it is try 2 of 3, after FAILED"), "{told}");
    assert!(
        told.contains("; it goes out in 6") || told.contains("; it goes out in 7"),
        "{told}"
    );

    campaigns::pause(&world.engine, &world.actor, id, "lunch")
        .await
        .expect("it pauses");
    let told = reasons(&world).await;
    assert!(
        told.contains("it waits until the campaign goes on"),
        "{told}"
    );
    world.clock.pass(Duration::from_mins(5));
    let expire = async || {
        let store = world.engine.store();
        store.expire(world.engine.now(), 10).await.expect("a look")
    };
    expire().await;
    assert_eq!(
        world.open(id).await[0].update.progress.status,
        UpdateStatus::Scheduled
    );

    campaigns::resume(&world.engine, &world.actor, id)
        .await
        .expect("it goes on");
    assert!(reasons(&world).await.contains("it goes out in a moment"));
    world.clock.pass(Duration::from_mins(10));
    expire().await;
    assert_eq!(
        world.open(id).await[0].update.progress.status,
        UpdateStatus::Offered
    );
    world.answer(id, Finished::Success).await;
    let counts = world.counts(id).await;
    assert_eq!((counts.completed, counts.failed), (1, 0));
}

#[tokio::test]
async fn a_pinned_device_stays_where_it_is_and_is_told_why() {
    let (world, id) = offered().await;
    let update = world.updates(id).await.remove(0);
    let done = Event::Feedback(feedback(Finished::Success));
    world.report(&update, done).await;
    let pin = DeviceChange {
        pinned: Some(true),
        ..DeviceChange::at(world.engine.now())
    };
    registry::change(&world.engine, &world.actor, "device-000", pin)
        .await
        .expect("it is pinned");
    campaigns::roll_back(
        &world.engine,
        &world.actor,
        id,
        Scope::Everything,
        "it is bad",
    )
    .await
    .expect("it turns back");
    world.tick(id).await;
    assert_eq!(world.status(id).await, CampaignStatus::RolledBack);
    assert_eq!(
        world.version_of("device-000").await.as_deref(),
        Some("1.1.0")
    );
    let said = world.campaign(id).await.explain.join("\n");
    assert!(said.contains("1 stay on it: they are pinned"), "{said}");
    let told = reasons(&world).await;
    assert!(
        told.contains("it was pinned when the campaign went back"),
        "{told}"
    );
}
