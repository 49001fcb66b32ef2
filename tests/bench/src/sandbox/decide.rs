use std::{
    hint::black_box,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use cpu_time::ThreadTime;
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

use super::SandboxFixture;
use crate::{
    Bench,
    report::{Figure, median, quantile},
};

pub(crate) async fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let component = bench.components.join("canary.wasm");
    let component = std::fs::read(&component)
        .with_context(|| format!("read {}: run `cargo xtask components`", component.display()))?;
    let rig = SandboxFixture::new(bench, component).await?;
    let calls = bench.size(20_000, 3_000);
    let observation = observation();
    let first = rig.plugin.decide(observation.clone());
    first.outcome.clone().context("decide")?;
    let record_json = rig.sandbox.record_json(&first.record.input)?;

    time_calls(&rig.plugin, &observation, calls / 10);
    let (mut one_thread, mut native, mut two_threads) = (Vec::new(), Vec::new(), Vec::new());
    // Alternating, so that other load of the machine affects all of them.
    for _ in 0..bench.size(5, 3) {
        one_thread.push(time_calls(&rig.plugin, &observation, calls));
        native.push(decide_natively(&record_json, calls)?);
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

/// Medians, in microseconds.
#[derive(Debug, Clone, Copy)]
struct Cost {
    /// CPU time of the thread for the whole call.
    cpu: f64,
    p99: f64,
    wall: f64,
    /// Duration of the call as the sandbox measures it, without the journal's record.
    run: f64,
}

fn time_calls(plugin: &Plugin, observation: &Observation, calls: usize) -> Cost {
    let (mut cpu, mut wall, mut run) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..calls {
        let observation = observation.clone();
        let (began, at) = (ThreadTime::now(), Instant::now());
        let call = black_box(plugin.decide(observation));
        cpu.push(microseconds(began.elapsed()));
        wall.push(microseconds(at.elapsed()));
        run.push(microseconds(call.duration));
    }
    Cost {
        p99: quantile(cpu.iter().copied(), 0.99),
        cpu: median(cpu),
        wall: median(wall),
        run: median(run),
    }
}

fn decide_on_two_threads(plugin: &Plugin, observation: &Observation, calls: usize) -> Vec<Cost> {
    let start = Barrier::new(2);
    let one = || {
        start.wait();
        time_calls(plugin, observation, calls)
    };
    thread::scope(|scope| {
        let threads = [scope.spawn(one), scope.spawn(one)];
        threads
            .into_iter()
            .filter_map(|thread| thread.join().ok())
            .collect()
    })
}

/// The median of the same decision by the strategy's native code.
fn decide_natively(record_json: &str, calls: usize) -> Result<f64> {
    let asked: serde_json::Value = serde_json::from_str(record_json)?;
    let observation: rollout::Observation = serde_json::from_value(asked["input"].clone())
        .context("convert the recorded observation to the SDK's type")?;
    ensure!(
        observation.waves.len() == WAVES,
        "the recorded observation has another number of waves"
    );
    let mut cpu = Vec::new();
    for _ in 0..calls {
        let observation = observation.clone();
        let began = ThreadTime::now();
        let decision = black_box(PluginGuest::<Canary>::decide(observation));
        cpu.push(microseconds(began.elapsed()));
        decision.map_err(anyhow::Error::msg)?;
    }
    Ok(median(cpu))
}

fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

const WAVES: usize = 10;

/// An observation in which the fourth of ten waves is in progress.
fn observation() -> Observation {
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
