//! What calls use of their limits, for people and as JSON.

use serde_json::{Value, json};
use tidegate_sandbox::GoldenRun;

/// The use of a limit, in percent.
pub(super) fn percent(used: u64, limit: u64) -> f64 {
    100.0 * used as f64 / limit.max(1) as f64
}

/// A number of bytes in the largest unit that it fills.
pub(super) fn bytes(bytes: u64) -> String {
    const UNITS: [(u64, &str); 2] = [(1 << 20, "MiB"), (1 << 10, "KiB")];
    match UNITS.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) if bytes.is_multiple_of(unit) => format!("{} {name}", bytes / unit),
        Some((unit, name)) => format!("{:.1} {name}", bytes as f64 / unit as f64),
        None => format!("{bytes} bytes"),
    }
}

/// A number with separators between thousands.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

pub(super) fn bytes_of(used: u64, limit: u64) -> String {
    let percent = percent(used, limit);
    format!("{} of {} ({percent:.1} %)", bytes(used), bytes(limit))
}

pub(super) fn count_of(used: u64, limit: u64) -> String {
    let percent = percent(used, limit);
    format!("{} of {} ({percent:.1} %)", count(used), count(limit))
}

/// What a call used, beside its limits.
pub(super) fn of_call(run: &GoldenRun) -> Value {
    json!({
        "fuel": run.fuel,
        "fuel_limit": run.fuel_limit,
        "peak_memory": run.peak_memory,
        "memory_limit": run.memory_limit,
        "duration_us": micros(run.duration),
        "deadline_us": micros(run.deadline),
    })
}

pub(super) fn micros(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// A time in milliseconds, or in seconds from one second on.
pub(super) fn time(micros: u64) -> String {
    let millis = micros as f64 / 1000.0;
    if millis < 1000.0 {
        format!("{millis:.2} ms")
    } else {
        format!("{:.2} s", millis / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(
            [0, 999, 1000, 50_000_000].map(count),
            ["0", "999", "1,000", "50,000,000"]
        );
        assert_eq!(
            [17, 1024, 1536, 64 << 20, (1 << 20) + (1 << 19)].map(bytes),
            ["17 bytes", "1 KiB", "1.5 KiB", "64 MiB", "1.5 MiB"]
        );
        assert_eq!(count_of(1_250, 50_000), "1,250 of 50,000 (2.5 %)");
        assert_eq!(bytes_of(1 << 20, 64 << 20), "1 MiB of 64 MiB (1.6 %)");
        assert_eq!([1_234, 5_000_000].map(time), ["1.23 ms", "5.00 s"]);
    }
}
