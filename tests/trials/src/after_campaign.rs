//! The strategy `after-campaign`: all devices, once another campaign is complete.

use serde::Deserialize;
use tidegate_plugin_sdk::prelude::*;

/// The other campaign may end at any time, and its end does not cause a call.
const ASK_AGAIN: u64 = 60_000;

/// The strategy.
#[derive(Debug)]
pub struct AfterCampaign;

/// Config, see the schema.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    campaign: u64,
}

impl Config {
    fn fact(&self) -> String {
        format!("campaign/{}/status", self.campaign)
    }
}

impl Plugin for AfterCampaign {
    const NAME: &'static str = "trial/after-campaign";
    const VERSION: &'static str = "1.0.0";
    const SUMMARY: &'static str = "Begins when another campaign is complete.";
    const SCHEMA: &'static str = include_str!("../schema/after-campaign.json");
    type Config = Config;

    fn wants(config: &Config) -> Interests {
        Interests::none().with_facts([config.fact()])
    }
}

impl Strategy for AfterCampaign {
    fn plan(input: &PlanInput, config: &Config) -> Result<WavePlan, String> {
        match input.context.fact(&config.fact()) {
            None => Err(format!("There is no campaign {}.", config.campaign)),
            Some(_) => Ok(WavePlan::in_order(vec![Wave::new("all", Members::Rest)])),
        }
    }

    fn decide(observation: &Observation, config: &Config) -> Result<Decision, String> {
        let campaign = config.campaign;
        // What has begun goes on, should the other campaign be rolled back or deleted later.
        if observation.waves.iter().any(WaveReport::is_open) {
            return in_order(observation, None, |_| Gate::Open);
        }
        let status = observation.context.fact(&config.fact());
        match status.ok_or_else(|| format!("There is no campaign {campaign} any more."))? {
            "completed" => in_order(observation, None, |_| Gate::Open),
            status @ ("failed" | "cancelled" | "rolling_back" | "rolled_back") => {
                within_limits(observation, None, || {
                    let text = format!("Campaign {campaign} is {status}; it was to be completed.");
                    Ok(Decision::new(Outcome::Fail(text.clone())).with_explain(text))
                })
            }
            status => within_limits(observation, None, || {
                let text = format!("Waits for campaign {campaign}, which is {status}.");
                Ok(Decision::wait(text, ASK_AGAIN))
            }),
        }
    }
}
