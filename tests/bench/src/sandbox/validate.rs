use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use tidegate_core::id::TenantId;
use tidegate_engine::ports::Sandbox as _;

use super::{SandboxFixture, built_in};
use crate::{
    Bench,
    report::{Figure, median, quantile},
};

const CONFIG: &str = r#"{"canary_percentage":10,"steps":[20,30,40,50,60,70,80,90,100]}"#;

/// Checks of a valid config: against the schema in the child process, and by the plugin.
pub(crate) async fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let rig = SandboxFixture::new(bench, built_in(bench, "canary")?).await?;
    let digest = rig.plugin.digest();
    let (mut checks, mut own) = (Vec::new(), Vec::new());
    let rounds = bench.size(5_000, 500);
    for round in 0..rounds + rounds / 10 {
        let began = Instant::now();
        let validation = rig.sandbox.validate(TenantId(1), digest, CONFIG).await;
        let whole = began.elapsed();
        let errors = validation.outcome.context("validate")?;
        ensure!(errors.is_empty(), "the config is invalid: {errors:?}");
        let began = Instant::now();
        rig.plugin.validate(CONFIG).outcome.context("validate")?;
        let plugin_alone = began.elapsed();
        // The first rounds are a warm-up.
        if round >= rounds / 10 {
            checks.push(whole.as_secs_f64() * 1e6);
            own.push(plugin_alone.as_secs_f64() * 1e6);
        }
    }
    let p99 = quantile(checks.iter().copied(), 0.99);
    Ok(vec![
        Figure::new(
            "validate, canary, a config of 9 steps",
            median(checks),
            "µs",
        )
        .compared_to("the plugin's own `validate` alone", median(own), "µs")
        .below(5_000.0)
        .note(format!(
            "p99 {p99:.0} µs; one child process checks them all"
        )),
    ])
}
