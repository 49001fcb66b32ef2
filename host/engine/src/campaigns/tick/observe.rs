//! The inputs of plugins. Made from counters only; the cost does not depend on the number of devices.

use std::collections::BTreeMap;

use tidegate_core::{
    campaign::PluginUse,
    firmware::Firmware,
    plugin::{HealthInput, Observation, PolicyVerdict},
    time::Timestamp,
    wave::{Counts, Failure, WaveReport},
};

use crate::{campaigns::prepare::context, ports::Run};

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
        firmware: firmware.details.facts(),
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
        context: context(&run.campaign, now),
        firmware: firmware.details.facts(),
        operator: run.acts.clone(),
        waves: reports(run),
        verdicts,
        config: run.campaign.spec.strategy.config.clone(),
        state: run.strategy_state.clone(),
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
