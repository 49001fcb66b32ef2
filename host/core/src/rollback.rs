//! Going back: which devices of a campaign need it.

use crate::{
    campaign::RETURN_WEIGHT,
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
    /// The update that brings it back already, if one does.
    pub under_way: Option<UpdateId>,
}

/// How a device stands when its campaign goes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing<'a> {
    /// The last update that is known to have installed what the device has.
    pub installed: Option<UpdateId>,
    /// The version that it reports.
    pub reported_version: Option<&'a str>,
    /// Whether it is pinned.
    pub is_pinned: bool,
    /// Its updates, all open ones among them.
    pub updates: Vec<&'a Update>,
}

impl<'a> Ended<'a> {
    /// None: it is not this campaign's to take back, for the device had the firmware before, or a later update has brought
    /// something else.
    pub fn of(
        update: &'a Update,
        before: Option<FirmwareId>,
        device: &Standing<'a>,
    ) -> Option<Self> {
        let progress = &update.progress;
        let installs = progress.terms.update_type.installs();
        let had_it = before == Some(update.firmware);
        let superseded = installs
            && match device.installed {
                installed if progress.status == UpdateStatus::Completed => {
                    installed != Some(update.id)
                }
                Some(installed) => progress.went_over && installed > update.id,
                None => false,
            };
        let under_way = device
            .updates
            .iter()
            .find(|other| before.is_some_and(|before| brings_back(other, before)));
        (!had_it && !superseded).then_some(Self {
            status: progress.status,
            installs,
            went_over: progress.went_over,
            to_version: &update.to_version,
            reported_version: device.reported_version,
            before,
            is_pinned: device.is_pinned,
            under_way: under_way.map(|other| other.id),
        })
    }
}

/// Whether this update, of whomever, is as good as the campaign's own way back to the firmware: as heavy, for what is
/// lighter may wait for days, and not called back.
fn brings_back(update: &Update, before: FirmwareId) -> bool {
    let status = update.progress.status;
    update.firmware == before
        && update.weight >= RETURN_WEIGHT
        && status.is_open()
        && status != UpdateStatus::Cancelling
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
    /// Nothing: this update brings it back, and one way back is enough.
    UnderWay(UpdateId),
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
    match (ended.before, ended.under_way) {
        _ if !is_on_it => Return::NotNeeded,
        (_, Some(update)) => Return::UnderWay(update),
        _ if ended.is_pinned => Return::Pinned,
        (Some(firmware), None) => Return::To(firmware),
        (None, None) => Return::Impossible,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        id::{DeviceKey, TenantId},
        time::Timestamp,
        update::{Progress, Proof, Terms, Try},
    };

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
                under_way: None,
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
                under_way: None,
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
                under_way: None,
            };
            assert_eq!(after(&ended, scope), expected, "{reported} {scope:?}");
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
            weight: RETURN_WEIGHT,
            progress: Progress {
                status,
                went_over: true,
                ..Progress::offered(Proof::Reported, Terms::forced(minute), Timestamp(0))
            },
            from_version: None,
            to_version: "2.0.0".to_owned(),
            from_firmware: None,
            created_at: Timestamp(0),
            attempt: Try::default(),
        }
    }

    fn standing(installed: Option<UpdateId>) -> Standing<'static> {
        Standing {
            installed,
            reported_version: None,
            is_pinned: false,
            updates: Vec::new(),
        }
    }

    #[test]
    fn only_what_the_campaign_brought_is_its_to_take_back() {
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
            let mut update = update(5, FirmwareId(2), status);
            update.progress.went_over = went_over;
            let ended = Ended::of(&update, before, &standing(installed));
            assert_eq!(
                ended.is_some(),
                is_its_own,
                "{status:?} {before:?} {installed:?}"
            );
        }
    }

    #[test]
    fn one_way_back_is_enough() {
        use UpdateStatus as S;
        let before = FirmwareId(1);
        let forward = update(5, FirmwareId(2), S::Completed);
        let (back, under_way) = (Return::To(before), Return::UnderWay(UpdateId(6)));
        for (firmware, weight, status, expected) in [
            (before, RETURN_WEIGHT, S::Offered, under_way),
            (before, RETURN_WEIGHT, S::Installing, under_way),
            (before, RETURN_WEIGHT, S::Verifying, under_way),
            (before, RETURN_WEIGHT, S::Cancelling, back),
            (before, RETURN_WEIGHT, S::Failed, back),
            // Its device may be asked, or its window closed, or something else goes before it.
            (before, RETURN_WEIGHT - 1, S::Offered, back),
            (FirmwareId(3), RETURN_WEIGHT, S::Offered, back),
        ] {
            let mut other = update(6, firmware, status);
            other.weight = weight;
            let mut device = standing(Some(forward.id));
            device.updates.push(&other);
            let decide = |device: &Standing<'_>, before| {
                let ended = Ended::of(&forward, before, device).expect("it is the campaign's");
                after(&ended, Scope::Everything)
            };
            assert_eq!(decide(&device, Some(before)), expected, "{other:?}");
            assert_eq!(decide(&device, None), Return::Impossible, "{other:?}");
            device.is_pinned = true;
            let pinned = match expected {
                Return::UnderWay(_) => expected,
                _ => Return::Pinned,
            };
            assert_eq!(decide(&device, Some(before)), pinned, "pinned {other:?}");
        }
    }
}
