use std::time::Duration;

use tidegate_core::{
    campaign::CampaignStatus,
    feedback::Finished,
    id::CampaignId,
    plugin::{Compatibility, Decision, DecisionOutcome, HealthVerdict, Members},
};
use tidegate_engine::{
    Engine, Error, Settings, campaigns,
    campaigns::MembershipStatus,
    ports::{CallFailure, EntryKind, PageRequest, RunRef},
};

use crate::{
    engine_fixture::{EngineFixture, campaign_request, explain, plan, settings},
    scripted_sandbox::{decision, health},
};

#[tokio::test]
async fn a_campaign_goes_out_wave_by_wave_to_its_end() {
    let fixture = EngineFixture::new(10).await;
    let id = fixture.start_campaign().await;
    fixture.sandbox.decides(|observation| {
        let finished: Vec<bool> = observation
            .waves
            .iter()
            .map(|wave| wave.counts.finished() == wave.size)
            .collect();
        Ok(match finished[..] {
            [true, true, true] => decision(&[], DecisionOutcome::Complete(None)),
            [true, true, _] => decision(&[(2, 7)], DecisionOutcome::Proceed),
            [true, ..] => decision(&[(1, 2)], DecisionOutcome::Proceed),
            _ => decision(&[(0, 1)], DecisionOutcome::Proceed),
        })
    });
    for admitted in [1, 3, 10] {
        fixture.tick(id).await;
        // An immediate second tick offers no more updates.
        fixture.tick(id).await;
        assert_eq!(fixture.updates(id).await.len(), admitted);
        fixture.report_result(id, Finished::Success).await;
    }
    fixture.tick(id).await;
    assert_eq!(fixture.status(id).await, CampaignStatus::Completed);
    assert_eq!(fixture.counts(id).await.completed, 10);
    assert_eq!(
        fixture.version_of("device-000").await.as_deref(),
        Some("1.1.0")
    );
}

#[tokio::test]
async fn the_devices_behind_a_batch_of_deleted_ones_are_offered_at_once() {
    // A batch has 1000.
    let fixture = EngineFixture::new(1003).await;
    *fixture.sandbox.plan.lock() = Box::new(|_| Ok(plan(&[Members::Rest])));
    let id = fixture.start_campaign().await;
    let (ctx, store) = (fixture.ctx(), fixture.engine.store());
    for n in 0..1000 {
        let device = format!("device-{n:03}");
        let deleted = store.delete_device(&ctx, &device, ctx.now);
        deleted.await.expect("it is deleted");
    }
    fixture.sandbox.decides(|observation| {
        let all = observation.waves[0].size;
        Ok(decision(&[(0, all)], DecisionOutcome::Proceed))
    });
    fixture.tick(id).await;
    assert_eq!(fixture.updates(id).await.len(), 3);
}

#[tokio::test]
async fn the_lease_is_renewed_while_a_plugin_decides() {
    let fixture = EngineFixture::new(1).await;
    let id = fixture.start_campaign().await;
    // Renewed every 30 ms of the real time, for 100 ms of the manual clock.
    let settings = Settings {
        lease: Duration::from_millis(100),
        ..settings()
    };
    let engine = Engine::new(fixture.ports.clone(), settings);
    let run = RunRef {
        tenant: fixture.tenant(),
        campaign: id,
    };
    let undecided = fixture.sandbox.decision_gate.lock().await;
    let begun = fixture.engine.now();
    let expired = begun.plus(Duration::from_millis(101));
    let is_due = async |at| {
        let due = fixture.engine.store().due(at, 10).await;
        due.expect("the campaigns").contains(&run)
    };
    assert!(is_due(begun).await, "no server has its lease");
    let renewed = async {
        while is_due(begun).await {
            tokio::task::yield_now().await;
        }
        assert!(is_due(expired).await, "the first lease has expired by then");
        fixture.clock.advance(Duration::from_millis(50));
        while is_due(expired).await {
            tokio::task::yield_now().await;
        }
        drop(undecided);
    };
    let (ticked, ()) = tokio::join!(campaigns::tick(&engine, run), renewed);
    ticked.expect("the tick succeeds");
}

#[tokio::test]
async fn no_more_devices_are_in_flight_than_the_campaign_allows() {
    let fixture = EngineFixture::new(10).await;
    let mut request = campaign_request(fixture.add_firmware("1.1.0").await);
    request.max_concurrent_updates = Some(2);
    let id = fixture.create_and_start(request).await;
    fixture
        .sandbox
        .decides(|_| Ok(decision(&[(0, 1), (1, 2)], DecisionOutcome::Proceed)));
    fixture.tick(id).await;
    assert_eq!(
        fixture.updates(id).await.len(),
        0,
        "a decision that exceeds the limit is rejected as a whole"
    );
    fixture.clock.advance(Duration::from_secs(2));
    fixture
        .sandbox
        .decides(|_| Ok(decision(&[(0, 1), (1, 1)], DecisionOutcome::Proceed)));
    fixture.tick(id).await;
    assert_eq!(fixture.updates(id).await.len(), 2);
}

#[tokio::test]
async fn a_plugin_that_keeps_making_invalid_decisions_holds_its_campaign() {
    let fixture = EngineFixture::new(10).await;
    let id = fixture.start_campaign().await;
    fixture
        .sandbox
        .decides(|_| Ok(decision(&[(2, 7)], DecisionOutcome::Proceed)));
    for expected in [
        CampaignStatus::InProgress,
        CampaignStatus::InProgress,
        CampaignStatus::Held,
    ] {
        fixture.tick(id).await;
        assert_eq!(fixture.status(id).await, expected);
        // During the back-off the plugin is not called, whatever wakes the campaign.
        fixture.tick(id).await;
        assert_eq!(fixture.status(id).await, expected);
        fixture.clock.advance(Duration::from_secs(4));
    }
    let hold = fixture.campaign(id).await.hold.expect("a reason is stored");
    assert!(
        hold.reason
            .contains("wave 2 must not open before the waves in front of it"),
        "{}",
        hold.reason
    );
    assert_eq!(fixture.updates(id).await.len(), 0);

    fixture
        .sandbox
        .decides(|_| Ok(decision(&[(0, 1)], DecisionOutcome::Proceed)));
    fixture.resume(id).await;
    fixture.tick(id).await;
    assert_eq!(fixture.updates(id).await.len(), 1);
    assert_eq!(fixture.campaign(id).await.hold, None);
}

#[tokio::test]
async fn a_missed_deadline_is_retried_with_back_off_and_finally_holds() {
    let fixture = EngineFixture::new(3).await;
    let id = fixture.start_campaign().await;
    fixture
        .sandbox
        .decides(|_| Err(CallFailure::Deadline(Duration::from_millis(250))));
    // One tick per second; calls after 2 s, 4 s, 8 s ...
    for _ in 0..500 {
        fixture.tick(id).await;
        fixture.clock.advance(Duration::from_secs(1));
    }
    assert_eq!(fixture.status(id).await, CampaignStatus::InProgress);
    assert_eq!(fixture.decisions(id).await, 8);
    for _ in 0..400 {
        fixture.tick(id).await;
        fixture.clock.advance(Duration::from_secs(1));
    }
    assert_eq!(fixture.status(id).await, CampaignStatus::Held);
    assert_eq!(fixture.decisions(id).await, 10);
    let hold = fixture.campaign(id).await.hold.expect("a reason is stored");
    assert!(hold.reason.contains("10 times in a row"), "{}", hold.reason);
}

#[tokio::test]
async fn a_plugin_that_fails_every_other_time_is_held() {
    let fixture = EngineFixture::new(3).await;
    let id = fixture.start_campaign().await;
    for failures in 1..=8 {
        assert_eq!(fixture.status(id).await, CampaignStatus::InProgress);
        fixture
            .sandbox
            .decides(|_| Ok(decision(&[], DecisionOutcome::Proceed)));
        fixture.tick(id).await;
        fixture
            .sandbox
            .decides(|_| Ok(decision(&[(2, 7)], DecisionOutcome::Proceed)));
        fixture.tick(id).await;
        fixture.clock.advance(Duration::from_secs(2));
        assert_eq!(fixture.decisions(id).await, failures * 2);
    }
    let hold = fixture.campaign(id).await.hold.expect("a reason is stored");
    assert!(
        hold.reason.contains("failed in 8 of the last 32 ticks"),
        "{}",
        hold.reason
    );
    // Resuming it begins anew.
    fixture.resume(id).await;
    fixture.tick(id).await;
    assert_eq!(fixture.status(id).await, CampaignStatus::InProgress);
}

#[tokio::test]
async fn rare_failures_do_not_hold_a_campaign() {
    let fixture = EngineFixture::new(3).await;
    let id = fixture.start_campaign().await;
    // Seven of 35, so that there are seven in any 32 or fewer.
    for tick in 0..70 {
        let wave = if tick % 5 == 0 { 2 } else { 0 };
        fixture
            .sandbox
            .decides(move |_| Ok(decision(&[(wave, 1)], DecisionOutcome::Proceed)));
        fixture.tick(id).await;
        fixture.clock.advance(Duration::from_secs(2));
    }
    assert_eq!(fixture.decisions(id).await, 70);
    assert_eq!(fixture.status(id).await, CampaignStatus::InProgress);
}

#[tokio::test]
async fn a_strategy_that_asks_to_be_woken_at_once_waits_longer_while_nothing_changes() {
    let fixture = EngineFixture::new(3).await;
    let id = fixture.start_campaign().await;
    fixture.sandbox.decides(|_| {
        Ok(Decision {
            wake_after: Some(Duration::ZERO),
            ..decision(&[(0, 1)], DecisionOutcome::Proceed)
        })
    });
    // The first decision opens a wave.
    for expected in [1, 1, 2, 4, 8, 16, 32, 60, 60] {
        fixture.tick(id).await;
        assert_eq!(seconds_until_due(&fixture).await, expected);
    }
    fixture.report_result(id, Finished::Success).await;
    assert_eq!(seconds_until_due(&fixture).await, 0, "an event");
    for expected in [1, 1, 2] {
        fixture.tick(id).await;
        assert_eq!(seconds_until_due(&fixture).await, expected);
    }
}

/// Advances the clock to the next wake-up.
async fn seconds_until_due(fixture: &EngineFixture) -> u32 {
    let store = fixture.engine.store();
    for seconds in 0..100 {
        let due = store.due(fixture.engine.now(), 10).await;
        if !due.expect("the campaigns are read").is_empty() {
            return seconds;
        }
        fixture.clock.advance(Duration::from_secs(1));
    }
    panic!("the campaign is not due within 100 seconds");
}

#[tokio::test]
async fn one_answer_in_time_resets_the_timeouts_in_a_row() {
    let fixture = EngineFixture::new(3).await;
    let id = fixture.start_campaign().await;
    miss_every_other_deadline(&fixture, id, 12).await;
    assert_eq!(fixture.decisions(id).await, 24);
    assert_eq!(fixture.status(id).await, CampaignStatus::InProgress);
}

#[tokio::test]
async fn a_plugin_that_misses_every_other_deadline_is_held() {
    let fixture = EngineFixture::new(3).await;
    let id = fixture.start_campaign().await;
    let began = fixture.engine.now();
    miss_every_other_deadline(&fixture, id, 15).await;
    assert_eq!(fixture.status(id).await, CampaignStatus::InProgress);
    miss_every_other_deadline(&fixture, id, 1).await;
    assert_eq!(fixture.status(id).await, CampaignStatus::Held);
    let hold = fixture.campaign(id).await.hold.expect("a reason is stored");
    let times = "failed in 16 of the last 32 ticks";
    assert!(hold.reason.contains(times), "{}", hold.reason);
    assert!(fixture.engine.now() > began.plus(Duration::from_mins(8)));
}

/// The strategy misses its deadline and answers then, this many times.
async fn miss_every_other_deadline(fixture: &EngineFixture, id: CampaignId, times: usize) {
    for _ in 0..times {
        fixture
            .sandbox
            .decides(|_| Err(CallFailure::Deadline(Duration::from_millis(250))));
        fixture.tick(id).await;
        let decisions = fixture.decisions(id).await;
        fixture
            .sandbox
            .decides(|_| Ok(decision(&[], DecisionOutcome::Proceed)));
        // During the back-off it is not called.
        while fixture.decisions(id).await == decisions
            && fixture.status(id).await == CampaignStatus::InProgress
        {
            fixture.clock.advance(Duration::from_secs(2));
            fixture.tick(id).await;
        }
    }
}

#[tokio::test]
async fn a_host_failure_does_not_hold_the_campaign() {
    let fixture = EngineFixture::new(3).await;
    let id = fixture.start_campaign().await;
    fixture
        .sandbox
        .decides(|_| Err(CallFailure::Host("the disk is away".to_owned())));
    for _ in 0..20 {
        fixture.tick(id).await;
        fixture.clock.advance(Duration::from_mins(5));
    }
    let campaign = fixture.campaign(id).await;
    assert_eq!(campaign.status, CampaignStatus::InProgress);
    assert!(campaign.explain[0].contains("the disk is away"));
}

#[tokio::test]
async fn a_decision_that_the_checker_refuses_counts_as_an_invalid_answer() {
    let fixture = EngineFixture::new(10).await;
    let id = fixture.start_campaign().await;
    fixture
        .sandbox
        .decides(|_| Ok(decision(&[(2, 7)], DecisionOutcome::Proceed)));
    fixture.tick(id).await;
    let calls = fixture.calls.lock().clone();
    assert_eq!(
        calls.last(),
        Some(&("acme/waves".to_owned(), "decide", "invalid-answer"))
    );
}

#[tokio::test]
async fn a_policy_that_keeps_failing_holds_the_campaign_too() {
    let fixture = EngineFixture::new(3).await;
    let id = fixture.start_campaign().await;
    fixture.sandbox.decides(|observation| {
        assert!(matches!(
            &observation.verdicts[0].verdict,
            HealthVerdict::Inconclusive(_)
        ));
        Ok(decision(&[], DecisionOutcome::Proceed))
    });
    fixture
        .sandbox
        .evaluates(|_| Err(CallFailure::Trap("index out of bounds".to_owned())));
    for _ in 0..3 {
        fixture.tick(id).await;
        fixture.clock.advance(Duration::from_secs(4));
    }
    assert_eq!(fixture.status(id).await, CampaignStatus::Held);
    assert_eq!(
        fixture
            .campaign(id)
            .await
            .hold
            .expect("a reason is stored")
            .by,
        "acme/calm"
    );
}

#[tokio::test]
async fn a_policy_that_says_hold_releases_no_device() {
    let fixture = EngineFixture::new(3).await;
    let id = fixture.start_campaign().await;
    fixture
        .sandbox
        .evaluates(|_| Ok(health(HealthVerdict::Hold("too hot".to_owned()))));
    fixture
        .sandbox
        .decides(|_| Ok(decision(&[(0, 1)], DecisionOutcome::Proceed)));
    fixture.tick(id).await;
    assert_eq!(fixture.updates(id).await.len(), 0);
}

#[tokio::test]
async fn the_failure_ceiling_holds_a_campaign_that_no_plugin_stops() {
    let fixture = EngineFixture::new(10).await;
    let mut request = campaign_request(fixture.add_firmware("1.1.0").await);
    request.failure_threshold_percent = 50;
    request.auto_rollback = false;
    let id = fixture.create_and_start(request).await;
    fixture
        .sandbox
        .decides(|_| Ok(decision(&[(0, 1)], DecisionOutcome::Proceed)));
    fixture.tick(id).await;
    fixture.report_result(id, Finished::Failure).await;
    fixture.tick(id).await;
    assert_eq!(fixture.status(id).await, CampaignStatus::Held);
    let hold = fixture.campaign(id).await.hold.expect("a reason is stored");
    assert_eq!(
        hold.reason,
        "1 of the 1 devices of wave wave 0 failed: the ceiling is 50 %"
    );
}

#[tokio::test]
async fn resuming_after_the_failure_ceiling_accepts_the_failures_so_far() {
    let fixture = EngineFixture::new(10).await;
    let mut request = campaign_request(fixture.add_firmware("1.1.0").await);
    request.failure_threshold_percent = 50;
    request.auto_rollback = false;
    let id = fixture.create_and_start(request).await;
    fixture
        .sandbox
        .decides(|_| Ok(decision(&[(0, 1)], DecisionOutcome::Proceed)));
    fixture.tick(id).await;
    fixture.report_result(id, Finished::Failure).await;
    fixture.tick(id).await;
    assert_eq!(fixture.status(id).await, CampaignStatus::Held);

    fixture.resume(id).await;
    let explain = fixture.campaign(id).await.explain;
    assert!(explain[0].contains("accepted"), "{explain:?}");
    fixture
        .sandbox
        .decides(|_| Ok(decision(&[(1, 2)], DecisionOutcome::Proceed)));
    fixture.tick(id).await;
    assert_eq!(fixture.status(id).await, CampaignStatus::InProgress);
    assert_eq!(fixture.updates(id).await.len(), 3);

    // Later failures count.
    fixture.report_result(id, Finished::Failure).await;
    fixture.tick(id).await;
    assert_eq!(fixture.status(id).await, CampaignStatus::Held);
}

#[tokio::test]
async fn resuming_a_pause_accepts_no_failures() {
    let fixture = EngineFixture::new(10).await;
    let mut request = campaign_request(fixture.add_firmware("1.1.0").await);
    request.failure_threshold_percent = 50;
    request.auto_rollback = false;
    let id = fixture.create_and_start(request).await;
    fixture
        .sandbox
        .decides(|_| Ok(decision(&[(0, 1)], DecisionOutcome::Proceed)));
    fixture.tick(id).await;
    fixture.pause(id, "lunch").await;
    fixture.report_result(id, Finished::Failure).await;
    fixture.resume(id).await;
    fixture.tick(id).await;
    assert_eq!(fixture.status(id).await, CampaignStatus::Held);
}

#[tokio::test]
async fn an_update_without_feedback_times_out() {
    let fixture = EngineFixture::new(3).await;
    let id = fixture.start_campaign().await;
    fixture
        .sandbox
        .decides(|_| Ok(decision(&[(0, 1)], DecisionOutcome::Proceed)));
    fixture.tick(id).await;
    fixture.clock.advance(Duration::from_mins(29));
    assert_eq!(
        fixture
            .engine
            .store()
            .expire_updates(fixture.engine.now(), 10)
            .await
            .expect("updates expire")
            .len(),
        0
    );
    fixture.clock.advance(Duration::from_mins(1));
    assert_eq!(
        fixture
            .engine
            .store()
            .expire_updates(fixture.engine.now(), 10)
            .await
            .expect("updates expire")
            .len(),
        1
    );
    assert_eq!(fixture.counts(id).await.timed_out, 1);
}

#[tokio::test]
async fn incompatible_devices_are_excluded_with_the_reason() {
    let fixture = EngineFixture::new(3).await;
    fixture.sandbox.checks(|input| {
        Ok(input
            .classes
            .iter()
            .map(|_| Compatibility::Incompatible("wrong board".to_owned()))
            .collect())
    });
    let id = fixture
        .create(campaign_request(fixture.add_firmware("1.1.0").await))
        .await
        .id;
    let error = campaigns::start(
        &fixture.ctx(),
        fixture.engine.store(),
        fixture.engine.caches(),
        fixture.engine.plugins(),
        fixture.engine.signals(),
        id,
    )
    .await
    .expect_err("no device is compatible");
    assert!(
        error.to_string().contains("acme/fits: wrong board"),
        "{error}"
    );
    assert_eq!(fixture.status(id).await, CampaignStatus::Created);

    fixture
        .sandbox
        .checks(|input| Ok(vec![Compatibility::Compatible; input.classes.len()]));
    campaigns::start(
        &fixture.ctx(),
        fixture.engine.store(),
        fixture.engine.caches(),
        fixture.engine.plugins(),
        fixture.engine.signals(),
        id,
    )
    .await
    .expect("the campaign starts");
    let explained = explain(&fixture.ctx(), fixture.engine.store(), "device-000")
        .await
        .expect("an explanation");
    assert_eq!(explained[0].status, MembershipStatus::Waiting);
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
    let fixture = EngineFixture::new(3).await;
    let id = fixture.start_campaign().await;
    let before = fixture.campaign(id).await;
    let error = campaigns::start(
        &fixture.ctx(),
        fixture.engine.store(),
        fixture.engine.caches(),
        fixture.engine.plugins(),
        fixture.engine.signals(),
        id,
    )
    .await
    .expect_err("the campaign has started");
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
    assert_eq!(fixture.campaign(id).await, before);
}

#[tokio::test]
async fn every_plugin_call_is_in_the_journal() {
    let fixture = EngineFixture::new(3).await;
    let id = fixture.start_campaign().await;
    fixture
        .sandbox
        .decides(|_| Ok(decision(&[(0, 1)], DecisionOutcome::Proceed)));
    fixture.tick(id).await;
    let all = PageRequest {
        limit: 100,
        offset: 0,
    };
    let page = campaigns::journal(&fixture.ctx(), fixture.engine.store(), id, 0, all)
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
