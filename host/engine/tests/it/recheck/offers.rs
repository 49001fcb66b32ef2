//! Offers and retries of open updates, single updates and mode `latest`.

use super::*;

#[tokio::test]
async fn an_automatic_retry_goes_to_no_other_board() {
    for (attribute, value, reason) in CHANGES {
        let (fixture, id, key) = offered(UpdateOptions {
            retries: RetryPolicy {
                max_retries: 2,
                delay: Duration::from_mins(1),
            },
            ..options()
        })
        .await;
        fixture.report_result(id, Finished::Failure).await;
        fixture.report_without_calls(key, attribute, value).await;
        fixture.clock.advance(Duration::from_mins(2));
        fixture.offer_due().await;
        assert_eq!(
            fixture.newest(key).await,
            skipped(&format!("acme/fits: {reason}"))
        );
    }
}

#[tokio::test]
async fn a_retry_by_hand_goes_to_no_other_board() {
    for (attribute, value, reason) in CHANGES {
        let (fixture, id, key) = offered(options()).await;
        fixture.report_result(id, Finished::Failure).await;
        let failed = fixture.updates_of(key).await.remove(0).update.id;
        let retried = fixture.retry(failed).await;
        assert_eq!(retried.state.status, UpdateStatus::Offered);
        fixture.report_without_calls(key, attribute, value).await;
        fixture.offer_due().await;
        let skipped = skipped(&format!("acme/fits: {reason}"));
        assert_eq!(fixture.newest(key).await, skipped);
        let calls = fixture.calls.lock().len();
        let retried = fixture.retry(failed).await;
        assert_eq!(retried.state.status, UpdateStatus::Scheduled);
        assert_eq!(fixture.calls.lock().len(), calls, "asked in the request");
        fixture.offer_due().await;
        assert_eq!(fixture.newest(key).await, skipped);
    }
}

#[tokio::test]
async fn an_offer_that_is_not_begun_is_withdrawn_from_another_board() {
    let confirmation = Confirmation {
        on_denied: OnDenied::OfferAgain,
        timeout: Duration::from_hours(24),
    };
    for (attribute, value, reason) in CHANGES {
        for confirmation in [None, Some(confirmation)] {
            let (fixture, _, key) = offered(UpdateOptions {
                confirmation,
                ..options()
            })
            .await;
            fixture.report_without_calls(key, attribute, value).await;
            assert_eq!(fixture.newest(key).await.0, UpdateStatus::Scheduled);
            // A late confirmation is for nothing.
            let row = fixture.updates_of(key).await.remove(0);
            let confirmed = Feedback::new(Execution::Confirmed, Finished::None);
            let answer = UpdateEvent::ConfirmationFeedback(confirmed);
            assert!(fixture.try_report(&row, answer).await.is_err());
            fixture.offer_due().await;
            assert_eq!(
                fixture.newest(key).await,
                skipped(&format!("acme/fits: {reason}"))
            );
        }
    }
}

/// The reporting clock would take the time for an absence of the server.
#[tokio::test]
async fn a_policy_that_takes_long_does_not_stop_the_reporting_clock() {
    let (fixture, _, key) = offered(options()).await;
    let engine = &fixture.engine;
    fixture.clock.become_wall_clock();
    campaigns::expire_batch(engine).await.expect("a round");
    fixture.report_without_calls(key, "hw_model", "cm4").await;
    let permits = Arc::new(Semaphore::new(0));
    *fixture.sandbox.check_permits.lock() = Some(Arc::clone(&permits));
    let mut checking = Box::pin(campaigns::check_updates(engine));
    let before = engine.store().reporting_clock().await.expect("the clock");
    for _ in 0..12 {
        assert!(futures::poll!(&mut checking).is_pending());
        fixture.clock.advance(Duration::from_secs(10));
        campaigns::expire_batch(engine).await.expect("a round");
    }
    let after = engine.store().reporting_clock().await.expect("the clock");
    assert_eq!(after.runs_from, before.runs_from);
    assert_eq!(after.beat_at, Some(engine.now()));
    permits.add_permits(1);
    checking.await.expect("devices are checked");
    assert_eq!(permits.available_permits(), 0, "the policy was asked");
    assert_eq!(
        fixture.newest(key).await,
        skipped("acme/fits: the hardware is cm4")
    );
}

#[tokio::test]
async fn an_offer_is_made_again_to_a_board_that_is_compatible() {
    let (fixture, _, key) = offered(options()).await;
    for (attribute, value) in [
        ("hw_revision", "1"),
        ("site", "lab"),
        ("sw_version", "1.0.5"),
    ] {
        fixture.report_without_calls(key, attribute, value).await;
        assert_eq!(fixture.newest(key).await.0, UpdateStatus::Scheduled);
        fixture.offer_due().await;
        assert_eq!(fixture.newest(key).await.0, UpdateStatus::Offered);
    }
    fixture.report_attribute(key, "uptime", "5").await;
    assert_eq!(
        fixture.newest(key).await.0,
        UpdateStatus::Offered,
        "no policy requests it"
    );
    let (_, reasons) = fixture.explained("device-000").await;
    let class = "as hardware rpi4, revision 1, version 1.0.5, site lab";
    assert!(reasons.contains(class), "{reasons}");
    fixture.report_attribute(key, "hw_model", "cm4").await;
    fixture.report_attribute(key, "hw_model", "rpi4").await;
    assert_eq!(fixture.newest(key).await.0, UpdateStatus::Scheduled);
    fixture.offer_due().await;
    assert_eq!(
        fixture.newest(key).await,
        (UpdateStatus::Offered, String::new())
    );

    // What has begun goes on.
    let row = fixture.updates_of(key).await.remove(0);
    fixture.report(&row, UpdateEvent::Retrieved).await;
    for (attribute, value, _) in CHANGES {
        fixture.report_attribute(key, attribute, value).await;
        assert_eq!(fixture.newest(key).await.0, UpdateStatus::Downloading);
    }
}

#[tokio::test]
async fn an_offer_that_waits_behind_another_update_is_checked_when_that_has_changed_the_version() {
    let (fixture, _, key) = offered(options()).await;
    let heavier = UpdateRequest {
        priority: Priority::Critical,
        ..single(fixture.add_firmware("1.2.0").await)
    };
    let update = fixture.create_update(&heavier).await;
    let done = UpdateEvent::Feedback(feedback(Finished::Success));
    fixture.report(&update, done).await;
    let waiting = fixture.updates_of(key).await.remove(1).update;
    assert_eq!(waiting.state.status, UpdateStatus::Scheduled);
    fixture.offer_due().await;
    let ended = fixture.updates_of(key).await.remove(1).update.state;
    assert_eq!(ended.status, UpdateStatus::Cancelled);
    assert_eq!(ended.error.expect("a reason").message, DOWNGRADE);
}

#[tokio::test]
async fn a_single_update_goes_to_no_other_board() {
    for (attribute, value, reason) in CHANGES {
        let fixture = EngineFixture::with_policies(1).await;
        let key = fixture.key("device-000").await;
        let firmware = fixture.add_firmware("1.1.0").await;
        let update = fixture.create_update(&single(firmware)).await;
        assert_eq!(update.update.state.status, UpdateStatus::Offered);
        fixture.report_without_calls(key, attribute, value).await;
        assert_eq!(fixture.newest(key).await.0, UpdateStatus::Scheduled);
        let sentence =
            "it has changed since then, and is checked again before the update is offered";
        let explained = fixture.explained_update("device-000").await;
        assert!(explained.contains(sentence), "{explained}");
        fixture.offer_due().await;
        assert_eq!(
            fixture.newest(key).await,
            skipped(&format!("tidegate/hardware: {reason}"))
        );
        let explained = fixture.explained_update("device-000").await;
        let sentence = format!("and skipped: tidegate/hardware: {reason}\nupdate ");
        assert!(explained.contains(&sentence), "{explained}");
    }
}

#[tokio::test]
async fn a_forced_update_is_never_checked() {
    for (attribute, value, _) in CHANGES {
        let fixture = EngineFixture::with_policies(1).await;
        let key = fixture.key("device-000").await;
        let forced = UpdateRequest {
            force: true,
            options: UpdateOptions {
                retries: RetryPolicy {
                    max_retries: 1,
                    delay: Duration::from_mins(1),
                },
                ..options()
            },
            ..single(fixture.add_firmware("1.1.0").await)
        };
        let update = fixture.create_update(&forced).await;
        fixture.report_attribute(key, attribute, value).await;
        fixture.offer_due().await;
        assert_eq!(fixture.newest(key).await.0, UpdateStatus::Offered);
        let sentence = "an operator forced it: policies do not check its compatibility";
        let explained = fixture.explained_update("device-000").await;
        assert!(explained.contains(sentence), "{explained}");

        let failed = UpdateEvent::Feedback(feedback(Finished::Failure));
        fixture.report(&update, failed.clone()).await;
        fixture.clock.advance(Duration::from_mins(2));
        fixture.offer_due().await;
        assert_eq!(fixture.newest(key).await.0, UpdateStatus::Offered);
        let retry = fixture.updates_of(key).await.remove(0);
        fixture.report(&retry, failed).await;
        let by_hand = fixture.retry(retry.update.id).await;
        assert_eq!(by_hand.state.status, UpdateStatus::Offered);
        let explained = fixture.explained_update("device-000").await;
        assert!(explained.contains(sentence), "{explained}");

        let row = fixture.updates_of(key).await.remove(0);
        let done = UpdateEvent::Feedback(feedback(Finished::Success));
        fixture.report(&row, done).await;
        fixture.add_firmware("1.0.9").await;
        let back = fixture.roll_back_device(Some("1.0.9"), true).await;
        assert_eq!(back.state.status, UpdateStatus::Offered);
        fixture.report_attribute(key, "hw_model", "cm5").await;
        fixture.offer_due().await;
        assert_eq!(fixture.newest(key).await.0, UpdateStatus::Offered);
        assert!(fixture.calls.lock().is_empty(), "a policy was called");
    }
}

#[tokio::test]
async fn mode_latest_offers_nothing_to_another_board() {
    let fixture = EngineFixture::with_policies(1).await;
    let key = fixture.key("device-000").await;
    let change = DeviceChange {
        mode: Some(DeviceMode::Latest),
        ..DeviceChange::at(fixture.engine.now())
    };
    let store = fixture.engine.store();
    let changed = store
        .change_device(&fixture.ctx(), "device-000", change)
        .await;
    changed.expect("the database answers");
    let details = FirmwareDetails {
        name: "edge".to_owned(),
        version: "1.1.0".to_owned(),
        device_model: Some("rpi4".to_owned()),
        ..FirmwareDetails::default()
    };
    fixture.add_firmware_with(details).await;
    let asked = Arc::new(Mutex::new(0));
    let count = Arc::clone(&asked);
    fixture.sandbox.checks(move |input| {
        *count.lock() += 1;
        Ok(accepts(input))
    });
    latest::process_dirty_tenants(&fixture.engine)
        .await
        .expect("dirty tenants are processed");
    assert_eq!(fixture.newest(key).await.0, UpdateStatus::Offered);
    fixture.offer_due().await;
    assert_eq!(*asked.lock(), 3, "each policy once");
    for (attribute, value, reason) in CHANGES {
        fixture.report_without_calls(key, attribute, value).await;
        assert_eq!(fixture.newest(key).await.0, UpdateStatus::Scheduled);
        fixture.offer_due().await;
        assert_eq!(
            fixture.newest(key).await,
            skipped(&format!("tidegate/latest: {reason}"))
        );
        latest::process_dirty_tenants(&fixture.engine)
            .await
            .expect("dirty tenants are processed");
        assert_eq!(fixture.newest(key).await.0, UpdateStatus::Cancelled);
        // It becomes compatible again, and was never given the firmware.
        let back = match attribute {
            "hw_model" => "rpi4",
            "hw_revision" => "1",
            _ => break,
        };
        fixture.report_attribute(key, attribute, back).await;
        latest::process_dirty_tenants(&fixture.engine)
            .await
            .expect("dirty tenants are processed");
        assert_eq!(fixture.newest(key).await.0, UpdateStatus::Offered);
    }
}
