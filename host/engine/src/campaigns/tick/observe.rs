//! The inputs of plugins. Made from counters only; the cost does not depend on the number of devices.

use std::collections::BTreeMap;

use tidegate_core::{
    campaign::PluginUse,
    firmware::Firmware,
    plugin::{Context, HealthInput, Observation, PolicyVerdict},
    time::Timestamp,
    wave::{Counts, Failure, WaveReport},
};

use crate::{campaigns::prepare::context, ports::Run};

/// The fact that tells a strategy the number of devices whose retry is not offered yet. The SDK reads it.
const WAITING_RETRIES: &str = "waiting-retries";

pub(super) fn health_input(
    run: &Run,
    firmware: &Firmware,
    policy: &PluginUse,
    state: Vec<u8>,
    now: Timestamp,
) -> HealthInput {
    let waves = reports(run);
    HealthInput {
        context: context(&run.campaign, now),
        firmware: firmware.facts(),
        total: waves
            .iter()
            .fold(Counts::default(), |total, wave| total.plus(&wave.counts)),
        failures: all_failures(&waves),
        waves,
        durations: run.durations,
        metrics: Vec::new(),
        checks: Vec::new(),
        config: policy.config.clone(),
        state,
    }
}

pub(super) fn observation(
    run: &Run,
    firmware: &Firmware,
    verdicts: Vec<PolicyVerdict>,
    now: Timestamp,
) -> Observation {
    Observation {
        context: with_waiting_retries(context(&run.campaign, now), run.scheduled_retries),
        firmware: firmware.facts(),
        operator: run.acts.clone(),
        waves: reports(run),
        durations: run.durations,
        verdicts,
        config: run.campaign.spec.strategy.config.clone(),
        state: run.strategy_state.clone(),
    }
}

/// A device whose retry is not offered yet is in flight in all counters, and holds no place of the limit. The limit is
/// raised by the number of these devices, so that strategies need no rule for them.
fn with_waiting_retries(context: Context, retries: u64) -> Context {
    if retries == 0 {
        return context;
    }
    Context {
        max_in_flight: context
            .max_in_flight
            .map(|limit| limit.saturating_add(retries)),
        facts: vec![(WAITING_RETRIES.to_owned(), retries.to_string())],
        ..context
    }
}

fn reports(run: &Run) -> Vec<WaveReport> {
    run.waves.iter().map(|wave| wave.report.clone()).collect()
}

fn all_failures(waves: &[WaveReport]) -> Vec<Failure> {
    let mut by_code: BTreeMap<&str, u64> = BTreeMap::new();
    for failure in waves.iter().flat_map(|wave| &wave.failures) {
        *by_code.entry(&failure.code).or_default() += failure.devices;
    }
    let mut failures: Vec<Failure> = by_code
        .into_iter()
        .map(|(code, devices)| Failure {
            code: code.to_owned(),
            devices,
        })
        .collect();
    failures.sort_by_key(|failure| std::cmp::Reverse(failure.devices));
    failures
}
