use std::time::Duration;

use tidegate_core::{
    campaign::CampaignStatus,
    feedback::Finished,
    plugin::{HealthVerdict, Outcome, RollBack, Scope},
    update::{Event, Proof, Purpose, UpdateStatus},
};
use tidegate_engine::campaigns::{self, Draft};

use crate::{
    scripted::{decision, health},
    world::{World, draft, feedback},
};

/// A fleet that has gone to 1.1.0, and a campaign of 1.2.0 with its first two waves out.
async fn half_way() -> (World, tidegate_core::id::CampaignId) {
    let world = World::new(10).await;
    let all_at_once = |sizes: &[(u32, u64)]| {
        let sizes = sizes.to_vec();
        move |_: &_| Ok(decision(&sizes, Outcome::Proceed))
    };
    let first = world
        .started(draft(world.put_firmware("1.1.0").await))
        .await;
    world
        .sandbox
        .decides(all_at_once(&[(0, 1), (1, 2), (2, 7)]));
    world.tick(first).await;
    world.answer(first, Finished::Success).await;
    world
        .sandbox
        .decides(|_| Ok(decision(&[], Outcome::Complete)));
    world.tick(first).await;
    assert_eq!(world.status(first).await, CampaignStatus::Completed);

    let second = world
        .started(draft(world.put_firmware("1.2.0").await))
        .await;
    world.sandbox.decides(all_at_once(&[(0, 1), (1, 2)]));
    world.tick(second).await;
    (world, second)
}

#[tokio::test]
async fn a_policy_sends_devices_back_that_are_done_and_in_flight() {
    let (world, id) = half_way().await;
    let updates = world.updates(id).await;
    world
        .report(&updates[0], Event::Feedback(feedback(Finished::Success)))
        .await;
    world
        .report(&updates[1], Event::Feedback(feedback(Finished::Failure)))
        .await;
    let wish = RollBack {
        scope: Scope::Everything,
        reason: "1 of 2 failed".to_owned(),
    };
    world
        .sandbox
        .evaluates(move |_| Ok(health(HealthVerdict::RollBack(wish.clone()))));
    world.tick(id).await;
    assert_eq!(world.status(id).await, CampaignStatus::RollingBack);
    assert_eq!(
        world.campaign(id).await.rollback.expect("it says why").by,
        "calm"
    );

    world.tick(id).await;
    let open = world.open(id).await;
    let kinds: Vec<_> = open
        .iter()
        .map(|row| (row.update.campaign.map(|c| c.1), row.update.progress.status))
        .collect();
    assert_eq!(
        kinds,
        [
            (Some(Purpose::Forward { wave: 1 }), UpdateStatus::Cancelling),
            (Some(Purpose::Return), UpdateStatus::Offered),
        ]
    );
    assert_eq!(open[1].update.to_version, "1.1.0");
    assert_eq!(open[1].update.device, updates[0].update.device);

    world.answer(id, Finished::Success).await;
    world.tick(id).await;
    assert_eq!(world.status(id).await, CampaignStatus::RolledBack);
    for row in &updates {
        assert_eq!(
            world.version_of(&row.device_id).await.as_deref(),
            Some("1.1.0")
        );
    }
}

#[tokio::test]
async fn a_device_that_finishes_while_it_is_called_back_is_sent_back() {
    let (world, id) = half_way().await;
    let reason = "an operator changed their mind";
    campaigns::roll_back(&world.engine, &world.actor, id, Scope::Everything, reason)
        .await
        .expect("it turns back");
    world.tick(id).await;
    let called_back = world.open(id).await;
    assert_eq!(called_back.len(), 3);
    world
        .report(
            &called_back[0],
            Event::Feedback(feedback(Finished::Success)),
        )
        .await;
    world.answer(id, Finished::Success).await;
    world.tick(id).await;
    assert_eq!(world.status(id).await, CampaignStatus::RollingBack);
    let open = world.open(id).await;
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].update.device, called_back[0].update.device);
    world.answer(id, Finished::Success).await;
    world.tick(id).await;
    assert_eq!(world.status(id).await, CampaignStatus::RolledBack);
}

#[tokio::test]
async fn a_device_that_installed_it_and_fell_silent_is_sent_back() {
    let world = World::new(1).await;
    let campaign = Draft {
        proof: Proof::Attested,
        ..draft(world.put_firmware("1.1.0").await)
    };
    // What it had before: the fleet comes with version 1.0.0, which is spelt in another way here.
    let before = world.put_firmware("v1.0").await;
    let id = world.started(campaign).await;
    world
        .sandbox
        .decides(|_| Ok(decision(&[(0, 1)], Outcome::Proceed)));
    world.tick(id).await;
    world.answer(id, Finished::Success).await;
    campaigns::roll_back(&world.engine, &world.actor, id, Scope::InFlight, "it hums")
        .await
        .expect("it turns back");
    world.tick(id).await;
    assert_eq!(
        world.open(id).await[0].update.progress.status,
        UpdateStatus::Verifying,
        "it has the time to prove itself"
    );
    world.clock.pass(Duration::from_mins(31));
    let expired = world.engine.store().expire(world.engine.now(), 10).await;
    assert_eq!(expired.map(|expired| expired.len()).ok(), Some(1));
    world.tick(id).await;
    let open = world.open(id).await;
    assert_eq!(open.len(), 1);
    let update = &open[0].update;
    assert_eq!(update.campaign, Some((id, Purpose::Return)));
    assert_eq!(update.firmware, before);
    world.answer(id, Finished::Success).await;
    // The way back has to be proven too.
    world.report_version(update.device, "1.0.0").await;
    world.tick(id).await;
    assert_eq!(world.status(id).await, CampaignStatus::RolledBack);
}

#[tokio::test]
async fn cancelling_calls_back_what_is_in_flight() {
    let (world, id) = half_way().await;
    campaigns::cancel(&world.engine, &world.actor, id, "enough")
        .await
        .expect("it is cancelled");
    world.tick(id).await;
    assert!(
        world
            .open(id)
            .await
            .iter()
            .all(|row| row.update.progress.status == UpdateStatus::Cancelling)
    );
    world.answer(id, Finished::Success).await;
    assert_eq!(world.counts(id).await.cancelled, 3);
    world
        .sandbox
        .decides(|_| panic!("a cancelled campaign asks nobody"));
    world.tick(id).await;
    assert_eq!(world.updates(id).await.len(), 3);
}

#[tokio::test]
async fn without_auto_rollback_a_wish_to_go_back_is_a_hold() {
    let world = World::new(3).await;
    let mut draft = draft(world.put_firmware("1.1.0").await);
    draft.auto_rollback = false;
    let id = world.started(draft).await;
    let wish = RollBack {
        scope: Scope::Everything,
        reason: "bad".to_owned(),
    };
    world
        .sandbox
        .decides(move |_| Ok(decision(&[], Outcome::RollBack(wish.clone()))));
    world.tick(id).await;
    assert_eq!(world.status(id).await, CampaignStatus::Held);
}
