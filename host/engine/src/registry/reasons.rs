use tidegate_core::{
    device::{Device, DeviceState},
    mode::DeviceMode,
    version_changes::MAX_VERSION_CHANGES_PER_HOUR,
};

/// Explains, in sentences, which of a device's settings affect its updates in every campaign.
pub fn reasons(device: &Device) -> Vec<String> {
    let mut reasons = vec![
        match device.mode {
            DeviceMode::Rollout => "its mode is rollout: campaigns assign its firmware",
            DeviceMode::Latest => {
                "its mode is latest: it gets the newest compatible firmware, and campaigns skip it"
            }
            DeviceMode::Manual => {
                "its mode is manual: only operators assign its firmware, and campaigns skip it"
            }
        }
        .to_owned(),
    ];
    if device.pinned {
        let open = match device.open_update {
            Some(id) => format!("; its open update {id} continues"),
            None => String::new(),
        };
        reasons.push(format!("it is pinned: it gets no new updates{open}"));
    }
    if device.state == DeviceState::Overdue {
        let reason = "it is overdue: it has not polled for longer than the tenant's `overdue_after`; updates wait for it";
        reasons.push(reason.to_owned());
    }
    if let Some(feed) = &device.feed {
        reasons.push(format!("it follows the feed {feed}"));
    }
    if let Some(drift) = &device.drift {
        let reported = device.sw_version.as_deref().unwrap_or("no version");
        reasons.push(format!(
            "it has drifted: its last update installed {}, but it reports {reported}; drift is not corrected automatically",
            drift.expected
        ));
    }
    if let Some(until) = device.unstable_version_until {
        reasons.push(format!(
            "its version is unstable: it changed more than {MAX_VERSION_CHANGES_PER_HOUR} times in an hour, and statistics \
             count it with the version before, until {until} if it does so no longer"
        ));
    }
    reasons
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tidegate_core::{
        device::Drift,
        id::{DeviceKey, TenantId, UpdateId},
        time::Timestamp,
    };

    use super::*;

    #[test]
    fn every_reason_is_listed() {
        let device = Device {
            key: DeviceKey(1),
            tenant: TenantId(1),
            device_id: "a".to_owned(),
            name: "a".to_owned(),
            attributes: BTreeMap::new(),
            hw_model: None,
            hw_revision: None,
            sw_version: Some("1.0.0".to_owned()),
            unstable_version_until: Some(Timestamp(7_200_000)),
            groups: Vec::new(),
            feed: Some("beta".to_owned()),
            labels: BTreeMap::new(),
            mode: DeviceMode::Manual,
            pinned: true,
            state: DeviceState::Overdue,
            last_seen: None,
            address: None,
            created_at: Timestamp(0),
            installed_firmware: None,
            drift: Some(Drift {
                expected: "2.0.0".to_owned(),
                since: Timestamp(0),
            }),
            open_update: Some(UpdateId(7)),
            polling_interval: None,
            auto_confirm: None,
        };
        assert_eq!(
            reasons(&device),
            [
                "its mode is manual: only operators assign its firmware, and campaigns skip it",
                "it is pinned: it gets no new updates; its open update 7 continues",
                "it is overdue: it has not polled for longer than the tenant's `overdue_after`; updates wait for it",
                "it follows the feed beta",
                "it has drifted: its last update installed 2.0.0, but it reports 1.0.0; drift is not corrected automatically",
                "its version is unstable: it changed more than 60 times in an hour, and statistics count it with the \
                 version before, until 1970-01-01T02:00:00Z if it does so no longer",
            ]
        );
    }
}
