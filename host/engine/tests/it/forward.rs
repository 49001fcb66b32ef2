use std::time::Duration;

use tidegate_core::{
    campaign::CampaignStatus,
    feedback::Finished,
    plugin::{Compatibility, HealthVerdict, Outcome},
};
use tidegate_engine::{
    Error, campaigns,
    campaigns::Standing,
    ports::{CallFailure, EntryKind, PageRequest},
};

use crate::{
    scripted::{decision, health},
    world::{World, draft},
};

#[tokio::test]
async fn a_campaign_goes_out_wave_by_wave_to_its_end() {
    let world = World::new(10).await;
    let id = world
        .started(draft(world.put_firmware("1.1.0").await))
        .await;
    world.sandbox.decides(|observation| {
        let finished: Vec<bool> = observation
            .waves
            .iter()
            .map(|wave| wave.counts.finished() == wave.size)
            .collect();
        Ok(match finished[..] {
            [true, true, true] => decision(&[], Outcome::Complete),
            [true, true, _] => decision(&[(2, 7)], Outcome::Proceed),
            [true, ..] => decision(&[(1, 2)], Outcome::Proceed),
            _ => decision(&[(0, 1)], Outcome::Proceed),
        })
    });
    for admitted in [1, 3, 10] {
        world.tick(id).await;
        // Asking again at once releases nobody else.
        world.tick(id).await;
        assert_eq!(world.updates(id).await.len(), admitted);
        world.answer(id, Finished::Success).await;
    }
    world.tick(id).await;
    assert_eq!(world.status(id).await, CampaignStatus::Completed);
    assert_eq!(world.counts(id).await.completed, 10);
    assert_eq!(
        world.version_of("device-000").await.as_deref(),
        Some("1.1.0")
    );
}

#[tokio::test]
async fn no_more_devices_are_in_flight_than_the_campaign_allows() {
    let world = World::new(10).await;
    let mut draft = draft(world.put_firmware("1.1.0").await);
    draft.max_concurrent_updates = Some(2);
    let id = world.started(draft).await;
    world
        .sandbox
        .decides(|_| Ok(decision(&[(0, 1), (1, 2)], Outcome::Proceed)));
    world.tick(id).await;
    assert_eq!(
        world.updates(id).await.len(),
        0,
        "three at once are refused whole"
    );
    world.clock.pass(Duration::from_secs(2));
    world
        .sandbox
        .decides(|_| Ok(decision(&[(0, 1), (1, 1)], Outcome::Proceed)));
    world.tick(id).await;
    assert_eq!(world.updates(id).await.len(), 2);
}

#[tokio::test]
async fn a_plugin_that_keeps_lying_holds_its_campaign() {
    let world = World::new(10).await;
    let id = world
        .started(draft(world.put_firmware("1.1.0").await))
        .await;
    world
        .sandbox
        .decides(|_| Ok(decision(&[(2, 7)], Outcome::Proceed)));
    for expected in [
        CampaignStatus::InProgress,
        CampaignStatus::InProgress,
        CampaignStatus::Held,
    ] {
        world.tick(id).await;
        assert_eq!(world.status(id).await, expected);
        // Whatever wakes it meanwhile, it is not asked again before its time.
        world.tick(id).await;
        assert_eq!(world.status(id).await, expected);
        world.clock.pass(Duration::from_secs(4));
    }
    let hold = world.campaign(id).await.hold.expect("it says why");
    assert!(
        hold.reason
            .contains("wave 2 may open only after the one before it"),
        "{}",
        hold.reason
    );
    assert_eq!(world.updates(id).await.len(), 0);

    world
        .sandbox
        .decides(|_| Ok(decision(&[(0, 1)], Outcome::Proceed)));
    campaigns::resume(&world.engine, &world.actor, id)
        .await
        .expect("an operator resumes");
    world.tick(id).await;
    assert_eq!(world.updates(id).await.len(), 1);
    assert_eq!(world.campaign(id).await.hold, None);
}

#[tokio::test]
async fn a_missed_deadline_is_tried_again_ever_later_and_at_last_holds() {
    let world = World::new(3).await;
    let id = world
        .started(draft(world.put_firmware("1.1.0").await))
        .await;
    world
        .sandbox
        .decides(|_| Err(CallFailure::Deadline(Duration::from_millis(250))));
    // Looked at once a second; asked after 2 s, 4 s, 8 s ...
    for _ in 0..500 {
        world.tick(id).await;
        world.clock.pass(Duration::from_secs(1));
    }
    assert_eq!(world.status(id).await, CampaignStatus::InProgress);
    assert_eq!(world.decisions(id).await, 8);
    for _ in 0..400 {
        world.tick(id).await;
        world.clock.pass(Duration::from_secs(1));
    }
    assert_eq!(world.status(id).await, CampaignStatus::Held);
    assert_eq!(world.decisions(id).await, 10);
    let hold = world.campaign(id).await.hold.expect("it says why");
    assert!(hold.reason.contains("10 times in a row"), "{}", hold.reason);
}

#[tokio::test]
async fn one_answer_in_time_and_earlier_misses_are_forgotten() {
    let world = World::new(3).await;
    let id = world
        .started(draft(world.put_firmware("1.1.0").await))
        .await;
    for _ in 0..12 {
        world
            .sandbox
            .decides(|_| Err(CallFailure::Deadline(Duration::from_millis(250))));
        world.tick(id).await;
        world.clock.pass(Duration::from_secs(2));
        world
            .sandbox
            .decides(|_| Ok(decision(&[], Outcome::Proceed)));
        world.tick(id).await;
    }
    assert_eq!(world.decisions(id).await, 24);
    assert_eq!(world.status(id).await, CampaignStatus::InProgress);
}

#[tokio::test]
async fn what_the_host_cannot_run_is_no_reason_to_hold() {
    let world = World::new(3).await;
    let id = world
        .started(draft(world.put_firmware("1.1.0").await))
        .await;
    world
        .sandbox
        .decides(|_| Err(CallFailure::Host("the disk is away".to_owned())));
    for _ in 0..20 {
        world.tick(id).await;
        world.clock.pass(Duration::from_mins(5));
    }
    let campaign = world.campaign(id).await;
    assert_eq!(campaign.status, CampaignStatus::InProgress);
    assert!(campaign.explain[0].contains("the disk is away"));
}

#[tokio::test]
async fn what_the_checker_refuses_is_counted_as_an_invalid_answer() {
    let world = World::new(10).await;
    let id = world
        .started(draft(world.put_firmware("1.1.0").await))
        .await;
    world
        .sandbox
        .decides(|_| Ok(decision(&[(2, 7)], Outcome::Proceed)));
    world.tick(id).await;
    let calls = world.calls.lock().expect("no test panicked").clone();
    assert_eq!(
        calls.last(),
        Some(&("waves".to_owned(), "decide", "invalid-answer"))
    );
}

#[tokio::test]
async fn a_policy_that_keeps_failing_holds_the_campaign_too() {
    let world = World::new(3).await;
    let id = world
        .started(draft(world.put_firmware("1.1.0").await))
        .await;
    world.sandbox.decides(|observation| {
        assert!(matches!(
            &observation.verdicts[0].verdict,
            HealthVerdict::Inconclusive(_)
        ));
        Ok(decision(&[], Outcome::Proceed))
    });
    world
        .sandbox
        .evaluates(|_| Err(CallFailure::Trap("index out of bounds".to_owned())));
    for _ in 0..3 {
        world.tick(id).await;
        world.clock.pass(Duration::from_secs(4));
    }
    assert_eq!(world.status(id).await, CampaignStatus::Held);
    assert_eq!(
        world.campaign(id).await.hold.expect("it says why").by,
        "calm"
    );
}

#[tokio::test]
async fn a_policy_that_says_hold_releases_nobody() {
    let world = World::new(3).await;
    let id = world
        .started(draft(world.put_firmware("1.1.0").await))
        .await;
    world
        .sandbox
        .evaluates(|_| Ok(health(HealthVerdict::Hold("too hot".to_owned()))));
    world
        .sandbox
        .decides(|_| Ok(decision(&[(0, 1)], Outcome::Proceed)));
    world.tick(id).await;
    assert_eq!(world.updates(id).await.len(), 0);
}

#[tokio::test]
async fn the_failure_ceiling_stops_what_no_plugin_stops() {
    let world = World::new(10).await;
    let mut draft = draft(world.put_firmware("1.1.0").await);
    draft.failure_threshold_percent = 50;
    draft.auto_rollback = false;
    let id = world.started(draft).await;
    world
        .sandbox
        .decides(|_| Ok(decision(&[(0, 1)], Outcome::Proceed)));
    world.tick(id).await;
    world.answer(id, Finished::Failure).await;
    world.tick(id).await;
    assert_eq!(world.status(id).await, CampaignStatus::Held);
    let hold = world.campaign(id).await.hold.expect("it says why");
    assert_eq!(
        hold.reason,
        "1 of the 1 devices of wave wave 0 failed: the ceiling is 50 %"
    );
}

#[tokio::test]
async fn whoever_resumes_what_the_ceiling_held_accepts_the_failures_so_far() {
    let world = World::new(10).await;
    let mut draft = draft(world.put_firmware("1.1.0").await);
    draft.failure_threshold_percent = 50;
    draft.auto_rollback = false;
    let id = world.started(draft).await;
    world
        .sandbox
        .decides(|_| Ok(decision(&[(0, 1)], Outcome::Proceed)));
    world.tick(id).await;
    world.answer(id, Finished::Failure).await;
    world.tick(id).await;
    assert_eq!(world.status(id).await, CampaignStatus::Held);

    campaigns::resume(&world.engine, &world.actor, id)
        .await
        .expect("an operator resumes");
    let explain = world.campaign(id).await.explain;
    assert!(explain[0].contains("accepted"), "{explain:?}");
    world
        .sandbox
        .decides(|_| Ok(decision(&[(1, 2)], Outcome::Proceed)));
    world.tick(id).await;
    assert_eq!(world.status(id).await, CampaignStatus::InProgress);
    assert_eq!(world.updates(id).await.len(), 3);

    // What fails from here on counts.
    world.answer(id, Finished::Failure).await;
    world.tick(id).await;
    assert_eq!(world.status(id).await, CampaignStatus::Held);
}

#[tokio::test]
async fn whoever_resumes_a_pause_accepts_nothing() {
    let world = World::new(10).await;
    let mut draft = draft(world.put_firmware("1.1.0").await);
    draft.failure_threshold_percent = 50;
    draft.auto_rollback = false;
    let id = world.started(draft).await;
    world
        .sandbox
        .decides(|_| Ok(decision(&[(0, 1)], Outcome::Proceed)));
    world.tick(id).await;
    campaigns::pause(&world.engine, &world.actor, id, "lunch")
        .await
        .expect("it pauses");
    world.answer(id, Finished::Failure).await;
    campaigns::resume(&world.engine, &world.actor, id)
        .await
        .expect("it resumes");
    world.tick(id).await;
    assert_eq!(world.status(id).await, CampaignStatus::Held);
}

#[tokio::test]
async fn silence_ends_as_timed_out() {
    let world = World::new(3).await;
    let id = world
        .started(draft(world.put_firmware("1.1.0").await))
        .await;
    world
        .sandbox
        .decides(|_| Ok(decision(&[(0, 1)], Outcome::Proceed)));
    world.tick(id).await;
    world.clock.pass(Duration::from_mins(29));
    assert_eq!(
        world
            .engine
            .store()
            .expire(world.engine.now(), 10)
            .await
            .expect("it works")
            .len(),
        0
    );
    world.clock.pass(Duration::from_mins(1));
    assert_eq!(
        world
            .engine
            .store()
            .expire(world.engine.now(), 10)
            .await
            .expect("it works")
            .len(),
        1
    );
    assert_eq!(world.counts(id).await.timed_out, 1);
}

#[tokio::test]
async fn incompatible_devices_are_left_out_with_the_reason() {
    let world = World::new(3).await;
    world.sandbox.checks(|input| {
        Ok(input
            .classes
            .iter()
            .map(|_| Compatibility::Incompatible("wrong board".to_owned()))
            .collect())
    });
    let id = world
        .create(draft(world.put_firmware("1.1.0").await))
        .await
        .id;
    let error = campaigns::start(&world.engine, &world.actor, id)
        .await
        .expect_err("nobody is left");
    assert!(error.to_string().contains("fits: wrong board"), "{error}");
    assert_eq!(world.status(id).await, CampaignStatus::Created);

    world
        .sandbox
        .checks(|input| Ok(vec![Compatibility::Compatible; input.classes.len()]));
    campaigns::start(&world.engine, &world.actor, id)
        .await
        .expect("now it starts");
    let explained = campaigns::explain(&world.engine, &world.actor, "device-000")
        .await
        .expect("it is explained");
    assert_eq!(explained[0].standing, Standing::Waiting);
    assert!(
        explained[0]
            .reasons
            .iter()
            .any(|reason| reason.contains("number")),
        "{:?}",
        explained[0].reasons
    );
}

#[tokio::test]
async fn a_second_start_changes_nothing() {
    let world = World::new(3).await;
    let id = world
        .started(draft(world.put_firmware("1.1.0").await))
        .await;
    let before = world.campaign(id).await;
    let error = campaigns::start(&world.engine, &world.actor, id)
        .await
        .expect_err("it has started");
    assert!(
        matches!(
            error,
            Error::Conflict {
                code: "invalid_transition",
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(world.campaign(id).await, before);
}

#[tokio::test]
async fn every_question_is_in_the_journal() {
    let world = World::new(3).await;
    let id = world
        .started(draft(world.put_firmware("1.1.0").await))
        .await;
    world
        .sandbox
        .decides(|_| Ok(decision(&[(0, 1)], Outcome::Proceed)));
    world.tick(id).await;
    let all = PageRequest {
        limit: 100,
        offset: 0,
    };
    let page = campaigns::journal(&world.engine, &world.actor, id, 0, all)
        .await
        .expect("a journal");
    let kinds: Vec<EntryKind> = page.items.iter().map(|entry| entry.kind).collect();
    assert_eq!(
        kinds,
        [
            EntryKind::Check,
            EntryKind::Plan,
            EntryKind::Evaluate,
            EntryKind::Decide
        ]
    );
    assert!(page.items.iter().map(|entry| entry.seq).eq(1..=4));
}
