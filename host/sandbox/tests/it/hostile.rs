//! Hostile plugins: every call ends, and its failure class tells the cause.

use anyhow::Result;
use tidegate_core::{
    Named as _,
    checker::{Violation, check_decision},
    measurement::Durations,
    plugin::{DecisionOutcome, HealthVerdict, Members, Observation, PolicyVerdict},
    wave::{Counts, WaveReport},
};
use tidegate_engine::ports::{CallFailure, Sandbox as _};
use tidegate_hostile::{Hooks, HostilePlugin, strategy_with};

use crate::support::{OTHER_TENANT, SandboxFixture, TENANT, failure, observation, plan_input};

/// Calls `decide`, and returns its failure.
async fn decide(fixture: &SandboxFixture, hostile: HostilePlugin) -> Result<CallFailure> {
    failure(fixture.decide(hostile.component()?).await)
}

#[tokio::test]
async fn an_honest_plugin_is_called() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    let call = fixture.decide(HostilePlugin::Honest.component()?).await;
    assert_eq!(
        call.outcome?.outcome,
        DecisionOutcome::Complete(Some("means harm".to_owned()))
    );
    assert!(call.fuel > 0 && call.fuel < 1_000, "{}", call.fuel);
    assert_eq!(call.peak_memory, 4 * 65_536);
    assert!(call.log.is_empty());
    Ok(())
}

#[tokio::test]
async fn loops_end_by_fuel() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    for hostile in [
        HostilePlugin::EndlessLoop,
        HostilePlugin::LoopInStart,
        HostilePlugin::GrowLoop,
        HostilePlugin::FillLoop,
        HostilePlugin::LogFlood,
    ] {
        let call = fixture.decide(hostile.component()?).await;
        assert_eq!(
            call.outcome,
            Err(CallFailure::OutOfFuel(50_000_000)),
            "{hostile:?}"
        );
        assert_eq!(call.fuel, 50_000_000, "{hostile:?}");
    }
    Ok(())
}

/// Loops of instructions that take many times as long as an addition.
const EXPENSIVE_LOOPS: [(&str, &str); 7] = [
    (
        "i32.div_u",
        "(local.set $m (i32.sub (i32.const -1) (i32.div_u (local.get $m) (local.get $d))))",
    ),
    (
        "i64.div_s",
        "(local.set $n (i64.sub (i64.const -1) (i64.div_s (local.get $n) (i64.extend_i32_s (local.get $d)))))",
    ),
    (
        "i64.rem_u",
        "(local.set $n (i64.sub (i64.const -1) (i64.rem_u (local.get $n) (i64.extend_i32_s (local.get $d)))))",
    ),
    (
        "f64.div",
        "(local.set $x (f64.add (f64.const 1.5) (f64.div (f64.const 1e5) (local.get $x))))",
    ),
    (
        "f64.sqrt",
        "(local.set $x (f64.add (f64.const 1.5) (f64.sqrt (local.get $x))))",
    ),
    (
        "f32x4.div",
        "(local.set $v (f32x4.div (f32x4.splat (f32.const 1e5)) (local.get $v)))",
    ),
    ("f64x2.sqrt", "(local.set $v (f64x2.sqrt (local.get $v)))"),
];

#[tokio::test]
async fn expensive_instructions_end_by_fuel() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    for (instruction, body) in EXPENSIVE_LOOPS {
        // A parameter, which the compiler does not know.
        let function = format!(
            "(func $expensive (param $d i32) (local $m i32) (local $n i64) (local $x f64) (local $v v128)
                (local.set $x (f64.const 3)) (local.set $v (f32x4.splat (f32.const 3)))
                (loop $again {body} (br $again)))"
        );
        let hooks = Hooks::default().decide("(call $expensive (i32.const 3)) unreachable");
        let call = fixture
            .decide(strategy_with(&hooks.extra(&function))?)
            .await;
        assert_eq!(
            call.outcome,
            Err(CallFailure::OutOfFuel(50_000_000)),
            "{instruction}: {:?}",
            call.duration
        );
    }
    Ok(())
}

#[tokio::test]
async fn the_deadline_ends_calls_with_too_much_fuel() -> Result<()> {
    let fixture = SandboxFixture::with(|config| {
        config.limits.fuel = 1_000_000_000;
        config.limits.deadline = std::time::Duration::from_millis(20);
    })?;
    for hostile in [HostilePlugin::EndlessLoop, HostilePlugin::LoopInStart] {
        let call = fixture.decide(hostile.component()?).await;
        assert_eq!(
            call.fuel, 1_000_000_000,
            "an interrupted call is accounted: {hostile:?}"
        );
        let failed = failure(call)?;
        assert_eq!(failed.as_str(), "deadline", "{hostile:?}");
        assert!(!failed.is_deterministic());
    }
    Ok(())
}

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

#[tokio::test]
async fn memory_is_counted_over_all_memories() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    for hostile in [HostilePlugin::MemoryBomb, HostilePlugin::ManyMemories] {
        let call = fixture.decide(hostile.component()?).await;
        assert_eq!(
            call.outcome,
            Err(CallFailure::OutOfMemory(64 << 20)),
            "{hostile:?}"
        );
        assert!(call.peak_memory <= 64 << 20, "{hostile:?}");
        assert!(call.peak_memory > 48 << 20, "{hostile:?}");
    }
    Ok(())
}

#[tokio::test]
async fn traps_are_named() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    for (hostile, text) in [
        (
            HostilePlugin::DeepRecursion,
            "wasm trap: call stack exhausted",
        ),
        (
            HostilePlugin::Trap,
            "wasm trap: wasm `unreachable` instruction executed",
        ),
        (
            HostilePlugin::Panic,
            "means harm (wasm trap: wasm `unreachable` instruction executed)",
        ),
    ] {
        assert_eq!(
            decide(&fixture, hostile).await?,
            CallFailure::Trap(text.to_owned())
        );
    }
    Ok(())
}

#[tokio::test]
async fn answers_are_bounded_and_checked() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    for (hostile, class) in [
        (HostilePlugin::HugeAnswer, "answer-too-large"),
        (HostilePlugin::OverlappingAnswer, "answer-too-large"),
        (HostilePlugin::WildPointer, "invalid-answer"),
        (HostilePlugin::BadText, "invalid-answer"),
    ] {
        assert_eq!(
            decide(&fixture, hostile).await?.as_str(),
            class,
            "{hostile:?}"
        );
    }
    let digest = fixture
        .components
        .put(HostilePlugin::ImpossibleShare.component()?);
    assert_eq!(
        failure(fixture.sandbox.plan(TENANT, digest, plan_input("{}")).await)?,
        CallFailure::InvalidAnswer(
            "the share of wave 0 is 65535 basis points; the maximum is 10000".to_owned()
        )
    );
    Ok(())
}

/// Writes `\u{1b}[2J`, which clears a terminal.
const CLEAR_SCREEN: &str = "(i32.store (i32.const 900) (i32.const 0x4a325b1b))";

#[tokio::test]
async fn texts_that_act_on_a_terminal_are_refused_or_escaped() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    let with = |hook: &str| format!("{CLEAR_SCREEN} {hook}");
    let decide = |hook: &str| strategy_with(&Hooks::default().decide(&with(hook)));

    let explained = decide(
        "(i32.store (i32.const 908) (i32.const 900)) (i32.store (i32.const 912) (i32.const 4))
         (i32.store (i32.const 704) (i32.const 908)) (i32.store (i32.const 708) (i32.const 1)) (i32.const 640)",
    )?;
    let refused = failure(fixture.decide(explained).await)?;
    assert_eq!(refused.as_str(), "invalid-answer");
    assert!(refused.to_string().contains("U+001B"), "{refused}");

    let name = "(i32.store (i32.const 800) (i32.const 900)) (i32.const 512)";
    let selector =
        "(i32.store (i32.const 808) (i32.const 2)) (i32.store (i32.const 816) (i32.const 900))
         (i32.store (i32.const 820) (i32.const 4)) (i32.const 512)";
    for (plan, what) in [
        (name, "the name of wave 0"),
        (selector, "the selector of wave 0"),
    ] {
        let named = strategy_with(&Hooks::default().plan(&with(plan)))?;
        let digest = fixture.components.put(named);
        let refused = failure(fixture.sandbox.plan(TENANT, digest, plan_input("{}")).await)?;
        assert_eq!(refused.as_str(), "invalid-answer");
        assert!(refused.to_string().contains(what), "{refused}");
    }

    let summary = "means harm".as_bytes();
    let mut described = HostilePlugin::Honest.component()?;
    let at = described
        .windows(summary.len())
        .position(|it| it == summary)
        .expect("the summary is in the component");
    described[at + 5] = 0x1b;
    let refused = fixture.refusal(described).await?;
    assert!(
        refused.contains("violates the contract: the summary"),
        "{refused}"
    );

    let panicked = decide("(call $line (i32.const 900) (i32.const 4)) unreachable")?;
    let call = fixture.decide(panicked).await;
    assert_eq!(call.log, [r"\u{1b}[2J"]);
    let trap = r"\u{1b}[2J (wasm trap: wasm `unreachable` instruction executed)";
    assert_eq!(failure(call)?, CallFailure::Trap(trap.to_owned()));

    let failed = decide(
        "(i32.store8 (i32.const 640) (i32.const 1)) (i32.store (i32.const 648) (i32.const 900))
         (i32.store (i32.const 652) (i32.const 4)) (i32.const 640)",
    )?;
    let failed = failure(fixture.decide(failed).await)?;
    assert_eq!(failed, CallFailure::PluginError(r"\u{1b}[2J".to_owned()));
    Ok(())
}

#[tokio::test]
async fn failures_of_a_size_limit_name_its_setting() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    for (hostile, setting) in [
        (HostilePlugin::HugeAnswer, "`sandbox.answer_bytes`"),
        (HostilePlugin::MemoryBomb, "`sandbox.memory_bytes`"),
    ] {
        let failed = decide(&fixture, hostile).await?.to_string();
        assert!(failed.contains(setting), "{failed}");
    }
    Ok(())
}

#[tokio::test]
async fn well_formed_lies_pass_the_sandbox() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    let decision = fixture
        .decide(HostilePlugin::InvalidDecision.component()?)
        .await
        .outcome?;
    assert_eq!(
        (decision.releases[0].wave, decision.releases[0].devices),
        (7, 1_000_000_000)
    );

    let digest = fixture
        .components
        .put(HostilePlugin::InvalidPlan.component()?);
    let plan = fixture
        .sandbox
        .plan(TENANT, digest, plan_input("{}"))
        .await
        .outcome?;
    assert_eq!(plan.waves[0].members, Members::Count(1_000_000_000_000));
    Ok(())
}

/// The checker refuses well-formed decisions that contradict the campaign, which the sandbox cannot detect.
#[tokio::test]
async fn lies_about_the_campaign_are_refused_by_the_checker() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    let wave = |released: u64| WaveReport {
        name: "wave".to_owned(),
        size: 3,
        released,
        counts: Counts {
            pending: 3 - released,
            in_progress: released,
            ..Counts::default()
        },
        opened_at: None,
        last_progress_at: None,
        advanced_at: None,
        failures: Vec::new(),
        durations: Durations::default(),
    };
    let policy_verdict = |verdict| PolicyVerdict {
        policy: "failure-rate".to_owned(),
        verdict,
        confidence: 10_000,
    };
    let observation_of =
        |waves: [WaveReport; 2], verdicts: &[HealthVerdict], state: &[u8]| Observation {
            waves: waves.to_vec(),
            verdicts: verdicts.iter().cloned().map(policy_verdict).collect(),
            state: state.to_vec(),
            ..observation("{}")
        };
    let hold = HealthVerdict::Hold("too many fail".to_owned());
    for (hostile, input, expected) in [
        (
            HostilePlugin::OutOfOrder,
            observation_of([wave(0), wave(0)], &[], &[]),
            Err(Violation::OutOfOrder(1)),
        ),
        // The same decision is valid once the first wave is released.
        (
            HostilePlugin::OutOfOrder,
            observation_of([wave(1), wave(0)], &[], &[]),
            Ok(vec![1, 1]),
        ),
        (
            HostilePlugin::ReleasesOnHold,
            observation_of([wave(1), wave(0)], &[hold], &[]),
            Err(Violation::StoppedByPolicy("failure-rate".to_owned())),
        ),
        (
            HostilePlugin::ReleasesOnHold,
            observation_of([wave(0), wave(0)], &[HealthVerdict::Healthy], &[]),
            Ok(vec![1, 0]),
        ),
        (
            HostilePlugin::CompletesInFlight,
            observation_of([wave(0), wave(0)], &[], &[]),
            Ok(vec![1, 0]),
        ),
        (
            HostilePlugin::CompletesInFlight,
            observation_of([wave(1), wave(0)], &[], &[0]),
            Err(Violation::CompleteInFlight(1)),
        ),
    ] {
        let digest = fixture.components.put(hostile.component()?);
        let decision = fixture
            .sandbox
            .decide(TENANT, digest, input.clone())
            .await
            .outcome?;
        assert_eq!(
            check_decision(&input, false, &decision),
            expected,
            "{hostile:?}: {decision:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn the_log_keeps_its_first_lines() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    let call = fixture.decide(HostilePlugin::LogFlood.component()?).await;
    let bytes: usize = call.log.iter().map(String::len).sum();
    assert_eq!(bytes, 16 << 10);
    assert_eq!(call.log[0], "hostile1.0.0means harm");
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
