use std::{sync::Barrier, thread};

use anyhow::{Context as _, Result};
use tidegate_core::{
    measurement::Durations,
    plugin::{FirmwareFacts, Observation},
    time::Timestamp,
    wave::{Counts, WaveReport},
};
use tidegate_engine::ports::Sandbox as _;
use tidegate_plugin_canary::Canary;
use tidegate_plugin_sdk::{PluginGuest, rollout, rollout::Guest as _};
use tidegate_sandbox::Plugin;

use super::{
    SandboxFixture, built_in,
    cost::{Cost, time_calls, time_natively},
};
use crate::{
    Bench,
    report::{Figure, median},
};

pub(crate) async fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let rig = SandboxFixture::new(bench, built_in(bench, "canary")?).await?;
    let calls = bench.size(20_000, 3_000);
    let observation = observation();
    let first = rig.plugin.decide(observation.clone());
    first.outcome.clone().context("decide")?;
    let record_json = rig.sandbox.record_json(&first.record.input)?;

    let decide = |observation| rig.plugin.decide(observation);
    time_calls(&observation, calls / 10, decide);
    let (mut one_thread, mut native, mut two_threads) = (Vec::new(), Vec::new(), Vec::new());
    // Alternating, so that other load of the machine affects all of them.
    for _ in 0..bench.size(5, 3) {
        one_thread.push(time_calls(&observation, calls, decide));
        let natively =
            |observation: rollout::Observation| PluginGuest::<Canary>::decide(observation);
        native.push(time_natively(&record_json, calls, natively)?);
        two_threads.extend(decide_on_two_threads(&rig.plugin, &observation, calls));
    }
    let middle = |rounds: &[Cost], of: fn(&Cost) -> f64| median(rounds.iter().map(of));
    let by_native = median(native);
    let what = "decide, canary, 10 waves";
    Ok(vec![
        Figure::new(
            format!("{what}: with the journal's record"),
            middle(&one_thread, |cost| cost.cpu),
            "µs of CPU",
        )
        .compared_to("the same decision, native", by_native, "µs of CPU")
        .at_most(25.0)
        .note(format!(
            "p99 {:.1} µs; {} units of fuel, {} KiB of memory, {} and {} bytes of record",
            middle(&one_thread, |cost| cost.p99),
            first.fuel,
            first.peak_memory >> 10,
            first.record.input.len(),
            first.record.output.len(),
        )),
        Figure::new(
            format!("{what}: without the record"),
            middle(&one_thread, |cost| cost.run),
            "µs",
        )
        .compared_to("the same decision, native", by_native, "µs")
        .note("store, instance, call and drop of the instance's memory, wall clock"),
        Figure::new(
            format!("{what}: two threads at once"),
            middle(&two_threads, |cost| cost.cpu),
            "µs of CPU",
        )
        .compared_to(
            "one thread",
            middle(&one_thread, |cost| cost.cpu),
            "µs of CPU",
        )
        .ratio_at_most(1.5),
        Figure::new(
            format!("{what}: two threads at once, wall clock"),
            middle(&two_threads, |cost| cost.wall),
            "µs",
        )
        .compared_to("one thread", middle(&one_thread, |cost| cost.wall), "µs")
        .ratio_at_most(1.5),
    ])
}

fn decide_on_two_threads(plugin: &Plugin, observation: &Observation, calls: usize) -> Vec<Cost> {
    let start = Barrier::new(2);
    let one = || {
        start.wait();
        time_calls(observation, calls, |observation| plugin.decide(observation))
    };
    thread::scope(|scope| {
        let threads = [scope.spawn(one), scope.spawn(one)];
        threads
            .into_iter()
            .filter_map(|thread| thread.join().ok())
            .collect()
    })
}

const WAVES: usize = 10;

/// An observation in which the fourth of ten waves is in progress.
pub(super) fn observation() -> Observation {
    let waves = (0..WAVES as u64).map(|number| {
        let size = 10_000;
        let (completed, in_progress) = match number {
            0..3 => (9_800, 0),
            3 => (5_000, 4_000),
            _ => (0, 0),
        };
        let failed = if number < 3 { 200 } else { 0 };
        let is_open = number < 4;
        let counts = Counts {
            pending: size - completed - in_progress - failed,
            in_progress,
            completed,
            failed,
            ..Counts::default()
        };
        WaveReport {
            name: format!("up to {} %", (number + 1) * 10),
            size,
            released: if is_open { size } else { 0 },
            counts: if number == 3 {
                Counts {
                    pending: 0,
                    offered: counts.pending,
                    ..counts
                }
            } else {
                counts
            },
            opened_at: is_open.then_some(Timestamp(1_767_225_600_000 - 7_200_000)),
            last_progress_at: is_open.then_some(Timestamp(1_767_225_600_000 - 60_000)),
            advanced_at: None,
            failures: Vec::new(),
            durations: Durations::default(),
        }
    });
    Observation {
        context: super::context(),
        firmware: FirmwareFacts {
            name: "edge-os".to_owned(),
            version: "2.0.0".to_owned(),
            device_model: Some("edge".to_owned()),
            ..FirmwareFacts::default()
        },
        operator: Vec::new(),
        waves: waves.collect(),
        durations: Durations::default(),
        verdicts: Vec::new(),
        config: r#"{"canary_percentage":10,"steps":[20,30,40,50,60,70,80,90,100]}"#.to_owned(),
        state: Vec::new(),
    }
}
