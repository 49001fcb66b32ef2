use std::cmp::Reverse;

use super::activity::ConnectionPhase;

/// How soon a connection is closed to make room: the lowest rank first. Connections whose request is being answered have
/// none, and neither have those whose client has only just stopped reading: downloads pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum EvictionRank {
    /// A head that is late: most clients send theirs at once.
    LateHead { since: u64 },
    /// An idle connection: its client opens a new one when it needs one.
    Idle { since: u64 },
    /// A client that reads nothing of its responses.
    Stalled { since: u64 },
    /// A request that is being received, of the address with the most of them first.
    Incomplete {
        of_address: Reverse<usize>,
        since: u64,
    },
}

impl EvictionRank {
    /// The rank of a connection whose address has `of_address` incomplete requests. What began after `late` is not late.
    pub(super) fn of(phase: ConnectionPhase, of_address: usize, late: u64) -> Option<Self> {
        let of_address = Reverse(of_address);
        match phase {
            ConnectionPhase::Busy => None,
            ConnectionPhase::Idle { since } => Some(Self::Idle { since }),
            ConnectionPhase::Stalled { since } => (since < late).then_some(Self::Stalled { since }),
            ConnectionPhase::Head { since } if since < late => Some(Self::LateHead { since }),
            ConnectionPhase::Head { since } | ConnectionPhase::Body { since } => {
                Some(Self::Incomplete { of_address, since })
            }
        }
    }
}

/// The `count` items with the lowest ranks.
pub(super) fn lowest<T>(
    mut ranked: Vec<(EvictionRank, T)>,
    count: usize,
) -> Vec<(EvictionRank, T)> {
    if (1..ranked.len()).contains(&count) {
        ranked.select_nth_unstable_by_key(count - 1, |(rank, _)| *rank);
    }
    ranked.truncate(count);
    ranked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_heads_go_first_then_idle_and_stalled_connections_then_the_oldest_of_the_largest_address()
     {
        let now = [
            (
                "slow upload of a quiet address",
                ConnectionPhase::Body { since: 1 },
                1,
            ),
            ("idle for long", ConnectionPhase::Idle { since: 10 }, 0),
            ("slow upload", ConnectionPhase::Body { since: 20 }, 500),
            (
                "half a head, early",
                ConnectionPhase::Head { since: 30 },
                500,
            ),
            ("answered now", ConnectionPhase::Busy, 0),
            ("reads nothing", ConnectionPhase::Stalled { since: 45 }, 0),
            ("reads slowly", ConnectionPhase::Stalled { since: 70 }, 0),
            (
                "reads nothing, of many",
                ConnectionPhase::Stalled { since: 35 },
                500,
            ),
            ("half a head", ConnectionPhase::Head { since: 40 }, 1),
            ("idle", ConnectionPhase::Idle { since: 60 }, 0),
            ("opened, of many", ConnectionPhase::Head { since: 80 }, 500),
            ("opened", ConnectionPhase::Head { since: 90 }, 1),
        ];
        let ranked = || {
            now.iter()
                .filter_map(|&(name, phase, of)| Some((EvictionRank::of(phase, of, 50)?, name)))
                .collect::<Vec<_>>()
        };
        let order = [
            "half a head, early",
            "half a head",
            "idle for long",
            "idle",
            "reads nothing, of many",
            "reads nothing",
            "slow upload",
            "opened, of many",
            "slow upload of a quiet address",
            "opened",
        ];
        for count in 0..=order.len() + 1 {
            let mut names: Vec<_> = lowest(ranked(), count);
            names.sort_unstable();
            let names: Vec<_> = names.into_iter().map(|(_, name)| name).collect();
            assert_eq!(names, order[..count.min(order.len())]);
        }
    }
}
