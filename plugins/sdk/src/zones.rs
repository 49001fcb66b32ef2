use crate::{meta::Interests, types::Context};

const DAY: u64 = 86_400_000;

/// What the host knows about a time zone now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Zone {
    /// Milliseconds to add to UTC for local time.
    pub offset: i64,
    /// When another offset applies, such as the end of summer time.
    pub next_change_at: Option<u64>,
}

impl Zone {
    /// Milliseconds since the last midnight in the zone. A clock change during the day counts as if it had been at
    /// midnight.
    pub fn time_of_day(&self, now: u64) -> u64 {
        let local = i128::from(now) + i128::from(self.offset);
        local.rem_euclid(i128::from(DAY)) as u64
    }
}

impl Interests {
    /// The facts of these time zones, for [`Context::zone`].
    #[must_use]
    pub fn with_zones<'a>(self, names: impl IntoIterator<Item = &'a str>) -> Self {
        let facts = names.into_iter().flat_map(|zone| {
            ["offset", "next-change-at"].map(|property| format!("zone/{zone}/{property}"))
        });
        self.with_facts(facts)
    }
}

impl Context {
    /// A time zone by its name in the time zone database; `None` if there is no such zone, or `wants` does not name it.
    pub fn zone(&self, name: &str) -> Option<Zone> {
        let number = |property| self.fact(&format!("zone/{name}/{property}"));
        let seconds: i64 = number("offset")?.parse().ok()?;
        Some(Zone {
            offset: seconds.checked_mul(1000)?,
            next_change_at: number("next-change-at").and_then(|at| at.parse().ok()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        testing::{NOW, context},
        types::Attribute,
    };

    #[test]
    fn a_zone_is_read_from_its_facts() {
        let fact = |key: &str, value: &str| Attribute {
            key: key.to_owned(),
            value: value.to_owned(),
        };
        let mut context = context();
        context.facts = vec![
            fact("zone/America/New_York/offset", "-18000"),
            fact("zone/America/New_York/next-change-at", "1772953200000"),
            fact("zone/Asia/Kolkata/offset", "19800"),
        ];
        let hour = 3_600_000;
        let new_york = context.zone("America/New_York").expect("a zone");
        assert_eq!(new_york.next_change_at, Some(1_772_953_200_000));
        assert_eq!(new_york.time_of_day(NOW), 19 * hour);
        let kolkata = context.zone("Asia/Kolkata").expect("a zone");
        assert_eq!(kolkata.next_change_at, None);
        assert_eq!(kolkata.time_of_day(NOW), 5 * hour + hour / 2);
        assert_eq!(context.zone("Europe/Berlin"), None);
    }

    #[test]
    fn the_facts_of_a_zone_are_wanted() {
        let interests = Interests::none().with_zones(["Asia/Kolkata"]);
        assert_eq!(
            interests.facts,
            [
                "zone/Asia/Kolkata/offset",
                "zone/Asia/Kolkata/next-change-at"
            ]
        );
    }
}
