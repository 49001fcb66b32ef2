use crate::{
    rollout::Observation,
    types::{Context, WaveReport},
};

/// How many more devices a decision may release.
pub(crate) struct InFlightLimit {
    /// `None`: unlimited.
    remaining: Option<u64>,
    /// The limit of outstanding devices, without those that wait for a retry.
    limit: Option<u64>,
    waiting_retries: u64,
}

impl InFlightLimit {
    /// The lower one of the campaign's limit and `at_once`, minus the outstanding devices.
    pub(crate) fn new(observation: &Observation, at_once: Option<u64>) -> Self {
        let waiting_retries = waiting_retries(&observation.context);
        // The host has added them to its limit.
        let campaign = observation.context.max_in_flight;
        let campaign = campaign.map(|limit| limit.saturating_sub(waiting_retries));
        let limit = match (campaign, at_once) {
            (Some(campaign), Some(config)) => Some(campaign.min(config)),
            (campaign, config) => campaign.or(config),
        };
        let out: u64 = observation.waves.iter().map(WaveReport::outstanding).sum();
        let out = out.saturating_sub(waiting_retries);
        Self {
            remaining: limit.map(|limit| limit.saturating_sub(out)),
            limit,
            waiting_retries,
        }
    }

    /// Takes as many of these devices as the limit allows.
    pub(crate) fn take(&mut self, devices: u64) -> u64 {
        let Some(remaining) = &mut self.remaining else {
            return devices;
        };
        let taken = devices.min(*remaining);
        *remaining -= taken;
        taken
    }

    pub(crate) fn reached_text(&self) -> String {
        let limit = self.limit.unwrap_or(u64::MAX);
        match self.waiting_retries {
            0 => format!("The limit of {limit} devices in flight is reached."),
            waiting => format!(
                "The limit of {limit} devices in flight is reached, not counting {waiting} that wait for a retry."
            ),
        }
    }
}

/// Number of devices whose retry is not offered yet. They are in flight, and the host has raised `max-in-flight` by
/// their number.
fn waiting_retries(context: &Context) -> u64 {
    let fact = context.fact("waiting-retries");
    fact.and_then(|devices| devices.parse().ok()).unwrap_or(0)
}
