//! Strategies that are expensive and are not stopped: benchmarks run them beside polls.

use anyhow::{Context as _, Result, ensure};
use tidegate_core::{
    Named as _,
    measurement::Durations,
    plugin::{Observation, Release},
    time::Timestamp,
    wave::{Counts, WaveReport},
};
use tidegate_engine::ports::Sandbox as _;
use tidegate_hostile::BusyStrategy;

use crate::support::{SandboxFixture, TENANT, observation};

/// A campaign with as many devices as a strategy releases, of which this many were.
fn released(devices: u64, state: &[u8]) -> Observation {
    let size = BusyStrategy::DEVICES as u64;
    let wave = WaveReport {
        name: "wave".to_owned(),
        size,
        released: devices,
        counts: Counts {
            offered: devices,
            pending: size - devices,
            ..Counts::default()
        },
        opened_at: None,
        last_progress_at: None,
        advanced_at: None,
        failures: Vec::new(),
        durations: Durations::default(),
    };
    Observation {
        waves: vec![wave],
        state: state.to_vec(),
        ..observation("{}")
    }
}

#[tokio::test]
async fn busy_strategies_release_one_more_device_at_each_decision() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    for strategy in BusyStrategy::all()? {
        let name = strategy.name;
        let uploaded = fixture.upload(strategy.component).await?;
        let (mut state, size) = (Vec::new(), BusyStrategy::DEVICES as u64);
        for released_before in [0, 1, 2, size] {
            let observed = released(released_before, &state);
            let call = fixture
                .sandbox
                .decide(TENANT, uploaded.digest, observed)
                .await;
            let decision = call.outcome.with_context(|| name)?;
            let devices = (released_before + 1).min(size);
            assert_eq!(decision.releases, [Release { wave: 0, devices }], "{name}");
            assert_eq!(decision.outcome.as_str(), "proceed", "{name}");
            assert!(decision.wake_after.is_some_and(|after| after.is_zero()));
            state = decision.state;
            if released_before == 2 {
                // As after many decisions.
                state[..8].copy_from_slice(&size.to_le_bytes());
            }
            let is_expensive = call.fuel > 1_000_000
                || call.peak_memory > 32 << 20
                || call.log.concat().len() > 8 << 10
                || state.len() == 64 << 10;
            ensure!(
                is_expensive || name == "traps",
                "{name}: {} units",
                call.fuel
            );
        }
    }
    Ok(())
}

/// A campaign is held after three failures in a row, or eight in 32 ticks.
#[tokio::test]
async fn a_busy_strategy_that_traps_does_so_in_one_of_eight_seconds() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    let strategies = BusyStrategy::all()?;
    let traps = strategies.into_iter().find(|it| it.name == "traps");
    let component = traps.context("a strategy that traps")?.component;
    let uploaded = fixture.upload(component).await?;
    let mut failures = Vec::new();
    for second in 0..16 {
        let mut observed = released(1, &1_u64.to_le_bytes());
        observed.context.now = Timestamp(1_750_000_000_000 + second * 1000);
        let call = fixture
            .sandbox
            .decide(TENANT, uploaded.digest, observed)
            .await;
        if let Err(failure) = call.outcome {
            assert_eq!(failure.as_str(), "trap");
            failures.push(second);
        }
    }
    let [first, second] = failures[..] else {
        anyhow::bail!("it failed in {failures:?}");
    };
    assert_eq!(second - first, 8);
    Ok(())
}
