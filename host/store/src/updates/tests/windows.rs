use std::{sync::Arc, time::Duration};

use tidegate_core::{
    feedback::{Execution, Finished},
    update::{SuccessCriteria, UpdateEvent, UpdateOptions, UpdateStatus},
    window::{MaintenanceWindow, WindowSpec},
};
use tidegate_engine::ports::{Runs as _, Updates as _};

use super::*;
use crate::test_fixture::TIMEOUT;

const HOUR: i64 = 60 * 60;

/// A window from 14:00 to 15:00, two hours after the fixture's start.
fn afternoon(prefetch: bool) -> UpdateOptions {
    let window = MaintenanceWindow::new(WindowSpec {
        schedule: "0 14 * * *".to_owned(),
        duration: Duration::from_hours(1),
        timezone: "UTC".to_owned(),
        prefetch,
    });
    UpdateOptions {
        window: Some(Arc::new(window.expect("a good window"))),
        ..UpdateOptions::forced(TIMEOUT)
    }
}

on_both! {
    async fn a_window_is_stored_with_campaign_and_update(store) {
        let options = afternoon(true);
        let fixture = StoreFixture::with_options(store, &[2], SuccessCriteria::Reported, options.clone()).await?;
        fixture.release(&[2]).await?;
        assert_eq!(fixture.read_run().await?.campaign.spec.options, options);
        let state = fixture.latest_update(fixture.devices[0]).await?.update.state;
        assert_eq!(state.options, options);
        assert_eq!(state.timeout_at, later(3 * HOUR), "the timeout starts when the window opens");
        assert!(store.expire_updates(later(2 * HOUR), 9).await?.is_empty(), "waiting for the window does not time out");

        let mut shared = Vec::new();
        for device in ["d-0", "d-1"] {
            let view = store.poll_view(store.ours, device).await?.context("the device")?;
            shared.push(view.open.context("it is open")?.window.clone().context("it has one")?);
        }
        assert!(Arc::ptr_eq(&shared[0], &shared[1]), "one shared value");
        assert_eq!(store.expire_updates(later(3 * HOUR), 9).await?.len(), 2);
    }

    async fn prefetched_updates_are_recorded_as_downloaded(store) {
        let fixture = StoreFixture::with_options(store, &[1], SuccessCriteria::Reported, afternoon(true)).await?;
        fixture.release(&[1]).await?;
        let key = fixture.devices[0];
        let done = UpdateEvent::Feedback(feedback(Execution::Closed, Finished::Success, "done"));
        for (at, event, status, changes_update) in [
            (1, &UpdateEvent::Retrieved, UpdateStatus::Downloading, true),
            (2, &done, UpdateStatus::Installing, true),
            (3, &done, UpdateStatus::Installing, false),
            (2 * HOUR, &done, UpdateStatus::Completed, true),
            (2 * HOUR + 1, &done, UpdateStatus::Completed, false),
        ] {
            let recorded = fixture.record_event(key, event.clone(), later(at)).await??;
            assert_eq!(recorded.changes_update, changes_update, "at {at}");
            assert_eq!(fixture.status_of(key).await?, status, "at {at}");
            assert_eq!(store.poll_view(store.ours, "d-0").await?, Some(recorded.view));
        }
        let update = fixture.latest_update(key).await?.update.id;
        let stored = store.history(store.ours, update, 10).await?;
        let words: Vec<_> = stored.iter().map(|row| row.feedback.execution).collect();
        assert_eq!(words, [Execution::Closed, Execution::Downloaded]);
        let run = fixture.read_run().await?;
        let counts = run.waves[0].report.counts;
        assert_eq!((counts.completed, counts.total()), (1, 1));
        let durations = (run.durations.count, run.durations.p95.as_secs());
        assert_eq!(durations, (1, 0), "waiting does not count as duration");
    }
}
