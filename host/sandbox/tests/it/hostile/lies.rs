//! Well-formed decisions and plans that contradict the campaign: the engine's checker refuses them.

use anyhow::Result;
use tidegate_core::{
    checker::{Violation, check_decision},
    measurement::Durations,
    plugin::{HealthVerdict, Members, Observation, PolicyVerdict},
    wave::{Counts, WaveReport},
};
use tidegate_engine::ports::Sandbox as _;
use tidegate_hostile::HostilePlugin;

use crate::support::{SandboxFixture, TENANT, observation, plan_input};

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
