use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tidegate_core::{
    campaign::{Campaign, CampaignStatus},
    id::{CampaignId, Digest},
    plugin::{Decision, DecisionOutcome, PluginKind},
};
use tidegate_engine::{
    Authorized, Error, Result, Role,
    campaigns::{self, RevisionMove},
    ports::{CallFailure, EntryKind},
};

use crate::{engine_fixture::EngineFixture, scripted_sandbox::decision};

/// A campaign whose strategy stores a state, and the states that its later decisions begin with.
async fn with_a_state(fixture: &EngineFixture) -> (CampaignId, Arc<Mutex<Vec<Vec<u8>>>>) {
    let states = Arc::<Mutex<Vec<Vec<u8>>>>::default();
    let id = fixture.start_campaign().await;
    let seen = Arc::clone(&states);
    fixture.sandbox.decides(move |observation| {
        seen.lock().push(observation.state.clone());
        Ok(stateful())
    });
    fixture.tick(id).await;
    (id, states)
}

fn stateful() -> Decision {
    Decision {
        state: b"kept".to_vec(),
        ..decision(&[], DecisionOutcome::Proceed)
    }
}

/// All decisions are replayed as they were, or as another.
fn replay_answers(fixture: &EngineFixture, same: bool) {
    let output = if same {
        stateful()
    } else {
        decision(&[], DecisionOutcome::Proceed)
    };
    *fixture.sandbox.replay.lock() = (format!("{output:?}").into_bytes(), 1000, 1);
}

/// The last entry before the first decision: the calls before it have other answers.
async fn before_decisions(fixture: &EngineFixture, id: CampaignId) -> i64 {
    let journal = fixture.journal(id).await;
    let mut decisions = journal
        .iter()
        .filter(|entry| entry.kind == EntryKind::Decide);
    decisions.next().expect("a decision").seq - 1
}

async fn move_to(
    fixture: &EngineFixture,
    id: CampaignId,
    request: RevisionMove,
) -> Result<Campaign> {
    let ctx = Authorized::new(fixture.ctx_of("admin", Role::Admin)).expect("an admin");
    let engine = &fixture.engine;
    let (store, plugins, signals) = (engine.store(), engine.plugins(), engine.signals());
    let moved = campaigns::move_to_revision(&ctx, store, plugins, signals, id, request).await?;
    Ok(moved.campaign)
}

fn code(refused: Result<Campaign>) -> &'static str {
    match refused {
        Err(Error::Conflict { code, .. }) => code,
        other => panic!("{other:?}"),
    }
}

async fn request(fixture: &EngineFixture, id: CampaignId, revision: Digest) -> RevisionMove {
    RevisionMove {
        revision,
        replayed_until: before_decisions(fixture, id).await,
        accepts_differences: false,
        discards_state: false,
    }
}

#[tokio::test]
async fn a_campaign_moves_with_its_state_if_its_decisions_stay_the_same() {
    let fixture = EngineFixture::new(1).await;
    let (id, states) = with_a_state(&fixture).await;
    let before = fixture.campaign(id).await;
    let other = fixture
        .add_version("acme/waves", PluginKind::Strategy, "1.1.0", 1)
        .await;
    let request = request(&fixture, id, other).await;

    replay_answers(&fixture, false);
    assert_eq!(code(move_to(&fixture, id, request).await), "replay_differs");
    assert_eq!(fixture.campaign(id).await.spec, before.spec);

    replay_answers(&fixture, true);
    let moved = move_to(&fixture, id, request).await.expect("it moves");
    assert_eq!(moved.spec.strategy.revision, other);
    assert_eq!(moved.spec.strategy.version, "1.1.0");
    assert_eq!(moved.spec.policies, before.spec.policies);
    assert_eq!(fixture.host_outcomes(id).await, ["repinned"]);
    fixture.tick(id).await;
    assert_eq!(states.lock().last().map(Vec::as_slice), Some(&b"kept"[..]));

    // It is there.
    let again = move_to(&fixture, id, request).await.expect("nothing to do");
    assert_eq!(fixture.host_outcomes(id).await, ["repinned"]);
    assert_eq!(again.spec, moved.spec);
}

#[tokio::test]
async fn a_move_says_what_was_compared() {
    let fixture = EngineFixture::new(1).await;
    let id = fixture.start_campaign().await;
    let from = fixture.journal(id).await.last().expect("an entry").seq;
    fixture
        .sandbox
        .decides(|_| Err(CallFailure::Deadline(Duration::from_millis(250))));
    fixture.tick(id).await;
    let move_to_version = async |version: &str| {
        let other = fixture
            .add_version("acme/waves", PluginKind::Strategy, version, 1)
            .await;
        let request = RevisionMove {
            revision: other,
            replayed_until: from,
            accepts_differences: false,
            discards_state: false,
        };
        move_to(&fixture, id, request).await.expect("it moves");
        let journal = fixture.journal(id).await;
        journal.last().expect("an entry").explain.concat()
    };
    let explain = move_to_version("1.1.0").await;
    let nothing = "compared 0 answers, of which 0 differ, and could not compare 1 entries";
    assert!(explain.contains(nothing), "{explain}");
    let before = format!("entries up to {from} were replayed before");
    assert!(explain.contains(&before), "{explain}");

    fixture.clock.advance(Duration::from_mins(5));
    fixture.sandbox.decides(|_| Ok(stateful()));
    fixture.tick(id).await;
    replay_answers(&fixture, true);
    let explain = move_to_version("1.2.0").await;
    let one = "compared 1 answers, of which 0 differ, and could not compare 1 entries";
    assert!(explain.contains(one), "{explain}");
}

#[tokio::test]
async fn differences_and_the_loss_of_the_state_must_be_accepted() {
    let fixture = EngineFixture::new(1).await;
    let (id, states) = with_a_state(&fixture).await;
    let other = fixture
        .add_version("acme/waves", PluginKind::Strategy, "2.0.0", 2)
        .await;
    replay_answers(&fixture, false);
    let mut request = request(&fixture, id, other).await;
    assert_eq!(
        code(move_to(&fixture, id, request).await),
        "other_state_schema"
    );
    request.discards_state = true;
    assert_eq!(code(move_to(&fixture, id, request).await), "replay_differs");
    request.accepts_differences = true;
    fixture.pause(id, "to move it").await;
    let moved = move_to(&fixture, id, request).await.expect("it moves");
    assert_eq!(
        (moved.status, moved.spec.strategy.revision),
        (CampaignStatus::Paused, other)
    );
    fixture.resume(id).await;
    fixture.tick(id).await;
    assert_eq!(states.lock().last().map(Vec::as_slice), Some(&b""[..]));
}

#[tokio::test]
async fn what_does_not_fit_is_refused() {
    let fixture = EngineFixture::new(1).await;
    let (id, _) = with_a_state(&fixture).await;
    replay_answers(&fixture, true);
    let unused = fixture
        .add_version("acme/unused", PluginKind::Strategy, "1.0.0", 1)
        .await;
    let of_unused = request(&fixture, id, unused).await;
    assert_eq!(code(move_to(&fixture, id, of_unused).await), "other_plugin");
    let unknown = move_to(
        &fixture,
        id,
        request(&fixture, id, Digest::of(b"unknown")).await,
    );
    assert!(matches!(unknown.await, Err(Error::NotFound { .. })));

    let other = fixture
        .add_version("acme/waves", PluginKind::Strategy, "1.2.0", 1)
        .await;
    let of_other = request(&fixture, id, other).await;
    let firmware = fixture.add_firmware("1.2.0").await;
    let created = fixture
        .create(crate::engine_fixture::campaign_request(firmware))
        .await;
    assert_eq!(
        code(move_to(&fixture, created.id, of_other).await),
        "invalid_transition"
    );
}
