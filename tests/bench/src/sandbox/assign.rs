use std::{hint::black_box, time::Instant};

use anyhow::{Context as _, Result, ensure};
use cpu_time::ThreadTime;
use tidegate_core::plugin::{AssignInput, Members, PageOf, PlannedWave};
use tidegate_hostile::{Hooks, strategy_with};

use super::SandboxFixture;
use crate::{
    Bench,
    report::{Figure, median},
};

/// The strategy's `assign`: consecutive waves by the device's place.
const ASSIGN: &str = include_str!("assign.wat");
const WAVES: u16 = 10;

pub(crate) async fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let hooks = Hooks::default()
        .assign("(call $spread (local.get $input))")
        .extra(ASSIGN);
    let rig = SandboxFixture::new(bench, strategy_with(&hooks)?).await?;
    let rows = 1_000_000;
    let page = page(rows);
    let expected = assign_natively(&page);
    let (mut whole, mut run, mut native) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=bench.size(15, 5) {
        let asked = page.clone();
        let began = ThreadTime::now();
        let call = rig.plugin.assign(asked);
        let cpu = began.elapsed();
        let wall = call.duration;
        ensure!(
            call.outcome.context("assign")? == expected,
            "the plugin returned wrong waves"
        );
        let at = Instant::now();
        black_box(assign_natively(black_box(&page)));
        let at = at.elapsed();
        // The first round is a warm-up.
        if round > 0 {
            let rate = |time: std::time::Duration| rows as f64 / time.as_secs_f64() / 1e6;
            whole.push(rate(cpu));
            run.push(rate(wall));
            native.push(rate(at));
        }
    }
    let what = "assign, pages of 1,000,000 devices";
    Ok(vec![
        Figure::new(
            format!("{what}: the call"),
            median(run),
            "million devices/s",
        )
        .compared_to(
            "the same loop, native",
            median(native),
            "million devices/s",
        )
        .at_least(20.0)
        .note("store, instance, columns in, the guest's loop, column out, measured by the sandbox; the guest is WebAssembly text"),
        Figure::new(
            format!("{what}: with the journal's record"),
            median(whole),
            "million devices/s",
        )
        .note("digests of all columns included, CPU time of the thread"),
    ])
}

fn assign_natively(page: &AssignInput) -> Vec<u32> {
    let wave = |place: &u32| ((u64::from(*place) * u64::from(WAVES)) >> 32) as u32;
    page.place.iter().map(wave).collect()
}

fn page(rows: usize) -> AssignInput {
    let waves = (0..WAVES).map(|number| PlannedWave {
        name: format!("wave {number}"),
        members: Members::Custom,
    });
    AssignInput {
        context: super::context(),
        config: "{}".to_owned(),
        waves: waves.collect(),
        groups: vec!["all".to_owned()],
        classes: Vec::new(),
        page: PageOf::ONLY,
        group: vec![0; rows],
        class: vec![0; rows],
        place: (0..rows as u64)
            .map(|row| ((row << 32) / rows as u64) as u32)
            .collect(),
    }
}
