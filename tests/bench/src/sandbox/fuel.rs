//! What a unit of fuel costs the server, for each operator that plugins can use.

use std::{fmt::Write as _, fs, time::Duration};

use anyhow::{Context as _, Result};
use cpu_time::ThreadTime;
use tidegate_core::plugin::Observation;
use tidegate_hostile::{LoopEnd, OperatorLoop, loop_seed, loops_component, operator_loops};
use tidegate_sandbox::{Plugin, SandboxLimits};

use super::{SandboxFixture, decide::observation};
use crate::{
    Bench,
    report::{Figure, median},
};

/// CPU time of the rounds of a loop: many times that of the call around them.
const ROUNDS_TIME: Duration = Duration::from_millis(2);
/// Fuel and time of a call, the most that an operator can set: more than any loop needs.
const FUEL: u64 = 1_000_000_000;
const DEADLINE: Duration = Duration::from_secs(2);
/// Bytes of a page of the processor.
const PAGE_BYTES: u64 = 4096;
/// Nanoseconds that a unit may cost: half of what the default deadline has for each unit of the default fuel.
const MAX_UNIT_NANOSECONDS: f64 = 2.5;

pub(crate) async fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let loops = operator_loops();
    let limits = SandboxLimits {
        compile_cpu: Duration::from_mins(1),
        fuel: FUEL,
        deadline: DEADLINE,
        ..SandboxLimits::default()
    };
    let rig = SandboxFixture::with(bench, loops_component(&loops)?, limits).await?;
    let runner = Runner {
        plugin: &rig.plugin,
        observation: observation(),
    };
    let mut costs = Vec::new();
    for (number, operator_loop) in loops.iter().enumerate() {
        let cost = runner.cost(number, operator_loop, bench.size(5, 3));
        costs.push(cost.with_context(|| operator_loop.name.clone())?);
    }
    report(bench, costs)
}

/// The cost of a round of a loop.
struct LoopCost {
    name: String,
    end: LoopEnd,
    units: f64,
    nanoseconds: f64,
}

impl LoopCost {
    fn per_unit(&self) -> f64 {
        self.nanoseconds / self.units
    }
}

struct Runner<'a> {
    plugin: &'a Plugin,
    observation: Observation,
}

impl Runner<'_> {
    /// The median of several runs, each without what a call of one round costs.
    fn cost(&self, number: usize, operator_loop: &OperatorLoop, runs: usize) -> Result<LoopCost> {
        let rounds = self.enough_rounds(number, operator_loop.end)?;
        let (mut nanoseconds, mut units) = (Vec::new(), 0.0);
        for _ in 0..runs {
            let (one, fuel_of_one) = self.run(number, 1)?;
            let (all, fuel_of_all) = self.run(number, rounds)?;
            let difference = all.as_secs_f64() - one.as_secs_f64();
            nanoseconds.push(difference * 1e9 / f64::from(rounds - 1));
            units = (fuel_of_all - fuel_of_one) as f64 / f64::from(rounds - 1);
        }
        Ok(LoopCost {
            name: operator_loop.name.clone(),
            end: operator_loop.end,
            units,
            nanoseconds: median(nanoseconds),
        })
    }

    /// The number of rounds that takes long enough to be measured.
    fn enough_rounds(&self, number: usize, end: LoopEnd) -> Result<u32> {
        let max_rounds = match end {
            LoopEnd::Rounds(rounds) => rounds,
            LoopEnd::Fuel | LoopEnd::Deadline => u32::MAX,
        };
        let (one, _) = self.run(number, 1)?;
        let mut rounds = 1;
        loop {
            rounds = max_rounds.min(rounds * 8);
            let (time, fuel) = self.run(number, rounds)?;
            let is_enough = time > one * 3 / 2 + ROUNDS_TIME || fuel > FUEL / 16;
            if is_enough || rounds == max_rounds {
                return Ok(rounds);
            }
        }
    }

    /// CPU time and fuel of a call.
    fn run(&self, number: usize, rounds: u32) -> Result<(Duration, u64)> {
        let mut observation = self.observation.clone();
        observation.context.seed = loop_seed(number, rounds);
        let began = ThreadTime::now();
        let call = self.plugin.decide(observation);
        let time = began.elapsed();
        call.outcome.with_context(|| format!("{rounds} rounds"))?;
        Ok((time, call.fuel))
    }
}

fn report(bench: &Bench, mut costs: Vec<LoopCost>) -> Result<Vec<Figure>> {
    let base = costs.first().context("no loops")?.per_unit();
    costs.sort_by(|one, other| other.per_unit().total_cmp(&one.per_unit()));
    let file = bench.work.join("fuel.txt");
    fs::write(&file, table(&costs)).with_context(|| format!("write {}", file.display()))?;

    let of = |end: LoopEnd| costs.iter().filter(move |cost| cost.end == end);
    let worst = of(LoopEnd::Fuel).next().context("no loops end by fuel")?;
    let other = of(LoopEnd::Deadline).next();
    let other = other.context("no loops end by the deadline")?;
    let fresh_page = costs
        .iter()
        .filter(|cost| cost.name.contains("fresh page"))
        .map(|cost| cost.nanoseconds)
        .fold(0.0, f64::max);
    let limits = SandboxLimits::default();
    let pages = (limits.memory_bytes / PAGE_BYTES) as f64;
    let fuel_time = limits.fuel as f64 * worst.per_unit() / 1e6;
    let page_time = pages * fresh_page / 1e6;
    let deadline = limits.deadline.as_secs_f64() * 1e3;
    Ok(vec![
        Figure::new(
            format!("a unit of fuel: {}", worst.name),
            worst.per_unit(),
            "ns of CPU",
        )
        .compared_to("the same of i32.add", base, "ns of CPU")
        .at_most(MAX_UNIT_NANOSECONDS)
        .note(format!(
            "the most expensive of {} loops; {} lists them",
            of(LoopEnd::Fuel).count(),
            file.display()
        )),
        Figure::new(
            format!("a unit of fuel: {}", other.name),
            other.per_unit(),
            "ns of CPU",
        )
        .note("the most expensive of those that only the deadline ends"),
        Figure::new(
            "a call that uses its fuel in the worst way, and all of its memory",
            fuel_time + page_time,
            "ms of CPU",
        )
        .compared_to("its deadline", deadline, "ms")
        .of_which("first writes to its memory", page_time)
        .at_most(deadline),
    ])
}

/// The loops, the most expensive one first.
fn table(costs: &[LoopCost]) -> String {
    let mut text = String::from("ns/unit   ns/round  units/round  loop\n");
    for cost in costs {
        let (per_unit, round, units) = (cost.per_unit(), cost.nanoseconds, cost.units);
        let end = match cost.end {
            LoopEnd::Fuel => "",
            LoopEnd::Deadline => " (ended by the deadline)",
            LoopEnd::Rounds(_) => " (a limited number of times)",
        };
        writeln!(
            text,
            "{per_unit:7.2} {round:10.1} {units:12.1}  {}{end}",
            cost.name
        )
        .expect("a text grows");
    }
    text
}
