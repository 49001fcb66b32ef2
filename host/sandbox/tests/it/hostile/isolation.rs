//! Hostile calls delay no other call, and leave nothing behind.

use anyhow::Result;
use tidegate_core::Named as _;
use tidegate_engine::ports::{CallQuota, Sandbox as _, Wants};
use tidegate_hostile::{Hooks, HostilePlugin, strategy_with};

use crate::support::{OTHER_TENANT, SandboxFixture, TENANT, observation, plan_input};

#[tokio::test]
async fn decisions_do_not_wait_for_interactive_calls() -> Result<()> {
    let fixture = SandboxFixture::with(|config| {
        config.limits.fuel = 1_000_000_000;
        config.limits.calls_at_once = 1;
    })?;
    let honest = fixture.components.put(HostilePlugin::Honest.component()?);
    let endless = fixture
        .components
        .put(HostilePlugin::EndlessLoop.component()?);
    let decided = fixture
        .sandbox
        .decide(TENANT, honest, observation("{}"))
        .await;
    let input = decided.record.input;
    // Load the plugin, so that the calls wait only for permits.
    fixture.sandbox.plugin(endless).await?;
    let replay = || fixture.sandbox.replay(TENANT, endless, &input, None);
    let interactive = async { tokio::join!(replay(), replay(), replay()) };
    tokio::select! {
        biased;
        _ = interactive => anyhow::bail!("the decision waited for interactive calls"),
        call = fixture.sandbox.decide(TENANT, honest, observation("{}")) => assert!(call.outcome.is_ok()),
    }
    Ok(())
}

/// A decision has to know what its plugin wants.
#[tokio::test]
async fn wants_for_a_decision_does_not_wait_for_plans() -> Result<()> {
    let fixture = SandboxFixture::with(|config| {
        config.limits.planning_fuel = 1_000_000_000;
        config.limits.calls_at_once = 1;
    })?;
    let honest = fixture.components.put(HostilePlugin::Honest.component()?);
    let hooks = Hooks::default().plan("(loop $more (br $more)) unreachable");
    let endless = fixture.components.put(strategy_with(&hooks)?);
    let sandbox = &fixture.sandbox;
    // Load the plugins, so that the calls wait only for permits.
    sandbox.plugin(honest).await?;
    sandbox.plugin(endless).await?;
    let wants = || sandbox.wants(TENANT, CallQuota::Decisions, honest, "{}");
    let plan = || sandbox.plan(TENANT, endless, plan_input("{}"));
    let plans = async { tokio::join!(plan(), plan(), plan()) };
    tokio::select! {
        biased;
        _ = plans => anyhow::bail!("it waited for plans"),
        wants = wants() => match wants {
            Wants::Called(call) => {
                assert!(call.fuel > 0);
                drop(call.outcome?);
            }
            Wants::Known(_) => anyhow::bail!("the plugin was not called"),
        },
    }
    assert!(matches!(wants().await, Wants::Known(_)), "it is remembered");
    Ok(())
}

/// Replays and plans take seconds: a tenant has a share of both.
#[tokio::test]
async fn calls_of_a_tenant_delay_no_other_tenant() -> Result<()> {
    let fixture = SandboxFixture::with(|config| {
        config.limits.fuel = 1_000_000_000;
        config.limits.planning_fuel = 10_000_000_000;
        config.limits.calls_at_once = 1;
    })?;
    let honest = fixture.components.put(HostilePlugin::Honest.component()?);
    let endless_loop = "(loop $more (br $more)) unreachable";
    let hooks = Hooks::default().plan(endless_loop).decide(endless_loop);
    let endless = fixture.components.put(strategy_with(&hooks)?);
    let sandbox = &fixture.sandbox;
    let decided = sandbox.decide(TENANT, honest, observation("{}")).await;
    let input = decided.record.input;
    // Load the plugin, so that the calls wait only for permits.
    sandbox.plugin(endless).await?;
    let replay = || sandbox.replay(TENANT, endless, &input, None);
    let plan = || sandbox.plan(TENANT, endless, plan_input("{}"));
    let long_calls = async { tokio::join!(replay(), replay(), replay(), plan(), plan(), plan()) };
    let short_calls = async {
        let replayed = sandbox.replay(OTHER_TENANT, honest, &input, None).await;
        let planned = sandbox.plan(OTHER_TENANT, honest, plan_input("{}")).await;
        let validated = sandbox.validate(OTHER_TENANT, honest, "{}").await;
        let inspected = fixture.upload_as(OTHER_TENANT, HostilePlugin::Honest.component()?);
        inspected.await?;
        replayed
            .outcome
            .and(planned.outcome.map(drop))
            .and(validated.outcome.map(drop))?;
        anyhow::Ok(())
    };
    tokio::select! {
        biased;
        _ = long_calls => anyhow::bail!("the other tenant waited"),
        called = short_calls => called?,
    }
    Ok(())
}

/// A decision ends by its deadline at the latest, but a tenant can have many.
#[tokio::test]
async fn decisions_of_a_tenant_delay_no_other_tenant() -> Result<()> {
    for calls_at_once in [1, 2] {
        let fixture = SandboxFixture::with(|config| {
            config.limits.fuel = 1_000_000_000;
            config.limits.calls_at_once = calls_at_once;
        })?;
        let honest = fixture.components.put(HostilePlugin::Honest.component()?);
        let endless = fixture
            .components
            .put(HostilePlugin::EndlessLoop.component()?);
        let sandbox = &fixture.sandbox;
        // Load the plugins, so that the calls wait only for permits.
        sandbox.plugin(honest).await?;
        sandbox.plugin(endless).await?;
        let decide = || sandbox.decide(TENANT, endless, observation("{}"));
        let slow = async { tokio::join!(decide(), decide(), decide(), decide(), decide()) };
        tokio::select! {
            biased;
            _ = slow => anyhow::bail!("the other tenant waited"),
            call = sandbox.decide(OTHER_TENANT, honest, observation("{}")) => drop(call.outcome?),
        }
    }
    Ok(())
}

/// Calls do not affect each other, and the same call has the same result.
#[tokio::test]
async fn every_call_has_an_instance_of_its_own() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    for hostile in HostilePlugin::ALL {
        let component = hostile.component()?;
        let first = fixture.decide(component.clone()).await;
        let honest = fixture.decide(HostilePlugin::Honest.component()?).await;
        let second = fixture.decide(component).await;
        assert!(
            honest.outcome.is_ok(),
            "after {hostile:?}: {:?}",
            honest.outcome
        );
        assert_eq!(first.outcome, second.outcome, "{hostile:?}");
        assert_eq!(first.fuel, second.fuel, "{hostile:?}");
        assert_eq!(first.peak_memory, second.peak_memory, "{hostile:?}");
        assert_eq!(first.log, second.log, "{hostile:?}");
        assert_eq!(first.record, second.record, "{hostile:?}");
    }
    Ok(())
}

/// More concurrent calls than permits, of all hostile plugins, all end.
#[tokio::test(flavor = "multi_thread")]
async fn more_calls_than_permits_all_end() -> Result<()> {
    let fixture = std::sync::Arc::new(SandboxFixture::new()?);
    let mut running = Vec::new();
    for round in 0..3 {
        for hostile in HostilePlugin::ALL {
            let fixture = std::sync::Arc::clone(&fixture);
            let component = hostile.component()?;
            running.push((
                round,
                hostile,
                tokio::spawn(async move { fixture.decide(component).await.outcome.map(drop) }),
            ));
        }
    }
    for (round, hostile, call) in running {
        let class = call
            .await?
            .map_or_else(|failure| failure.as_str(), |()| "ok");
        assert_ne!(class, "host", "{hostile:?} in round {round}");
    }
    Ok(())
}
