//! Going back: which devices of a campaign need it.

use crate::{
    campaign::ROLLBACK_WEIGHT,
    id::{FirmwareId, UpdateId},
    plugin::RollbackScope,
    update::{Update, UpdateStatus},
    version::is_same,
};

/// What is known of an ended update of the campaign when it goes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedUpdate<'a> {
    /// How it ended.
    pub status: UpdateStatus,
    /// Whether its device was to install what it downloaded.
    pub installs: bool,
    /// Whether its device said that it installed it.
    pub installed_reported: bool,
    /// What it was to bring.
    pub to_version: &'a str,
    /// What the device reports now.
    pub reported_version: Option<&'a str>,
    /// The firmware that the device had before, where the server has it.
    pub before: Option<FirmwareId>,
    /// Whether the device is pinned.
    pub is_pinned: bool,
    /// The update that brings it back already, if one does.
    pub already_rolling_back: Option<UpdateId>,
}

/// How a device stands when its campaign goes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollbackPosition<'a> {
    /// The last update that is known to have installed what the device has.
    pub installed: Option<UpdateId>,
    /// The version that it reports.
    pub reported_version: Option<&'a str>,
    /// Whether it is pinned.
    pub is_pinned: bool,
    /// Its updates, all open ones among them.
    pub updates: Vec<&'a Update>,
}

impl<'a> EndedUpdate<'a> {
    /// None: it is not this campaign's to take back, for the device had the firmware before, or a later update has brought
    /// something else.
    pub fn of(
        update: &'a Update,
        before: Option<FirmwareId>,
        device: &RollbackPosition<'a>,
    ) -> Option<Self> {
        let state = &update.state;
        let installs = state.options.update_type.installs();
        let already_had_it = before == Some(update.firmware);
        let superseded = installs
            && match device.installed {
                installed if state.status == UpdateStatus::Completed => {
                    installed != Some(update.id)
                }
                Some(installed) => state.installed_reported && installed > update.id,
                None => false,
            };
        let already_rolling_back = device
            .updates
            .iter()
            .find(|other| before.is_some_and(|before| rolls_back_to(other, before)));
        (!already_had_it && !superseded).then_some(Self {
            status: state.status,
            installs,
            installed_reported: state.installed_reported,
            to_version: &update.to_version,
            reported_version: device.reported_version,
            before,
            is_pinned: device.is_pinned,
            already_rolling_back: already_rolling_back.map(|other| other.id),
        })
    }
}

/// Whether this update, of whomever, is as good as the campaign's own way back to the firmware: as heavy, for what is
/// lighter may wait for days, and not called back.
fn rolls_back_to(update: &Update, before: FirmwareId) -> bool {
    let status = update.state.status;
    update.firmware == before
        && update.weight >= ROLLBACK_WEIGHT
        && status.is_open()
        && status != UpdateStatus::Cancelling
}

/// What is to be done for a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RollbackAction {
    /// Bring back this firmware.
    Install(FirmwareId),
    /// Nothing: it is not on the campaign's version, or the rollback does not reach it.
    NotNeeded,
    /// It should go back, and the server does not have what was there before.
    Impossible,
    /// It should go back, and stays: nothing new goes to a pinned device.
    Pinned,
    /// Nothing: this update brings it back, and one way back is enough.
    AlreadyRollingBack(UpdateId),
}

/// What a rollback of this scope does for the device of an ended update.
pub fn rollback_action(ended: &EndedUpdate<'_>, scope: RollbackScope) -> RollbackAction {
    let runs_target = match ended.status {
        UpdateStatus::Completed if ended.installs => scope == RollbackScope::Everything,
        UpdateStatus::Completed if scope != RollbackScope::Everything => false,
        // Downloaded only, failed, silent, rejected or called back: it went over only if it says so itself, be it that it
        // said so before it fell silent.
        _ => {
            let reports_target = |reported: &str| is_same(reported, ended.to_version);
            ended.installed_reported || ended.reported_version.is_some_and(reports_target)
        }
    };
    match (ended.before, ended.already_rolling_back) {
        _ if !runs_target => RollbackAction::NotNeeded,
        (_, Some(update)) => RollbackAction::AlreadyRollingBack(update),
        _ if ended.is_pinned => RollbackAction::Pinned,
        (Some(firmware), None) => RollbackAction::Install(firmware),
        (None, None) => RollbackAction::Impossible,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        id::{DeviceKey, TenantId},
        time::Timestamp,
        update::{Attempt, SuccessCriteria, UpdateOptions, UpdateState},
    };

    #[test]
    fn devices_on_the_new_version_are_rolled_back() {
        use UpdateStatus as S;
        let before = Some(FirmwareId(1));
        for (status, reported, scope, before, expected) in [
            (
                S::Completed,
                "2.0.0",
                RollbackScope::Everything,
                before,
                RollbackAction::Install(FirmwareId(1)),
            ),
            (
                S::Completed,
                "1.0.0",
                RollbackScope::Everything,
                before,
                RollbackAction::Install(FirmwareId(1)),
            ),
            (
                S::Completed,
                "2.0.0",
                RollbackScope::InFlight,
                before,
                RollbackAction::NotNeeded,
            ),
            (
                S::Completed,
                "2.0.0",
                RollbackScope::Everything,
                None,
                RollbackAction::Impossible,
            ),
            (
                S::Failed,
                "1.0.0",
                RollbackScope::Everything,
                before,
                RollbackAction::NotNeeded,
            ),
            (
                S::Cancelled,
                "2.0.0",
                RollbackScope::InFlight,
                before,
                RollbackAction::Install(FirmwareId(1)),
            ),
            (
                S::TimedOut,
                "2.0.0",
                RollbackScope::InFlight,
                None,
                RollbackAction::Impossible,
            ),
        ] {
            let ended = EndedUpdate {
                status,
                installs: true,
                installed_reported: false,
                to_version: "2.0.0",
                reported_version: Some(reported),
                before,
                is_pinned: false,
                already_rolling_back: None,
            };
            assert_eq!(
                rollback_action(&ended, scope),
                expected,
                "{status:?} {reported} {scope:?}"
            );
            let pinned = match expected {
                RollbackAction::NotNeeded => RollbackAction::NotNeeded,
                _ => RollbackAction::Pinned,
            };
            let ended = EndedUpdate {
                is_pinned: true,
                ..ended
            };
            assert_eq!(rollback_action(&ended, scope), pinned, "pinned {status:?}");
        }
    }

    #[test]
    fn a_reported_installation_is_rolled_back_whatever_the_version() {
        let before = Some(FirmwareId(1));
        let install = RollbackAction::Install(FirmwareId(1));
        for (installed_reported, reported, before, pinned, expected) in [
            (true, Some("1.0.0"), before, false, install),
            (true, None, before, false, install),
            (true, None, None, false, RollbackAction::Impossible),
            (true, None, before, true, RollbackAction::Pinned),
            (false, None, before, false, RollbackAction::NotNeeded),
            // Versions compare as versions.
            (false, Some("v2.0"), before, false, install),
            (
                false,
                Some("2.0.0-rc.1"),
                before,
                false,
                RollbackAction::NotNeeded,
            ),
        ] {
            let ended = EndedUpdate {
                status: UpdateStatus::TimedOut,
                installs: true,
                installed_reported,
                to_version: "2.0.0",
                reported_version: reported,
                before,
                is_pinned: pinned,
                already_rolling_back: None,
            };
            for scope in [RollbackScope::Everything, RollbackScope::InFlight] {
                assert_eq!(rollback_action(&ended, scope), expected, "{ended:?}");
            }
        }
    }

    #[test]
    fn download_only_updates_are_not_rolled_back() {
        let before = Some(FirmwareId(1));
        for (reported, scope, expected) in [
            (
                "1.0.0",
                RollbackScope::Everything,
                RollbackAction::NotNeeded,
            ),
            (
                "2.0.0",
                RollbackScope::Everything,
                RollbackAction::Install(FirmwareId(1)),
            ),
            ("2.0.0", RollbackScope::InFlight, RollbackAction::NotNeeded),
        ] {
            let ended = EndedUpdate {
                status: UpdateStatus::Completed,
                installs: false,
                installed_reported: false,
                to_version: "2.0.0",
                reported_version: Some(reported),
                before,
                is_pinned: false,
                already_rolling_back: None,
            };
            assert_eq!(
                rollback_action(&ended, scope),
                expected,
                "{reported} {scope:?}"
            );
        }
    }

    fn update(id: i32, firmware: FirmwareId, status: UpdateStatus) -> Update {
        let minute = std::time::Duration::from_mins(1);
        Update {
            id: UpdateId(id),
            tenant: TenantId(1),
            device: DeviceKey(1),
            firmware,
            campaign: None,
            weight: ROLLBACK_WEIGHT,
            state: UpdateState {
                status,
                installed_reported: true,
                ..UpdateState::offered(
                    SuccessCriteria::Reported,
                    UpdateOptions::forced(minute),
                    Timestamp(0),
                )
            },
            from_version: None,
            to_version: "2.0.0".to_owned(),
            from_firmware: None,
            created_at: Timestamp(0),
            attempt: Attempt::default(),
        }
    }

    fn position(installed: Option<UpdateId>) -> RollbackPosition<'static> {
        RollbackPosition {
            installed,
            reported_version: None,
            is_pinned: false,
            updates: Vec::new(),
        }
    }

    #[test]
    fn only_updates_of_the_campaign_are_rolled_back() {
        let (had, other) = (Some(FirmwareId(2)), Some(FirmwareId(1)));
        let at = |id| Some(UpdateId(id));
        for (status, installed_reported, before, installed, is_kept) in [
            (UpdateStatus::Completed, true, other, at(5), true),
            (UpdateStatus::Completed, true, had, at(5), false),
            (UpdateStatus::Completed, true, other, at(6), false),
            (UpdateStatus::Completed, true, None, None, false),
            (UpdateStatus::TimedOut, true, other, at(6), false),
            (UpdateStatus::TimedOut, true, other, at(4), true),
            (UpdateStatus::TimedOut, false, other, at(6), true),
            (UpdateStatus::TimedOut, true, None, None, true),
        ] {
            let mut update = update(5, FirmwareId(2), status);
            update.state.installed_reported = installed_reported;
            let ended = EndedUpdate::of(&update, before, &position(installed));
            assert_eq!(
                ended.is_some(),
                is_kept,
                "{status:?} {before:?} {installed:?}"
            );
        }
    }

    #[test]
    fn a_device_already_rolling_back_gets_no_second_rollback() {
        use UpdateStatus as S;
        let before = FirmwareId(1);
        let forward = update(5, FirmwareId(2), S::Completed);
        let (install, already_rolling_back) = (
            RollbackAction::Install(before),
            RollbackAction::AlreadyRollingBack(UpdateId(6)),
        );
        for (firmware, weight, status, expected) in [
            (before, ROLLBACK_WEIGHT, S::Offered, already_rolling_back),
            (before, ROLLBACK_WEIGHT, S::Installing, already_rolling_back),
            (before, ROLLBACK_WEIGHT, S::Verifying, already_rolling_back),
            (before, ROLLBACK_WEIGHT, S::Cancelling, install),
            (before, ROLLBACK_WEIGHT, S::Failed, install),
            // Its device may be asked, or its window closed, or something else goes before it.
            (before, ROLLBACK_WEIGHT - 1, S::Offered, install),
            (FirmwareId(3), ROLLBACK_WEIGHT, S::Offered, install),
        ] {
            let mut other = update(6, firmware, status);
            other.weight = weight;
            let mut device = position(Some(forward.id));
            device.updates.push(&other);
            let decide = |device: &RollbackPosition<'_>, before| {
                let ended =
                    EndedUpdate::of(&forward, before, device).expect("it is the campaign's");
                rollback_action(&ended, RollbackScope::Everything)
            };
            assert_eq!(decide(&device, Some(before)), expected, "{other:?}");
            assert_eq!(
                decide(&device, None),
                RollbackAction::Impossible,
                "{other:?}"
            );
            device.is_pinned = true;
            let pinned = match expected {
                RollbackAction::AlreadyRollingBack(_) => expected,
                _ => RollbackAction::Pinned,
            };
            assert_eq!(decide(&device, Some(before)), pinned, "pinned {other:?}");
        }
    }
}
