use tidegate_core::{
    feedback::{DEFAULT_FEEDBACK_PER_UPDATE, Execution, Finished},
    time::Timestamp,
    update::{EventError, FileFetch, UpdateEvent},
};
use tidegate_engine::ports::{DeviceReport, Updates as _};

use super::*;

fn proceeding(message: &str) -> UpdateEvent {
    UpdateEvent::Feedback(feedback(Execution::Proceeding, Finished::None, message))
}

fn closed(finished: Finished) -> UpdateEvent {
    UpdateEvent::Feedback(feedback(Execution::Closed, finished, "the end"))
}

on_both! {
    async fn an_update_goes_through_its_states(store) {
        let fixture = StoreFixture::new(store, &[2]).await?;
        fixture.release(&[1]).await?;
        let key = fixture.devices[0];
        assert_eq!(device(store, 0).await?.state, DeviceState::Pending);
        let offered = fixture.latest_update(key).await?;
        assert_eq!(offered.update.from_version.as_deref(), Some("1.0.0"));
        assert_eq!((offered.device_id.as_str(), offered.firmware_name.as_str()), ("d-0", "edge"));

        // A retrieval does not change the revision.
        for (event, status, revision, changes_update) in [
            (UpdateEvent::Retrieved, UpdateStatus::Downloading, 0, true),
            (UpdateEvent::Retrieved, UpdateStatus::Downloading, 0, false),
            (proceeding("writing"), UpdateStatus::Installing, 1, true),
        ] {
            let recorded = fixture.record_event(key, event, later(1)).await??;
            assert_eq!(store.poll_view(store.ours, "d-0").await?.as_ref(), Some(&recorded.view));
            let open = recorded.view.open.context("it is open")?;
            assert_eq!((open.id, open.status, open.revision), (offered.update.id, status, revision));
            let woken = if changes_update { vec![fixture.campaign()] } else { vec![] };
            assert_eq!((recorded.changes_update, recorded.campaigns), (changes_update, woken));
        }
        let recorded = fixture.record_event(key, closed(Finished::Success), later(9)).await??;
        assert!(recorded.changes_update && recorded.view.open.is_none());
        assert_eq!(recorded.view.installed, Some(offered.update.id));
        assert!(recorded.view.wants_attributes);
        assert_eq!(store.poll_view(store.ours, "d-0").await?, Some(recorded.view));

        let done = device(store, 0).await?;
        assert_eq!(done.state, DeviceState::InSync);
        assert_eq!(done.sw_version.as_deref(), Some("1.1.0"));
        assert_eq!(done.installed_firmware, Some(fixture.new));
        assert_eq!(device(store, 1).await?.state, DeviceState::Registered);

        let history = store.history(store.ours, offered.update.id, 10).await?;
        let words: Vec<_> = history.iter().map(|row| row.feedback.messages[0].as_str()).collect();
        assert_eq!(words, ["the end", "writing"]);
        assert_eq!(history[0].at, later(9));
        assert!(store.history(store.theirs, offered.update.id, 10).await?.is_empty());
    }

    async fn a_retrieval_is_recorded_with_the_report_that_follows_it(store) {
        let fixture = StoreFixture::new(store, &[3]).await?;
        fixture.release(&[3]).await?;
        let report = |key, update, event, read_at| {
            let event = DeviceEvent::Update(update, event);
            store.report(DeviceReport { tenant: store.ours, device: key, by: None, read_at, at: later(5), event })
        };
        // Progress alone changes no status, so the campaign learns of the retrieval.
        let refused = UpdateEvent::Feedback(feedback(Execution::Rejected, Finished::Failure, "busy"));
        for (index, event, status) in [
            (0, proceeding("writing"), UpdateStatus::Installing),
            (1, refused, UpdateStatus::Downloading),
        ] {
            let key = fixture.devices[index];
            let update = fixture.latest_update(key).await?.update.id;
            let recorded = report(key, update, event, Some(later(1))).await?;
            assert!(recorded.changes_update && recorded.campaigns.contains(&fixture.campaign()));
            let after = fixture.latest_update(key).await?.update.state;
            assert_eq!((after.status, after.started_at), (status, Some(later(1))));
        }

        // A report that is refused refuses no retrieval, and another device retrieves nothing.
        let (key, other) = (fixture.devices[2], fixture.devices[0]);
        let update = fixture.latest_update(key).await?.update.id;
        let cancelled = || UpdateEvent::CancelFeedback(feedback(Execution::Canceled, Finished::Success, ""));
        for (device, status) in [(other, UpdateStatus::Offered), (key, UpdateStatus::Downloading)] {
            assert!(report(device, update, cancelled(), Some(later(1))).await.is_err());
            let after = fixture.latest_update(key).await?.update.state;
            assert_eq!(after.status, status);
        }
    }

    async fn the_same_feedback_again_changes_nothing(store) {
        let fixture = StoreFixture::new(store, &[1]).await?;
        fixture.release(&[1]).await?;
        let key = fixture.devices[0];
        fixture.record_event(key, proceeding("writing"), later(1)).await??;
        let before = fixture.latest_update(key).await?;
        assert!(!fixture.record_event(key, proceeding("writing"), later(2)).await??.changes_update);
        assert_eq!(fixture.latest_update(key).await?, before);

        fixture.record_event(key, closed(Finished::Failure), later(3)).await??;
        let after = fixture.latest_update(key).await?;
        for event in [proceeding("writing"), closed(Finished::Failure)] {
            assert!(!fixture.record_event(key, event, later(4)).await??.changes_update);
        }
        let refused = fixture.record_event(key, closed(Finished::Success), later(4)).await?;
        assert!(matches!(refused, Err(RecordError::Refused(EventError::Closed))), "{refused:?}");
        assert_eq!(fixture.latest_update(key).await?, after);
        assert_eq!(store.history(store.ours, after.update.id, 10).await?.len(), 2);
        assert_eq!(fixture.read_run().await?.waves[0].report.counts.failed, 1);
    }

    async fn the_end_of_a_second_download_takes_effect_although_it_is_in_the_same_words(store) {
        let fixture = StoreFixture::new(store, &[1]).await?;
        fixture.release(&[1]).await?;
        let key = fixture.devices[0];
        let downloaded = || UpdateEvent::Feedback(feedback(Execution::Downloaded, Finished::None, "all of it"));
        for (event, status, changes_update) in [
            (UpdateEvent::FetchBegun, UpdateStatus::Downloading, true),
            (downloaded(), UpdateStatus::Installing, true),
            (UpdateEvent::FetchBegun, UpdateStatus::Downloading, true),
            (downloaded(), UpdateStatus::Installing, true),
            // Sent twice.
            (downloaded(), UpdateStatus::Installing, false),
        ] {
            let recorded = fixture.record_event(key, event.clone(), later(1)).await??;
            let open = recorded.view.open.context("it is open")?;
            assert_eq!((open.status, recorded.changes_update), (status, changes_update), "{event:?}");
        }
        let update = fixture.latest_update(key).await?.update;
        assert_eq!(update.state.fetch, Some(FileFetch::Complete));
        assert_eq!(store.history(store.ours, update.id, 10).await?.len(), 1);
    }

    async fn feedback_is_stored_completely(store) {
        let fixture = StoreFixture::new(store, &[1]).await?;
        fixture.release(&[1]).await?;
        let key = fixture.devices[0];
        let mut report = feedback(Execution::Download, Finished::None, "50\0% \\u0000 \"é\"");
        report.device_time = Some(Timestamp(7));
        report.progress = Some((1, 2));
        report.code = Some(-4);
        report.cut = true;
        fixture.record_event(key, UpdateEvent::Feedback(report.clone()), later(1)).await??;
        let update = fixture.latest_update(key).await?.update;
        assert_eq!(update.state.progress, Some((1, 2)));
        let rows = store.history(store.ours, update.id, 10).await?;
        report.messages[0] = report.messages[0].replace('\0', "\u{FFFD}");
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].feedback, report);
        assert!(!rows[0].on_cancel);
    }

    async fn messages_go_by_the_devices_own_time(store) {
        let fixture = StoreFixture::new(store, &[1]).await?;
        fixture.release(&[1]).await?;
        let key = fixture.devices[0];
        for (n, (device_time, message)) in
            [(Some(2), "second"), (Some(1), "first"), (None, "fourth"), (Some(3), "third")].into_iter().enumerate()
        {
            let mut report = feedback(Execution::Proceeding, Finished::None, message);
            report.device_time = device_time.map(Timestamp);
            fixture.record_event(key, UpdateEvent::Feedback(report.clone()), later(n as i64)).await??;
            report.messages.clear();
            fixture.record_event(key, UpdateEvent::Feedback(report), later(n as i64)).await??;
        }
        let update = fixture.latest_update(key).await?.update.id;
        for (limit, expected) in
            [(10, &["fourth", "third", "second", "first"][..]), (2, &["fourth", "third"])]
        {
            let rows = store.messages(store.ours, update, limit).await?;
            let words: Vec<_> = rows.iter().map(|row| row.feedback.messages[0].as_str()).collect();
            assert_eq!(words, expected);
        }
        assert!(store.messages(store.theirs, update, 10).await?.is_empty());
    }

    async fn an_update_of_another_is_not_found(store) {
        let fixture = StoreFixture::new(store, &[2]).await?;
        fixture.release(&[2]).await?;
        let update = fixture.latest_update(fixture.devices[0]).await?.update.id;
        let of_another = fixture.report(fixture.devices[1], update, UpdateEvent::Retrieved, later(1)).await;
        assert!(matches!(of_another, Err(RecordError::NotFound)), "{of_another:?}");
        let of_another_tenant = store
            .report(DeviceReport {
                tenant: store.theirs,
                device: fixture.devices[0],
                by: None,
                read_at: None,
                at: later(1),
                event: DeviceEvent::Update(update, UpdateEvent::Retrieved),
            })
            .await;
        assert!(matches!(of_another_tenant, Err(RecordError::NotFound)), "{of_another_tenant:?}");
        assert!(store.update(store.theirs, update).await?.is_none());
        assert_eq!(fixture.status_of(fixture.devices[0]).await?, UpdateStatus::Offered);
    }

    async fn a_device_answers_a_cancellation(store) {
        let fixture = StoreFixture::new(store, &[1]).await?;
        fixture.release(&[1]).await?;
        let key = fixture.devices[0];
        let answer = |execution| UpdateEvent::CancelFeedback(feedback(execution, Finished::None, "heard"));
        let refused = fixture.record_event(key, answer(Execution::Closed), later(1)).await?;
        assert!(matches!(refused, Err(RecordError::Refused(EventError::NotCancelling))));
        // Equal answers to two cancellations are stored twice.
        for _ in 0..2 {
            fixture.record_event(key, UpdateEvent::CancelRequested, later(2)).await??;
            fixture.record_event(key, UpdateEvent::CancelRequested, later(2)).await??;
            fixture.record_event(key, answer(Execution::Rejected), later(3)).await??;
            assert_eq!(fixture.status_of(key).await?, UpdateStatus::Installing);
            // A repetition of the answer.
            assert!(!fixture.record_event(key, answer(Execution::Rejected), later(3)).await??.changes_update);
        }
        fixture.record_event(key, UpdateEvent::CancelRequested, later(4)).await??;
        fixture.record_event(key, answer(Execution::Closed), later(5)).await??;
        assert_eq!(fixture.status_of(key).await?, UpdateStatus::Cancelled);
        assert_eq!(device(store, 0).await?.state, DeviceState::Registered);
        let rows = store.history(store.ours, fixture.latest_update(key).await?.update.id, 10).await?;
        assert!(rows.len() == 3 && rows.iter().all(|row| row.on_cancel));
    }

    async fn feedback_is_limited_but_final_feedback_is_accepted(store) {
        let fixture = StoreFixture::new(store, &[1]).await?;
        fixture.release(&[1]).await?;
        let key = fixture.devices[0];
        let update = fixture.latest_update(key).await?.update.id;
        let reports = (0..DEFAULT_FEEDBACK_PER_UPDATE).map(|n| {
            fixture.report(key, update, proceeding(&n.to_string()), later(1))
        });
        for recorded in futures::future::join_all(reports).await {
            recorded?;
        }
        let refused = fixture.report(key, update, proceeding("once more"), later(2)).await;
        assert!(matches!(refused, Err(RecordError::FeedbackQuota(1000))), "{refused:?}");
        assert!(!fixture.report(key, update, proceeding("7"), later(2)).await?.changes_update);
        fixture.report(key, update, closed(Finished::Success), later(3)).await?;
        assert_eq!(fixture.status_of(key).await?, UpdateStatus::Completed);
        assert_eq!(store.history(store.ours, update, 2000).await?.len(), 1001);
    }

    async fn the_number_of_error_codes_is_bounded(store) {
        let fixture = StoreFixture::new(store, &[70]).await?;
        fixture.release(&[70]).await?;
        for (n, key) in fixture.devices.iter().enumerate() {
            let mut report = feedback(Execution::Closed, Finished::Failure, "no");
            report.code = Some(n as i32);
            fixture.record_event(*key, UpdateEvent::Feedback(report), later(1)).await??;
        }
        let failures = fixture.read_run().await?.waves[0].report.failures.clone();
        assert_eq!(failures.len(), 65);
        assert_eq!((failures[0].code.as_str(), failures[0].devices), ("OTHER", 6));
    }
}
