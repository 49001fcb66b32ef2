//! Whatever a plugin does, the call ends with a class that tells what it did.

use anyhow::Result;
use tidegate_core::{
    checker::{Violation, check_decision},
    plugin::{HealthVerdict, Members, Observation, Outcome, PolicyVerdict},
    wave::{Counts, WaveReport},
};
use tidegate_engine::ports::{CallFailure, Sandbox as _};
use tidegate_hostile::Hostile;

use crate::support::{Rig, failure, observation, plan_input};

/// The failure of `decide`.
async fn decide(rig: &Rig, hostile: Hostile) -> Result<CallFailure> {
    failure(rig.decide(hostile.component()?).await)
}

#[tokio::test]
async fn honest_ones_are_answered() -> Result<()> {
    let rig = Rig::new()?;
    let call = rig.decide(Hostile::Honest.component()?).await;
    assert_eq!(call.outcome?.outcome, Outcome::Complete);
    assert!(call.fuel > 0 && call.fuel < 1_000, "{}", call.fuel);
    assert_eq!(call.peak_memory, 4 * 65_536);
    assert!(call.log.is_empty());
    Ok(())
}

#[tokio::test]
async fn loops_end_by_fuel() -> Result<()> {
    let rig = Rig::new()?;
    for hostile in [
        Hostile::EndlessLoop,
        Hostile::LoopInStart,
        Hostile::GrowLoop,
        Hostile::FillLoop,
        Hostile::LogFlood,
    ] {
        let call = rig.decide(hostile.component()?).await;
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
async fn the_deadline_is_there_when_fuel_is_not_enough() -> Result<()> {
    let rig = Rig::with(|config| {
        config.limits.fuel = 1_000_000_000;
        config.limits.deadline = std::time::Duration::from_millis(20);
    })?;
    for hostile in [Hostile::EndlessLoop, Hostile::LoopInStart] {
        let failed = decide(&rig, hostile).await?;
        assert_eq!(failed.class(), "deadline", "{hostile:?}");
        assert!(!failed.is_deterministic());
    }
    Ok(())
}

#[tokio::test]
async fn decisions_do_not_wait_behind_people() -> Result<()> {
    let rig = Rig::with(|config| {
        config.limits.fuel = 1_000_000_000;
        config.limits.calls_at_once = 1;
    })?;
    let honest = rig.shop.put(Hostile::Honest.component()?);
    let endless = rig.shop.put(Hostile::EndlessLoop.component()?);
    let decided = rig.sandbox.decide(honest, observation("{}")).await;
    let question = decided.record.question;
    // Loads it, so that nothing but calls is left to wait for.
    rig.sandbox.plugin(endless).await?;
    let replay = || rig.sandbox.replay(endless, &question);
    let people = async { tokio::join!(replay(), replay(), replay()) };
    tokio::select! {
        biased;
        _ = people => anyhow::bail!("the decision waited behind people"),
        call = rig.sandbox.decide(honest, observation("{}")) => assert!(call.outcome.is_ok()),
    }
    Ok(())
}

#[tokio::test]
async fn memory_is_counted_over_all_memories() -> Result<()> {
    let rig = Rig::new()?;
    for hostile in [Hostile::MemoryBomb, Hostile::ManyMemories] {
        let call = rig.decide(hostile.component()?).await;
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
async fn traps_say_what_they_are() -> Result<()> {
    let rig = Rig::new()?;
    for (hostile, text) in [
        (Hostile::DeepRecursion, "wasm trap: call stack exhausted"),
        (
            Hostile::Trap,
            "wasm trap: wasm `unreachable` instruction executed",
        ),
        (
            Hostile::Panic,
            "means harm (wasm trap: wasm `unreachable` instruction executed)",
        ),
    ] {
        assert_eq!(
            decide(&rig, hostile).await?,
            CallFailure::Trap(text.to_owned())
        );
    }
    Ok(())
}

#[tokio::test]
async fn answers_are_bounded_and_checked() -> Result<()> {
    let rig = Rig::new()?;
    for (hostile, class) in [
        (Hostile::HugeAnswer, "answer-too-large"),
        (Hostile::OverlappingAnswer, "answer-too-large"),
        (Hostile::WildPointer, "invalid-answer"),
        (Hostile::BadText, "invalid-answer"),
    ] {
        assert_eq!(decide(&rig, hostile).await?.class(), class, "{hostile:?}");
    }
    let digest = rig.shop.put(Hostile::ImpossibleShare.component()?);
    assert_eq!(
        failure(rig.sandbox.plan(digest, plan_input("{}")).await)?,
        CallFailure::InvalidAnswer(
            "the share of wave 0 is 65535 basis points, and may be 10000".to_owned()
        )
    );
    Ok(())
}

#[tokio::test]
async fn well_formed_lies_come_through() -> Result<()> {
    let rig = Rig::new()?;
    let decision = rig
        .decide(Hostile::LyingDecision.component()?)
        .await
        .outcome?;
    assert_eq!(
        (decision.admissions[0].wave, decision.admissions[0].devices),
        (7, 1_000_000_000)
    );

    let digest = rig.shop.put(Hostile::LyingPlan.component()?);
    let plan = rig.sandbox.plan(digest, plan_input("{}")).await.outcome?;
    assert_eq!(plan.waves[0].members, Members::Count(1_000_000_000_000));
    Ok(())
}

/// What the sandbox lets through, since it is well-formed, the checker refuses by what is true of the campaign.
#[tokio::test]
async fn lies_about_the_campaign_are_refused_by_the_checker() -> Result<()> {
    let rig = Rig::new()?;
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
        moved_at: None,
        advanced_at: None,
        failures: Vec::new(),
    };
    let says = |verdict| PolicyVerdict {
        policy: "failure-rate".to_owned(),
        verdict,
        confidence: 10_000,
    };
    let asked = |waves: [WaveReport; 2], verdicts: &[HealthVerdict], state: &[u8]| Observation {
        waves: waves.to_vec(),
        verdicts: verdicts.iter().cloned().map(says).collect(),
        state: state.to_vec(),
        ..observation("{}")
    };
    let hold = HealthVerdict::Hold("too many fail".to_owned());
    for (hostile, question, expected) in [
        (
            Hostile::OutOfTurn,
            asked([wave(0), wave(0)], &[], &[]),
            Err(Violation::OutOfTurn(1)),
        ),
        // The same is no lie after the first wave was opened.
        (
            Hostile::OutOfTurn,
            asked([wave(1), wave(0)], &[], &[]),
            Ok(vec![1, 1]),
        ),
        (
            Hostile::ReleasesOnHold,
            asked([wave(1), wave(0)], &[hold], &[]),
            Err(Violation::Stopped("failure-rate".to_owned())),
        ),
        (
            Hostile::ReleasesOnHold,
            asked([wave(0), wave(0)], &[HealthVerdict::Healthy], &[]),
            Ok(vec![1, 0]),
        ),
        (
            Hostile::CompletesInFlight,
            asked([wave(0), wave(0)], &[], &[]),
            Ok(vec![1, 0]),
        ),
        (
            Hostile::CompletesInFlight,
            asked([wave(1), wave(0)], &[], &[0]),
            Err(Violation::CompleteInFlight(1)),
        ),
    ] {
        let digest = rig.shop.put(hostile.component()?);
        let decision = rig.sandbox.decide(digest, question.clone()).await.outcome?;
        assert_eq!(
            check_decision(&question, false, &decision),
            expected,
            "{hostile:?}: {decision:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn the_log_keeps_its_first_lines() -> Result<()> {
    let rig = Rig::new()?;
    let call = rig.decide(Hostile::LogFlood.component()?).await;
    let bytes: usize = call.log.iter().map(String::len).sum();
    assert_eq!(bytes, 16 << 10);
    assert_eq!(call.log[0], "hostile1.0.0means harm");
    Ok(())
}

/// What one call did, the next one does not see, and the same call is the same call.
#[tokio::test]
async fn every_call_has_an_instance_of_its_own() -> Result<()> {
    let rig = Rig::new()?;
    for hostile in Hostile::ALL {
        let component = hostile.component()?;
        let first = rig.decide(component.clone()).await;
        let honest = rig.decide(Hostile::Honest.component()?).await;
        let second = rig.decide(component).await;
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

/// More calls than may run at once, of all kinds, all end.
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_them_ends() -> Result<()> {
    let rig = std::sync::Arc::new(Rig::new()?);
    let mut running = Vec::new();
    for round in 0..3 {
        for hostile in Hostile::ALL {
            let rig = std::sync::Arc::clone(&rig);
            let component = hostile.component()?;
            running.push((
                round,
                hostile,
                tokio::spawn(async move { rig.decide(component).await.outcome.map(drop) }),
            ));
        }
    }
    for (round, hostile, call) in running {
        let class = call
            .await?
            .map_or_else(|failure| failure.class(), |()| "ok");
        assert_ne!(class, "host", "{hostile:?} in round {round}");
    }
    Ok(())
}
