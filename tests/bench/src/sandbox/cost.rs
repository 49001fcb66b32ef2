//! What a call costs, through the sandbox and native.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use cpu_time::ThreadTime;
use serde::de::DeserializeOwned;
use tidegate_engine::ports::Call;

use crate::report::{median, quantile};

/// Medians, in microseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cost {
    /// CPU time of the thread for the whole call.
    pub(super) cpu: f64,
    pub(super) p99: f64,
    pub(super) wall: f64,
    /// Duration of the call as the sandbox measures it, without the journal's record.
    pub(super) run: f64,
}

/// Repeats a call of a plugin with the same input.
pub(super) fn time_calls<I: Clone, O>(
    input: &I,
    calls: usize,
    call: impl Fn(I) -> Call<O>,
) -> Cost {
    let (mut cpu, mut wall, mut run) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..calls {
        let input = input.clone();
        let (began, at) = (ThreadTime::now(), Instant::now());
        let call = black_box(call(input));
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

/// The median CPU time, in microseconds, of the same call of the plugin's native code. The input is one that was
/// recorded.
pub(super) fn time_natively<I: DeserializeOwned + Clone, O>(
    record_json: &str,
    calls: usize,
    call: impl Fn(I) -> Result<O, String>,
) -> Result<f64> {
    let recorded: serde_json::Value = serde_json::from_str(record_json)?;
    let input: I = serde_json::from_value(recorded["input"].clone())
        .context("convert the recorded input to the SDK's type")?;
    let mut cpu = Vec::new();
    for _ in 0..calls {
        let input = input.clone();
        let began = ThreadTime::now();
        let output = black_box(call(input));
        cpu.push(microseconds(began.elapsed()));
        output.map_err(anyhow::Error::msg)?;
    }
    Ok(median(cpu))
}

fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
