//! Each limit of a call, and the failure class that names it.

use anyhow::Result;
use tidegate_core::{Named as _, plugin::DecisionOutcome};
use tidegate_engine::ports::{CallFailure, Sandbox as _};
use tidegate_hostile::{Hooks, HostilePlugin, strategy_with};

use crate::support::{SandboxFixture, TENANT, failure, plan_input};

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
async fn the_log_keeps_its_first_lines() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    let call = fixture.decide(HostilePlugin::LogFlood.component()?).await;
    let bytes: usize = call.log.iter().map(String::len).sum();
    assert_eq!(bytes, 16 << 10);
    assert_eq!(call.log[0], "hostile1.0.0means harm");
    Ok(())
}

/// A terminal would be cleared by the line and by the trap that repeats it.
#[tokio::test]
async fn control_characters_of_the_log_are_escaped() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    let panicked = Hooks::default()
        .data(900, "\u{1b}[2J")
        .decide("(call $line (i32.const 900) (i32.const 4)) unreachable");
    let call = fixture.decide(strategy_with(&panicked)?).await;
    assert_eq!(call.log, [r"\u{1b}[2J"]);
    let trap = r"\u{1b}[2J (wasm trap: wasm `unreachable` instruction executed)";
    assert_eq!(failure(call)?, CallFailure::Trap(trap.to_owned()));
    Ok(())
}
