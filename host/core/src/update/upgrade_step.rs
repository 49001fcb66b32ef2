//! Steps of an upgrade path. Each version is an update of its own, and the next one takes the place of the one before, as a
//! retry does.

use super::{
    Attempt, CompatibilityBasis, EventError, IntermediateFirmware, NO_UPGRADE_PATH, Update,
    UpdateError, UpdateState, UpdateStatus, UpgradePath,
};
use crate::{id::FirmwareId, time::Timestamp};

impl Update {
    /// The path of which the update is an intermediate step.
    pub fn intermediate_of(&self) -> Option<&UpgradePath> {
        let path = self.compatibility.as_ref()?.path.as_ref()?;
        path.reason.is_some().then_some(path)
    }

    /// The firmware that the device is to get in the end.
    pub fn target(&self) -> (FirmwareId, &str) {
        let path = self.intermediate_of();
        path.map_or((self.firmware, &*self.to_version), |path| {
            (path.target, &*path.target_version)
        })
    }

    /// Puts the update before the target of its path: it installs the intermediate version instead.
    pub fn install_first(&mut self, next: &IntermediateFirmware) {
        let (target, target_version) = self.target();
        let path = UpgradePath {
            target,
            target_version: target_version.to_owned(),
            installed: self.installed_before().to_vec(),
            reason: Some(next.reason.clone()),
        };
        self.firmware = next.firmware;
        self.to_version.clone_from(&next.version);
        if let Some(basis) = &mut self.compatibility {
            basis.path = Some(path);
        }
    }

    /// Lets the update install the target of its path: the device needs no further intermediate version.
    pub fn install_target(&mut self) {
        let (target, target_version) = self.target();
        let target_version = target_version.to_owned();
        self.firmware = target;
        self.to_version = target_version;
        if let Some(basis) = &mut self.compatibility {
            basis.path = basis.path.take().filter(|path| !path.installed.is_empty());
            if let Some(path) = &mut basis.path {
                path.reason = None;
            }
        }
    }

    /// The intermediate versions that updates before this one installed, in order.
    pub fn installed_before(&self) -> &[String] {
        let basis = self.compatibility.as_ref();
        let path = basis.and_then(|basis| basis.path.as_ref());
        path.map_or(&[], |path| &path.installed)
    }

    /// The update that follows a completed intermediate step; `None`: it is none. It has no id yet. The policies are asked
    /// before it is offered, whatever the device reports.
    pub fn next_step(&self, at: Timestamp) -> Option<Self> {
        if self.state.status != UpdateStatus::Completed {
            return None;
        }
        let path = self.intermediate_of()?;
        let mut installed = path.installed.clone();
        installed.push(self.to_version.clone());
        let basis = self.compatibility.as_ref()?;
        let (criteria, options) = (self.state.success_criteria, self.state.options.clone());
        Some(Self {
            firmware: path.target,
            to_version: path.target_version.clone(),
            state: UpdateState::scheduled(criteria, options, at),
            created_at: at,
            attempt: Attempt::default(),
            compatibility: Some(CompatibilityBasis {
                accepted: None,
                rejected: None,
                path: Some(UpgradePath {
                    installed,
                    reason: None,
                    ..path.clone()
                }),
                ..basis.clone()
            }),
            ..self.clone()
        })
    }
}

impl UpdateState {
    /// Fails a scheduled update whose device cannot come to its firmware.
    pub(super) fn end_without_path(
        mut self,
        reason: &str,
        now: Timestamp,
    ) -> Result<Self, EventError> {
        if self.status != UpdateStatus::Scheduled {
            return Err(EventError::Closed);
        }
        self.error = Some(UpdateError {
            code: NO_UPGRADE_PATH.to_owned(),
            message: reason.to_owned(),
        });
        Ok(self.end(UpdateStatus::Failed, now))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{
        super::{
            MAX_INTERMEDIATE_VERSIONS, SuccessCriteria, UpdateEvent, UpdateOptions, UpdatePolicies,
        },
        *,
    };
    use crate::id::{DeviceKey, TenantId, UpdateId};

    const NOW: Timestamp = Timestamp(5_000_000);

    fn update() -> Update {
        let options = UpdateOptions::forced(Duration::from_mins(30));
        Update {
            id: UpdateId(7),
            tenant: TenantId(1),
            device: DeviceKey(1),
            firmware: FirmwareId(3),
            campaign: None,
            weight: 0,
            state: UpdateState::scheduled(SuccessCriteria::Reported, options, NOW),
            from_version: Some("1.0".to_owned()),
            to_version: "3.0".to_owned(),
            from_firmware: Some(FirmwareId(1)),
            created_at: NOW,
            attempt: Attempt::default(),
            compatibility: Some(CompatibilityBasis::unchecked(UpdatePolicies::Campaign)),
        }
    }

    fn firmware(version: &str) -> IntermediateFirmware {
        IntermediateFirmware {
            firmware: FirmwareId(2),
            version: version.to_owned(),
            reason: "acme/path: it converts the data.".to_owned(),
        }
    }

    fn completed(update: Update) -> Update {
        Update {
            state: update.state.end(UpdateStatus::Completed, NOW),
            ..update
        }
    }

    #[test]
    fn a_path_leads_over_each_version_to_the_target() {
        let mut step = update();
        assert_eq!(completed(step.clone()).next_step(NOW), None);
        step.install_first(&firmware("2.0"));
        assert_eq!(step.next_step(NOW), None, "it is not installed yet");
        let mut next = completed(step).next_step(NOW).expect("a next step");
        assert_eq!((next.firmware, &*next.to_version), (FirmwareId(3), "3.0"));
        assert_eq!(next.from_firmware, Some(FirmwareId(1)));
        assert_eq!(next.state.status, UpdateStatus::Scheduled);
        next.install_first(&firmware("2.5"));
        assert_eq!(next.target(), (FirmwareId(3), "3.0"));
        let mut last = completed(next).next_step(NOW).expect("a next step");
        last.install_target();
        assert_eq!(last.installed_before(), ["2.0", "2.5"]);
        assert_eq!(last.intermediate_of(), None);
        assert_eq!(completed(last).next_step(NOW), None);
    }

    #[test]
    fn a_step_that_is_not_needed_any_more_leaves_no_path() {
        let mut changed = update();
        changed.install_first(&firmware("2.0"));
        changed.install_target();
        assert_eq!(changed, update());
    }

    #[test]
    fn a_path_has_each_version_once_and_not_too_many() {
        let path = |installed: &[&str]| UpgradePath {
            target: FirmwareId(3),
            target_version: "3.0".to_owned(),
            installed: installed
                .iter()
                .map(|&version| version.to_owned())
                .collect(),
            reason: None,
        };
        assert_eq!(path(&["2.0"]).refuse(&firmware("2.5")), None);
        // Versions are compared as versions, not as text.
        let again = path(&["2.0", "2.5"]).refuse(&firmware("v2.0.0"));
        assert_eq!(
            again.as_deref(),
            Some(
                "policies need v2.0.0 before 3.0, but the device has installed it already (2.0, 2.5): acme/path: it \
                 converts the data. Correct the policy, then update the device again"
            )
        );
        let many: Vec<_> = (0..MAX_INTERMEDIATE_VERSIONS)
            .map(|n| format!("2.{n}"))
            .collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        assert_eq!(path(&many[1..]).refuse(&firmware("2.9")), None);
        let refused = path(&many).refuse(&firmware("2.9")).expect("a reason");
        assert!(
            refused.contains("after 8 intermediate versions"),
            "{refused}"
        );
    }

    #[test]
    fn only_a_scheduled_update_ends_without_a_path() {
        let event = UpdateEvent::NoUpgradePath("a loop".to_owned());
        let failed = update().state.after(&event, NOW).expect("an end");
        let error = failed.error.clone().expect("an error");
        assert_eq!(
            (failed.status, &*error.code),
            (UpdateStatus::Failed, NO_UPGRADE_PATH)
        );
        assert_eq!(failed.after(&event, NOW), Err(EventError::Closed));
    }
}
