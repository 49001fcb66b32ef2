use std::time::Duration;

use tidegate_core::{
    campaign::{Campaign, CampaignStatus, Targets},
    id::CampaignId,
    plugin::{DecisionOutcome, Members, OperatorActKind},
    selector::{SelectorText, Syntax},
};
use tidegate_engine::{Actor, Approver, Authorized, Error, Role, campaigns, ports::Advance};

use crate::{
    engine_fixture::{EngineFixture, campaign_request, explain, plan, server_ctx},
    scripted_sandbox::{await_operator, decision},
};

#[tokio::test]
async fn all_errors_of_a_campaign_are_reported_together() {
    let fixture = EngineFixture::new(1).await;
    let mut request = campaign_request(tidegate_core::id::FirmwareId(99));
    request.name = String::new();
    request.targets = Targets {
        filter: Some("colour==red".to_owned().into()),
        ..Targets::default()
    };
    request.strategy.plugin = "acme/calm".to_owned();
    request.policies[0].plugin = "nowhere".to_owned();
    let error = campaigns::create(
        &fixture.ctx(),
        fixture.engine.store(),
        fixture.engine.plugins(),
        request,
    )
    .await
    .expect_err("the request is invalid");
    let Error::Invalid { errors, .. } = error else {
        panic!("{error:?}")
    };
    let paths: Vec<&str> = errors.iter().map(|error| error.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "name",
            "targets.filter",
            "firmware",
            "policies.0.plugin",
            "strategy.plugin"
        ]
    );
}

#[tokio::test]
async fn a_campaign_with_a_filter_of_the_first_syntax_starts_as_it_did() {
    let fixture = EngineFixture::new(2).await;
    let mut request = campaign_request(fixture.add_firmware("1.1.0").await);
    request.targets.filter = Some(SelectorText {
        text: r#"hw_model=="\*4";pinned!=TRUE"#.to_owned(),
        syntax: Syntax::V1,
    });
    let id = fixture.create(request).await.id;
    let (store, plugins) = (fixture.engine.store(), fixture.engine.plugins());
    let ctx = fixture.ctx();
    let started = campaigns::start(
        &ctx,
        store,
        fixture.engine.caches(),
        plugins,
        fixture.engine.signals(),
        id,
    )
    .await;
    let started = started.expect("the filter keeps its meaning");
    assert_eq!(started.total_devices, 2);
}

#[tokio::test]
async fn a_plan_with_a_misspelt_value_in_a_selector_is_rejected() {
    let fixture = EngineFixture::new(2).await;
    *fixture.sandbox.plan.lock() = Box::new(|_| {
        let misspelt = Members::Selector("mode!=manuel".to_owned());
        Ok(plan(&[misspelt, Members::Rest]))
    });
    let request = campaign_request(fixture.add_firmware("1.1.0").await);
    let id = fixture.create(request).await.id;
    let (store, plugins) = (fixture.engine.store(), fixture.engine.plugins());
    let started = campaigns::start(
        &fixture.ctx(),
        store,
        fixture.engine.caches(),
        plugins,
        fixture.engine.signals(),
        id,
    )
    .await;
    let error = started.expect_err("the plan is invalid").to_string();
    let expected = "invalid value `manuel` for `mode`: must be rollout, latest or manual";
    assert!(error.contains(expected), "{error}");
}

#[tokio::test]
async fn a_campaign_is_approved_by_another_user() {
    let fixture = EngineFixture::new(1).await;
    let mut request = campaign_request(fixture.add_firmware("1.1.0").await);
    request.requires_approval = true;
    let id = fixture.create(request).await.id;
    let code = |error: Error| match error {
        Error::Conflict { code, .. } | Error::Forbidden { code, .. } => code,
        other => panic!("{other:?}"),
    };
    let start = campaigns::start(
        &fixture.ctx(),
        fixture.engine.store(),
        fixture.engine.caches(),
        fixture.engine.plugins(),
        fixture.engine.signals(),
        id,
    )
    .await;
    assert_eq!(
        code(start.expect_err("the approval is missing")),
        "not_approved"
    );
    let admin = Authorized::new(fixture.ctx_of("op", Role::Admin)).expect("an approver");
    let own = campaigns::approve(
        &admin,
        fixture.engine.store(),
        fixture.engine.signals(),
        fixture.campaign(id).await,
        None,
        String::new(),
    )
    .await;
    assert_eq!(
        code(own.expect_err("the campaign is the user's own")),
        "own_campaign"
    );
    let no_role = Authorized::<Approver>::new(fixture.ctx_of("stranger", Role::Viewer));
    assert_eq!(
        code(no_role.expect_err("the role is missing")),
        "role_missing"
    );
    let approver = Authorized::new(fixture.ctx_of("creator", Role::Approver)).expect("an approver");
    let read = fixture.campaign(id).await;
    let operator = Authorized::new(fixture.ctx_of("op", Role::Operator)).expect("an operator");
    let mut edited = campaign_request(read.spec.firmware);
    edited.requires_approval = true;
    edited.name = "autumn".to_owned();
    let engine = &fixture.engine;
    let (store, plugins, signals) = (engine.store(), engine.plugins(), engine.signals());
    campaigns::edit(&operator, store, plugins, signals, read.clone(), edited)
        .await
        .expect("it has not started");
    let unread = campaigns::approve(&approver, store, signals, read, None, String::new()).await;
    assert_eq!(
        code(unread.expect_err("the campaign was edited after it was read")),
        "changed_meanwhile"
    );
    campaigns::approve(
        &approver,
        fixture.engine.store(),
        fixture.engine.signals(),
        fixture.campaign(id).await,
        None,
        "looks good".to_owned(),
    )
    .await
    .expect("another user may approve");
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
}

#[tokio::test]
async fn a_paused_campaign_calls_no_plugin_and_a_gate_is_passed_once() {
    let fixture = EngineFixture::new(3).await;
    let id = fixture.start_campaign().await;
    fixture.pause(id, "lunch").await;
    fixture
        .sandbox
        .decides(|_| panic!("a paused campaign calls no plugin"));
    fixture.tick(id).await;
    assert_eq!(fixture.status(id).await, CampaignStatus::Paused);
    fixture.resume(id).await;

    fixture.sandbox.decides(|observation| {
        let acts: Vec<OperatorActKind> = observation.operator.iter().map(|act| act.kind).collect();
        assert_eq!(
            acts[acts.len() - 2..],
            [OperatorActKind::Paused, OperatorActKind::Resumed]
        );
        Ok(decision(&[(0, 1)], await_operator("second wave", Some(1))))
    });
    fixture.tick(id).await;
    let started = fixture.ctx();
    advance(&fixture, id, 1).await.expect("the wave is next");
    let waits = await_advance(&fixture, id, 1, Duration::ZERO).await;
    assert_eq!(waits, None);
    fixture.sandbox.decides(|observation| {
        assert!(observation.waves[1].advanced_at.is_some());
        Ok(decision(&[(1, 2)], DecisionOutcome::Proceed))
    });
    fixture.tick(id).await;
    assert_eq!(fixture.updates(id).await.len(), 3);
    let answer = await_advance(&fixture, id, 1, Duration::from_secs(5)).await;
    let answer = answer.expect("an answer");
    assert_eq!((answer.applied, answer.at), (Some(true), started.now));
    assert_eq!(answer.by, started.actor.name.to_string());
    assert_eq!(conflict(advance(&fixture, id, 1).await), "gate_passed");
}

#[tokio::test]
async fn an_advance_waits_for_the_decision() {
    let fixture = EngineFixture::new(3).await;
    let id = fixture.start_campaign().await;
    advance(&fixture, id, 0).await.expect("the wave is next");
    fixture
        .sandbox
        .decides(|_| Ok(decision(&[(0, 1)], DecisionOutcome::Proceed)));
    let undecided = fixture.sandbox.decision_gate.lock().await;
    let answer = await_advance(&fixture, id, 0, Duration::from_hours(1));
    let decided = async {
        tokio::task::yield_now().await;
        drop(undecided);
    };
    let (answer, (), ()) = tokio::join!(answer, fixture.tick(id), decided);
    assert_eq!(answer.and_then(|answer| answer.applied), Some(true));
}

#[tokio::test]
async fn an_advance_counts_for_one_decision() {
    let fixture = EngineFixture::new(3).await;
    let id = fixture.start_campaign().await;
    assert_eq!(conflict(advance(&fixture, id, 1).await), "not_next");
    fixture
        .sandbox
        .decides(|_| Ok(decision(&[(0, 1)], DecisionOutcome::Proceed)));
    fixture.tick(id).await;

    advance(&fixture, id, 1).await.expect("the wave is next");
    fixture.sandbox.decides(|observation| {
        assert!(observation.waves[1].advanced_at.is_some());
        let mut refusal = decision(&[], DecisionOutcome::Proceed);
        refusal.explain = vec!["The limit is reached.".to_owned()];
        Ok(refusal)
    });
    fixture.tick(id).await;
    let answer = await_advance(&fixture, id, 1, Duration::from_secs(5)).await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.applied, Some(false));
    assert_eq!(answer.explain, ["The limit is reached."]);
    let explain = fixture.campaign(id).await.explain;
    assert_eq!(explain.len(), 2, "{explain:?}");
    assert!(explain[0].contains(&answer.by), "{explain:?}");

    // It does not stand in for an approval later.
    fixture.sandbox.decides(|observation| {
        assert_eq!(observation.waves[1].advanced_at, None);
        Ok(decision(&[], await_operator("second wave", Some(1))))
    });
    fixture.tick(id).await;
}

#[tokio::test]
async fn a_campaign_is_advanced_past_the_gate_that_it_waits_at() {
    let fixture = EngineFixture::new(3).await;
    let id = fixture.start_campaign().await;
    let at_gates = [
        (await_operator("half of the first wave", None), None),
        (await_operator("second wave", Some(1)), Some(1)),
    ];
    assert_eq!(
        conflict(advance_past(&fixture, id, "second wave").await),
        "not_awaited"
    );
    for (outcome, wave) in at_gates {
        let waits = outcome.clone();
        fixture
            .sandbox
            .decides(move |_| Ok(decision(&[(0, 1)], waits.clone())));
        fixture.tick(id).await;
        let awaiting = fixture.campaign(id).await.awaiting.expect("it waits");
        assert_eq!(awaiting.gate.before, wave);
        let since = awaiting.since;
        fixture.tick(id).await;
        let awaiting = fixture.campaign(id).await.awaiting.expect("it waits");
        assert_eq!(awaiting.since, since, "it still waits");

        assert_eq!(
            conflict(advance_past(&fixture, id, "another gate").await),
            "not_awaited"
        );
        let gate = awaiting.gate.name;
        let advanced = advance_past(&fixture, id, &gate).await;
        assert_eq!(advanced.expect("it waits there"), wave);
        fixture.sandbox.decides(move |observation| {
            let last = observation.operator.last().expect("an act");
            assert_eq!(last.kind, OperatorActKind::Advanced);
            assert_eq!((last.gate.as_deref(), last.wave), (Some(&*gate), wave));
            assert_eq!(last.role, "admin");
            let advanced = &observation.waves[1].advanced_at;
            assert_eq!(advanced.is_some(), wave.is_some());
            Ok(decision(&[(0, 1)], DecisionOutcome::Proceed))
        });
        fixture.tick(id).await;
        assert_eq!(fixture.campaign(id).await.awaiting, None);
    }
}

#[tokio::test]
async fn a_campaign_that_its_strategy_holds_waits_at_no_gate() {
    let fixture = EngineFixture::new(3).await;
    let id = fixture.start_campaign().await;
    let outcomes = [
        await_operator("start", Some(0)),
        DecisionOutcome::Hold("too many failures".to_owned()),
    ];
    for outcome in outcomes {
        let waits = matches!(outcome, DecisionOutcome::AwaitOperator(_));
        fixture
            .sandbox
            .decides(move |_| Ok(decision(&[], outcome.clone())));
        fixture.tick(id).await;
        assert_eq!(fixture.campaign(id).await.awaiting.is_some(), waits);
    }
}

#[tokio::test]
async fn a_campaign_waits_at_no_gate_after_its_end() {
    let fixture = EngineFixture::new(3).await;
    let id = fixture.start_campaign().await;
    fixture
        .sandbox
        .decides(|_| Ok(decision(&[], await_operator("start", Some(0)))));
    fixture.tick(id).await;
    assert!(fixture.campaign(id).await.awaiting.is_some());
    let (ctx, signals) = (fixture.ctx(), fixture.engine.signals());
    let cancelled = campaigns::cancel(&ctx, fixture.engine.store(), signals, id, "").await;
    assert_eq!(cancelled.expect("it is cancelled").awaiting, None);
    assert_eq!(fixture.campaign(id).await.awaiting, None);
}

#[tokio::test]
async fn strategies_see_why_an_operator_paused() {
    let fixture = EngineFixture::new(3).await;
    let id = fixture.start_campaign().await;
    let (ctx, store, signals) = (
        fixture.ctx(),
        fixture.engine.store(),
        fixture.engine.signals(),
    );
    campaigns::pause(&ctx, store, signals, id, "the site is closed")
        .await
        .expect("it pauses");
    campaigns::resume(&ctx, store, fixture.engine.plugins(), signals, id)
        .await
        .expect("it resumes");
    fixture.sandbox.decides(|observation| {
        let reasons: Vec<_> = observation
            .operator
            .iter()
            .map(|act| act.reason.as_deref())
            .collect();
        assert_eq!(reasons, [None, Some("the site is closed"), None]);
        Ok(decision(&[], DecisionOutcome::Proceed))
    });
    fixture.tick(id).await;
}

async fn advance_past(
    fixture: &EngineFixture,
    id: CampaignId,
    gate: &str,
) -> Result<Option<u32>, Error> {
    let (store, signals) = (fixture.engine.store(), fixture.engine.signals());
    campaigns::advance_past(&fixture.ctx(), store, signals, id, gate).await
}

async fn advance(fixture: &EngineFixture, id: CampaignId, wave: u32) -> Result<Campaign, Error> {
    let (store, signals) = (fixture.engine.store(), fixture.engine.signals());
    campaigns::advance(&fixture.ctx(), store, signals, id, wave).await
}

async fn await_advance(
    fixture: &EngineFixture,
    id: CampaignId,
    wave: u32,
    limit: Duration,
) -> Option<Advance> {
    let (store, signals) = (fixture.engine.store(), fixture.engine.signals());
    let answer = campaigns::await_advance(&fixture.ctx(), store, signals, id, wave, limit).await;
    answer.expect("the waves are read")
}

/// The code of a conflict.
fn conflict<T>(result: Result<T, Error>) -> &'static str {
    match result {
        Err(Error::Conflict { code, .. }) => code,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("the command is refused"),
    }
}

#[tokio::test]
async fn another_tenant_sees_nothing() {
    let fixture = EngineFixture::new(1).await;
    let id = fixture.start_campaign().await;
    let other = fixture
        .engine
        .store()
        .create_tenant(&server_ctx(), "OTHER")
        .await
        .expect("a tenant");
    let stranger = fixture.engine.trusted_ctx(other.id, Actor::command_line());
    let engine = &fixture.engine;
    assert!(matches!(
        campaigns::get(&stranger, engine.store(), id).await,
        Err(Error::NotFound { .. })
    ));
    assert!(matches!(
        campaigns::pause(&stranger, engine.store(), engine.signals(), id, "").await,
        Err(Error::NotFound { .. })
    ));
    assert!(matches!(
        explain(&stranger, engine.store(), "device-000").await,
        Err(Error::NotFound { .. })
    ));
    assert_eq!(fixture.status(id).await, CampaignStatus::InProgress);
}
