//! Polling intervals of devices.

use std::time::Duration;

use crate::{
    device_fields::DEVICE_FIELDS,
    id::DeviceKey,
    plugin::FieldError,
    selector::{self, FieldValues, ParseError, Selector, SelectorText},
    time::Timestamp,
};

/// Minimum polling interval.
pub const MIN_POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Maximum polling interval: DDI transmits it as a time of day.
pub const MAX_POLL_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60 - 1);
/// Maximum polling overrides of a tenant.
pub const MAX_OVERRIDES: usize = 32;
/// Minimum polling interval of a device that waits for its maintenance window.
const MIN_WAITING_INTERVAL: Duration = Duration::from_secs(30);
/// Minimum jitter of devices that wait for the same window, in percent.
const MIN_WAITING_JITTER_PERCENT: u8 = 20;
/// How long the jitter of a device stays constant.
const JITTER_PERIOD: Duration = Duration::from_hours(24);

/// A polling interval and its jitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PollInterval {
    /// Mean time between two polls.
    pub interval: Duration,
    /// Maximum deviation of a device's interval, in percent of it; at most 100.
    pub jitter_percent: u8,
}

/// Polling settings of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PollingSettings {
    /// Default interval; `None`: that of the server.
    pub interval: Option<Duration>,
    /// Default jitter; `None`: that of the server.
    pub jitter_percent: Option<u8>,
    /// Overrides for some devices; the first that matches applies.
    pub overrides: Vec<PollingOverride>,
}

/// A polling interval for the devices that match a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PollingOverride {
    filter: SelectorText,
    selector: Selector,
    /// Mean time between two polls.
    pub interval: Duration,
    /// Jitter in percent; `None`: that of the tenant.
    pub jitter_percent: Option<u8>,
}

impl PollingOverride {
    /// Parses `filter`, an RSQL selector over device fields.
    pub fn new(
        filter: impl Into<SelectorText>,
        interval: Duration,
        jitter_percent: Option<u8>,
    ) -> Result<Self, ParseError> {
        let filter = filter.into();
        Ok(Self {
            selector: filter.parse(&DEVICE_FIELDS)?,
            filter,
            interval,
            jitter_percent,
        })
    }

    /// The filter.
    pub fn filter(&self) -> &SelectorText {
        &self.filter
    }
}

impl PollingSettings {
    /// Index of the first override that matches the device.
    pub fn matching_override(&self, device: &impl FieldValues) -> Option<usize> {
        let mut overrides = self.overrides.iter();
        overrides.position(|polling_override| selector::matches(&polling_override.selector, device))
    }

    /// The interval of a device. Precedence: the device's own, the matching override, the tenant's, the server's.
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

    /// The longest interval of the devices that have none of their own.
    pub fn longest_interval(&self, server_default: Duration) -> Duration {
        let overrides = self.overrides.iter();
        let longest = overrides.map(|polling_override| polling_override.interval);
        let default = self.interval.unwrap_or(server_default);
        longest.max().unwrap_or(default).max(default)
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
            "interval".to_owned(),
            INTERVAL_MESSAGE,
        );
        rule(
            is_percent(self.jitter_percent),
            "jitter_percent".to_owned(),
            PERCENT_MESSAGE,
        );
        rule(
            self.overrides.len() <= MAX_OVERRIDES,
            "overrides".to_owned(),
            "must be at most 32",
        );
        for (index, polling_override) in self.overrides.iter().enumerate() {
            let path = |field: &str| format!("overrides.{index}.{field}");
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
                "must not use last_seen: every poll updates it",
            );
        }
        errors
    }
}

const INTERVAL_MESSAGE: &str = "must be between 00:00:01 and 23:59:59";
const PERCENT_MESSAGE: &str = "must be between 0 and 100";

impl PollInterval {
    /// Shortens the interval of a device that waits until `moment`: to a third of the remaining time, so that it
    /// polls shortly after `moment`, with enough jitter that devices do not poll together.
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

    /// Applies this device's jitter. The result is in whole seconds between [`MIN_POLL_INTERVAL`] and
    /// [`MAX_POLL_INTERVAL`]. The jitter is constant for a day, so that a repeated poll gets the same response.
    pub fn with_jitter(self, device: DeviceKey, now: Timestamp) -> Duration {
        let slot = now.0.div_euclid(JITTER_PERIOD.as_millis() as i64);
        let drawn = splitmix64(splitmix64(device.0 as u64) ^ slot as u64);
        // From -1 to 1, in steps of about 2^-31.
        let share = (drawn >> 32) as f64 / f64::from(u32::MAX) * 2.0 - 1.0;
        let factor = 1.0 + share * f64::from(self.jitter_percent.min(100)) / 100.0;
        let seconds = (self.interval.as_secs_f64() * factor).round();
        Duration::from_secs(seconds as u64).clamp(MIN_POLL_INTERVAL, MAX_POLL_INTERVAL)
    }
}

/// Finalizer of `SplitMix64`: a deterministic substitute for random numbers, equal on all hosts.
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
    fn the_longest_interval_is_one_of_the_overrides_or_the_default() {
        let longest = |interval, overrides: &[u64]| {
            let overrides = overrides.iter();
            let polling = PollingSettings {
                interval,
                jitter_percent: None,
                overrides: overrides
                    .map(|interval| override_for("hw_model==rpi4", minutes(*interval), None))
                    .collect(),
            };
            polling.longest_interval(minutes(5))
        };
        assert_eq!(longest(None, &[]), minutes(5));
        assert_eq!(longest(None, &[1, 30, 7]), minutes(30));
        assert_eq!(longest(Some(minutes(2)), &[1]), minutes(2));
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
            "the first match applies"
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
            "a removed override matches no device"
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
        // 80 to 120 minutes, in ten buckets.
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
                override_for(
                    "state==error;(group==lab,last_seen>2026-05-01T12:00:00Z)",
                    minutes(1),
                    None,
                ),
            ],
        };
        let errors = polling.validation_errors();
        let paths: Vec<_> = errors.iter().map(|error| error.path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "interval",
                "jitter_percent",
                "overrides.0.interval",
                "overrides.0.jitter_percent",
                "overrides.1.filter"
            ]
        );
        assert!(PollingOverride::new("nonsense".to_owned(), minutes(1), None).is_err());
    }
}
