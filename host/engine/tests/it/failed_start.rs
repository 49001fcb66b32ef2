//! Starts that fail: what the journal keeps of them.

use std::{sync::atomic::Ordering, time::Duration};

use tidegate_core::{
    Named as _,
    campaign::CampaignStatus,
    id::CampaignId,
    plugin::{Compatibility, Members, PluginKind},
};
use tidegate_engine::{
    Error, JournalSettings,
    campaigns::{self, CampaignRequest},
    plugins::PluginChoice,
    ports::{CallFailure, EntryKind, JournalEntry},
};

use crate::engine_fixture::{EngineFixture, campaign_request, plan};

const TRAPPED: &str = "op could not start the campaign: the strategy acme/waves could not plan: the plugin trapped: a bug";

async fn created(fixture: &EngineFixture) -> CampaignId {
    let firmware = fixture.add_firmware("1.1.0").await;
    fixture.create(campaign_request(firmware)).await.id
}

/// The code of the conflict because of which the campaign does not start.
async fn refusal(fixture: &EngineFixture, id: CampaignId) -> &'static str {
    let code = match fixture.try_start(id).await {
        Err(Error::Conflict { code, .. }) => code,
        other => panic!("{other:?}"),
    };
    assert_eq!(fixture.status(id).await, CampaignStatus::Created);
    code
}

fn outline(journal: &[JournalEntry]) -> Vec<(EntryKind, &str, bool)> {
    let entries = journal.iter();
    entries
        .map(|entry| (entry.kind, &*entry.outcome, entry.applied))
        .collect()
}

#[tokio::test]
async fn the_calls_of_starts_that_fail_precede_those_of_the_start() {
    let fixture = EngineFixture::new(3).await;
    let id = created(&fixture).await;
    let before = fixture.campaign(id).await;
    *fixture.sandbox.plan.lock() = Box::new(|_| Err(CallFailure::Trap("a bug".to_owned())));
    assert_eq!(refusal(&fixture, id).await, "plan_failed");
    let explain = fixture.campaign(id).await.explain;
    assert_eq!(explain[0], TRAPPED);
    assert!(
        explain[1].contains("start the campaign again"),
        "{explain:?}"
    );
    // The checker refuses a plan without waves.
    *fixture.sandbox.plan.lock() = Box::new(|_| Ok(plan(&[])));
    assert_eq!(refusal(&fixture, id).await, "plan_failed");
    let failed = fixture.campaign(id).await;
    assert_eq!(failed.generation, before.generation);
    assert!(
        failed.explain[0].contains("the plan has no waves"),
        "the last one: {:?}",
        failed.explain
    );
    assert!(failed.journal_bytes > before.journal_bytes);

    let corrected = edit_to_another_version(&fixture, id).await;
    *fixture.sandbox.plan.lock() = Box::new(|_| Ok(plan(&[Members::Rest])));
    let started = fixture.try_start(id).await.expect("it starts");
    assert_eq!(
        (started.explain, fixture.campaign(id).await.explain),
        (vec![], vec![])
    );
    fixture.tick(id).await;

    let journal = fixture.journal(id).await;
    assert_eq!(
        outline(&journal)[..8],
        [
            (EntryKind::Check, "ok", false),
            (EntryKind::Plan, "trap", false),
            (EntryKind::Host, "not_started", true),
            (EntryKind::Check, "ok", false),
            (EntryKind::Plan, "invalid-answer", false),
            (EntryKind::Host, "not_started", true),
            (EntryKind::Check, "ok", true),
            (EntryKind::Plan, "ok", true),
        ]
    );
    let numbers: Vec<_> = journal.iter().map(|entry| entry.seq).collect();
    assert_eq!(numbers, (1..=numbers.len() as i64).collect::<Vec<_>>());
    let planned = [1, 4, 7].map(|index| journal[index].revision);
    let first = Some(before.spec.strategy.revision);
    assert_eq!(planned, [first, first, Some(corrected)]);
    assert_eq!(journal[2].explain, [TRAPPED]);
}

/// Edits the campaign to another version of its strategy.
async fn edit_to_another_version(
    fixture: &EngineFixture,
    id: CampaignId,
) -> tidegate_core::id::Digest {
    let (name, kind) = ("acme/waves", PluginKind::Strategy);
    let digest = fixture.add_version(name, kind, "1.1.0", 1).await;
    let campaign = fixture.campaign(id).await;
    let request = CampaignRequest {
        strategy: PluginChoice {
            plugin: name.to_owned(),
            revision: Some(digest),
            config: "{}".to_owned(),
        },
        ..campaign_request(campaign.spec.firmware)
    };
    let (ctx, engine) = (fixture.ctx(), &fixture.engine);
    let (store, plugins, signals) = (engine.store(), engine.plugins(), engine.signals());
    let edited = campaigns::edit(&ctx, store, plugins, signals, campaign, request).await;
    assert_eq!(edited.expect("an edit").spec.strategy.revision, digest);
    digest
}

#[tokio::test]
async fn a_plan_that_failed_is_replayed_and_asked_again() {
    let fixture = EngineFixture::new(3).await;
    let id = created(&fixture).await;
    let trap = CallFailure::Trap("a bug".to_owned());
    let fails = trap.clone();
    *fixture.sandbox.plan.lock() = Box::new(move |_| Err(fails.clone()));
    refusal(&fixture, id).await;
    let (ctx, engine) = (fixture.ctx(), &fixture.engine);
    let (store, plugins) = (engine.store(), engine.plugins());

    *fixture.sandbox.replay_failure.lock() = Some(trap);
    let replay = campaigns::replay(&ctx, store, plugins, id, 2, None).await;
    assert!(replay.expect("a replay").is_same());
    let question = campaigns::question(&ctx, store, plugins, id, 2).await;
    let question = question.expect("a question");
    assert!(
        question.starts_with("PlanInput {") && question.ends_with("-> None"),
        "{question}"
    );
    let all = campaigns::replay_journal(&ctx, store, plugins, id, (0, 500), None).await;
    let all = all.expect("the whole journal");
    let not_compared: Vec<_> = all
        .not_compared
        .iter()
        .map(|(entry, _)| entry.kind)
        .collect();
    assert_eq!((all.entries, not_compared), (3, vec![EntryKind::Host]));
}

/// Nothing failed, but all devices are excluded.
#[tokio::test]
async fn the_calls_that_exclude_all_devices_are_kept() {
    let fixture = EngineFixture::new(3).await;
    let id = created(&fixture).await;
    fixture.sandbox.checks(|input| {
        let wrong = Compatibility::Incompatible("wrong board".to_owned());
        Ok(vec![wrong; input.classes.len()])
    });
    assert_eq!(refusal(&fixture, id).await, "no_compatible_devices");
    let journal = fixture.journal(id).await;
    assert_eq!(
        outline(&journal),
        [
            (EntryKind::Check, "ok", false),
            (EntryKind::Host, "not_started", true)
        ]
    );
    assert!(journal[1].explain[0].contains("wrong board"));
}

#[tokio::test]
async fn a_plugin_that_cannot_say_what_it_wants_is_replayed_with_its_config() {
    let fixture = EngineFixture::new(3).await;
    let id = created(&fixture).await;
    let trap = CallFailure::Trap("a bug".to_owned());
    fixture.sandbox.calls_wants.store(true, Ordering::SeqCst);
    *fixture.sandbox.wants_failure.lock() = Some(trap.clone());
    assert_eq!(refusal(&fixture, id).await, "plan_failed");
    let journal = fixture.journal(id).await;
    assert_eq!(
        outline(&journal),
        [
            (EntryKind::Wants, "trap", false),
            (EntryKind::Host, "not_started", true)
        ]
    );
    *fixture.sandbox.replay_failure.lock() = Some(trap);
    let (ctx, store) = (fixture.ctx(), fixture.engine.store());
    let replay = campaigns::replay(&ctx, store, fixture.engine.plugins(), id, 1, None).await;
    assert!(replay.expect("a replay").is_same());
}

/// Which call of a start fails.
#[derive(Debug, Clone, Copy)]
enum FailingCall {
    Wants,
    Check,
    Plan,
    Assign,
}

/// A campaign that does not start, because this call fails.
async fn failing(call: FailingCall, failure: CallFailure) -> (EngineFixture, CampaignId) {
    let fixture = EngineFixture::new(3).await;
    let id = created(&fixture).await;
    let sandbox = &fixture.sandbox;
    *sandbox.plan.lock() = Box::new(|_| Ok(plan(&[Members::Custom])));
    match call {
        FailingCall::Wants => {
            sandbox.calls_wants.store(true, Ordering::SeqCst);
            *sandbox.wants_failure.lock() = Some(failure);
        }
        FailingCall::Check => sandbox.checks(move |_| Err(failure.clone())),
        FailingCall::Plan => *sandbox.plan.lock() = Box::new(move |_| Err(failure.clone())),
        FailingCall::Assign => sandbox.assigns(move |_| Err(failure.clone())),
    }
    (fixture, id)
}

#[tokio::test]
async fn a_start_that_fails_under_load_decides_nothing() {
    for call in [
        FailingCall::Wants,
        FailingCall::Check,
        FailingCall::Plan,
        FailingCall::Assign,
    ] {
        for failure in [
            CallFailure::Deadline(Duration::from_millis(250)),
            CallFailure::Host("compiling it took too long".to_owned()),
        ] {
            let outcome = failure.as_str();
            let (fixture, id) = failing(call, failure).await;
            let error = fixture.try_start(id).await.expect_err("a call fails");
            assert!(
                matches!(error, Error::Unavailable { .. }),
                "{call:?}: {error:?}"
            );
            let message = error.to_string();
            for words in ["acme/", "; retry later (the plugin calls are in"] {
                assert!(message.contains(words), "{call:?}: {message}");
            }
            assert_eq!(fixture.status(id).await, CampaignStatus::Created);
            let journal = fixture.journal(id).await;
            let [.., failed, not_started] = &outline(&journal)[..] else {
                panic!("{call:?}: {journal:?}");
            };
            assert_eq!((failed.1, failed.2), (outcome, false), "{call:?}");
            assert_eq!(*not_started, (EntryKind::Host, "not_started", true));
        }
    }
}

#[tokio::test]
async fn a_start_that_calls_no_plugin_leaves_no_entry() {
    let fixture = EngineFixture::new(3).await;
    let mut request = campaign_request(fixture.add_firmware("1.1.0").await);
    request.targets.filter = Some("hw_model==absent".to_owned().into());
    let id = fixture.create(request).await.id;
    assert_eq!(refusal(&fixture, id).await, "no_devices");
    assert_eq!(fixture.journal(id).await, []);
    let explain = fixture.campaign(id).await.explain;
    assert!(
        explain[0].starts_with("op could not start the campaign: "),
        "{explain:?}"
    );
}

#[tokio::test]
async fn a_campaign_whose_starts_have_filled_its_journal_calls_no_plugin() {
    let fixture = EngineFixture::new(3).await;
    let fixture = fixture.restarted(JournalSettings {
        max_bytes_per_campaign: 1,
        ..JournalSettings::default()
    });
    let id = created(&fixture).await;
    *fixture.sandbox.plan.lock() = Box::new(|_| Err(CallFailure::Trap("a bug".to_owned())));
    assert_eq!(refusal(&fixture, id).await, "plan_failed");
    let (entries, calls) = (fixture.journal(id).await, fixture.calls.lock().len());
    assert_eq!(refusal(&fixture, id).await, "journal_full");
    let error = fixture
        .try_start(id)
        .await
        .expect_err("the journal is full");
    for words in ["journal.max_bytes_per_campaign", "start the campaign again"] {
        assert!(error.to_string().contains(words), "{error}");
    }
    assert_eq!(fixture.journal(id).await, entries);
    assert_eq!(fixture.calls.lock().len(), calls);
}
