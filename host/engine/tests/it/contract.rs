//! What plugins are shown because they want it, and what they are promised about every call.

use std::time::Duration;

use tidegate_core::plugin::{Compatibility, Context, DecisionOutcome, Interests, Members};
use tidegate_engine::{
    campaigns,
    ports::{CallFailure, EntryKind},
};

use crate::{
    engine_fixture::{EngineFixture, campaign_request, plan},
    scripted_sandbox::decision,
};

fn fact<'a>(context: &'a Context, key: &str) -> Option<&'a str> {
    let found = context.facts.iter().find(|(name, _)| name == key);
    found.map(|(_, value)| value.as_str())
}

#[tokio::test]
async fn a_plugin_gets_the_facts_that_it_wants() {
    let fixture = EngineFixture::new(3).await;
    let other_tenant = fixture.other_tenant(1).await;
    let theirs = other_tenant.create(campaign_request(other_tenant.add_firmware("1.1.0").await));
    let theirs = theirs.await.id;
    let firmware = fixture.add_firmware("1.1.0").await;
    let first = fixture.create_and_start(campaign_request(firmware)).await;
    let second = fixture.create(campaign_request(firmware)).await;

    let status = |id| format!("campaign/{id}/status");
    let wanted = [
        status(first),
        status(theirs),
        "campaign/first/status".to_owned(),
        "zone/Asia/Kolkata/offset".to_owned(),
        "moon/phase".to_owned(),
    ];
    fixture.sandbox.wants(
        second.spec.strategy.revision,
        Interests {
            facts: wanted.to_vec(),
            ..Interests::default()
        },
    );
    let [ours, foreign, ..] = wanted.clone();
    fixture.sandbox.decides(move |observation| {
        let facts = &observation.context;
        assert_eq!(fact(facts, &ours), Some("in_progress"));
        assert_eq!(fact(facts, &foreign), None, "it is of another tenant");
        assert_eq!(fact(facts, "zone/Asia/Kolkata/offset"), Some("19800"));
        assert_eq!(facts.facts.len(), 2, "{:?}", facts.facts);
        Ok(decision(&[], DecisionOutcome::Proceed))
    });
    let engine = &fixture.engine;
    let (ctx, caches, plugins) = (fixture.ctx(), engine.caches(), engine.plugins());
    let started = campaigns::start(
        &ctx,
        engine.store(),
        caches,
        plugins,
        engine.signals(),
        second.id,
    );
    started.await.expect("it starts");
    fixture.tick(second.id).await;
    assert_eq!(fixture.decisions(second.id).await, 1);
}

#[tokio::test]
async fn the_time_of_a_campaigns_calls_never_goes_back() {
    let fixture = EngineFixture::new(3).await;
    let firmware = fixture.add_firmware("1.1.0").await;
    let id = fixture.create_and_start(campaign_request(firmware)).await;
    fixture.tick(id).await;
    let last = fixture.engine.now();
    fixture.clock.turn_back(Duration::from_mins(10));
    assert!(fixture.engine.now() < last);
    fixture.sandbox.decides(move |observation| {
        assert!(observation.context.now >= last);
        Ok(decision(&[], DecisionOutcome::Proceed))
    });
    fixture.tick(id).await;
    assert_eq!(fixture.decisions(id).await, 2);
}

#[tokio::test]
async fn a_second_start_is_not_earlier_than_the_first() {
    let fixture = EngineFixture::new(3).await;
    let request = campaign_request(fixture.add_firmware("1.1.0").await);
    let id = fixture.create(request).await.id;
    *fixture.sandbox.plan.lock() = Box::new(|_| Err(CallFailure::Trap("a bug".to_owned())));
    assert!(fixture.try_start(id).await.is_err());
    let first = fixture.engine.now();
    fixture.clock.turn_back(Duration::from_mins(10));
    *fixture.sandbox.plan.lock() = Box::new(move |input| {
        assert_eq!(input.context.now, first);
        Ok(plan(&[Members::Rest]))
    });
    fixture.try_start(id).await.expect("it starts");
}

#[tokio::test]
async fn policies_are_asked_about_a_thousand_classes_in_one_call() {
    let fixture = EngineFixture::new(1_001).await;
    for device in 0..1_001_u32 {
        let id = format!("device-{device:03}");
        let found = fixture.engine.store().device(fixture.tenant(), &id).await;
        let key = found.expect("the database answers").expect("a device").key;
        fixture.report_version(key, &format!("1.0.{device}")).await;
    }
    fixture.sandbox.checks(|input| {
        let expected = if input.page.number == 0 { 1_000 } else { 1 };
        assert_eq!((input.page.total, input.classes.len()), (2, expected));
        Ok(vec![Compatibility::Compatible; input.classes.len()])
    });
    let request = campaign_request(fixture.add_firmware("1.1.0").await);
    let id = fixture.create_and_start(request).await;
    let journal = fixture.journal(id).await;
    let checks = journal
        .iter()
        .filter(|entry| entry.kind == EntryKind::Check);
    assert_eq!(checks.count(), 2);
}
