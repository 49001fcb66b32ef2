use std::collections::BTreeMap;

use tidegate_core::plugin::{ClassKey, DeviceClass};

use crate::ports::SelectedDevice;

pub(crate) struct DevicesByClass<P> {
    /// The classes with their parts, ordered by part and key.
    pub(crate) classes: Vec<(P, DeviceClass)>,
    /// Index of each device's class.
    pub(crate) class_of: Vec<u32>,
}

/// Sorts devices into classes. Devices of different parts are in different classes.
pub(crate) fn classify<P: Ord + Copy>(
    devices: &[SelectedDevice],
    part: impl Fn(&SelectedDevice) -> P,
) -> DevicesByClass<P> {
    let mut sizes: BTreeMap<(P, &ClassKey), (u64, u32)> = BTreeMap::new();
    for device in devices {
        sizes.entry((part(device), &*device.class)).or_default().0 += 1;
    }
    for (index, size) in sizes.values_mut().enumerate() {
        size.1 = index as u32;
    }
    let class_of = devices
        .iter()
        .map(|device| sizes[&(part(device), &*device.class)].1)
        .collect();
    let classes = sizes.into_iter().map(|((part, key), (devices, _))| {
        let key = key.clone();
        (part, DeviceClass { key, devices })
    });
    DevicesByClass {
        classes: classes.collect(),
        class_of,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tidegate_core::{id::DeviceKey, mode::DeviceMode};

    use super::*;

    fn device(key: i64, mode: DeviceMode, version: &str) -> SelectedDevice {
        SelectedDevice {
            key: DeviceKey(key),
            device_id: format!("d-{key}"),
            mode,
            groups: Vec::new(),
            class: Arc::new(ClassKey {
                version: Some(version.to_owned()),
                ..ClassKey::default()
            }),
        }
    }

    #[test]
    fn classes_are_ordered_by_part_and_key_and_count_their_devices() {
        let devices = [
            device(1, DeviceMode::Rollout, "2"),
            device(2, DeviceMode::Manual, "1"),
            device(3, DeviceMode::Rollout, "1"),
            device(4, DeviceMode::Rollout, "2"),
        ];
        let is_manual = |device: &SelectedDevice| device.mode == DeviceMode::Manual;
        let classified = classify(&devices, is_manual);
        let classes: Vec<_> = classified
            .classes
            .iter()
            .map(|(part, class)| (*part, class.key.version.as_deref(), class.devices))
            .collect();
        let expected = [
            (false, Some("1"), 1),
            (false, Some("2"), 2),
            (true, Some("1"), 1),
        ];
        assert_eq!(classes, expected);
        assert_eq!(classified.class_of, [1, 2, 0, 1]);
    }
}
