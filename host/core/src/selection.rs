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
    pub assigned: Vec<u16>,
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
    let total = candidates.len() as u64;
    let mut waves = Vec::with_capacity(plan.waves.len());
    for (index, wave) in plan.waves.iter().enumerate() {
        let taken: Vec<usize> = match &wave.members {
            Members::Count(count) => take_first(&mut left, *count),
            Members::Share(share) => take_first(&mut left, share_of(total, *share)),
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
                wave != UNASSIGNED && usize::from(wave) == index
            }),
        };
        waves.push(taken.into_iter().map(|at| candidates[at].key).collect());
    }
    waves
}

fn share_of(total: u64, basis_points: u16) -> u64 {
    // Rounded up, so that a share above zero is at least one device.
    u64::try_from((u128::from(total) * u128::from(basis_points)).div_ceil(10_000)).unwrap_or(total)
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
        resolve(&plan, &candidates_named(10), answers)
            .iter()
            .map(Vec::len)
            .collect()
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
