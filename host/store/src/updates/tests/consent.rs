use std::time::Duration;

use tidegate_core::{
    device::AutoConfirm,
    feedback::{Execution, Finished},
    update::{
        Confirmation, Event, OnDenied, Proof, Refusal, Terms, Timeouts, UpdateStatus, UpdateType,
    },
};
use tidegate_engine::ports::{Consents as _, Runs as _};

use super::*;
use crate::scene::TIMEOUT;

fn asks(on_denied: OnDenied) -> Terms {
    Terms {
        confirmation: Some(Confirmation {
            on_denied,
            timeout: Duration::from_hours(5),
        }),
        ..Terms::forced(TIMEOUT)
    }
}

fn answer(execution: Execution) -> Event {
    Event::ConfirmationFeedback(feedback(execution, Finished::None, "said"))
}

fn someone(at: i64) -> AutoConfirm {
    AutoConfirm {
        initiator: Some("the \"owner\"".to_owned()),
        remark: None,
        activated_at: later(at),
    }
}

on_both! {
    async fn terms_are_kept_on_campaign_and_update(store) {
        let terms = Terms {
            update_type: UpdateType::TimeForced(later(9)),
            timeouts: Timeouts {
                update: TIMEOUT,
                download: Some(Duration::from_mins(7)),
                install: Some(Duration::from_mins(8)),
            },
            ..asks(OnDenied::Reject)
        };
        let scene = Scene::on(store, &[1], Proof::Reported, terms.clone()).await?;
        scene.release(&[1]).await?;
        assert_eq!(scene.look().await?.campaign.spec.terms, terms);
        let progress = scene.newest(scene.devices[0]).await?.update.progress;
        assert_eq!(progress.terms, terms);
        assert_eq!(progress.timeout_at, NOON.plus(Duration::from_hours(5)));
        let view = store.poll_view(store.ours, "d-0").await?.context("the device")?;
        let open = view.open.context("it is open")?;
        assert_eq!(open.status, UpdateStatus::WaitingConfirmation);
        assert_eq!(open.forced_at, Some(later(9)));
        assert_eq!(open.content_revision(later(8)), 0);
        assert_ne!(open.content_revision(later(9)), 0);
        let counts = scene.look().await?.waves[0].report.counts;
        assert_eq!((counts.offered, counts.in_flight()), (1, 1));
    }

    async fn answers_count_as_often_as_they_are_given(store) {
        let scene = Scene::on(store, &[1], Proof::Reported, asks(OnDenied::OfferAgain)).await?;
        scene.release(&[1]).await?;
        let key = scene.devices[0];
        let (yes, no) = (answer(Execution::Confirmed), answer(Execution::Denied));
        for (at, event, status, moved) in [
            (1, &no, UpdateStatus::WaitingConfirmation, false),
            (2, &no, UpdateStatus::WaitingConfirmation, false),
            (3, &yes, UpdateStatus::Offered, true),
            (4, &yes, UpdateStatus::Offered, false),
            (5, &no, UpdateStatus::WaitingConfirmation, true),
            (6, &yes, UpdateStatus::Offered, true),
            (7, &Event::Retrieved, UpdateStatus::Downloading, true),
            (8, &no, UpdateStatus::WaitingConfirmation, true),
        ] {
            let recorded = scene.happens(key, event.clone(), later(at)).await??;
            assert_eq!(recorded.moved, moved, "at {at}");
            assert_eq!(scene.status_of(key).await?, status, "at {at}");
            assert_eq!(store.poll_view(store.ours, "d-0").await?, Some(recorded.view));
            let counts = scene.look().await?.waves[0].report.counts;
            assert_eq!(counts.total(), 1, "at {at}: {counts:?}");
        }
        let counts = scene.look().await?.waves[0].report.counts;
        assert_eq!((counts.offered, counts.in_progress), (1, 0));
        let update = scene.newest(key).await?.update.id;
        let said = store.history(store.ours, update, 10).await?;
        let words: Vec<_> = said.iter().map(|row| row.feedback.execution).collect();
        assert_eq!(words, [Execution::Confirmed, Execution::Denied], "each in its words once");
    }

    async fn who_waits_reports_nothing_and_times_out_as_waiting(store) {
        let scene = Scene::on(store, &[1], Proof::Reported, asks(OnDenied::OfferAgain)).await?;
        scene.release(&[1]).await?;
        let key = scene.devices[0];
        let done = Event::Feedback(feedback(Execution::Closed, Finished::Success, "done"));
        let refused = scene.happens(key, done, later(1)).await?;
        assert!(matches!(refused, Err(RecordError::Refused(Refusal::Unconfirmed))), "{refused:?}");
        let end = NOON.plus(Duration::from_hours(5));
        assert!(store.expire(NOON.plus(TIMEOUT), 10).await?.is_empty(), "nobody is timed while they think");
        assert_eq!(store.expire(end, 10).await?.len(), 1);
        let error = scene.newest(key).await?.update.progress.error.context("it says why")?;
        assert_eq!(error.message, "nobody confirmed the update within 300 minutes");
    }

    async fn no_is_final_where_everything_is_agreed_to_beforehand(store) {
        let scene = Scene::on(store, &[3], Proof::Reported, asks(OnDenied::OfferAgain)).await?;
        let [agrees, began, is_asked] = scene.devices[..] else {
            anyhow::bail!("three devices");
        };
        store.activate_auto_confirm(store.ours, agrees, someone(0)).await?;
        store.activate_auto_confirm(store.ours, began, someone(0)).await?;
        scene.release(&[3]).await?;
        scene.happens(began, Event::Retrieved, later(1)).await??;
        let no = answer(Execution::Denied);
        for key in [agrees, began] {
            assert!(scene.happens(key, no.clone(), later(2)).await??.moved);
            let progress = scene.newest(key).await?.update.progress;
            assert_eq!((progress.status, progress.completed_at), (UpdateStatus::Rejected, Some(later(2))));
            let error = progress.error.context("it says why")?;
            assert_eq!(error.message, "its device agrees to updates beforehand, and said no to this one: said");
            assert!(!scene.happens(key, no.clone(), later(3)).await??.moved, "it says it again");
        }
        scene.happens(is_asked, no, later(2)).await??;
        assert_eq!(scene.status_of(is_asked).await?, UpdateStatus::WaitingConfirmation);
        let counts = scene.look().await?.waves[0].report.counts;
        assert_eq!((counts.rejected, counts.offered, counts.failed), (2, 1, 0));
    }

    async fn a_final_no_is_counted_by_itself(store) {
        let scene = Scene::on(store, &[2], Proof::Reported, asks(OnDenied::Reject)).await?;
        scene.release(&[2]).await?;
        let key = scene.devices[0];
        scene.happens(key, answer(Execution::Denied), later(1)).await??;
        let rejected = scene.newest(key).await?.update.progress;
        assert_eq!((rejected.status, rejected.completed_at), (UpdateStatus::Rejected, Some(later(1))));
        let run = scene.look().await?;
        let report = &run.waves[0].report;
        assert_eq!((report.counts.rejected, report.counts.offered, report.counts.failed), (1, 1, 0));
        assert!(report.failures.is_empty(), "it is no failure");
        assert_eq!(run.durations.count, 0, "nor does it say how long an update takes");
        assert_eq!((run.ending.open_forward, run.ending.to_look_at), (1, 1));
        let view = store.poll_view(store.ours, "d-0").await?.context("the device")?;
        assert_eq!(view.open, None);
        let refused = scene.happens(key, answer(Execution::Confirmed), later(2)).await?;
        assert!(matches!(refused, Err(RecordError::Refused(Refusal::Closed))), "{refused:?}");
        let again = scene.happens(key, answer(Execution::Denied), later(3)).await??;
        assert!(!again.moved);
    }

    async fn who_agrees_to_everything_is_asked_nothing(store) {
        let scene = Scene::on(store, &[2], Proof::Reported, asks(OnDenied::OfferAgain)).await?;
        scene.release(&[1]).await?;
        let (first, second) = (scene.devices[0], scene.devices[1]);
        let (ours, theirs) = (store.ours, store.theirs);
        let activated = store.activate_auto_confirm(ours, first, someone(1)).await?;
        assert!(activated.moved);
        assert_eq!(activated.campaigns, [scene.campaign()]);
        assert_eq!(scene.status_of(first).await?, UpdateStatus::Offered);
        assert_eq!(store.poll_view(ours, "d-0").await?, Some(activated.view));
        assert_eq!(store.auto_confirm(ours, first).await?, Some(someone(1)));
        assert_eq!(device(store, 0).await?.auto_confirm, Some(someone(1)));
        assert_eq!(store.auto_confirm(theirs, first).await?, None);

        let again = store.activate_auto_confirm(ours, first, someone(2)).await;
        assert!(matches!(again, Err(RecordError::AlreadyActive)), "{again:?}");
        let of_another = store.activate_auto_confirm(theirs, first, someone(2)).await;
        assert!(matches!(of_another, Err(RecordError::NotFound)), "{of_another:?}");

        // It holds for what comes later, and only where it is active.
        store.activate_auto_confirm(ours, second, someone(3)).await?;
        scene.release(&[2]).await?;
        assert_eq!(scene.status_of(second).await?, UpdateStatus::Offered);

        for _ in 0..2 {
            store.deactivate_auto_confirm(ours, second, later(4)).await?;
        }
        assert_eq!(store.auto_confirm(ours, second).await?, None);
        assert_eq!(scene.status_of(second).await?, UpdateStatus::Offered, "what was agreed to stays so");
    }

    async fn what_never_began_needs_no_call_back(store) {
        let scene = Scene::on(store, &[1], Proof::Reported, asks(OnDenied::OfferAgain)).await?;
        scene.release(&[1]).await?;
        let key = scene.devices[0];
        let touched = store.call_back(scene.run, scene.lease().await?, 10, later(1)).await?;
        assert_eq!(touched.len(), 1);
        assert_eq!(scene.status_of(key).await?, UpdateStatus::Cancelled);
        assert_eq!(scene.look().await?.waves[0].report.counts.cancelled, 1);
        assert_eq!(device(store, 0).await?.open_update, None);
    }

    async fn what_was_only_downloaded_is_not_installed(store) {
        let terms = Terms { update_type: UpdateType::DownloadOnly, ..Terms::forced(TIMEOUT) };
        let scene = Scene::on(store, &[1], Proof::Reported, terms).await?;
        scene.release(&[1]).await?;
        let key = scene.devices[0];
        let before = device(store, 0).await?;
        let downloaded = Event::Feedback(feedback(Execution::Downloaded, Finished::None, "all of it"));
        let recorded = scene.happens(key, downloaded, later(1)).await??;
        assert_eq!(scene.status_of(key).await?, UpdateStatus::Completed);
        assert_eq!((recorded.view.open, recorded.view.installed), (None, None));
        assert!(recorded.view.wants_attributes, "it is asked what it is");
        let after = device(store, 0).await?;
        assert_eq!((after.state, after.installed_firmware), (DeviceState::InSync, None));
        assert_eq!(after.sw_version, before.sw_version);
        let closed = Event::Feedback(feedback(Execution::Closed, Finished::Success, "skipped"));
        let late = scene.happens(key, closed, later(2)).await?;
        assert!(matches!(late, Err(RecordError::Refused(Refusal::Closed))), "{late:?}");

        // Nothing went over, so nothing comes back.
        let fence = scene.turn_back().await?;
        let offer = scene.offer(later(3));
        let everything = tidegate_core::plugin::Scope::Everything;
        let returned = store.send_back(scene.run, fence, everything, 10, &offer).await?;
        assert_eq!((returned.looked_at, returned.touched.len()), (1, 0));
    }

    async fn a_phase_that_takes_too_long_ends_the_update(store) {
        let terms = Terms {
            timeouts: Timeouts {
                update: TIMEOUT,
                download: Some(Duration::from_mins(10)),
                install: None,
            },
            ..Terms::forced(TIMEOUT)
        };
        let scene = Scene::on(store, &[1], Proof::Reported, terms).await?;
        scene.release(&[1]).await?;
        let key = scene.devices[0];
        scene.happens(key, Event::Retrieved, later(60)).await??;
        assert_eq!(scene.newest(key).await?.update.progress.timeout_at, later(660));
        assert!(store.expire(later(659), 10).await?.is_empty());
        assert_eq!(store.expire(later(660), 10).await?.len(), 1);
        let progress = scene.newest(key).await?.update.progress;
        assert_eq!(progress.status, UpdateStatus::TimedOut);
        let error = progress.error.context("it says why")?;
        assert_eq!(error.code, "TIMEOUT");
        assert_eq!(error.message, "the device did not end the download within 10 minutes");
    }
}
