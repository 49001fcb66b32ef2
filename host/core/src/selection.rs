//! Resolves a plan to waves of devices.

use std::collections::{HashMap, HashSet};

use crate::{
    id::DeviceKey,
    plugin::{Members, Plan, UNASSIGNED},
};

/// A device that a campaign selected and that is compatible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Row id.
    pub key: DeviceKey,
    /// Device id.
    pub device_id: String,
    /// Sort key in the campaign's stable order.
    pub order_key: u64,
}

/// Wave members that cannot be derived from the plan and the candidates.
#[derive(Debug, Default)]
pub struct MembershipInput {
    /// For each wave with a selector, by index: the devices that match.
    pub selected: HashMap<usize, HashSet<DeviceKey>>,
    /// Output of `assign`: the wave of each candidate; empty without `custom` waves.
    pub assigned: Vec<u32>,
}

/// Sorts candidates into the campaign's stable order.
pub fn sort_candidates(candidates: &mut [Candidate]) {
    candidates
        .sort_unstable_by(|a, b| (a.order_key, &a.device_id).cmp(&(b.order_key, &b.device_id)));
}

/// The devices of each wave, in the order in which they are released.
///
/// Candidates must be in the stable order. Waves choose one after the other from the devices that are left. Devices
/// that no wave chooses are not part of the campaign.
pub fn resolve(
    plan: &Plan,
    candidates: &[Candidate],
    answers: &MembershipInput,
) -> Vec<Vec<DeviceKey>> {
    let mut left: Vec<usize> = (0..candidates.len()).collect();
    let mut shares = ShareSizes::new(candidates.len() as u64);
    let mut waves = Vec::with_capacity(plan.waves.len());
    for (index, wave) in plan.waves.iter().enumerate() {
        let taken: Vec<usize> = match &wave.members {
            Members::Count(count) => take_first(&mut left, *count),
            Members::Share(share) => take_first(&mut left, shares.next_size(*share)),
            Members::Rest => std::mem::take(&mut left),
            Members::Selector(_) => {
                let selected = answers.selected.get(&index);
                take_if(&mut left, |at| {
                    selected.is_some_and(|keys| keys.contains(&candidates[at].key))
                })
            }
            Members::Devices(ids) => {
                let ids: HashSet<&str> = ids.iter().map(String::as_str).collect();
                take_if(&mut left, |at| {
                    ids.contains(candidates[at].device_id.as_str())
                })
            }
            Members::Custom => take_if(&mut left, |at| {
                let wave = answers.assigned.get(at).copied().unwrap_or(UNASSIGNED);
                usize::try_from(wave) == Ok(index) && wave != UNASSIGNED
            }),
        };
        waves.push(taken.into_iter().map(|at| candidates[at].key).collect());
    }
    waves
}

/// Sizes of the waves that are shares, in the plan's order.
///
/// The sum of the shares is rounded up, not each share: the waves together exceed their percentage by less than one
/// device, however many there are. The first share above zero is at least one device; a later one may be none.
struct ShareSizes {
    /// All candidates.
    total: u64,
    /// Sum of the shares so far, in basis points.
    basis_points: u64,
    /// Devices of the shares so far.
    end: u64,
}

impl ShareSizes {
    fn new(total: u64) -> Self {
        Self {
            total,
            basis_points: 0,
            end: 0,
        }
    }

    /// The size of the next wave that is a share, as long as so many devices are left.
    fn next_size(&mut self, basis_points: u16) -> u64 {
        self.basis_points += u64::from(basis_points);
        let exact = u128::from(self.total) * u128::from(self.basis_points);
        let end = u64::try_from(exact.div_ceil(10_000)).unwrap_or(u64::MAX);
        let size = end - self.end;
        self.end = end;
        size
    }
}

fn take_first(left: &mut Vec<usize>, count: u64) -> Vec<usize> {
    let count = usize::try_from(count).unwrap_or(usize::MAX).min(left.len());
    left.drain(..count).collect()
}

fn take_if(left: &mut Vec<usize>, matches_predicate: impl Fn(usize) -> bool) -> Vec<usize> {
    left.extract_if(.., |at| matches_predicate(*at)).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;
    use crate::plugin::PlannedWave;

    fn candidates_named(count: i64) -> Vec<Candidate> {
        (0..count)
            .map(|n| Candidate {
                key: DeviceKey(n),
                device_id: format!("device-{n}"),
                order_key: n.unsigned_abs(),
            })
            .collect()
    }

    fn wave_sizes(members: Vec<Members>, answers: &MembershipInput) -> Vec<usize> {
        let waves = waves_of(members, &candidates_named(10), answers);
        waves.iter().map(Vec::len).collect()
    }

    fn waves_of(
        members: Vec<Members>,
        candidates: &[Candidate],
        answers: &MembershipInput,
    ) -> Vec<Vec<DeviceKey>> {
        let waves = members
            .into_iter()
            .map(|members| PlannedWave {
                name: String::new(),
                members,
            })
            .collect();
        let plan = Plan {
            waves,
            parallel: false,
            dynamic: false,
        };
        resolve(&plan, candidates, answers)
    }

    /// Sizes of waves that are shares of this many devices, in basis points.
    fn share_sizes(total: u64, shares: &[u16]) -> Vec<u64> {
        let mut sizes = ShareSizes::new(total);
        shares.iter().map(|share| sizes.next_size(*share)).collect()
    }

    #[test]
    fn waves_take_from_the_devices_left_by_earlier_waves() {
        let none = MembershipInput::default();
        assert_eq!(
            wave_sizes(
                vec![Members::Share(1), Members::Share(5000), Members::Rest],
                &none
            ),
            [1, 5, 4]
        );
        assert_eq!(
            wave_sizes(
                vec![Members::Count(7), Members::Count(7), Members::Rest],
                &none
            ),
            [7, 3, 0]
        );
        let named = Members::Devices(vec![
            "device-3".into(),
            "device-3".into(),
            "stranger".into(),
        ]);
        assert_eq!(wave_sizes(vec![named, Members::Rest], &none), [1, 9]);
    }

    #[test]
    fn the_sum_of_shares_is_rounded_and_not_each_share() {
        for (total, shares, expected) in [
            (3, &[1000, 1500, 2500][..], &[1, 0, 1][..]),
            (15, &[1000; 5], &[2, 1, 2, 1, 2]),
            (1, &[1, 1, 9998], &[1, 0, 0]),
            (10, &[0, 1, 0, 999, 1], &[0, 1, 0, 0, 1]),
            (10, &[1000, 2000, 7000], &[1, 2, 7]),
            (10, &[6000, 6000], &[6, 6]),
            (0, &[5000, 5000], &[0, 0]),
            (u64::MAX, &[10_000, 10_000], &[u64::MAX, 0]),
        ] {
            assert_eq!(share_sizes(total, shares), expected, "{total} {shares:?}");
        }
        let of_101: u64 = share_sizes(101, &[100; 50]).iter().sum();
        assert_eq!(of_101, 51);
    }

    #[test]
    fn shares_count_the_devices_of_shares_alone() {
        let selected = [(1, (2..6).map(DeviceKey).collect())].into();
        let answers = MembershipInput {
            selected,
            assigned: Vec::new(),
        };
        let members = vec![
            Members::Share(1500),
            Members::Selector("state==in_sync".into()),
            Members::Share(500),
            Members::Count(1),
            Members::Share(500),
            Members::Rest,
        ];
        assert_eq!(wave_sizes(members, &answers), [2, 4, 0, 1, 1, 2]);
    }

    proptest! {
        #[test]
        fn every_wave_of_shares_ends_at_the_rounded_sum(
            total in 0_usize..=10_000,
            members in prop::collection::vec(members(), 1..60),
            ends_with_rest in any::<bool>(),
        ) {
            let candidates = candidates();
            let selected = (0..members.len()).map(|wave| (wave, selected_by(wave))).collect();
            let answers = MembershipInput { selected, assigned: Vec::new() };
            let rest = ends_with_rest.then_some(Members::Rest);
            let members: Vec<Members> = members.into_iter().chain(rest).collect();
            let waves = waves_of(members.clone(), &candidates[..total], &answers);

            let mut taken = HashSet::new();
            let (mut sum, mut of_shares, mut has_share) = (0_u128, 0_u128, false);
            for (index, (members, wave)) in members.iter().zip(&waves).enumerate() {
                let had_devices_left = taken.len() < total;
                for key in wave {
                    prop_assert!(taken.insert(*key), "{key:?} is in two waves");
                }
                let has_devices_left = taken.len() < total;
                match members {
                    Members::Share(share) => {
                        sum += u128::from(*share);
                        of_shares += wave.len() as u128;
                        let exact = total as u128 * sum;
                        // Exceeds the exact share by less than a device.
                        prop_assert!(of_shares * 10_000 < exact + 10_000);
                        if has_devices_left {
                            prop_assert!(of_shares * 10_000 >= exact);
                        }
                        let is_first = !has_share && *share > 0;
                        has_share |= is_first;
                        prop_assert!(!(is_first && had_devices_left && wave.is_empty()));
                    }
                    Members::Count(count) => {
                        prop_assert!(!has_devices_left || wave.len() as u64 == *count);
                    }
                    Members::Selector(_) => {
                        let selected = &answers.selected[&index];
                        prop_assert!(wave.iter().all(|key| selected.contains(key)));
                    }
                    _ => prop_assert!(!has_devices_left),
                }
            }
        }

        #[test]
        fn shares_of_a_hundred_percent_are_all_devices(
            total in 0_u64..=10_000,
            cuts in prop::collection::btree_set(0_u16..10_000, 0..60),
        ) {
            // Cumulative percentages, as strategies turn them into shares.
            let mut below = 0;
            let mut shares = Vec::new();
            for end in cuts.into_iter().chain([10_000]) {
                shares.push(end - below);
                below = end;
            }
            prop_assert_eq!(share_sizes(total, &shares).iter().sum::<u64>(), total);
        }
    }

    fn members() -> impl Strategy<Value = Members> {
        prop_oneof![
            4 => (0_u16..=1000).prop_map(Members::Share),
            1 => (0_u16..=10_000).prop_map(Members::Share),
            1 => (0_u64..500).prop_map(Members::Count),
            1 => Just(Members::Selector("state==in_sync".into())),
        ]
    }

    /// Ten thousand candidates, made once for all cases.
    fn candidates() -> &'static [Candidate] {
        static CANDIDATES: LazyLock<Vec<Candidate>> = LazyLock::new(|| candidates_named(10_000));
        &CANDIDATES
    }

    /// Every 97th device, another set for each wave.
    fn selected_by(wave: usize) -> HashSet<DeviceKey> {
        let first = i64::try_from(wave % 97).expect("less than 97");
        (first..10_000).step_by(97).map(DeviceKey).collect()
    }

    #[test]
    fn no_device_is_taken_twice() {
        let selected = [(
            0,
            HashSet::from([DeviceKey(1), DeviceKey(2), DeviceKey(99)]),
        )]
        .into();
        let answers = MembershipInput {
            selected,
            assigned: vec![1, 1, 1, 7, UNASSIGNED],
        };
        let members = vec![
            Members::Selector("state==in_sync".into()),
            Members::Custom,
            Members::Rest,
        ];
        assert_eq!(wave_sizes(members, &answers), [2, 1, 7]);
    }
}
