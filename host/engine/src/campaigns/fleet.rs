use std::{collections::BTreeMap, mem};

use tidegate_core::{
    campaign::Campaign,
    order,
    plugin::{Census, DeviceClass, GroupSize, UNASSIGNED},
    selection::Candidate,
};

use crate::ports::{ClassVerdict, SelectedDevice};

/// The compatible devices in the campaign's stable order, with parallel columns for plugins.
pub(super) struct Fleet {
    pub(super) candidates: Vec<Candidate>,
    /// Index of each candidate's class in `classes`.
    pub(super) class: Vec<u32>,
    /// Index of each candidate's first group in `groups`.
    pub(super) group: Vec<u32>,
    pub(super) classes: Vec<DeviceClass>,
    pub(super) groups: Vec<GroupSize>,
}

impl Fleet {
    pub(super) fn new(
        campaign: &Campaign,
        mut selected: Vec<SelectedDevice>,
        class_of: &[u32],
        verdicts: &[ClassVerdict],
        compatible: Vec<usize>,
    ) -> Self {
        let seed = order::seed(campaign.id);
        let mut rows: Vec<(u64, usize)> = compatible
            .into_iter()
            .map(|at| (order::order_key(seed, &selected[at].device_id), at))
            .collect();
        rows.sort_unstable_by(|a, b| {
            (a.0, &selected[a.1].device_id).cmp(&(b.0, &selected[b.1].device_id))
        });

        let mut new_index = vec![u32::MAX; verdicts.len()];
        let mut classes = Vec::new();
        for (old, verdict) in verdicts
            .iter()
            .enumerate()
            .filter(|(_, verdict)| verdict.excluded.is_none())
        {
            new_index[old] = classes.len() as u32;
            classes.push(DeviceClass {
                key: verdict.key.clone(),
                devices: verdict.devices,
            });
        }
        let groups = group_sizes(rows.iter().map(|(_, at)| &selected[*at]));
        let group_index = |device: &SelectedDevice| {
            let first = device.groups.first()?;
            let index = groups
                .binary_search_by(|group| group.name.as_str().cmp(first))
                .ok()?;
            u32::try_from(index).ok()
        };
        let class = rows.iter().map(|(_, at)| new_index[class_of[*at] as usize]);
        let group = rows.iter().map(|(_, at)| &selected[*at]);
        let group = group.map(|device| group_index(device).unwrap_or(UNASSIGNED));
        let (class, group) = (class.collect(), group.collect());
        let candidates = rows.into_iter().map(|(order_key, at)| Candidate {
            key: selected[at].key,
            device_id: mem::take(&mut selected[at].device_id),
            order_key,
        });
        Self {
            class,
            group,
            candidates: candidates.collect(),
            classes,
            groups,
        }
    }

    pub(super) fn census(&self) -> Census {
        Census {
            devices: self.candidates.len() as u64,
            groups: self.groups.clone(),
            classes: self.classes.clone(),
        }
    }
}

fn group_sizes<'a>(devices: impl Iterator<Item = &'a SelectedDevice>) -> Vec<GroupSize> {
    let mut sizes: BTreeMap<&str, u64> = BTreeMap::new();
    for group in devices.flat_map(|device| &device.groups) {
        *sizes.entry(&**group).or_default() += 1;
    }
    sizes
        .into_iter()
        .map(|(name, devices)| GroupSize {
            name: name.to_owned(),
            devices,
        })
        .collect()
}
