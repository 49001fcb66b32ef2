use tidegate_core::{
    campaign::CampaignStatus,
    feedback::Finished,
    plugin::{HealthVerdict, Outcome, RollBack, Scope},
    update::{Event, Purpose, UpdateStatus},
};
use tidegate_engine::campaigns;

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
