//! Going back: which devices of a campaign need it.

use crate::{id::FirmwareId, plugin::Scope, update::UpdateStatus};

/// What is known of an ended update of the campaign when it goes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended<'a> {
    /// How it ended.
    pub status: UpdateStatus,
    /// Whether its device was to install what it downloaded.
    pub installs: bool,
    /// What it was to bring.
    pub to_version: &'a str,
    /// What the device reports now.
    pub reported_version: Option<&'a str>,
    /// The firmware that the device had before, where the server has it.
    pub before: Option<FirmwareId>,
    /// Whether the device is pinned.
    pub is_pinned: bool,
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
        // Downloaded only, failed, silent, rejected or called back: it went over only if it says so itself.
        _ => ended.reported_version == Some(ended.to_version),
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
                to_version: "2.0.0",
                reported_version: Some(reported),
                before,
                is_pinned: false,
            };
            assert_eq!(after(&ended, scope), expected, "{reported} {scope:?}");
        }
    }
}
