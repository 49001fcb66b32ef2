//! How often devices poll.

use std::time::Duration;

use crate::{
    id::DeviceKey,
    plugin::FieldError,
    selector::{self, DEVICE_FIELDS, Facts, ParseError, Selector},
    time::Timestamp,
};

/// Shortest time between two polls.
pub const SHORTEST: Duration = Duration::from_secs(1);
/// Longest time between two polls: devices are told it as a time of day.
pub const LONGEST: Duration = Duration::from_secs(24 * 60 * 60 - 1);
/// Most overrides of a tenant.
pub const MAX_OVERRIDES: usize = 32;
/// Shortest time between two polls of a device that waits for something.
const SHORTEST_WAIT: Duration = Duration::from_secs(30);
/// Least jitter of devices that wait for the same moment, in percent.
const JITTER_OF_WAITING: u8 = 20;
/// How long a device keeps its share of the jitter.
const SLOT: Duration = Duration::from_hours(24);

/// How often, and how far from it each device may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rhythm {
    /// Between two polls.
    pub interval: Duration,
    /// A device's own interval is at most so many percent shorter or longer; at most 100.
    pub jitter_percent: u8,
}

/// How often a tenant's devices poll.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Polling {
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

impl Polling {
    /// The place of the first override that fits a device.
    pub fn fitting(&self, device: &impl Facts) -> Option<usize> {
        let mut overrides = self.overrides.iter();
        overrides.position(|one| selector::matches(&one.selector, device))
    }

    /// How often a device polls: as it was told itself, else as the override that fits it says, else as the tenant,
    /// else as the server.
    pub fn rhythm(
        &self,
        own: Option<Duration>,
        fitting: Option<usize>,
        of_server: Rhythm,
    ) -> Rhythm {
        let fitting = fitting.and_then(|place| self.overrides.get(place));
        let of_tenant = Rhythm {
            interval: self.interval.unwrap_or(of_server.interval),
            jitter_percent: self.jitter_percent.unwrap_or(of_server.jitter_percent),
        };
        match (own, fitting) {
            (Some(interval), _) => Rhythm {
                interval,
                ..of_tenant
            },
            (None, Some(fitting)) => Rhythm {
                interval: fitting.interval,
                jitter_percent: fitting.jitter_percent.unwrap_or(of_tenant.jitter_percent),
            },
            (None, None) => of_tenant,
        }
    }

    pub(crate) fn broken_rules(&self) -> Vec<FieldError> {
        let mut broken = Vec::new();
        let mut rule = |good: bool, path: String, message: &str| {
            if !good {
                let message = message.to_owned();
                broken.push(FieldError { path, message });
            }
        };
        let is_interval = |interval: Duration| (SHORTEST..=LONGEST).contains(&interval);
        let is_percent = |percent: Option<u8>| percent.is_none_or(|percent| percent <= 100);
        rule(
            self.interval.is_none_or(is_interval),
            "/interval".to_owned(),
            INTERVAL,
        );
        rule(
            is_percent(self.jitter_percent),
            "/jitter_percent".to_owned(),
            PERCENT,
        );
        rule(
            self.overrides.len() <= MAX_OVERRIDES,
            "/overrides".to_owned(),
            "must be at most 32",
        );
        for (place, one) in self.overrides.iter().enumerate() {
            let path = |field: &str| format!("/overrides/{place}/{field}");
            rule(is_interval(one.interval), path("interval"), INTERVAL);
            rule(
                is_percent(one.jitter_percent),
                path("jitter_percent"),
                PERCENT,
            );
            rule(
                !one.selector.names("last_seen"),
                path("filter"),
                "cannot go by last_seen: a device that asks has just been seen",
            );
        }
        broken
    }
}

const INTERVAL: &str = "must be between 00:00:01 and 23:59:59";
const PERCENT: &str = "must be between 0 and 100";

impl Rhythm {
    /// The rhythm of a device that waits for a moment: a third of the way each time, so that it comes soon after, and
    /// never with all others.
    #[must_use]
    pub fn towards(self, moment: Timestamp, now: Timestamp) -> Self {
        let third = (moment.since(now) / 3).max(SHORTEST_WAIT);
        if third >= self.interval {
            return self;
        }
        Self {
            interval: third,
            jitter_percent: self.jitter_percent.max(JITTER_OF_WAITING),
        }
    }

    /// How long this device is to sleep now: whole seconds, never shorter than [`SHORTEST`] or longer than [`LONGEST`].
    /// Devices that came at once part from one another; each keeps its share of the jitter for a day, so that an
    /// answer that a device has already is still the answer.
    pub fn sleep(self, device: DeviceKey, now: Timestamp) -> Duration {
        let slot = now.0.div_euclid(SLOT.as_millis() as i64);
        let drawn = mixed(mixed(device.0 as u64) ^ slot as u64);
        // From -1 to 1, in steps as fine as 2^-31.
        let share = (drawn >> 32) as f64 / f64::from(u32::MAX) * 2.0 - 1.0;
        let factor = 1.0 + share * f64::from(self.jitter_percent.min(100)) / 100.0;
        let seconds = (self.interval.as_secs_f64() * factor).round();
        Duration::from_secs(seconds as u64).clamp(SHORTEST, LONGEST)
    }
}

/// `SplitMix64`'s last steps: as good as drawn, and the same on every host.
fn mixed(number: u64) -> u64 {
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

    impl Facts for Model {
        fn values(&self, field: &str) -> Vec<Cow<'_, str>> {
            let model = (field == "hw_model").then_some(Cow::from(self.0));
            model.into_iter().collect()
        }
    }

    fn minutes(minutes: u64) -> Duration {
        Duration::from_mins(minutes)
    }

    fn over(filter: &str, interval: Duration, jitter_percent: Option<u8>) -> PollingOverride {
        PollingOverride::new(filter.to_owned(), interval, jitter_percent).expect("a selector")
    }

    #[test]
    fn the_nearest_word_counts() {
        let server = Rhythm {
            interval: minutes(5),
            jitter_percent: 10,
        };
        let polling = Polling {
            interval: Some(minutes(10)),
            jitter_percent: None,
            overrides: vec![
                over("hw_model==rpi4", minutes(1), Some(0)),
                over("hw_model==rpi*", minutes(2), None),
            ],
        };
        let rhythm = |own, model| {
            let rhythm = polling.rhythm(own, polling.fitting(&Model(model)), server);
            (rhythm.interval, rhythm.jitter_percent)
        };
        assert_eq!(rhythm(None, "rpi4"), (minutes(1), 0), "the first that fits");
        assert_eq!(rhythm(None, "rpi3"), (minutes(2), 10));
        assert_eq!(rhythm(None, "pc"), (minutes(10), 10));
        assert_eq!(rhythm(Some(minutes(3)), "rpi4"), (minutes(3), 10));
        assert_eq!(Polling::default().rhythm(None, None, server), server);
        assert_eq!(
            polling.rhythm(None, Some(7), server).interval,
            minutes(10),
            "an override that is gone fits nobody"
        );
    }

    #[test]
    fn a_fleet_that_came_at_once_parts() {
        let rhythm = Rhythm {
            interval: minutes(100),
            jitter_percent: 20,
        };
        let now = Timestamp(1_777_636_800_000);
        let sleeps: Vec<u64> = (0..10_000)
            .map(|key| rhythm.sleep(DeviceKey(key), now).as_secs())
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
        assert_eq!(rhythm.sleep(DeviceKey(1), again).as_secs(), sleeps[1]);
        let tomorrow = now.plus(Duration::from_hours(24));
        assert_ne!(rhythm.sleep(DeviceKey(1), tomorrow).as_secs(), sleeps[1]);
    }

    #[test]
    fn nobody_sleeps_too_short_or_too_long() {
        for (seconds, jitter_percent) in [(1, 100), (1, 0), (86_399, 0), (86_399, 100)] {
            let rhythm = Rhythm {
                interval: Duration::from_secs(seconds),
                jitter_percent,
            };
            for key in 0..1000 {
                let sleep = rhythm.sleep(DeviceKey(key), Timestamp(-5));
                assert!((SHORTEST..=LONGEST).contains(&sleep), "{sleep:?}");
                assert_eq!(sleep.subsec_nanos(), 0);
            }
        }
        let plain = Rhythm {
            interval: minutes(5),
            jitter_percent: 0,
        };
        assert_eq!(plain.sleep(DeviceKey(3), Timestamp(0)), minutes(5));
    }

    #[test]
    fn who_waits_comes_more_often() {
        let rhythm = |interval: u64, jitter_percent| Rhythm {
            interval: Duration::from_secs(interval),
            jitter_percent,
        };
        let now = Timestamp(1_000);
        for (usual, seconds_left, expected) in [
            (rhythm(300, 0), 10_000, rhythm(300, 0)),
            (rhythm(300, 0), 900, rhythm(300, 0)),
            (rhythm(300, 0), 600, rhythm(200, 20)),
            (rhythm(300, 50), 600, rhythm(200, 50)),
            (rhythm(300, 0), 1, rhythm(30, 20)),
            (rhythm(10, 0), 1, rhythm(10, 0)),
        ] {
            let moment = now.plus(Duration::from_secs(seconds_left));
            assert_eq!(usual.towards(moment, now), expected, "{seconds_left}");
        }
    }

    #[test]
    fn broken_rules_are_named() {
        let polling = Polling {
            interval: Some(Duration::ZERO),
            jitter_percent: Some(101),
            overrides: vec![
                over("group==lab", minutes(24 * 60), Some(200)),
                over("state==error;(group==lab,last_seen>7)", minutes(1), None),
            ],
        };
        let broken = polling.broken_rules();
        let paths: Vec<_> = broken.iter().map(|error| error.path.as_str()).collect();
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
