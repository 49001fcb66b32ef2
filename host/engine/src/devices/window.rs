//! Applies maintenance windows to polls, in memory and without parsing.

use tidegate_core::{time::Timestamp, window::WindowState};

use crate::ports::{DeviceUpdate, PollView};

/// Hides an update that may not be fetched outside its window; also returns when the window opens, if the device waits
/// for it.
pub(super) fn apply_window(mut view: PollView, now: Timestamp) -> (PollView, Option<Timestamp>) {
    let Some((may_prefetch, opens_at)) =
        view.open.as_ref().and_then(|open| closed_window(open, now))
    else {
        return (view, None);
    };
    if !may_prefetch {
        view.open = None;
    }
    (view, opens_at)
}

/// Whether the update may not be fetched, because its window is closed.
pub(super) fn is_hidden(update: &DeviceUpdate, now: Timestamp) -> bool {
    closed_window(update, now).is_some_and(|(may_prefetch, _)| !may_prefetch)
}

/// For an update whose window is closed: whether prefetching is allowed, and when the window opens.
fn closed_window(open: &DeviceUpdate, now: Timestamp) -> Option<(bool, Option<Timestamp>)> {
    let window = open.window.as_ref()?;
    if !open.status.waits_for_window() {
        return None;
    }
    match window.state(now) {
        WindowState::Open { .. } => None,
        WindowState::Closed { opens_at } => Some((window.prefetches(), opens_at)),
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use tidegate_core::{
        id::{DeviceKey, FirmwareId, UpdateId},
        update::{UpdateStatus, UpdateType},
        window::{MaintenanceWindow, WindowSpec},
    };

    use super::*;

    const DAY: i64 = 24 * 60 * 60 * 1000;
    const OPEN: Timestamp = Timestamp(DAY);
    const CLOSED: Timestamp = Timestamp(DAY - 1);

    /// The first hour of each day.
    fn view(prefetch: bool, status: UpdateStatus) -> PollView {
        let window = MaintenanceWindow::new(WindowSpec {
            schedule: "0 0 * * *".to_owned(),
            duration: Duration::from_hours(1),
            timezone: "UTC".to_owned(),
            prefetch,
        });
        PollView {
            device: DeviceKey(1),
            token_sha256: None,
            old_token: None,
            wants_attributes: false,
            is_unseen: false,
            open: Some(Arc::new(DeviceUpdate {
                id: UpdateId(8),
                status,
                refusal: None,
                revision: i32::MAX,
                firmware: FirmwareId(9),
                update_type: UpdateType::Forced,
                window: Some(Arc::new(window.expect("a valid window"))),
            })),
            installed: None,
            polling_seconds: None,
        }
    }

    #[test]
    fn updates_outside_their_window_are_hidden() {
        use UpdateStatus as S;
        for (prefetch, status, now, is_shown, awaited) in [
            (false, S::Offered, CLOSED, false, Some(OPEN)),
            (false, S::Installing, CLOSED, false, Some(OPEN)),
            (false, S::Offered, OPEN, true, None),
            (true, S::Downloading, CLOSED, true, Some(OPEN)),
            (true, S::Downloading, OPEN, true, None),
            // Cancellations and confirmation requests ignore windows.
            (false, S::Cancelling, CLOSED, true, None),
            (false, S::WaitingConfirmation, CLOSED, true, None),
        ] {
            let (visible, opening) = apply_window(view(prefetch, status), now);
            let expected = (is_shown, awaited);
            assert_eq!((visible.open.is_some(), opening), expected, "{status:?}");
        }
    }

    #[test]
    fn the_content_revision_changes_when_the_window_opens() {
        let open = view(true, UpdateStatus::Offered).open.expect("an update");
        assert_ne!(open.content_revision(CLOSED), open.content_revision(OPEN));
        let later = Timestamp(2 * DAY);
        assert_eq!(open.content_revision(later), open.content_revision(OPEN));
    }
}
