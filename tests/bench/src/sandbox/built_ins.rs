//! Calls of built-in plugins beside the same code, native. `decide` and `assign` have groups of their own.

use anyhow::{Context as _, Result};
use serde::de::DeserializeOwned;
use tidegate_core::{
    plugin::{
        Census, CheckInput, ClassKey, DeviceClass, GroupSize, HealthInput, PageOf, PlanInput,
    },
    wave::Counts,
};
use tidegate_engine::ports::{Call, Sandbox as _};
use tidegate_plugin_canary::Canary;
use tidegate_plugin_sdk::{
    PluginGuest, compatibility,
    compatibility::Guest as _,
    health,
    health::Guest as _,
    rollout::{self, Guest as _},
};
use tidegate_policy_failure_rate::FailureRate;
use tidegate_policy_hardware::Hardware;
use tidegate_sandbox::Plugin;

use super::{
    SandboxFixture, built_in,
    cost::{Cost, time_calls, time_natively},
    decide::observation,
};
use crate::{
    Bench,
    report::{Figure, median},
};

const CLASSES: u64 = 100;

pub(crate) async fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    Ok(vec![
        beside_native(
            bench,
            &format!("plan, canary, 10 waves, {CLASSES} classes"),
            "canary",
            &plan_input(),
            Plugin::plan,
            |input: rollout::PlanInput| PluginGuest::<Canary>::plan(input),
        )
        .await?,
        beside_native(
            bench,
            &format!("check, hardware, {CLASSES} classes"),
            "hardware",
            &check_input(),
            Plugin::check,
            |input: compatibility::CheckInput| PluginGuest::<Hardware>::check(input),
        )
        .await?,
        beside_native(
            bench,
            "evaluate, failure-rate, 10 waves",
            "failure-rate",
            &health_input(),
            Plugin::evaluate,
            |input: health::HealthInput| PluginGuest::<FailureRate>::evaluate(input),
        )
        .await?,
    ])
}

async fn beside_native<I: Clone, O: Clone, N: DeserializeOwned + Clone, M>(
    bench: &Bench,
    what: &str,
    plugin: &str,
    input: &I,
    call: impl Fn(&Plugin, I) -> Call<O>,
    native: impl Fn(N) -> Result<M, String>,
) -> Result<Figure> {
    let rig = SandboxFixture::new(bench, built_in(bench, plugin)?).await?;
    let call = |input| call(&rig.plugin, input);
    let first = call(input.clone());
    first.outcome.clone().with_context(|| what.to_owned())?;
    let record_json = rig.sandbox.record_json(&first.record.input)?;

    let calls = bench.size(5_000, 500);
    time_calls(input, calls / 10, call);
    let (mut in_sandbox, mut by_native) = (Vec::new(), Vec::new());
    // Alternating, so that other load of the machine affects both.
    for _ in 0..bench.size(5, 3) {
        in_sandbox.push(time_calls(input, calls, call));
        by_native.push(time_natively(&record_json, calls, &native)?);
    }
    let middle = |of: fn(&Cost) -> f64| median(in_sandbox.iter().map(of));
    Ok(Figure::new(
        format!("{what}: with the journal's record"),
        middle(|cost| cost.cpu),
        "µs of CPU",
    )
    .compared_to("the same call, native", median(by_native), "µs of CPU")
    .note(format!(
        "{:.1} µs without the record, p99 {:.1} µs with it; {} units of fuel, {} and {} bytes of record",
        middle(|cost| cost.run),
        middle(|cost| cost.p99),
        first.fuel,
        first.record.input.len(),
        first.record.output.len(),
    )))
}

fn plan_input() -> PlanInput {
    let observation = observation();
    let devices = CLASSES * 1_000;
    PlanInput {
        context: observation.context,
        firmware: observation.firmware,
        census: Census {
            devices,
            groups: vec![GroupSize {
                name: "all".to_owned(),
                devices,
            }],
            classes: classes(),
        },
        config: observation.config,
    }
}

fn check_input() -> CheckInput {
    let observation = observation();
    CheckInput {
        context: observation.context,
        firmware: observation.firmware,
        page: PageOf::ONLY,
        classes: classes(),
        config: "{}".to_owned(),
    }
}

fn health_input() -> HealthInput {
    let observation = observation();
    HealthInput {
        context: observation.context,
        firmware: observation.firmware,
        total: Counts::default(),
        failures: Vec::new(),
        waves: observation.waves,
        durations: observation.durations,
        metrics: Vec::new(),
        checks: Vec::new(),
        config: "{}".to_owned(),
        state: Vec::new(),
    }
}

fn classes() -> Vec<DeviceClass> {
    let class = |number| DeviceClass {
        key: ClassKey {
            hardware_model: Some(format!("edge-{}", number % 10)),
            hardware_revision: Some(format!("{}.0", number % 5)),
            version: Some(format!("1.{}.0", number / 10)),
            attributes: Vec::new(),
        },
        devices: 1_000,
    };
    (0..CLASSES).map(class).collect()
}
