use std::time::Duration;

use tidegate_core::{
    device::AutoConfirm,
    feedback::{Execution, Finished},
    update::{
        Confirmation, EventError, OnDenied, SuccessCriteria, Timeouts, UpdateEvent, UpdateOptions,
        UpdateStatus, UpdateType,
    },
};
use tidegate_engine::ports::{Devices as _, Runs as _, Updates as _};

use super::*;
use crate::test_fixture::TIMEOUT;

fn options(on_denied: OnDenied) -> UpdateOptions {
    UpdateOptions {
        confirmation: Some(Confirmation {
            on_denied,
            timeout: Duration::from_hours(5),
        }),
        ..UpdateOptions::forced(TIMEOUT)
    }
}

fn answer(execution: Execution) -> UpdateEvent {
    UpdateEvent::ConfirmationFeedback(feedback(execution, Finished::None, "said"))
}

fn auto_confirm(at: i64) -> AutoConfirm {
    AutoConfirm {
        initiator: Some("the \"owner\"".to_owned()),
        remark: None,
        activated_at: later(at),
    }
}

on_both! {
    async fn options_are_stored_with_campaign_and_update(store) {
        let options = UpdateOptions {
            update_type: UpdateType::TimeForced(later(9)),
            timeouts: Timeouts {
                update: TIMEOUT,
                download: Some(Duration::from_mins(7)),
                install: Some(Duration::from_mins(8)),
            },
            ..options(OnDenied::Reject)
        };
        let fixture = StoreFixture::with_options(store, &[1], SuccessCriteria::Reported, options.clone()).await?;
        fixture.release(&[1]).await?;
        assert_eq!(fixture.read_run().await?.campaign.spec.options, options);
        let progress = fixture.latest_update(fixture.devices[0]).await?.update.state;
        assert_eq!(progress.options, options);
        assert_eq!(progress.timeout_at, NOON.plus(Duration::from_hours(5)));
        let view = store.poll_view(store.ours, "d-0").await?.context("the device")?;
        let open = view.open.context("it is open")?;
        assert_eq!(open.status, UpdateStatus::WaitingConfirmation);
        assert_eq!(open.update_type.forced_at(), Some(later(9)));
        assert_eq!(open.content_revision(later(8)), 0);
        assert_ne!(open.content_revision(later(9)), 0);
        let counts = fixture.read_run().await?.waves[0].report.counts;
        assert_eq!((counts.offered, counts.in_flight()), (1, 1));
    }

    async fn repeated_confirmations_take_effect_each_time(store) {
        let fixture = StoreFixture::with_options(store, &[1], SuccessCriteria::Reported, options(OnDenied::OfferAgain)).await?;
        fixture.release(&[1]).await?;
        let key = fixture.devices[0];
        let (yes, no) = (answer(Execution::Confirmed), answer(Execution::Denied));
        for (at, event, status, changes_update) in [
            (1, &no, UpdateStatus::WaitingConfirmation, false),
            (2, &no, UpdateStatus::WaitingConfirmation, false),
            (3, &yes, UpdateStatus::Offered, true),
            (4, &yes, UpdateStatus::Offered, false),
            (5, &no, UpdateStatus::WaitingConfirmation, true),
            (6, &yes, UpdateStatus::Offered, true),
            (7, &UpdateEvent::Retrieved, UpdateStatus::Downloading, true),
            (8, &no, UpdateStatus::WaitingConfirmation, true),
        ] {
            let recorded = fixture.record_event(key, event.clone(), later(at)).await??;
            assert_eq!(recorded.changes_update, changes_update, "at {at}");
            assert_eq!(fixture.status_of(key).await?, status, "at {at}");
            assert_eq!(store.poll_view(store.ours, "d-0").await?, Some(recorded.view));
            let counts = fixture.read_run().await?.waves[0].report.counts;
            assert_eq!(counts.total(), 1, "at {at}: {counts:?}");
        }
        let counts = fixture.read_run().await?.waves[0].report.counts;
        assert_eq!((counts.offered, counts.in_progress), (1, 0));
        let update = fixture.latest_update(key).await?.update.id;
        let history = store.history(store.ours, update, 10).await?;
        let words: Vec<_> = history.iter().map(|row| row.feedback.execution).collect();
        assert_eq!(words, [Execution::Confirmed, Execution::Denied], "each is stored once");
    }

    async fn an_update_that_waits_for_confirmation_accepts_no_feedback_and_times_out(store) {
        let fixture = StoreFixture::with_options(store, &[1], SuccessCriteria::Reported, options(OnDenied::OfferAgain)).await?;
        fixture.release(&[1]).await?;
        let key = fixture.devices[0];
        let done = UpdateEvent::Feedback(feedback(Execution::Closed, Finished::Success, "done"));
        let refused = fixture.record_event(key, done, later(1)).await?;
        assert!(matches!(refused, Err(RecordError::Refused(EventError::ConfirmationPending))), "{refused:?}");
        let end = NOON.plus(Duration::from_hours(5));
        assert!(store.expire_updates(NOON.plus(TIMEOUT), 10).await?.is_empty(), "the update timeout does not run while it waits");
        assert_eq!(store.expire_updates(end, 10).await?.len(), 1);
        let error = fixture.latest_update(key).await?.update.state.error.context("an error")?;
        assert_eq!(error.message, "the update was not confirmed within 300 minutes");
    }

    async fn a_denial_is_final_with_auto_confirm(store) {
        let fixture = StoreFixture::with_options(store, &[3], SuccessCriteria::Reported, options(OnDenied::OfferAgain)).await?;
        let [offered, started, without_auto_confirm] = fixture.devices[..] else {
            anyhow::bail!("three devices");
        };
        store.activate_auto_confirm(store.ours, offered, auto_confirm(0)).await?;
        store.activate_auto_confirm(store.ours, started, auto_confirm(0)).await?;
        fixture.release(&[3]).await?;
        fixture.record_event(started, UpdateEvent::Retrieved, later(1)).await??;
        let no = answer(Execution::Denied);
        for key in [offered, started] {
            assert!(fixture.record_event(key, no.clone(), later(2)).await??.changes_update);
            let progress = fixture.latest_update(key).await?.update.state;
            assert_eq!((progress.status, progress.completed_at), (UpdateStatus::Rejected, Some(later(2))));
            let error = progress.error.context("an error")?;
            assert_eq!(error.message, "denied at the device although auto-confirm is active: said");
            assert!(!fixture.record_event(key, no.clone(), later(3)).await??.changes_update, "a repetition");
        }
        fixture.record_event(without_auto_confirm, no, later(2)).await??;
        assert_eq!(fixture.status_of(without_auto_confirm).await?, UpdateStatus::WaitingConfirmation);
        let counts = fixture.read_run().await?.waves[0].report.counts;
        assert_eq!((counts.rejected, counts.offered, counts.failed), (2, 1, 0));
    }

    async fn a_rejected_update_is_counted_as_rejected(store) {
        let fixture = StoreFixture::with_options(store, &[2], SuccessCriteria::Reported, options(OnDenied::Reject)).await?;
        fixture.release(&[2]).await?;
        let key = fixture.devices[0];
        fixture.record_event(key, answer(Execution::Denied), later(1)).await??;
        let rejected = fixture.latest_update(key).await?.update.state;
        assert_eq!((rejected.status, rejected.completed_at), (UpdateStatus::Rejected, Some(later(1))));
        let run = fixture.read_run().await?;
        let report = &run.waves[0].report;
        assert_eq!((report.counts.rejected, report.counts.offered, report.counts.failed), (1, 1, 0));
        assert!(report.failures.is_empty(), "a rejection is no failure");
        assert_eq!(run.durations.count, 0, "a rejection has no duration");
        assert_eq!((run.rollback_progress.open_updates, run.rollback_progress.rollback_pending), (1, 1));
        let view = store.poll_view(store.ours, "d-0").await?.context("the device")?;
        assert_eq!(view.open, None);
        let refused = fixture.record_event(key, answer(Execution::Confirmed), later(2)).await?;
        assert!(matches!(refused, Err(RecordError::Refused(EventError::Closed))), "{refused:?}");
        let again = fixture.record_event(key, answer(Execution::Denied), later(3)).await??;
        assert!(!again.changes_update);
    }

    async fn auto_confirm_skips_the_confirmation(store) {
        let fixture = StoreFixture::with_options(store, &[2], SuccessCriteria::Reported, options(OnDenied::OfferAgain)).await?;
        fixture.release(&[1]).await?;
        let (first, second) = (fixture.devices[0], fixture.devices[1]);
        let (ours, theirs) = (store.ours, store.theirs);
        let activated = store.activate_auto_confirm(ours, first, auto_confirm(1)).await?;
        assert!(activated.changes_update);
        assert_eq!(activated.campaigns, [fixture.campaign()]);
        assert_eq!(fixture.status_of(first).await?, UpdateStatus::Offered);
        assert_eq!(store.poll_view(ours, "d-0").await?, Some(activated.view));
        assert_eq!(store.auto_confirm(ours, first).await?, Some(auto_confirm(1)));
        assert_eq!(device(store, 0).await?.auto_confirm, Some(auto_confirm(1)));
        assert_eq!(store.auto_confirm(theirs, first).await?, None);

        let again = store.activate_auto_confirm(ours, first, auto_confirm(2)).await;
        assert!(matches!(again, Err(RecordError::AlreadyActive)), "{again:?}");
        let of_another = store.activate_auto_confirm(theirs, first, auto_confirm(2)).await;
        assert!(matches!(of_another, Err(RecordError::NotFound)), "{of_another:?}");

        // It applies to later updates, and only to this device.
        store.activate_auto_confirm(ours, second, auto_confirm(3)).await?;
        fixture.release(&[2]).await?;
        assert_eq!(fixture.status_of(second).await?, UpdateStatus::Offered);

        for _ in 0..2 {
            store.deactivate_auto_confirm(ours, second, later(4)).await?;
        }
        assert_eq!(store.auto_confirm(ours, second).await?, None);
        assert_eq!(fixture.status_of(second).await?, UpdateStatus::Offered, "a confirmed update stays confirmed");
    }

    async fn an_unconfirmed_update_is_cancelled_immediately(store) {
        let fixture = StoreFixture::with_options(store, &[1], SuccessCriteria::Reported, options(OnDenied::OfferAgain)).await?;
        fixture.release(&[1]).await?;
        let key = fixture.devices[0];
        let affected = store.cancel_updates(fixture.run, fixture.lease().await?, 10, later(1)).await?;
        assert_eq!(affected.len(), 1);
        assert_eq!(fixture.status_of(key).await?, UpdateStatus::Cancelled);
        assert_eq!(fixture.read_run().await?.waves[0].report.counts.cancelled, 1);
        assert_eq!(device(store, 0).await?.open_update, None);
    }

    async fn a_download_only_update_installs_nothing(store) {
        let options = UpdateOptions { update_type: UpdateType::DownloadOnly, ..UpdateOptions::forced(TIMEOUT) };
        let fixture = StoreFixture::with_options(store, &[1], SuccessCriteria::Reported, options).await?;
        fixture.release(&[1]).await?;
        let key = fixture.devices[0];
        let before = device(store, 0).await?;
        let downloaded = UpdateEvent::Feedback(feedback(Execution::Downloaded, Finished::None, "all of it"));
        let recorded = fixture.record_event(key, downloaded, later(1)).await??;
        assert_eq!(fixture.status_of(key).await?, UpdateStatus::Completed);
        assert_eq!((recorded.view.open, recorded.view.installed), (None, None));
        assert!(recorded.view.wants_attributes, "its attributes are requested");
        let after = device(store, 0).await?;
        assert_eq!((after.state, after.installed_firmware), (DeviceState::InSync, None));
        assert_eq!(after.sw_version, before.sw_version);
        let closed = UpdateEvent::Feedback(feedback(Execution::Closed, Finished::Success, "skipped"));
        let late = fixture.record_event(key, closed, later(2)).await?;
        assert!(matches!(late, Err(RecordError::Refused(EventError::Closed))), "{late:?}");

        // Nothing was installed, so nothing is rolled back.
        let fence = fixture.start_rollback().await?;
        let offer = fixture.offer(later(3));
        let everything = tidegate_core::plugin::RollbackScope::Everything;
        let returned = store.create_rollback_updates(fixture.run, fence, everything, 10, &offer).await?;
        assert_eq!((returned.processed, returned.affected.len()), (1, 0));
    }

    async fn a_phase_that_takes_too_long_ends_the_update(store) {
        let options = UpdateOptions {
            timeouts: Timeouts {
                update: TIMEOUT,
                download: Some(Duration::from_mins(10)),
                install: None,
            },
            ..UpdateOptions::forced(TIMEOUT)
        };
        let fixture = StoreFixture::with_options(store, &[1], SuccessCriteria::Reported, options).await?;
        fixture.release(&[1]).await?;
        let key = fixture.devices[0];
        fixture.record_event(key, UpdateEvent::Retrieved, later(60)).await??;
        assert_eq!(fixture.latest_update(key).await?.update.state.timeout_at, later(660));
        assert!(store.expire_updates(later(659), 10).await?.is_empty());
        assert_eq!(store.expire_updates(later(660), 10).await?.len(), 1);
        let progress = fixture.latest_update(key).await?.update.state;
        assert_eq!(progress.status, UpdateStatus::TimedOut);
        let error = progress.error.context("an error")?;
        assert_eq!(error.code, "TIMEOUT");
        assert_eq!(error.message, "the device did not finish the download within 10 minutes");
    }
}
