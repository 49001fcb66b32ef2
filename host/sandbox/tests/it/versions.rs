//! Plugins of two versions of the contract side by side: 1.0, and the draft of 1.1, in which `decide` is shown the number
//! of devices and may answer shares.

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use tidegate_core::{
    Named as _,
    id::Digest,
    plugin::{Observation, PluginKind, Release},
    wave::{Counts, WaveReport},
};
use tidegate_engine::ports::{Call, CallFailure, CallQuota, Sandbox as _, Wants};
use tidegate_hostile::{Hooks, World};
use tidegate_sandbox::{Golden, SandboxConfig};

use crate::support::{
    SandboxFixture, TENANT, deflate_stored, failure, observation, page, plan_input,
};

const DRAFT: &str = include_str!("../draft-1.1/package.wit");

/// `decide` of 1.0: 3 devices of wave 0 and 15 of wave 1.
const DEVICES: &str = "
    (i32.store (i32.const 648) (i32.const 904)) (i32.store (i32.const 652) (i32.const 2))
    (i32.store (i32.const 904) (i32.const 0)) (i64.store (i32.const 912) (i64.const 3))
    (i32.store (i32.const 920) (i32.const 1)) (i64.store (i32.const 928) (i64.const 15))
    (i32.const 640)";

/// `decide` of 1.1: a quarter of wave 0, and of wave 1 as many devices as all waves have, which is the first field.
const SHARES: &str = "
    (i32.store (i32.const 648) (i32.const 904)) (i32.store (i32.const 652) (i32.const 2))
    (i32.store (i32.const 904) (i32.const 0)) (i32.store8 (i32.const 912) (i32.const 1))
    (i32.store16 (i32.const 920) (i32.const 2500))
    (i32.store (i32.const 928) (i32.const 1)) (i32.store8 (i32.const 936) (i32.const 0))
    (i64.store (i32.const 944) (i64.load (local.get $input)))
    (i32.const 640)";

fn strategy_1_0() -> Result<Vec<u8>> {
    Hooks::default().decide(DEVICES).component()
}

fn strategy_1_1() -> Result<Vec<u8>> {
    Hooks::default()
        .decide(SHARES)
        .component_of("@1.1.0", DRAFT)
}

fn speaks_draft(config: &mut SandboxConfig) {
    config.speaks_draft = true;
}

/// A campaign with a wave of 10 devices and one of 5.
fn two_waves() -> Observation {
    let wave = |size| WaveReport {
        name: "wave".to_owned(),
        size,
        released: 0,
        counts: Counts {
            pending: size,
            ..Counts::default()
        },
        opened_at: None,
        last_progress_at: None,
        advanced_at: None,
        failures: Vec::new(),
        durations: observation("{}").durations,
    };
    Observation {
        waves: vec![wave(10), wave(5)],
        ..observation("{}")
    }
}

/// A strategy of each version in one sandbox.
struct TwoVersions {
    fixture: SandboxFixture,
    since_1_0: Digest,
    draft_1_1: Digest,
}

impl TwoVersions {
    async fn upload() -> Result<Self> {
        let fixture = SandboxFixture::with(speaks_draft)?;
        let [since_1_0, draft_1_1] = [
            fixture.upload(strategy_1_0()?).await?,
            fixture.upload(strategy_1_1()?).await?,
        ];
        let contracts = [&*since_1_0.contract, &*draft_1_1.contract];
        assert_eq!(contracts, ["1.0.0-draft.2", "1.1.0-draft.1"]);
        assert_eq!(fixture.sandbox.contracts(), contracts);
        Ok(Self {
            fixture,
            since_1_0: since_1_0.digest,
            draft_1_1: draft_1_1.digest,
        })
    }

    async fn decide(&self, plugin: Digest) -> Call<tidegate_core::plugin::Decision> {
        let sandbox = &self.fixture.sandbox;
        sandbox.decide(TENANT, plugin, two_waves()).await
    }

    async fn replay(&self, plugin: Digest, input: &[u8]) -> Call<()> {
        let sandbox = &self.fixture.sandbox;
        sandbox.replay(TENANT, plugin, input, None).await
    }

    fn json(&self, record: &[u8]) -> Result<Value> {
        let text = self.fixture.sandbox.record_json(record)?;
        Ok(serde_json::from_str(&text)?)
    }
}

#[tokio::test]
async fn plugins_of_both_versions_answer_and_are_replayed() -> Result<()> {
    let both = TwoVersions::upload().await?;
    for (plugin, contract) in [(both.since_1_0, None), (both.draft_1_1, Some("1.1"))] {
        let call = both.decide(plugin).await;
        let releases = call.outcome.clone()?.releases;
        let levels: Vec<_> = releases
            .iter()
            .map(|Release { wave, devices }| (*wave, *devices))
            .collect();
        assert_eq!(levels, [(0, 3), (1, 15)]);

        let input = both.json(&call.record.input)?;
        assert_eq!(input["contract"].as_str(), contract);
        let devices = contract.map(|_| 15);
        assert_eq!(input["input"]["devices"].as_u64(), devices);
        let replayed = both.replay(plugin, &call.record.input).await;
        assert_eq!(replayed.record, call.record);
        assert_eq!(replayed.fuel, call.fuel);
        assert_eq!(replayed.outcome, Ok(()));
    }
    Ok(())
}

/// The answer of the other version is recorded in the form of the record, so that it can be compared.
#[tokio::test]
async fn a_call_is_replayed_by_a_plugin_of_the_other_version() -> Result<()> {
    let both = TwoVersions::upload().await?;
    let call = both.decide(both.since_1_0).await;
    let replayed = both.replay(both.draft_1_1, &call.record.input).await;
    assert_eq!(replayed.outcome, Ok(()));
    assert_eq!(replayed.record, call.record);

    let call = both.decide(both.draft_1_1).await;
    let releases = |record: &[u8]| -> Result<Value> {
        Ok(both.json(record)?["answer"]["Ok"]["releases"].take())
    };
    assert_eq!(
        releases(&call.record.output)?,
        json!([{"wave": 0, "level": {"Share": 2500}}, {"wave": 1, "level": {"Devices": 15}}])
    );
    let replayed = both.replay(both.since_1_0, &call.record.input).await;
    assert_eq!(replayed.outcome, Ok(()));
    assert_eq!(replayed.record.input, call.record.input);
    assert_eq!(
        releases(&replayed.record.output)?,
        json!([{"wave": 0, "level": {"Devices": 3}}, {"wave": 1, "level": {"Devices": 15}}])
    );

    // Calls whose types are the same, one of which ends with the plugin's own error.
    let sandbox = &both.fixture.sandbox;
    let plan = sandbox.plan(TENANT, both.since_1_0, plan_input("{}")).await;
    let assign = sandbox.assign(TENANT, both.draft_1_1, page(3)).await;
    assert_eq!(
        assign.outcome,
        Err(CallFailure::PluginError("wave".to_owned()))
    );
    let wants = sandbox.wants(TENANT, CallQuota::Planning, both.since_1_0, "{}");
    let Wants::Called(wants) = wants.await else {
        bail!("the plugin was not called");
    };
    for (other, record) in [
        (both.draft_1_1, plan.record),
        (both.since_1_0, assign.record),
        (both.draft_1_1, wants.record),
    ] {
        let replayed = both.replay(other, &record.input).await;
        assert_eq!(replayed.record, record);
    }
    Ok(())
}

#[tokio::test]
async fn what_the_other_version_cannot_be_asked_is_not_left_out() -> Result<()> {
    let both = TwoVersions::upload().await?;
    let call = both.decide(both.since_1_0).await;
    let json = both.fixture.sandbox.record_json(&call.record.input)?;
    for (part, with) in [
        (
            r#""extras":[]"#,
            r#""extras":[{"key":"phase","value":"2"}]"#,
        ),
        (
            r#""operator":[]"#,
            r#""operator":[{"at":1,"kind":{"Other":"slept"},"gate":null,"wave":null,"reason":null,"role":"admin","extras":[]}]"#,
        ),
    ] {
        assert!(json.contains(part), "{json}");
        let input = deflate_stored(json.replace(part, with).as_bytes());
        let same = both.replay(both.since_1_0, &input).await;
        assert_eq!(same.outcome, Ok(()));
        let other = failure(both.replay(both.draft_1_1, &input).await)?;
        assert_eq!(other.as_str(), "invalid-record");
        let text = other.to_string();
        assert!(
            text.contains("version 1.1 of the contract") && text.contains("does not know"),
            "{text}"
        );
    }

    let input = json.replacen('{', r#"{"contract":"1.7","#, 1);
    let input = deflate_stored(input.as_bytes());
    let unknown = failure(both.replay(both.since_1_0, &input).await)?;
    assert_eq!(
        unknown,
        CallFailure::InvalidRecord(
            "it was recorded for version 1.7 of the contract; this server reads 1.0 and 1.1"
                .to_owned()
        )
    );
    Ok(())
}

#[tokio::test]
async fn the_answers_of_the_draft_are_checked() -> Result<()> {
    let both = TwoVersions::upload().await?;
    let sandbox = &both.fixture.sandbox;
    let without_waves = observation("{}");
    let call = sandbox.decide(TENANT, both.draft_1_1, without_waves).await;
    assert_eq!(
        failure(call)?,
        CallFailure::InvalidAnswer("there is no wave 0".to_owned())
    );
    let above = SHARES.replace("2500", "10001");
    let component = Hooks::default().decide(above);
    let component = component.component_of("@1.1.0", DRAFT)?;
    let plugin = both.fixture.components.put(component);
    let failed = failure(both.decide(plugin).await)?;
    assert_eq!(failed.as_str(), "invalid-answer");
    Ok(())
}

#[tokio::test]
async fn goldens_are_of_the_version_of_their_plugin() -> Result<()> {
    let both = TwoVersions::upload().await?;
    let sandbox = &both.fixture.sandbox;
    let call = both.decide(both.draft_1_1).await;
    let golden = sandbox.golden(&call.record.input, Some(&call.record.output))?;
    assert!(golden.starts_with(r#"{"contract":"1.1","call":"decide""#));
    let golden = Golden::parse(&golden)?;
    assert_eq!(golden.record().as_deref(), Some(&call.record.input[..]));
    let plugin = sandbox.plugin(both.draft_1_1).await?;
    assert!(golden.run(&plugin).outcome?.is_as_expected());

    let plugin = sandbox.plugin(both.since_1_0).await?;
    let failed = golden.run(&plugin).outcome.err().context("it runs")?;
    assert_eq!(failed.as_str(), "link");
    let text = failed.to_string();
    assert!(
        text.contains("built for version 1.0 of the contract, and the golden is of version 1.1"),
        "{text}"
    );
    Ok(())
}

#[tokio::test]
async fn every_world_of_the_draft_is_a_plugin() -> Result<()> {
    let fixture = SandboxFixture::with(speaks_draft)?;
    for (world, kind) in [
        (World::Strategy, PluginKind::Strategy),
        (World::Compatibility, PluginKind::Compatibility),
        (World::Health, PluginKind::Health),
    ] {
        let component = Hooks::of(world).component_of("@1.1.4", &DRAFT.replace("1.1.0", "1.1.4"));
        let inspection = fixture.upload(component?).await?;
        assert_eq!(inspection.kind, kind);
        assert_eq!(inspection.contract, "1.1.0-draft.1");
    }
    Ok(())
}

/// It has the name of a version, and the records of another one.
#[tokio::test]
async fn a_component_with_the_records_of_the_other_version_is_refused() -> Result<()> {
    let fixture = SandboxFixture::with(speaks_draft)?;
    let contract_1_0 = include_str!("../../../../wit/since-1.0/package.wit");
    let contract = contract_1_0.replace("@1.0.0", "@1.1.0");
    let component = Hooks::default().component_of("@1.1.0", &contract)?;
    let why = fixture.refusal(component).await?;
    assert!(why.contains("type mismatch"), "{why}");
    Ok(())
}

#[tokio::test]
async fn a_component_of_an_unknown_version_is_told_which_versions_the_server_speaks() -> Result<()>
{
    let fixture = SandboxFixture::new()?;
    let refused = "it is built for version 1.1.0 of the contract; this server speaks 1.0";
    assert_eq!(fixture.refusal(strategy_1_1()?).await?, refused);

    let fixture = SandboxFixture::with(speaks_draft)?;
    let contract = DRAFT.replace("@1.1.0", "@1.2.0");
    let component = Hooks::default().component_of("@1.2.0", &contract)?;
    assert_eq!(
        fixture.refusal(component).await?,
        "it is built for version 1.2.0 of the contract; this server speaks 1.0 and 1.1"
    );
    Ok(())
}

/// Cached code says for which version it is, and is not run by a server that does not speak it.
#[tokio::test]
async fn cached_code_is_of_its_version() -> Result<()> {
    let both = TwoVersions::upload().await?;
    let without_compiler = |config: &mut SandboxConfig| {
        config.child_command.program = "/no/such/program".into();
    };
    let restarted = both.fixture.reopen_with(|config| {
        without_compiler(config);
        speaks_draft(config);
    })?;
    for plugin in [both.since_1_0, both.draft_1_1] {
        let call = restarted.sandbox.decide(TENANT, plugin, two_waves()).await;
        assert_eq!(call.record, both.decide(plugin).await.record);
    }
    let downgraded = both.fixture.reopen_with(without_compiler)?;
    let decide = |plugin| downgraded.sandbox.decide(TENANT, plugin, two_waves());
    decide(both.since_1_0).await.outcome?;
    let failed = failure(decide(both.draft_1_1).await)?;
    assert_eq!(failed.as_str(), "link");
    assert!(
        failed.to_string().ends_with("this server speaks 1.0"),
        "{failed}"
    );
    Ok(())
}
