//! Rollback: which devices of a campaign get a rollback update.

use strum::{EnumDiscriminants, EnumString, IntoStaticStr};

use crate::{
    campaign::ROLLBACK_WEIGHT,
    id::{FirmwareId, UpdateId},
    plugin::RollbackScope,
    time::Timestamp,
    update::{Update, UpdateStatus},
    version::is_same,
};

/// An ended update of a campaign that is rolled back.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts of the update and its device"
)]
pub struct EndedUpdate<'a> {
    /// Final status.
    pub status: UpdateStatus,
    /// True if the device was to install the firmware, not only to download it.
    pub installs: bool,
    /// True if the device reported the installation, or installed an intermediate version before.
    pub installed_reported: bool,
    /// True if the device was in flight when it was cancelled, or when the campaign was rolled back, and turned out to have
    /// installed the firmware.
    pub was_in_flight: bool,
    /// Version of the update's firmware.
    pub to_version: &'a str,
    /// Version that the device reports now.
    pub reported_version: Option<&'a str>,
    /// Firmware of the device before the campaign, if the server has it.
    pub before: Option<FirmwareId>,
    /// True if the device is pinned.
    pub is_pinned: bool,
    /// An update that already rolls the device back.
    pub already_rolling_back: Option<UpdateId>,
}

/// State of a device when its campaign is rolled back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollbackPosition<'a> {
    /// The last update known to have installed the device's current firmware.
    pub installed: Option<UpdateId>,
    /// Version that the device reports.
    pub reported_version: Option<&'a str>,
    /// True if the device is pinned.
    pub is_pinned: bool,
    /// Updates of the device, including all open ones.
    pub updates: Vec<&'a Update>,
}

impl<'a> EndedUpdate<'a> {
    /// `None` if the update needs no rollback by its campaign: the device already had the firmware, or a later update
    /// replaced it. `since`: when the campaign was rolled back, if that is known.
    pub fn of(
        update: &'a Update,
        before: Option<FirmwareId>,
        since: Option<Timestamp>,
        device: &RollbackPosition<'a>,
    ) -> Option<Self> {
        let state = &update.state;
        let installs = state.options.update_type.installs();
        let already_had_it = before == Some(update.firmware);
        let installed_reported = state.installed_reported || !update.installed_before().is_empty();
        let superseded = installs
            && match device.installed {
                installed if state.status == UpdateStatus::Completed => {
                    installed != Some(update.id)
                }
                Some(installed) => installed_reported && installed > update.id,
                None => false,
            };
        let ended_since = since.is_some_and(|since| state.completed_at >= Some(since));
        let already_rolling_back = device
            .updates
            .iter()
            .find(|other| before.is_some_and(|before| rolls_back_to(other, before)));
        (!already_had_it && !superseded).then_some(Self {
            status: state.status,
            installs,
            installed_reported,
            was_in_flight: state.cancel_acknowledged || ended_since,
            to_version: &update.to_version,
            reported_version: device.reported_version,
            before,
            is_pinned: device.is_pinned,
            already_rolling_back: already_rolling_back.map(|other| other.id),
        })
    }
}

/// True if this open, non-cancelling update already rolls the device back to `before` with at least rollback
/// priority. A lighter one may wait for days.
fn rolls_back_to(update: &Update, before: FirmwareId) -> bool {
    let status = update.state.status;
    update.firmware == before
        && update.weight >= ROLLBACK_WEIGHT
        && status.is_open()
        && status != UpdateStatus::Cancelling
}

/// What a rollback does for one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumDiscriminants)]
#[strum_discriminants(
    name(RollbackActionName),
    doc = "Name of an action.",
    derive(IntoStaticStr, EnumString),
    strum(serialize_all = "snake_case")
)]
pub enum RollbackAction {
    /// Install this firmware.
    Install(FirmwareId),
    /// Nothing: the device does not run the campaign's version, or is outside the rollback's scope.
    NotNeeded,
    /// The device needs a rollback, but the server does not have its previous firmware.
    Impossible,
    /// The device needs a rollback, but is pinned.
    Pinned,
    /// Nothing: this update already rolls the device back.
    AlreadyRollingBack(UpdateId),
}

/// Decides what a rollback of this scope does for the device of an ended update.
pub fn rollback_action(ended: &EndedUpdate<'_>, scope: RollbackScope) -> RollbackAction {
    let runs_target = match ended.status {
        UpdateStatus::Completed if ended.installs => {
            scope == RollbackScope::Everything || ended.was_in_flight
        }
        UpdateStatus::Completed if scope != RollbackScope::Everything => false,
        // Without a completed installation the device counts as updated only if it reported the installation, or
        // reports the version now.
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
                was_in_flight: false,
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
            // Versions are compared as versions, not as text.
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
                was_in_flight: false,
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
    fn a_device_that_was_in_flight_is_rolled_back_in_any_scope() {
        for (was_in_flight, scope, expected) in [
            (false, RollbackScope::InFlight, RollbackAction::NotNeeded),
            (
                true,
                RollbackScope::InFlight,
                RollbackAction::Install(FirmwareId(1)),
            ),
            (
                true,
                RollbackScope::Everything,
                RollbackAction::Install(FirmwareId(1)),
            ),
        ] {
            let ended = EndedUpdate {
                status: UpdateStatus::Completed,
                installs: true,
                installed_reported: true,
                was_in_flight,
                to_version: "2.0.0",
                reported_version: Some("2.0.0"),
                before: Some(FirmwareId(1)),
                is_pinned: false,
                already_rolling_back: None,
            };
            assert_eq!(
                rollback_action(&ended, scope),
                expected,
                "{ended:?} {scope:?}"
            );
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
                was_in_flight: false,
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
            compatibility: None,
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
            let ended = EndedUpdate::of(&update, before, None, &position(installed));
            assert_eq!(
                ended.is_some(),
                is_kept,
                "{status:?} {before:?} {installed:?}"
            );
        }
    }

    #[test]
    fn an_update_that_ended_since_the_rollback_was_in_flight() {
        let mut update = update(5, FirmwareId(2), UpdateStatus::Completed);
        update.state.completed_at = Some(Timestamp(7));
        for (since, cancel_acknowledged, was_in_flight) in [
            (None, false, false),
            (None, true, true),
            (Some(Timestamp(6)), false, true),
            (Some(Timestamp(7)), false, true),
            (Some(Timestamp(8)), false, false),
            (Some(Timestamp(8)), true, true),
        ] {
            update.state.cancel_acknowledged = cancel_acknowledged;
            let position = position(Some(update.id));
            let ended = EndedUpdate::of(&update, Some(FirmwareId(1)), since, &position);
            let ended = ended.expect("an update of the campaign");
            assert_eq!(ended.was_in_flight, was_in_flight, "{since:?}");
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
            // A lighter update may wait for a confirmation, a window or a heavier update.
            (before, ROLLBACK_WEIGHT - 1, S::Offered, install),
            (FirmwareId(3), ROLLBACK_WEIGHT, S::Offered, install),
        ] {
            let mut other = update(6, firmware, status);
            other.weight = weight;
            let mut device = position(Some(forward.id));
            device.updates.push(&other);
            let decide = |device: &RollbackPosition<'_>, before| {
                let ended = EndedUpdate::of(&forward, before, None, device)
                    .expect("an update of the campaign");
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
