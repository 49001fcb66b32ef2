//! Going back: which devices of a campaign need it.

use crate::{
    id::{FirmwareId, UpdateId},
    plugin::Scope,
    update::{Update, UpdateStatus},
    version::is_same,
};

/// What is known of an ended update of the campaign when it goes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended<'a> {
    /// How it ended.
    pub status: UpdateStatus,
    /// Whether its device was to install what it downloaded.
    pub installs: bool,
    /// Whether its device said that it installed it.
    pub went_over: bool,
    /// What it was to bring.
    pub to_version: &'a str,
    /// What the device reports now.
    pub reported_version: Option<&'a str>,
    /// The firmware that the device had before, where the server has it.
    pub before: Option<FirmwareId>,
    /// Whether the device is pinned.
    pub is_pinned: bool,
}

impl<'a> Ended<'a> {
    /// None: it is not this campaign's to take back, for the device had the firmware before, or a later update has brought
    /// something else. `installed` is the last update that is known to have installed what the device has.
    pub fn of(
        update: &'a Update,
        before: Option<FirmwareId>,
        installed: Option<UpdateId>,
        reported_version: Option<&'a str>,
        is_pinned: bool,
    ) -> Option<Self> {
        let progress = &update.progress;
        let installs = progress.terms.update_type.installs();
        let had_it = before == Some(update.firmware);
        let superseded = installs
            && match installed {
                _ if progress.status == UpdateStatus::Completed => installed != Some(update.id),
                Some(installed) => progress.went_over && installed > update.id,
                None => false,
            };
        (!had_it && !superseded).then_some(Self {
            status: progress.status,
            installs,
            went_over: progress.went_over,
            to_version: &update.to_version,
            reported_version,
            before,
            is_pinned,
        })
    }
}

/// What is to be done for a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Return {
    /// Bring back this firmware.
    To(FirmwareId),
    /// Nothing: it is not on the campaign's version, or the rollback does not reach it.
    NotNeeded,
    /// It should go back, and the server does not have what was there before.
    Impossible,
    /// It should go back, and stays: nothing new goes to a pinned device.
    Pinned,
}

/// What a rollback of this scope does for the device of an ended update.
pub fn after(ended: &Ended<'_>, scope: Scope) -> Return {
    let is_on_it = match ended.status {
        UpdateStatus::Completed if ended.installs => scope == Scope::Everything,
        UpdateStatus::Completed if scope != Scope::Everything => false,
        // Downloaded only, failed, silent, rejected or called back: it went over only if it says so itself, be it that it
        // said so before it fell silent.
        _ => {
            let reports_it = |reported: &str| is_same(reported, ended.to_version);
            ended.went_over || ended.reported_version.is_some_and(reports_it)
        }
    };
    match ended.before {
        _ if !is_on_it => Return::NotNeeded,
        _ if ended.is_pinned => Return::Pinned,
        Some(firmware) => Return::To(firmware),
        None => Return::Impossible,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_go_back_when_they_went_over() {
        use UpdateStatus as S;
        let before = Some(FirmwareId(1));
        for (status, reported, scope, before, expected) in [
            (
                S::Completed,
                "2.0.0",
                Scope::Everything,
                before,
                Return::To(FirmwareId(1)),
            ),
            (
                S::Completed,
                "1.0.0",
                Scope::Everything,
                before,
                Return::To(FirmwareId(1)),
            ),
            (
                S::Completed,
                "2.0.0",
                Scope::InFlight,
                before,
                Return::NotNeeded,
            ),
            (
                S::Completed,
                "2.0.0",
                Scope::Everything,
                None,
                Return::Impossible,
            ),
            (
                S::Failed,
                "1.0.0",
                Scope::Everything,
                before,
                Return::NotNeeded,
            ),
            (
                S::Cancelled,
                "2.0.0",
                Scope::InFlight,
                before,
                Return::To(FirmwareId(1)),
            ),
            (
                S::TimedOut,
                "2.0.0",
                Scope::InFlight,
                None,
                Return::Impossible,
            ),
        ] {
            let ended = Ended {
                status,
                installs: true,
                went_over: false,
                to_version: "2.0.0",
                reported_version: Some(reported),
                before,
                is_pinned: false,
            };
            assert_eq!(
                after(&ended, scope),
                expected,
                "{status:?} {reported} {scope:?}"
            );
            let pinned = match expected {
                Return::NotNeeded => Return::NotNeeded,
                _ => Return::Pinned,
            };
            let ended = Ended {
                is_pinned: true,
                ..ended
            };
            assert_eq!(after(&ended, scope), pinned, "pinned {status:?}");
        }
    }

    #[test]
    fn a_device_that_said_so_went_over_whatever_it_reports() {
        let before = Some(FirmwareId(1));
        let back = Return::To(FirmwareId(1));
        for (went_over, reported, before, pinned, expected) in [
            (true, Some("1.0.0"), before, false, back),
            (true, None, before, false, back),
            (true, None, None, false, Return::Impossible),
            (true, None, before, true, Return::Pinned),
            (false, None, before, false, Return::NotNeeded),
            // Versions compare as versions.
            (false, Some("v2.0"), before, false, back),
            (false, Some("2.0.0-rc.1"), before, false, Return::NotNeeded),
        ] {
            let ended = Ended {
                status: UpdateStatus::TimedOut,
                installs: true,
                went_over,
                to_version: "2.0.0",
                reported_version: reported,
                before,
                is_pinned: pinned,
            };
            for scope in [Scope::Everything, Scope::InFlight] {
                assert_eq!(after(&ended, scope), expected, "{ended:?}");
            }
        }
    }

    #[test]
    fn what_was_only_downloaded_is_not_taken_back() {
        let before = Some(FirmwareId(1));
        for (reported, scope, expected) in [
            ("1.0.0", Scope::Everything, Return::NotNeeded),
            ("2.0.0", Scope::Everything, Return::To(FirmwareId(1))),
            ("2.0.0", Scope::InFlight, Return::NotNeeded),
        ] {
            let ended = Ended {
                status: UpdateStatus::Completed,
                installs: false,
                went_over: false,
                to_version: "2.0.0",
                reported_version: Some(reported),
                before,
                is_pinned: false,
            };
            assert_eq!(after(&ended, scope), expected, "{reported} {scope:?}");
        }
    }

    #[test]
    fn only_what_the_campaign_brought_is_its_to_take_back() {
        use crate::{
            id::{DeviceKey, TenantId},
            time::Timestamp,
            update::{Progress, Proof, Terms, Try},
        };
        let minute = std::time::Duration::from_mins(1);
        let with = |status, went_over| Update {
            id: UpdateId(5),
            tenant: TenantId(1),
            device: DeviceKey(1),
            firmware: FirmwareId(2),
            campaign: None,
            weight: 0,
            progress: Progress {
                status,
                went_over,
                ..Progress::offered(Proof::Reported, Terms::forced(minute), Timestamp(0))
            },
            from_version: None,
            to_version: "2.0.0".to_owned(),
            from_firmware: None,
            created_at: Timestamp(0),
            attempt: Try::default(),
        };
        let (had, other) = (Some(FirmwareId(2)), Some(FirmwareId(1)));
        let at = |id| Some(UpdateId(id));
        for (status, went_over, before, installed, is_its_own) in [
            (UpdateStatus::Completed, true, other, at(5), true),
            (UpdateStatus::Completed, true, had, at(5), false),
            (UpdateStatus::Completed, true, other, at(6), false),
            (UpdateStatus::Completed, true, None, None, false),
            (UpdateStatus::TimedOut, true, other, at(6), false),
            (UpdateStatus::TimedOut, true, other, at(4), true),
            (UpdateStatus::TimedOut, false, other, at(6), true),
            (UpdateStatus::TimedOut, true, None, None, true),
        ] {
            let update = with(status, went_over);
            let ended = Ended::of(&update, before, installed, None, false);
            assert_eq!(
                ended.is_some(),
                is_its_own,
                "{status:?} {before:?} {installed:?}"
            );
        }
    }
}
