//! Replays of calls that failed, from their records only.

use anyhow::{Result, bail};
use tidegate_core::{Named, id::Digest, time::Timestamp};
use tidegate_engine::ports::{Call, CallLimits, CallQuota, Sandbox as _, Wants};
use tidegate_hostile::{Function, Hooks, HostilePlugin, strategy_with};
use tidegate_sandbox::Golden;

use crate::support::{SandboxFixture, TENANT, failure, observation, plan_input};

/// Replays a call. The record, the failure and the fuel must be the same.
async fn assert_same<T: std::fmt::Debug>(
    fixture: &SandboxFixture,
    component: Vec<u8>,
    call: Call<T>,
) -> Result<()> {
    let digest = fixture.components.put(component);
    let input = &call.record.input;
    let limits = call.record.limits;
    let replayed = fixture.sandbox.replay(TENANT, digest, input, limits);
    let replayed = replayed.await;
    assert_eq!(replayed.record, call.record);
    assert_eq!(replayed.fuel, call.fuel);
    assert_eq!(replayed.outcome, call.outcome.map(drop));
    Ok(())
}

#[tokio::test]
async fn a_failure_is_repeated() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    for (hostile, class) in [
        (HostilePlugin::Trap, "trap"),
        (HostilePlugin::Panic, "trap"),
        (HostilePlugin::DeepRecursion, "trap"),
        (HostilePlugin::EndlessLoop, "out-of-fuel"),
        (HostilePlugin::LoopInStart, "out-of-fuel"),
        (HostilePlugin::LogFlood, "out-of-fuel"),
        (HostilePlugin::MemoryBomb, "out-of-memory"),
        (HostilePlugin::ManyMemories, "out-of-memory"),
        (HostilePlugin::HugeAnswer, "answer-too-large"),
        (HostilePlugin::WildPointer, "invalid-answer"),
        (HostilePlugin::BadText, "invalid-answer"),
    ] {
        let component = hostile.component()?;
        let call = fixture.decide(component.clone()).await;
        let failed = call.outcome.as_ref().map(drop);
        assert_eq!(failed.map_err(Named::as_str), Err(class));
        assert!(call.record.output.is_empty(), "{hostile:?}");
        assert_same(&fixture, component, call).await?;
    }
    Ok(())
}

/// What the plugin answered is in the record, also if it is an error, or is refused.
#[tokio::test]
async fn an_error_and_a_refused_answer_are_repeated() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    let error = "(i32.store8 (i32.const 640) (i32.const 1)) (i32.store (i32.const 648) (i32.const 900))
        (i32.store (i32.const 652) (i32.const 2)) (i32.store16 (i32.const 900) (i32.const 0x6f6e)) (i32.const 640)";
    let component = strategy_with(&Hooks::default().decide(error))?;
    let call = fixture.decide(component.clone()).await;
    assert_eq!(
        fixture.sandbox.record_json(&call.record.output)?,
        r#"{"call":"decide","answer":{"Err":"no"}}"#
    );
    assert_same(&fixture, component, call).await?;

    let component = HostilePlugin::ImpossibleShare.component()?;
    let digest = fixture.components.put(component.clone());
    let call = fixture.sandbox.plan(TENANT, digest, plan_input("{}")).await;
    let answer = fixture.sandbox.record_json(&call.record.output)?;
    assert!(answer.contains(r#"{"Share":65535}"#), "{answer}");
    assert_same(&fixture, component, call).await
}

/// `wants` is recorded with its config.
#[tokio::test]
async fn a_plugin_that_cannot_say_what_it_wants_is_repeated() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    let no = "(i32.store8 (i32.const 336) (i32.const 1)) (i32.store (i32.const 340) (i32.const 900))
        (i32.store (i32.const 344) (i32.const 2)) (i32.store16 (i32.const 900) (i32.const 0x6f6e)) (i32.const 336)";
    let of_config = r#"{"call":"wants","input":"{\"a\": 1}"}"#;
    for (body, class, answer) in [
        ("unreachable", "trap", None),
        ("(loop $more (br $more)) unreachable", "out-of-fuel", None),
        (
            no,
            "plugin-error",
            Some(r#"{"call":"wants","answer":{"Err":"no"}}"#),
        ),
    ] {
        let component = Hooks::at(Function::Wants, body).component()?;
        let digest = fixture.components.put(component.clone());
        let wants = fixture
            .sandbox
            .wants(TENANT, CallQuota::Planning, digest, r#"{"a": 1}"#);
        let Wants::Called(call) = wants.await else {
            bail!("the plugin was not called");
        };
        assert_eq!(call.outcome.as_ref().err().map(Named::as_str), Some(class));
        let json = |record: &[u8]| fixture.sandbox.record_json(record);
        assert_eq!(json(&call.record.input)?, of_config);
        let output = Some(&call.record.output[..]).filter(|output| !output.is_empty());
        assert_eq!(output.map(json).transpose()?.as_deref(), answer);
        let golden = fixture.sandbox.golden(&call.record.input, None)?;
        assert_eq!(golden, of_config);
        assert_same(&fixture, component, call).await?;
    }
    Ok(())
}

/// A state that the plugin keeps is the same part of all its records.
#[tokio::test]
async fn a_large_state_is_apart_and_the_call_is_repeated() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    let mut random = 1_u32;
    let state: Vec<u8> = (0..65_536)
        .map(|_| {
            random ^= random << 13;
            random ^= random >> 17;
            random ^= random << 5;
            random as u8
        })
        .collect();
    let keeps = "(i32.store (i32.const 696) (i32.const 196608)) (i32.store (i32.const 700) (i32.const 65536)) (i32.const 640)";
    let component = strategy_with(&Hooks::default().decide(keeps).data(196_608, &state))?;
    let digest = fixture.components.put(component.clone());
    let mut call = fixture.decide(component.clone()).await;
    let (input, first_output) = (call.record.input.clone(), call.record.output.clone());
    assert!(input.parts().1.is_empty() && first_output.parts().1.len() > 60_000);
    for now in [1, 2] {
        let mut observation = observation("{}");
        observation.context.now = Timestamp(now);
        observation.state.clone_from(&state);
        call = fixture.sandbox.decide(TENANT, digest, observation).await;
        let (input, output) = (&call.record.input, &call.record.output);
        assert_eq!(input.parts().1, first_output.parts().1);
        assert_eq!(output.parts(), first_output.parts());
        assert!(input.parts().0.len() < 1024);
        let json = fixture.sandbox.record_json(input)?;
        assert_eq!(call.record.input_digest, Some(Digest::of(json.as_bytes())));
        assert!(json.contains(&format!("\"state\":{}", serde_json::to_string(&state)?)));
        let golden = fixture.sandbox.golden(input, Some(output))?;
        let plugin = fixture.sandbox.plugin(digest).await?;
        let answer = Golden::parse(&golden)?.run(&plugin).outcome?;
        assert!(answer.is_as_expected(), "{:?}", answer.differences);
        assert_same(&fixture, component.clone(), call.clone()).await?;
    }
    assert_eq!(call.outcome?.state, state);
    Ok(())
}

/// Limits of fuel, memory and output belong to the call: those of today change nothing.
#[tokio::test]
async fn a_call_is_repeated_under_its_own_limits() -> Result<()> {
    let then = SandboxFixture::new()?;
    let now = then.reopen_with(|config| {
        config.limits.fuel = 1_000_000;
        config.limits.memory_bytes = 1 << 20;
        config.limits.answer_bytes = 1 << 10;
    })?;
    let later = then.reopen_with(|config| {
        config.limits.fuel = 100_000_000;
        config.limits.memory_bytes = 256 << 20;
        config.limits.answer_bytes = 64 << 20;
    })?;
    for hostile in [
        HostilePlugin::EndlessLoop,
        HostilePlugin::MemoryBomb,
        HostilePlugin::HugeAnswer,
    ] {
        let component = hostile.component()?;
        let call = then.decide(component.clone()).await;
        let recorded = call.record.limits.expect("limits");
        assert_eq!(recorded.memory_bytes, 64 << 20);
        let digest = then.components.put(component.clone());
        for fixture in [&now, &later] {
            assert_same(fixture, component.clone(), call.clone()).await?;
            let input = &call.record.input;
            let today = fixture.sandbox.replay(TENANT, digest, input, None).await;
            assert_ne!(today.outcome, call.outcome.clone().map(drop), "{hostile:?}");
            assert_ne!(today.record.limits, Some(recorded));

            // Fuel that was counted by other costs says nothing of today's.
            let mut earlier = recorded;
            earlier.fuel_costs -= 1;
            let limits = Some(earlier);
            let replayed = fixture.sandbox.replay(TENANT, digest, input, limits).await;
            let replayed = replayed.record.limits.expect("limits");
            let fuel = today.record.limits.expect("limits").fuel;
            assert_eq!(replayed, CallLimits { fuel, ..recorded }, "{hostile:?}");
        }
    }
    Ok(())
}

/// A guest that is content with the memory that it gets answers by how much that is.
#[tokio::test]
async fn a_guest_that_probes_its_memory_sees_the_recorded_limit() -> Result<()> {
    // `explain` has one text, of as many bytes as there are pages of 1 MiB.
    let probe = "(loop $more (br_if $more (i32.ne (memory.grow $memory (i32.const 16)) (i32.const -1))))
        (i32.store (i32.const 900) (i32.const 1024))
        (i32.store (i32.const 904) (i32.div_u (memory.size $memory) (i32.const 16)))
        (memory.fill (i32.const 1024) (i32.const 120) (i32.div_u (memory.size $memory) (i32.const 16)))
        (i32.store (i32.const 704) (i32.const 900)) (i32.store (i32.const 708) (i32.const 1)) (i32.const 640)";
    let component = strategy_with(&Hooks::default().decide(probe))?;
    let then = SandboxFixture::with(|config| config.limits.memory_bytes = 8 << 20)?;
    let call = then.decide(component.clone()).await;
    let explain = call.outcome.clone()?.explain;
    for memory_bytes in [4 << 20, 256 << 20] {
        let now = then.reopen_with(|config| config.limits.memory_bytes = memory_bytes)?;
        assert_same(&now, component.clone(), call.clone()).await?;
        let today = now.decide(component.clone()).await;
        assert_ne!(today.outcome?.explain, explain);
    }
    Ok(())
}

/// The server is the reason, and the failure says what to do.
#[tokio::test]
async fn a_component_that_is_not_stored_is_no_failure_of_the_plugin() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    let component = HostilePlugin::Honest.component()?;
    let digest = fixture.components.put(component);
    let call = fixture
        .sandbox
        .decide(TENANT, digest, observation("{}"))
        .await;
    let without = SandboxFixture::new()?;
    let input = &call.record.input;
    let replayed = without.sandbox.replay(TENANT, digest, input, None).await;
    let failed = failure(replayed)?;
    assert_eq!(failed.as_str(), "host");
    assert!(failed.to_string().contains("`--plugins`"), "{failed}");
    Ok(())
}
