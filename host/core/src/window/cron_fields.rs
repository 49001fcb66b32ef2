//! The fields of a cron schedule: ranges that go round, and errors that name the field.

use std::borrow::Cow;

/// A field of a schedule.
pub(super) struct CronField {
    /// Name for error messages.
    name: &'static str,
    first: u32,
    last: u32,
    /// The greatest number that is accepted: in Unix, Sunday is also 7.
    greatest: u32,
    /// Names of the values, from the first on.
    words: &'static [&'static str],
    /// What is valid, for error messages.
    expected: &'static str,
    /// True if the value after the last is the first.
    is_cyclic: bool,
}

const MONTHS: &[&str] = &[
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const WEEKDAYS: &[&str] = &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

const SECOND: CronField = CronField::of("second", 0, 59, "0 to 59");
const MINUTE: CronField = CronField::of("minute", 0, 59, "0 to 59");
const HOUR: CronField = CronField::of("hour", 0, 23, "0 to 23");
const DAY: CronField = CronField::of("day of the month", 1, 31, "1 to 31, or L");
const MONTH: CronField = CronField {
    words: MONTHS,
    ..CronField::of("month", 1, 12, "1 to 12, or JAN to DEC")
};
const UNIX_WEEKDAY: CronField = CronField {
    words: WEEKDAYS,
    greatest: 7,
    ..CronField::of("weekday", 0, 6, "0 to 7, or SUN to SAT")
};
const QUARTZ_WEEKDAY: CronField = CronField {
    words: WEEKDAYS,
    ..CronField::of("weekday", 1, 7, "1 to 7, or SUN to SAT")
};
const YEAR: CronField = CronField {
    is_cyclic: false,
    ..CronField::of("year", 1, 5000, "1 to 5000")
};

const UNIX: &[CronField] = &[MINUTE, HOUR, DAY, MONTH, UNIX_WEEKDAY];
const QUARTZ: &[CronField] = &[SECOND, MINUTE, HOUR, DAY, MONTH, QUARTZ_WEEKDAY, YEAR];

/// The fields of a schedule with this many: Unix has five, Quartz six or seven.
pub(super) fn fields_of(count: usize) -> Option<&'static [CronField]> {
    match count {
        5 => Some(UNIX),
        6 | 7 => Some(&QUARTZ[..count]),
        _ => None,
    }
}

impl CronField {
    const fn of(name: &'static str, first: u32, last: u32, expected: &'static str) -> Self {
        Self {
            name,
            first,
            last,
            greatest: last,
            words: &[],
            expected,
            is_cyclic: true,
        }
    }

    /// The error for a text that is not valid in this field.
    pub(super) fn invalid(&self, text: &str) -> String {
        format!(
            "`{text}` is not a valid {}: must be {}, `*`, or a list, range or step of these",
            self.name, self.expected
        )
    }

    /// Writes ranges that go round, such as `FRI-MON`, as lists of their values.
    pub(super) fn unrolled<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let items: Vec<_> = text
            .split(',')
            .map(|item| self.unrolled_item(item))
            .collect();
        if items.iter().any(|item| matches!(item, Cow::Owned(_))) {
            items.join(",").into()
        } else {
            text.into()
        }
    }

    fn unrolled_item<'a>(&self, item: &'a str) -> Cow<'a, str> {
        let unrolled = || {
            let (range, step) = match item.split_once('/') {
                Some((range, step)) => (range, step.parse().ok().filter(|step| *step > 0)?),
                None => (item, 1),
            };
            let (from, to) = range.split_once('-')?;
            let (from, to) = (self.value(from)?, self.value(to)?);
            // Others are left to the parser of cron.
            (self.is_cyclic && from > to).then(|| {
                let values = (from..=to + self.length()).step_by(step);
                let values = values.map(|value| {
                    let value = if value > self.last {
                        value - self.length()
                    } else {
                        value
                    };
                    value.to_string()
                });
                values.collect::<Vec<_>>().join(",")
            })
        };
        unrolled().map_or(item.into(), Cow::Owned)
    }

    fn length(&self) -> u32 {
        self.last - self.first + 1
    }

    fn value(&self, text: &str) -> Option<u32> {
        let mut words = self.words.iter();
        if let Some(index) = words.position(|word| word.eq_ignore_ascii_case(text)) {
            return Some(self.first + index as u32);
        }
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        let number: u32 = text.parse().ok().filter(|_| is_number)?;
        let is_valid = (self.first..=self.greatest).contains(&number);
        is_valid.then_some(number)
    }
}
