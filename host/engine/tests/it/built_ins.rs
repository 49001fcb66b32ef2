//! The built-in plugins of a server that comes after another one on the same database.

use std::sync::Arc;

use tidegate_core::{
    campaign::{Campaign, CampaignStatus, Priority},
    id::{CampaignId, Digest, FirmwareId},
    plugin::{Decision, DecisionOutcome, PluginKind},
};
use tidegate_engine::{
    Authorized, BuiltIns, Engine, Error, Result, Role, Settings,
    campaigns::{self, RevisionMove},
    plugins::PluginChoice,
    ports::{EntryKind, PageRequest, RunRef},
};

use crate::{
    engine_fixture::{EngineFixture, campaign_request, settings},
    scripted_sandbox::decision,
};

#[tokio::test]
async fn a_campaign_keeps_the_built_in_policy_of_an_earlier_server() {
    let fixture = EngineFixture::new(1).await;
    let firmware = fixture.add_firmware("1.1.0").await;
    let mut request = campaign_request(firmware);
    request.policies = Vec::new();
    let campaign = fixture.create(request.clone()).await;
    let earlier = Digest::of(b"hardware");
    let uses_earlier = |uses: &[tidegate_core::campaign::PluginUse]| {
        uses.iter().any(|policy| policy.revision == earlier)
    };
    assert!(uses_earlier(&campaign.spec.policies));

    // The next server has another build of it.
    let built_ins: BuiltIns = [
        ("hardware", Digest::of(b"a later build")),
        ("version-path", Digest::of(b"version-path")),
    ]
    .into_iter()
    .collect();
    let later = Arc::new(Engine::new(
        fixture.ports.clone(),
        Settings {
            built_ins,
            ..settings()
        },
    ));
    let ctx = fixture.ctx();
    let create =
        async |request| campaigns::create(&ctx, later.store(), later.plugins(), request).await;
    let errors = |refused: Result<_>| match refused {
        Err(Error::Invalid { errors, .. }) => {
            let paths = errors.into_iter();
            paths.map(|error| error.path).collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(
        errors(create(request.clone()).await),
        ["policies"],
        "it is not installed"
    );
    request.policies = vec![PluginChoice {
        plugin: "hardware".to_owned(),
        revision: Some(earlier),
        config: "{}".to_owned(),
    }];
    assert_eq!(errors(create(request).await), ["policies.0.revision"]);

    let started = campaigns::start(
        &ctx,
        later.store(),
        later.caches(),
        later.plugins(),
        later.signals(),
        campaign.id,
    )
    .await
    .expect("the campaign starts");
    assert!(uses_earlier(&started.spec.policies));

    // Its calls are replayed with the earlier build.
    let page = PageRequest {
        limit: 500,
        offset: 0,
    };
    let journal = campaigns::journal(&ctx, later.store(), campaign.id, 0, page);
    let entries = journal.await.expect("a journal").items;
    let of_earlier = entries
        .iter()
        .filter(|entry| entry.revision == Some(earlier));
    let of_earlier: Vec<_> = of_earlier.collect();
    assert_eq!(of_earlier.len(), 1, "{entries:?}");
    for revision in [None, Some(earlier)] {
        let (store, plugins) = (later.store(), later.plugins());
        let (id, seq) = (campaign.id, of_earlier[0].seq);
        let replay = campaigns::replay(&ctx, store, plugins, id, seq, revision).await;
        let replay = replay.expect("a replay");
        assert_eq!(replay.recorded_fuel, of_earlier[0].fuel);
    }
    let replayed = fixture.sandbox.replayed.lock().clone();
    assert_eq!(replayed, [earlier, earlier]);
}

#[tokio::test]
async fn a_server_without_built_in_plugins_lets_nothing_pass() {
    let fixture = EngineFixture::new(1).await;
    let firmware = fixture.add_firmware("1.1.0").await;
    // Uploaded, and called like a default policy.
    fixture
        .add_plugin("hardware", PluginKind::Compatibility)
        .await;
    let without = Engine::new(fixture.ports.clone(), Settings::default());
    let mut request = campaign_request(firmware);
    request.policies = Vec::new();
    let ctx = fixture.ctx();
    let refused =
        campaigns::create(&ctx, without.store(), without.plugins(), request.clone()).await;
    let Err(Error::Invalid { errors, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert!(
        errors[0]
            .message
            .contains("tidegate/hardware: this default policy is not installed")
    );
    request.allow_incompatible = true;
    let created = campaigns::create(&ctx, without.store(), without.plugins(), request).await;
    let campaign = created.expect("it asks no policy");
    assert_eq!(campaigns::warnings(&campaign).len(), 1);
}

/// A server on the same database whose built-in strategy is this build of `canary`.
fn server_with_canary(fixture: &EngineFixture, build: &[u8]) -> Engine {
    let built_ins: BuiltIns = [("canary", Digest::of(build))].into_iter().collect();
    let settings = Settings {
        built_ins,
        ..settings()
    };
    Engine::new(fixture.ports.clone(), settings)
}

/// The next server speaks another contract, and has a built-in `canary` of it.
async fn server_of_another_contract(fixture: &EngineFixture) -> Engine {
    server_of_another_contract_with_state(fixture, 1).await
}

/// The same, whose `canary` has this schema of its state.
async fn server_of_another_contract_with_state(
    fixture: &EngineFixture,
    state_schema: u32,
) -> Engine {
    *fixture.sandbox.contracts.lock() = &["2.0.0"];
    let (kind, build) = (PluginKind::Strategy, b"a later build");
    let contract = ("2.0.0", state_schema);
    fixture.add_plugin_of("canary", kind, build, contract).await;
    server_with_canary(fixture, build)
}

/// A server that has a built-in `canary`, and a campaign of its own that uses it.
async fn campaign_of_canary(fixture: &EngineFixture, firmware: FirmwareId) -> (Engine, Campaign) {
    fixture.add_plugin("canary", PluginKind::Strategy).await;
    let engine = server_with_canary(fixture, b"canary");
    let mut request = campaign_request(firmware);
    "canary".clone_into(&mut request.strategy.plugin);
    request.policies = Vec::new();
    request.allow_incompatible = true;
    let ctx = fixture.ctx();
    let created = campaigns::create(&ctx, engine.store(), engine.plugins(), request).await;
    (engine, created.expect("a campaign"))
}

async fn leave_unknown_contracts(engine: &Engine) -> bool {
    let left = campaigns::leave_unknown_contracts(engine).await;
    left.expect("it answers")
}

/// Moves a campaign, on a server, as an admin.
async fn move_to(
    fixture: &EngineFixture,
    engine: &Engine,
    id: CampaignId,
    (revision, discards_state): (Digest, bool),
) -> Result<()> {
    let request = RevisionMove {
        revision,
        replayed_until: 0,
        accepts_differences: false,
        discards_state,
    };
    let ctx = Authorized::new(fixture.ctx_of("admin", Role::Admin)).expect("an admin");
    let (store, plugins, signals) = (engine.store(), engine.plugins(), engine.signals());
    let moved = campaigns::move_to_revision(&ctx, store, plugins, signals, id, request);
    moved.await.map(|_| ())
}

/// Resumes a campaign, on a server, and lets it decide.
async fn resume_and_tick(fixture: &EngineFixture, engine: &Engine, id: CampaignId) {
    let (store, plugins, signals) = (engine.store(), engine.plugins(), engine.signals());
    let resumed = campaigns::resume(&fixture.ctx(), store, plugins, signals, id).await;
    resumed.expect("the campaign resumes");
    let run = RunRef {
        tenant: fixture.tenant(),
        campaign: id,
    };
    let ticked = campaigns::tick(engine, run).await;
    ticked.expect("the tick succeeds");
}

#[tokio::test]
async fn campaigns_of_an_unknown_contract_move_to_built_in_plugins() {
    let fixture = EngineFixture::new(1).await;
    let firmware = fixture.add_firmware("1.1.0").await;
    let (_, campaign) = campaign_of_canary(&fixture, firmware).await;
    let (ctx, id) = (fixture.ctx(), campaign.id);

    let later = server_of_another_contract(&fixture).await;
    assert!(leave_unknown_contracts(&later).await);
    let moved = fixture.campaign(id).await;
    assert_eq!(moved.spec.strategy.revision, Digest::of(b"a later build"));
    assert_eq!(moved.generation, campaign.generation + 1);
    assert_eq!(fixture.host_outcomes(id).await, ["repinned"]);
    assert!(leave_unknown_contracts(&later).await);
    assert_eq!(
        fixture.campaign(id).await.generation,
        moved.generation,
        "nothing is left"
    );
    let read = campaigns::get(&ctx, later.store(), id).await;
    assert_eq!(read.expect("a campaign").spec, moved.spec);
}

#[tokio::test]
async fn a_built_in_plugin_that_cannot_read_the_state_waits_for_an_operator() {
    let fixture = EngineFixture::new(1).await;
    let firmware = fixture.add_firmware("1.1.0").await;
    let (earlier, started) = campaign_of_canary(&fixture, firmware).await;
    let not_started = campaign_of_canary(&fixture, firmware).await.1.id;
    let id = started.id;
    fixture.sandbox.decides(|_| {
        Ok(Decision {
            state: b"kept".to_vec(),
            ..decision(&[], DecisionOutcome::Proceed)
        })
    });
    let (store, caches, plugins) = (earlier.store(), earlier.caches(), earlier.plugins());
    let signals = earlier.signals();
    let started = campaigns::start(&fixture.ctx(), store, caches, plugins, signals, id).await;
    started.expect("it starts");
    fixture.tick(id).await;

    let later = server_of_another_contract_with_state(&fixture, 2).await;
    assert!(leave_unknown_contracts(&later).await);
    let built_in = Digest::of(b"a later build");
    // It has no state yet.
    let moved = fixture.campaign(not_started).await;
    assert_eq!(moved.spec.strategy.revision, built_in);
    let held = fixture.campaign(id).await;
    assert_eq!(held.status, CampaignStatus::Held);
    assert_eq!(held.spec.strategy.revision, Digest::of(b"canary"));
    let reason = held.hold.expect("it is held").reason;
    for words in [
        "reads the schema 2 of its state, and the campaign's has the schema 1",
        &format!("Move the campaign to the revision {built_in} with an empty state"),
    ] {
        assert!(reason.contains(words), "{reason}");
    }

    // The advice works.
    let kept = move_to(&fixture, &later, id, (built_in, false)).await;
    assert_eq!(conflict(kept), "other_state_schema");
    let discarded = move_to(&fixture, &later, id, (built_in, true)).await;
    discarded.expect("it moves");
    fixture.sandbox.decides(|observation| {
        assert_eq!(observation.state, Vec::<u8>::new());
        Ok(decision(&[], DecisionOutcome::Proceed))
    });
    resume_and_tick(&fixture, &later, id).await;
    assert_eq!(fixture.decisions(id).await, 2);
    assert_eq!(fixture.status(id).await, CampaignStatus::InProgress);
}

#[tokio::test]
async fn campaigns_of_an_unknown_contract_that_cannot_move_are_held_and_not_replayed() {
    let fixture = EngineFixture::new(3).await;
    let firmware = fixture.add_firmware("1.1.0").await;
    let running = fixture.create_and_start(campaign_request(firmware)).await;
    fixture.tick(running).await;
    let created = fixture.create(campaign_request(firmware)).await.id;

    let later = server_of_another_contract(&fixture).await;
    assert!(leave_unknown_contracts(&later).await);
    let hold = fixture.campaign(running).await.hold.expect("it is held");
    assert!(
        hold.reason.contains("version 1.0.0 of the plugin contract"),
        "{hold:?}"
    );
    assert!(hold.reason.contains("speaks 2.0.0"), "{hold:?}");

    let ctx = fixture.ctx();
    let (store, plugins) = (later.store(), later.plugins());
    let journal = fixture.journal(running).await;
    let decided = journal.iter().find(|entry| entry.plugin.is_some());
    let seq = decided.expect("a call").seq;
    let replayed = campaigns::replay(&ctx, store, plugins, running, seq, None).await;
    assert_eq!(conflict(replayed), "unknown_contract");
    let signals = later.signals();
    let started = campaigns::start(&ctx, store, later.caches(), plugins, signals, created).await;
    assert_eq!(conflict(started), "unknown_contract");
    let refused = campaigns::create(&ctx, store, plugins, campaign_request(firmware)).await;
    let Err(Error::Invalid { errors, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(errors[0].path, "strategy.revision");
    assert!(errors[0].message.contains("speaks 2.0.0"), "{errors:?}");
}

#[tokio::test]
async fn a_campaign_moves_to_the_built_in_plugins_that_there_are_before_it_is_held() {
    let upgrade = HalfReplacedCampaign::new().await;
    let HalfReplacedCampaign { fixture, id, .. } = &upgrade;
    assert!(!upgrade.leave().await, "the policy is not installed yet");
    assert!(fixture.campaign(*id).await.hold.is_some(), "held already");
    upgrade.install_policy().await;
    assert!(upgrade.leave().await);
    upgrade.check_moved_and_held().await;
}

#[tokio::test]
async fn a_campaign_that_changes_while_it_leaves_an_unknown_contract_is_moved_later() {
    let upgrade = HalfReplacedCampaign::new().await;
    upgrade.install_policy().await;
    let HalfReplacedCampaign { fixture, later, id } = &upgrade;
    let before = fixture.campaign(*id).await;
    let (ctx, engine, campaign) = (fixture.ctx(), Arc::clone(later), before.clone());
    let change = async move {
        let (store, signals) = (engine.store(), engine.signals());
        let priority = Some(Priority::Emergency);
        let changed =
            campaigns::change_limits(&ctx, store, signals, campaign, priority, None, None);
        changed.await.expect("it is changed");
    };
    *fixture.sandbox.before_validation.lock() = Some(Box::new(|| Box::pin(change)));

    assert!(!upgrade.leave().await, "its change was first");
    let held = fixture.campaign(*id).await;
    assert_eq!(held.status, CampaignStatus::Held);
    assert_eq!(held.spec.policies, before.spec.policies, "not moved");
    assert_eq!(held.spec.priority, Priority::Emergency);
    assert!(upgrade.leave().await);
    upgrade.check_moved_and_held().await;
    let after = fixture.campaign(*id).await;
    assert_eq!(after.spec.priority, Priority::Emergency);
    assert_eq!(after.hold, held.hold, "it is held once");
    assert_eq!(fixture.host_outcomes(*id).await, ["repinned"]);
}

/// A running campaign whose strategy has no replacement on a server of another contract, and whose policy has one.
struct HalfReplacedCampaign {
    fixture: EngineFixture,
    later: Arc<Engine>,
    id: CampaignId,
}

impl HalfReplacedCampaign {
    const POLICY: &[u8] = b"hardware of a later server";

    async fn new() -> Self {
        let fixture = EngineFixture::new(3).await;
        let mut request = campaign_request(fixture.add_firmware("1.1.0").await);
        request.policies = vec![PluginChoice {
            plugin: "hardware".to_owned(),
            revision: None,
            config: "{}".to_owned(),
        }];
        let id = fixture.create_and_start(request).await;
        *fixture.sandbox.contracts.lock() = &["2.0.0"];
        let policy = ("hardware", Digest::of(Self::POLICY));
        let settings = Settings {
            built_ins: [policy].into_iter().collect(),
            ..settings()
        };
        let later = Arc::new(Engine::new(fixture.ports.clone(), settings));
        Self { fixture, later, id }
    }

    async fn install_policy(&self) {
        let kind = PluginKind::Compatibility;
        let installed = self
            .fixture
            .add_plugin_of("hardware", kind, Self::POLICY, ("2.0.0", 1));
        installed.await;
    }

    async fn leave(&self) -> bool {
        leave_unknown_contracts(&self.later).await
    }

    async fn check_moved_and_held(&self) {
        let campaign = self.fixture.campaign(self.id).await;
        let mut uses = campaign.spec.plugins();
        assert!(uses.any(|used| used.revision == Digest::of(Self::POLICY)));
        assert_eq!(campaign.status, CampaignStatus::Held);
    }
}

#[tokio::test]
async fn a_campaign_of_an_unknown_contract_is_not_resumed() {
    let fixture = EngineFixture::new(3).await;
    let firmware = fixture.add_firmware("1.1.0").await;
    let paused = fixture.create_and_start(campaign_request(firmware)).await;
    fixture.pause(paused, "before the upgrade").await;
    let held = fixture.create_and_start(campaign_request(firmware)).await;
    let later = server_of_another_contract(&fixture).await;
    assert!(leave_unknown_contracts(&later).await);
    let ctx = fixture.ctx();
    for (id, status) in [
        (paused, CampaignStatus::Paused),
        (held, CampaignStatus::Held),
    ] {
        let (store, plugins, signals) = (later.store(), later.plugins(), later.signals());
        let resumed = campaigns::resume(&ctx, store, plugins, signals, id).await;
        assert_eq!(conflict(resumed), "unknown_contract");
        assert_eq!(fixture.status(id).await, status);
    }
}

/// What the reason of its hold advises.
#[tokio::test]
async fn a_campaign_that_is_held_for_its_contract_is_moved_and_resumed() {
    let fixture = EngineFixture::new(3).await;
    let id = fixture.start_campaign().await;
    fixture.tick(id).await;
    let later = server_of_another_contract(&fixture).await;
    assert!(leave_unknown_contracts(&later).await);
    let reason = fixture.campaign(id).await.hold.expect("it is held").reason;
    let advice = "Move the campaign to a revision that was built for it, and resume it.";
    assert!(reason.ends_with(advice), "{reason}");

    for (plugin, kind) in [
        ("acme/waves", PluginKind::Strategy),
        ("acme/fits", PluginKind::Compatibility),
        ("acme/calm", PluginKind::Health),
    ] {
        let build = format!("{plugin} of another contract");
        let contract = ("2.0.0", 1);
        fixture
            .add_plugin_of(plugin, kind, build.as_bytes(), contract)
            .await;
        let revision = Digest::of(build.as_bytes());
        let moved = move_to(&fixture, &later, id, (revision, false)).await;
        moved.expect("it moves");
        assert_eq!(fixture.status(id).await, CampaignStatus::Held, "{plugin}");
    }
    resume_and_tick(&fixture, &later, id).await;
    let campaign = fixture.campaign(id).await;
    assert_eq!(campaign.status, CampaignStatus::InProgress);
    let journal = fixture.journal(id).await;
    let mut decisions = journal
        .iter()
        .filter(|entry| entry.kind == EntryKind::Decide);
    let last = decisions.next_back().expect("a decision");
    assert_eq!(
        (last.revision, last.applied),
        (Some(campaign.spec.strategy.revision), true)
    );
    assert_eq!(fixture.decisions(id).await, 2);
}

fn conflict<T: std::fmt::Debug>(result: Result<T>) -> &'static str {
    match result {
        Err(Error::Conflict { code, .. }) => code,
        other => panic!("{other:?}"),
    }
}
