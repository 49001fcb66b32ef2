use std::mem;

use crate::{
    WorstVerdict,
    in_flight::InFlightLimit,
    rollout::{Decision, Observation, Outcome, Release},
    stop::{complete, stop},
    types::WaveReport,
};

/// Decides by levels that the strategy computes: the common part of strategies that stop inside a wave, or whose waves
/// do not open in order.
///
/// `propose` returns how many devices of each wave may be released by now as far as the strategy is concerned; a wave
/// without a level is not to be raised. What it returns is brought within the limits:
///
/// - The worst verdict of the policies applies, and the campaign is complete when all devices have ended. `propose` is
///   not called in these cases, and the state stays. [`within_limits_until_complete`] asks it also then.
/// - At most `max-in-flight` devices, and at most `at_once`, are outstanding. Devices that wait for a retry do not count.
///   Earlier waves have precedence.
/// - While a policy is inconclusive, no wave opens except the first ones; open waves continue.
/// - A wave that is not open, although an operator has advanced the campaign to it, opens as a whole. A policy that is
///   inconclusive does not prevent that.
/// - A decision that stops the campaign releases nothing.
pub fn within_limits(
    observation: &Observation,
    at_once: Option<u64>,
    propose: impl FnOnce() -> Result<Decision, String>,
) -> Result<Decision, String> {
    within_limits_until_complete(observation, at_once, || {
        complete(observation).map_or_else(propose, Ok)
    })
}

/// Like [`within_limits`], for strategies that complete the campaign themselves, because they have a gate or a pause
/// before the end.
pub fn within_limits_until_complete(
    observation: &Observation,
    at_once: Option<u64>,
    propose: impl FnOnce() -> Result<Decision, String>,
) -> Result<Decision, String> {
    let worst = observation.worst_verdict();
    if let Some(decision) = stop(observation, worst) {
        return Ok(decision);
    }
    let mut decision = propose()?;
    let proposed = mem::take(&mut decision.releases);
    if !matches!(
        decision.outcome,
        Outcome::Proceed | Outcome::AwaitOperator(_)
    ) {
        return Ok(decision);
    }
    let mut limit = InFlightLimit::new(observation, at_once);
    let any_open = observation.waves.iter().any(WaveReport::is_open);
    let mut is_limited = false;
    for (index, wave) in (0..).zip(&observation.waves) {
        let mut level = level_of(&proposed, index).min(wave.size);
        if !wave.is_open() && any_open {
            match worst {
                _ if level == 0 && wave.advanced_at.is_some() => {
                    level = wave.size;
                    let name = &wave.name;
                    decision.explain.push(format!(
                        "An operator advanced the campaign to wave '{name}'."
                    ));
                }
                WorstVerdict::Inconclusive { policy, reason } if level > 0 => {
                    level = 0;
                    let name = &wave.name;
                    decision
                        .explain
                        .push(format!("Wave '{name}' waits for policy {policy}: {reason}"));
                }
                _ => {}
            }
        }
        let wanted = level.saturating_sub(wave.released);
        let more = limit.take(wanted);
        is_limited |= more < wanted;
        if more > 0 {
            decision.releases.push(Release {
                wave: index,
                devices: wave.released + more,
            });
        }
    }
    if is_limited {
        decision.explain.push(limit.reached_text());
    }
    Ok(decision)
}

fn level_of(releases: &[Release], wave: u32) -> u64 {
    let levels = releases.iter().filter(|release| release.wave == wave);
    levels.map(|release| release.devices).max().unwrap_or(0)
}

#[cfg(test)]
mod tests;
