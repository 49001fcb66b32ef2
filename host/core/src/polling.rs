//! How often devices poll.

use std::time::Duration;

use crate::{
    id::DeviceKey,
    plugin::FieldError,
    selector::{self, DEVICE_FIELDS, FieldValues, ParseError, Selector},
    time::Timestamp,
};

/// Shortest time between two polls.
pub const MIN_POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Longest time between two polls: devices are told it as a time of day.
pub const MAX_POLL_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60 - 1);
/// Most overrides of a tenant.
pub const MAX_OVERRIDES: usize = 32;
/// Shortest time between two polls of a device that waits for something.
const MIN_WAITING_INTERVAL: Duration = Duration::from_secs(30);
/// Least jitter of devices that wait for the same moment, in percent.
const MIN_WAITING_JITTER_PERCENT: u8 = 20;
/// How long a device keeps its share of the jitter.
const JITTER_PERIOD: Duration = Duration::from_hours(24);

/// How often, and how far from it each device may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PollInterval {
    /// Between two polls.
    pub interval: Duration,
    /// A device's own interval is at most so many percent shorter or longer; at most 100.
    pub jitter_percent: u8,
}

/// How often a tenant's devices poll.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PollingSettings {
    /// None: the server's.
    pub interval: Option<Duration>,
    /// None: the server's.
    pub jitter_percent: Option<u8>,
    /// For some devices another: the first that fits.
    pub overrides: Vec<PollingOverride>,
}

/// Another rhythm for some devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PollingOverride {
    filter: String,
    selector: Selector,
    /// Between two polls.
    pub interval: Duration,
    /// None: the tenant's.
    pub jitter_percent: Option<u8>,
}

impl PollingOverride {
    /// For the devices that match a filter in RSQL.
    pub fn new(
        filter: String,
        interval: Duration,
        jitter_percent: Option<u8>,
    ) -> Result<Self, ParseError> {
        Ok(Self {
            selector: selector::parse(&filter, &DEVICE_FIELDS)?,
            filter,
            interval,
            jitter_percent,
        })
    }

    /// Its filter as it was written.
    pub fn filter(&self) -> &str {
        &self.filter
    }
}

impl PollingSettings {
    /// The place of the first override that fits a device.
    pub fn matching_override(&self, device: &impl FieldValues) -> Option<usize> {
        let mut overrides = self.overrides.iter();
        overrides.position(|polling_override| selector::matches(&polling_override.selector, device))
    }

    /// How often a device polls: as it was told itself, else as the override that fits it says, else as the tenant,
    /// else as the server.
    pub fn effective_interval(
        &self,
        own: Option<Duration>,
        matching_override: Option<usize>,
        server_default: PollInterval,
    ) -> PollInterval {
        let matching_override = matching_override.and_then(|index| self.overrides.get(index));
        let tenant_default = PollInterval {
            interval: self.interval.unwrap_or(server_default.interval),
            jitter_percent: self.jitter_percent.unwrap_or(server_default.jitter_percent),
        };
        match (own, matching_override) {
            (Some(interval), _) => PollInterval {
                interval,
                ..tenant_default
            },
            (None, Some(matching_override)) => PollInterval {
                interval: matching_override.interval,
                jitter_percent: matching_override
                    .jitter_percent
                    .unwrap_or(tenant_default.jitter_percent),
            },
            (None, None) => tenant_default,
        }
    }

    pub(crate) fn validation_errors(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let mut rule = |good: bool, path: String, message: &str| {
            if !good {
                let message = message.to_owned();
                errors.push(FieldError { path, message });
            }
        };
        let is_interval =
            |interval: Duration| (MIN_POLL_INTERVAL..=MAX_POLL_INTERVAL).contains(&interval);
        let is_percent = |percent: Option<u8>| percent.is_none_or(|percent| percent <= 100);
        rule(
            self.interval.is_none_or(is_interval),
            "/interval".to_owned(),
            INTERVAL_MESSAGE,
        );
        rule(
            is_percent(self.jitter_percent),
            "/jitter_percent".to_owned(),
            PERCENT_MESSAGE,
        );
        rule(
            self.overrides.len() <= MAX_OVERRIDES,
            "/overrides".to_owned(),
            "must be at most 32",
        );
        for (index, polling_override) in self.overrides.iter().enumerate() {
            let path = |field: &str| format!("/overrides/{index}/{field}");
            rule(
                is_interval(polling_override.interval),
                path("interval"),
                INTERVAL_MESSAGE,
            );
            rule(
                is_percent(polling_override.jitter_percent),
                path("jitter_percent"),
                PERCENT_MESSAGE,
            );
            rule(
                !polling_override.selector.references("last_seen"),
                path("filter"),
                "cannot go by last_seen: a device that asks has just been seen",
            );
        }
        errors
    }
}

const INTERVAL_MESSAGE: &str = "must be between 00:00:01 and 23:59:59";
const PERCENT_MESSAGE: &str = "must be between 0 and 100";

impl PollInterval {
    /// The rhythm of a device that waits for a moment: a third of the way each time, so that it comes soon after, and
    /// never with all others.
    #[must_use]
    pub fn shortened_until(self, moment: Timestamp, now: Timestamp) -> Self {
        let third = (moment.since(now) / 3).max(MIN_WAITING_INTERVAL);
        if third >= self.interval {
            return self;
        }
        Self {
            interval: third,
            jitter_percent: self.jitter_percent.max(MIN_WAITING_JITTER_PERCENT),
        }
    }

    /// How long this device is to sleep now: whole seconds, never shorter than [`MIN_POLL_INTERVAL`] or longer than [`MAX_POLL_INTERVAL`].
    /// Devices that came at once part from one another; each keeps its share of the jitter for a day, so that an
    /// answer that a device has already is still the answer.
    pub fn with_jitter(self, device: DeviceKey, now: Timestamp) -> Duration {
        let slot = now.0.div_euclid(JITTER_PERIOD.as_millis() as i64);
        let drawn = splitmix64(splitmix64(device.0 as u64) ^ slot as u64);
        // From -1 to 1, in steps as fine as 2^-31.
        let share = (drawn >> 32) as f64 / f64::from(u32::MAX) * 2.0 - 1.0;
        let factor = 1.0 + share * f64::from(self.jitter_percent.min(100)) / 100.0;
        let seconds = (self.interval.as_secs_f64() * factor).round();
        Duration::from_secs(seconds as u64).clamp(MIN_POLL_INTERVAL, MAX_POLL_INTERVAL)
    }
}

/// `SplitMix64`'s last steps: as good as drawn, and the same on every host.
fn splitmix64(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    struct Model(&'static str);

    impl FieldValues for Model {
        fn values(&self, field: &str) -> Vec<Cow<'_, str>> {
            let model = (field == "hw_model").then_some(Cow::from(self.0));
            model.into_iter().collect()
        }
    }

    fn minutes(minutes: u64) -> Duration {
        Duration::from_mins(minutes)
    }

    fn override_for(
        filter: &str,
        interval: Duration,
        jitter_percent: Option<u8>,
    ) -> PollingOverride {
        PollingOverride::new(filter.to_owned(), interval, jitter_percent).expect("a selector")
    }

    #[test]
    fn the_most_specific_interval_applies() {
        let server = PollInterval {
            interval: minutes(5),
            jitter_percent: 10,
        };
        let polling = PollingSettings {
            interval: Some(minutes(10)),
            jitter_percent: None,
            overrides: vec![
                override_for("hw_model==rpi4", minutes(1), Some(0)),
                override_for("hw_model==rpi*", minutes(2), None),
            ],
        };
        let interval = |own, model| {
            let interval =
                polling.effective_interval(own, polling.matching_override(&Model(model)), server);
            (interval.interval, interval.jitter_percent)
        };
        assert_eq!(
            interval(None, "rpi4"),
            (minutes(1), 0),
            "the first that fits"
        );
        assert_eq!(interval(None, "rpi3"), (minutes(2), 10));
        assert_eq!(interval(None, "pc"), (minutes(10), 10));
        assert_eq!(interval(Some(minutes(3)), "rpi4"), (minutes(3), 10));
        assert_eq!(
            PollingSettings::default().effective_interval(None, None, server),
            server
        );
        assert_eq!(
            polling.effective_interval(None, Some(7), server).interval,
            minutes(10),
            "an override that is gone fits nobody"
        );
    }

    #[test]
    fn jitter_spreads_a_fleet_evenly() {
        let interval = PollInterval {
            interval: minutes(100),
            jitter_percent: 20,
        };
        let now = Timestamp(1_777_636_800_000);
        let sleeps: Vec<u64> = (0..10_000)
            .map(|key| interval.with_jitter(DeviceKey(key), now).as_secs())
            .collect();
        // 80 to 120 minutes, in tenths of it.
        let mut tenths = [0; 10];
        for sleep in &sleeps {
            assert!((4800..=7200).contains(sleep), "{sleep}");
            tenths[((sleep - 4800) / 240).min(9) as usize] += 1;
        }
        assert!(
            tenths.iter().all(|count| (800..1200).contains(count)),
            "{tenths:?}"
        );
        let again = now.plus(minutes(7));
        assert_eq!(
            interval.with_jitter(DeviceKey(1), again).as_secs(),
            sleeps[1]
        );
        let tomorrow = now.plus(Duration::from_hours(24));
        assert_ne!(
            interval.with_jitter(DeviceKey(1), tomorrow).as_secs(),
            sleeps[1]
        );
    }

    #[test]
    fn intervals_stay_within_their_limits() {
        for (seconds, jitter_percent) in [(1, 100), (1, 0), (86_399, 0), (86_399, 100)] {
            let interval = PollInterval {
                interval: Duration::from_secs(seconds),
                jitter_percent,
            };
            for key in 0..1000 {
                let sleep = interval.with_jitter(DeviceKey(key), Timestamp(-5));
                assert!(
                    (MIN_POLL_INTERVAL..=MAX_POLL_INTERVAL).contains(&sleep),
                    "{sleep:?}"
                );
                assert_eq!(sleep.subsec_nanos(), 0);
            }
        }
        let plain = PollInterval {
            interval: minutes(5),
            jitter_percent: 0,
        };
        assert_eq!(plain.with_jitter(DeviceKey(3), Timestamp(0)), minutes(5));
    }

    #[test]
    fn waiting_devices_poll_more_often() {
        let interval = |interval: u64, jitter_percent| PollInterval {
            interval: Duration::from_secs(interval),
            jitter_percent,
        };
        let now = Timestamp(1_000);
        for (usual, seconds_left, expected) in [
            (interval(300, 0), 10_000, interval(300, 0)),
            (interval(300, 0), 900, interval(300, 0)),
            (interval(300, 0), 600, interval(200, 20)),
            (interval(300, 50), 600, interval(200, 50)),
            (interval(300, 0), 1, interval(30, 20)),
            (interval(10, 0), 1, interval(10, 0)),
        ] {
            let moment = now.plus(Duration::from_secs(seconds_left));
            assert_eq!(
                usual.shortened_until(moment, now),
                expected,
                "{seconds_left}"
            );
        }
    }

    #[test]
    fn broken_rules_are_named() {
        let polling = PollingSettings {
            interval: Some(Duration::ZERO),
            jitter_percent: Some(101),
            overrides: vec![
                override_for("group==lab", minutes(24 * 60), Some(200)),
                override_for("state==error;(group==lab,last_seen>7)", minutes(1), None),
            ],
        };
        let errors = polling.validation_errors();
        let paths: Vec<_> = errors.iter().map(|error| error.path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "/interval",
                "/jitter_percent",
                "/overrides/0/interval",
                "/overrides/0/jitter_percent",
                "/overrides/1/filter"
            ]
        );
        assert!(PollingOverride::new("nonsense".to_owned(), minutes(1), None).is_err());
    }
}
