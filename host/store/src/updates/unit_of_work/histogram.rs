use std::time::Duration;

use tidegate_core::measurement::Durations;

/// Steps within each doubling: a percentile is at most an eighth too long.
const STEPS: u32 = 8;

/// The bucket of a duration. Buckets ascend with the durations.
pub(crate) fn bucket(duration: Duration) -> i64 {
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if ms < u64::from(STEPS) {
        return ms as i64;
    }
    let octave = ms.ilog2() - STEPS.ilog2();
    let apply_event = (ms >> octave) as u32 - STEPS;
    i64::from((octave + 1) * STEPS + apply_event)
}

/// The longest duration in a bucket.
fn longest(bucket: i64) -> Duration {
    let bucket = u32::try_from(bucket).unwrap_or(0);
    if bucket < STEPS {
        return Duration::from_millis(u64::from(bucket));
    }
    let octave = bucket / STEPS - 1;
    let next = u128::from(STEPS + bucket % STEPS + 1) << octave;
    Duration::from_millis(u64::try_from(next - 1).unwrap_or(u64::MAX))
}

/// Median and 95th percentile of a histogram that is ordered by bucket.
pub(crate) fn durations(histogram: &[(i64, u64)]) -> Durations {
    let count: u64 = histogram.iter().map(|(_, updates)| updates).sum();
    let at = |percent: u64| {
        let rank = (count * percent).div_ceil(100).max(1);
        let mut below = 0;
        histogram
            .iter()
            .find(|(_, updates)| {
                below += updates;
                below >= rank
            })
            .map_or(Duration::ZERO, |(bucket, _)| longest(*bucket))
    };
    Durations {
        count,
        p50: at(50),
        p95: at(95),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_ascend_without_gaps_and_hold_what_they_count() {
        let mut before = -1;
        for ms in 0..100_000 {
            let duration = Duration::from_millis(ms);
            let at = bucket(duration);
            assert!(at == before || at == before + 1, "{ms} ms");
            let longest = longest(at);
            assert!(longest >= duration && longest.as_millis() * 8 <= u128::from(ms) * 9);
            before = at;
        }
        assert_eq!(
            longest(bucket(Duration::MAX)),
            Duration::from_millis(u64::MAX)
        );
    }

    #[test]
    fn percentiles_are_ranks() {
        assert_eq!(durations(&[]), Durations::default());
        let of = |ms: &[u64]| {
            let mut histogram = std::collections::BTreeMap::new();
            for ms in ms {
                *histogram
                    .entry(bucket(Duration::from_millis(*ms)))
                    .or_default() += 1;
            }
            let found = durations(&histogram.into_iter().collect::<Vec<_>>());
            (found.count, found.p50.as_millis(), found.p95.as_millis())
        };
        assert_eq!(of(&[5]), (1, 5, 5));
        assert_eq!(of(&[1, 2, 3, 4]), (4, 2, 4));
        assert_eq!(of(&[&[1; 95][..], &[7; 5]].concat()), (100, 1, 1));
        assert_eq!(of(&[&[1; 94][..], &[7; 6]].concat()), (100, 1, 7));
    }
}
