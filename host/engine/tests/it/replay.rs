use std::time::Duration;

use tidegate_core::{
    id::{CampaignId, Digest},
    plugin::{DecisionOutcome, PluginKind},
};
use tidegate_engine::{
    Error, Result,
    campaigns::{self, Replay},
    ports::{CallFailure, EntryKind, PageRequest},
};

use crate::{
    engine_fixture::EngineFixture,
    scripted_sandbox::{CALL_LIMITS, decision},
};

#[tokio::test]
async fn fuel_is_compared_only_if_it_was_counted_by_the_same_costs() {
    let fixture = EngineFixture::new(1).await;
    let id = fixture.start_campaign().await;
    fixture.tick(id).await;
    let (ctx, store) = (fixture.ctx(), fixture.engine.store());
    let page = PageRequest {
        limit: 500,
        offset: 0,
    };
    let journal = campaigns::journal(&ctx, store, id, 0, page).await;
    let entries = journal.expect("a journal").items;
    let decided = entries.iter().find(|entry| entry.kind == EntryKind::Decide);
    let seq = decided.expect("a decision").seq;
    let recorded = store.recorded_call(ctx.tenant, id, seq).await;
    let output = recorded.expect("a database").expect("a call").output;
    for (output, fuel, costs, same, compares_fuel) in [
        (&output[..], 1000, 1, true, true),
        (&output[..], 999, 1, false, true),
        (&output[..], 999, 2, true, false),
        (b"another", 1000, 2, false, false),
    ] {
        *fixture.sandbox.replay.lock() = (output.to_vec(), fuel, costs);
        let plugins = fixture.engine.plugins();
        let replay = campaigns::replay(&ctx, store, plugins, id, seq, None).await;
        let replay = replay.expect("a replay");
        assert_eq!(
            (replay.is_same(), replay.compares_fuel),
            (same, compares_fuel)
        );
        assert_eq!((replay.fuel, replay.recorded_fuel), (fuel, 1000));
    }
}

/// The record has an answer under its costs, and the repetition none under its own.
#[tokio::test]
async fn a_call_that_runs_out_of_fuel_by_other_costs_is_not_compared() {
    let fixture = EngineFixture::new(1).await;
    let id = fixture.start_campaign().await;
    fixture.tick(id).await;
    *fixture.sandbox.replay_failure.lock() = Some(CallFailure::OutOfFuel(9000));
    let same_costs = replay_decision(&fixture, id).await.expect("a replay");
    assert!(!same_costs.same_answer);
    fixture.sandbox.replay.lock().2 += 1;
    let refused = replay_decision(&fixture, id).await;
    let Err(Error::Conflict { code, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(code, "other_fuel_costs");
    let (ctx, store) = (fixture.ctx(), fixture.engine.store());
    let plugins = fixture.engine.plugins();
    let replayed = async |revision| {
        let all = campaigns::replay_journal(&ctx, store, plugins, id, (0, 500), revision).await;
        all.expect("the whole journal")
    };
    let all = replayed(None).await;
    assert_eq!((all.different.len(), all.same()), (0, 0));
    // Whether another revision has enough fuel today matters.
    let kind = PluginKind::Strategy;
    let other = fixture.add_version("acme/waves", kind, "1.1.0", 1).await;
    let all = replayed(Some(other)).await;
    assert_eq!((all.different.len(), all.fuel_not_compared), (2, 2));
}

/// Replays the first decision of a campaign that has one, with its original revision.
async fn replay_decision(fixture: &EngineFixture, id: CampaignId) -> Result<Replay> {
    let journal = fixture.journal(id).await;
    let decided = journal.iter().find(|entry| entry.kind == EntryKind::Decide);
    let (ctx, seq) = (fixture.ctx(), decided.expect("a decision").seq);
    let (store, plugins) = (fixture.engine.store(), fixture.engine.plugins());
    campaigns::replay(&ctx, store, plugins, id, seq, None).await
}

#[tokio::test]
async fn a_failure_is_compared_by_its_kind() {
    let fixture = EngineFixture::new(1).await;
    let trap = |text: &str| CallFailure::Trap(text.to_owned());
    fixture
        .sandbox
        .decides(|_| Err(CallFailure::Trap("then".to_owned())));
    let id = fixture.start_campaign().await;
    fixture.tick(id).await;
    for (failure, same, decision) in [
        (
            Some(trap("now")),
            true,
            r#"{"failure":"trap","message":"the plugin trapped: now"}"#,
        ),
        (
            Some(CallFailure::OutOfFuel(9)),
            false,
            r#"{"failure":"out-of-fuel","message":"the plugin ran out of fuel (9 units)"}"#,
        ),
        (None, false, r#""()""#),
    ] {
        *fixture.sandbox.replay_failure.lock() = failure;
        let replay = replay_decision(&fixture, id).await.expect("a replay");
        assert_eq!((replay.is_same(), &*replay.decision), (same, decision));
        assert_eq!(
            replay.recorded,
            r#"{"failure":"trap","message":"the plugin trapped: then"}"#
        );
    }
}

/// It has an output, and the replay repeats it.
#[tokio::test]
async fn a_refused_answer_is_compared_as_an_answer() {
    let fixture = EngineFixture::new(1).await;
    let refused = || decision(&[(7, 1)], DecisionOutcome::Proceed);
    fixture.sandbox.decides(move |_| Ok(refused()));
    let id = fixture.start_campaign().await;
    fixture.tick(id).await;
    let journal = fixture.journal(id).await;
    let decided = journal.iter().find(|entry| entry.kind == EntryKind::Decide);
    assert_eq!(decided.expect("a decision").outcome, "invalid-answer");
    assert_eq!(decided.and_then(|entry| entry.limits), Some(CALL_LIMITS));
    for (output, same) in [(format!("{:?}", refused()), true), ("()".to_owned(), false)] {
        *fixture.sandbox.replay.lock() = (output.into_bytes(), 1000, 1);
        let replay = replay_decision(&fixture, id).await.expect("a replay");
        assert_eq!((replay.is_same(), replay.has_recorded_limits), (same, true));
    }
    let replayed_under = fixture.sandbox.replay_limits.lock().clone();
    assert_eq!(replayed_under, [Some(CALL_LIMITS); 2]);
}

#[tokio::test]
async fn a_server_that_cannot_run_the_plugin_compares_nothing() {
    let fixture = EngineFixture::new(1).await;
    let id = fixture.start_campaign().await;
    fixture.tick(id).await;
    for (failure, words) in [
        (
            CallFailure::Host("it is not stored".to_owned()),
            "it is not stored; retry later",
        ),
        (
            CallFailure::Deadline(Duration::from_millis(250)),
            "the server is busy",
        ),
    ] {
        *fixture.sandbox.replay_failure.lock() = Some(failure);
        match replay_decision(&fixture, id).await {
            Err(Error::Unavailable { message, .. }) => {
                assert!(message.contains(words), "{message}");
            }
            other => panic!("{other:?}"),
        }
    }
    *fixture.sandbox.replay_failure.lock() = Some(CallFailure::InvalidRecord("cut".to_owned()));
    let refused = replay_decision(&fixture, id).await;
    let Err(Error::Conflict { code, message, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(code, "not_replayable");
    assert!(message.contains("cut"), "{message}");
}

/// A campaign with three decisions in its journal, after its plan and its check.
async fn with_three_decisions(fixture: &EngineFixture) -> CampaignId {
    let id = fixture.start_campaign().await;
    for _ in 0..3 {
        fixture.tick(id).await;
    }
    id
}

#[tokio::test]
async fn a_journal_is_replayed_in_parts() {
    let fixture = EngineFixture::new(1).await;
    let id = with_three_decisions(&fixture).await;
    let journal = fixture.journal(id).await;
    let (ctx, store) = (fixture.ctx(), fixture.engine.store());
    let plugins = fixture.engine.plugins();
    // The replays of all calls have the same answer: that of a decision.
    let recorded = store
        .recorded_call(ctx.tenant, id, journal.len() as i64)
        .await;
    let recorded = recorded.expect("a database").expect("the last entry");
    *fixture.sandbox.replay.lock() = (recorded.output, 1000, 1);
    let (mut after, mut parts) = (0, Vec::new());
    loop {
        let part = campaigns::replay_journal(&ctx, store, plugins, id, (after, 2), None).await;
        let part = part.expect("a part");
        let next = part.next_after;
        parts.push(part);
        match next {
            Some(next) => after = next,
            None => break,
        }
    }
    assert!(parts.iter().all(|part| part.entries <= 2));
    let entries: u64 = parts.iter().map(|part| part.entries).sum();
    assert_eq!(entries, journal.len() as u64);
    let decisions = journal
        .iter()
        .filter(|entry| entry.kind == EntryKind::Decide);
    let same: u64 = parts.iter().map(campaigns::JournalReplay::same).sum();
    assert_eq!(same, decisions.count() as u64);
    let different = parts.iter().flat_map(|part| &part.different);
    for (entry, replay) in different {
        assert_ne!(entry.kind, EntryKind::Decide);
        assert_ne!(replay.decision, replay.recorded);
    }
    assert!(parts.iter().all(|part| part.not_compared.is_empty()));
}

#[tokio::test]
async fn what_cannot_be_compared_has_a_reason() {
    let fixture = EngineFixture::new(1).await;
    fixture
        .sandbox
        .decides(|_| Err(CallFailure::Deadline(Duration::from_millis(250))));
    let id = fixture.start_campaign().await;
    fixture.tick(id).await;
    let (ctx, store) = (fixture.ctx(), fixture.engine.store());
    let plugins = fixture.engine.plugins();
    let codes = async |revision| {
        let all = campaigns::replay_journal(&ctx, store, plugins, id, (0, 500), revision).await;
        let all = all.expect("the whole journal");
        assert_eq!(all.next_after, None);
        let codes = all.not_compared.iter();
        codes
            .map(|(entry, reason)| (entry.kind, reason.code()))
            .collect::<Vec<_>>()
    };
    let of_decision = (EntryKind::Decide, "not_replayable");
    assert_eq!(codes(None).await, [of_decision]);
    *fixture.sandbox.replay_failure.lock() = Some(CallFailure::Host("it is full".to_owned()));
    assert!(
        codes(None)
            .await
            .contains(&(EntryKind::Plan, "unavailable"))
    );
    let of_strategy = fixture.campaign(id).await.spec.strategy.revision;
    *fixture.sandbox.replay_failure.lock() = None;
    let codes_of_strategy = codes(Some(of_strategy)).await;
    assert!(codes_of_strategy.contains(&(EntryKind::Check, "other_plugin")));
    assert!(!codes_of_strategy.contains(&(EntryKind::Plan, "other_plugin")));

    let unknown = Digest::of(b"unknown");
    let refused = campaigns::replay_journal(&ctx, store, plugins, id, (0, 1), Some(unknown)).await;
    assert!(
        matches!(refused, Err(Error::NotFound { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_question_expects_the_answer_unless_the_call_failed() {
    let fixture = EngineFixture::new(1).await;
    let id = fixture.start_campaign().await;
    fixture.tick(id).await;
    fixture
        .sandbox
        .decides(|_| Err(CallFailure::Trap("a bug".to_owned())));
    fixture.tick(id).await;
    let (ctx, store) = (fixture.ctx(), fixture.engine.store());
    let plugins = fixture.engine.plugins();
    let decisions = fixture.journal(id).await.into_iter();
    let decisions = decisions.filter(|entry| entry.kind == EntryKind::Decide);
    let mut questions = Vec::new();
    for entry in decisions {
        let question = campaigns::question(&ctx, store, plugins, id, entry.seq).await;
        questions.push(question.expect("a question"));
    }
    let [answered, failed] = &questions[..] else {
        panic!("{questions:?}");
    };
    assert!(answered.contains("-> Some(\"Decision {"), "{answered}");
    assert!(
        failed.starts_with("Observation {") && failed.ends_with("-> None"),
        "{failed}"
    );
    let absent = campaigns::question(&ctx, store, plugins, id, 99).await;
    assert!(matches!(absent, Err(Error::NotFound { .. })), "{absent:?}");
}
