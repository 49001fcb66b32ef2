//! Devices of later waves.

use super::*;

#[tokio::test]
async fn a_later_wave_skips_devices_that_changed_and_are_not_compatible_any_more() {
    let fixture = EngineFixture::with_policies(4).await;
    let id = first_wave_done(&fixture, options()).await;
    let waiting = waiting(&fixture, id, 4).await;
    let [newer, replaced, same] = [0, 1, 2].map(|n| waiting[n].as_str());
    let newer_key = fixture.key(newer).await;
    let replaced_key = fixture.key(replaced).await;
    fixture.report_version(newer_key, "1.2.0").await;
    fixture
        .report_attribute(replaced_key, "hw_model", "cm4")
        .await;
    let calls = fixture.calls.lock().len();
    fixture.release_all(id, &[(0, 1), (1, 2), (2, 1)]).await;
    let scheduled = (UpdateStatus::Scheduled, String::new());
    assert_eq!(fixture.newest(newer_key).await, scheduled);
    assert_eq!(fixture.newest(replaced_key).await, scheduled);
    let same_key = fixture.key(same).await;
    assert_eq!(fixture.newest(same_key).await.0, UpdateStatus::Offered);

    fixture.clock.advance(Duration::from_secs(1));
    fixture.offer_due().await;
    assert_eq!(fixture.newest(newer_key).await, skipped(DOWNGRADE));
    assert_eq!(fixture.newest(replaced_key).await, skipped(OTHER_BOARD));
    assert_eq!(fixture.newest(same_key).await.0, UpdateStatus::Offered);
    let checks: Vec<_> = fixture.calls.lock()[calls..]
        .iter()
        .filter(|(_, call, _)| *call == "check")
        .map(|(policy, ..)| policy.clone())
        .collect();
    assert_eq!(checks, ["acme/fits"], "one call for all changed classes");
    let counts = fixture.counts(id).await;
    assert_eq!(
        (counts.completed, counts.offered, counts.cancelled),
        (1, 1, 2)
    );
    assert_eq!(counts.unsuccessful(), 0);

    let (status, reasons) = fixture.explained(replaced).await;
    assert_eq!(status, MembershipStatus::Skipped);
    let sentence = "it had changed, was checked again at 1970-01-01T00:16:41Z and skipped: acme/fits: the hardware is cm4";
    assert!(reasons.contains(sentence), "{reasons}");
    let sentence = "it was checked again as hardware cm4, revision unknown, version 1.0.0\nit is not offered the update again by \
         itself, even if it changes back; a retry of update";
    assert!(reasons.contains(sentence), "{reasons}");
    let (status, reasons) = fixture.explained(same).await;
    assert_eq!(status, MembershipStatus::Offered);
    let sentence = "policies checked its compatibility at 1970-01-01T00:16:40Z as hardware rpi4, revision unknown, \
                    version 1.0.0";
    assert!(reasons.contains(sentence), "{reasons}");
    let all = PageRequest {
        limit: 100,
        offset: 0,
    };
    let journal = campaigns::journal(&fixture.ctx(), fixture.engine.store(), id, 0, all).await;
    let last = journal.expect("a journal").items.pop().expect("an entry");
    assert_eq!(
        (
            last.plugin.map(|plugin| plugin.to_string()).as_deref(),
            last.at
        ),
        (Some("acme/fits"), fixture.engine.now())
    );
}

/// A campaign that has scheduled the update of a device that changed, and the time that each check of it is shown.
async fn changed_device_scheduled() -> (EngineFixture, CampaignId, Arc<Mutex<Vec<Timestamp>>>) {
    let fixture = EngineFixture::with_policies(2).await;
    let id = first_wave_done(&fixture, options()).await;
    let key = fixture.key(&waiting(&fixture, id, 2).await[0]).await;
    fixture.report_attribute(key, "hw_model", "cm4").await;
    fixture.release_all(id, &[(0, 1), (1, 1)]).await;
    let shown = Arc::new(Mutex::new(Vec::new()));
    let checked = Arc::clone(&shown);
    fixture.sandbox.checks(move |input| {
        checked.lock().push(input.context.now);
        Ok(accepts(input))
    });
    fixture.clock.advance(Duration::from_mins(1));
    (fixture, id, shown)
}

#[tokio::test]
async fn a_check_is_not_shown_a_time_before_the_last_decision() {
    let (fixture, id, shown) = changed_device_scheduled().await;
    fixture.tick(id).await;
    let decided = fixture.engine.now();
    fixture.clock.turn_back(Duration::from_secs(30));
    fixture.offer_due().await;
    assert_eq!(*shown.lock(), [decided]);
}

#[tokio::test]
async fn a_decision_is_not_shown_a_time_before_the_last_check() {
    let (fixture, id, shown) = changed_device_scheduled().await;
    fixture.offer_due().await;
    let checked = fixture.engine.now();
    assert_eq!(*shown.lock(), [checked]);
    fixture.clock.turn_back(Duration::from_secs(30));
    let decisions = fixture.decisions(id).await;
    fixture.sandbox.decides(move |observation| {
        assert_eq!(observation.context.now, checked);
        Ok(decision(&[], DecisionOutcome::Proceed))
    });
    fixture.tick(id).await;
    assert_eq!(fixture.decisions(id).await, decisions + 1);
}

/// What cannot be recorded is not decided.
#[tokio::test]
async fn a_changed_device_waits_while_the_journal_is_full() {
    let fixture = EngineFixture::with_policies(2).await;
    let id = first_wave_done(&fixture, options()).await;
    let key = fixture.key(&waiting(&fixture, id, 2).await[0]).await;
    fixture.report_without_calls(key, "hw_revision", "2").await;
    fixture.release_all(id, &[(0, 1), (1, 1)]).await;
    let entries = fixture.journal(id).await.len();
    let full = JournalSettings {
        max_bytes_per_campaign: 1,
        ..JournalSettings::default()
    };
    let fixture = fixture.restarted(full);
    let calls = fixture.calls.lock().len();
    fixture.offer_due().await;
    assert_eq!(fixture.newest(key).await.0, UpdateStatus::Scheduled);
    assert_eq!(fixture.calls.lock().len(), calls);
    assert_eq!(fixture.journal(id).await.len(), entries);

    let fixture = fixture.restarted(JournalSettings::default());
    fixture.clock.advance(Duration::from_mins(2));
    fixture.offer_due().await;
    let reason = "acme/fits: the revision is 2";
    assert_eq!(fixture.newest(key).await, skipped(reason));
}

#[tokio::test]
async fn a_later_wave_skips_a_device_that_changed_in_any_way() {
    for (attribute, value, reason) in CHANGES {
        let fixture = EngineFixture::with_policies(2).await;
        let id = first_wave_done(&fixture, options()).await;
        let key = fixture.key(&waiting(&fixture, id, 2).await[0]).await;
        fixture.report_without_calls(key, attribute, value).await;
        fixture.release_all(id, &[(0, 1), (1, 1)]).await;
        fixture.offer_due().await;
        let reason = format!("acme/fits: {reason}");
        assert_eq!(fixture.newest(key).await, skipped(&reason));
    }
}

#[tokio::test]
async fn a_skipped_device_that_changes_back_is_offered_the_update_by_a_retry() {
    let fixture = EngineFixture::with_policies(2).await;
    let id = first_wave_done(&fixture, options()).await;
    let device = waiting(&fixture, id, 2).await.remove(0);
    let key = fixture.key(&device).await;
    fixture.report_attribute(key, "hw_model", "cm4").await;
    fixture.release_all(id, &[(0, 1), (1, 1)]).await;
    fixture.offer_due().await;
    assert_eq!(fixture.newest(key).await, skipped(OTHER_BOARD));

    fixture.report_attribute(key, "hw_model", "rpi4").await;
    fixture.tick(id).await;
    fixture.offer_due().await;
    assert_eq!(fixture.newest(key).await, skipped(OTHER_BOARD));
    let skipped = fixture.updates_of(key).await.remove(0).update.id;
    let (status, reasons) = fixture.explained(&device).await;
    assert_eq!(status, MembershipStatus::Skipped);
    let how = format!("a retry of update {skipped} offers it");
    assert!(reasons.contains(&how), "{reasons}");
    fixture.retry(skipped).await;
    fixture.offer_due().await;
    assert_eq!(fixture.newest(key).await.0, UpdateStatus::Offered);
}

/// Updates within `max_concurrent_updates` are offered in ticks.
#[tokio::test]
async fn a_limited_campaign_offers_the_update_to_a_device_that_is_still_compatible() {
    let fixture = EngineFixture::with_policies(2).await;
    let mut request = campaign_request(fixture.add_firmware("1.1.0").await);
    request.max_concurrent_updates = Some(1);
    let id = fixture.create_and_start(request).await;
    fixture.release_all(id, &[(0, 1)]).await;
    fixture.report_result(id, Finished::Success).await;
    let device = waiting(&fixture, id, 2).await.remove(0);
    let key = fixture.key(&device).await;
    fixture.report_version(key, "1.0.5").await;
    fixture.release_all(id, &[(0, 1), (1, 1)]).await;
    fixture.offer_due().await;
    fixture.tick(id).await;
    assert_eq!(fixture.newest(key).await.0, UpdateStatus::Offered);

    fixture.report_without_calls(key, "hw_revision", "1").await;
    assert_eq!(fixture.newest(key).await.0, UpdateStatus::Scheduled);
    fixture.offer_due().await;
    fixture.tick(id).await;
    assert_eq!(fixture.newest(key).await.0, UpdateStatus::Offered);
}

#[tokio::test]
async fn a_device_that_changed_and_is_still_compatible_is_offered_the_update() {
    let fixture = EngineFixture::with_policies(2).await;
    let id = first_wave_done(&fixture, options()).await;
    let device = waiting(&fixture, id, 2).await.remove(0);
    let key = fixture.key(&device).await;
    fixture.report_version(key, "1.0.5").await;
    fixture.release_all(id, &[(0, 1), (1, 1)]).await;
    fixture.offer_due().await;
    assert_eq!(
        fixture.newest(key).await,
        (UpdateStatus::Offered, String::new())
    );
    let (_, reasons) = fixture.explained(&device).await;
    assert!(reasons.contains("version 1.0.5"), "{reasons}");
}

#[tokio::test]
async fn a_policy_that_fails_is_asked_again_later() {
    let fixture = EngineFixture::with_policies(2).await;
    let id = first_wave_done(&fixture, options()).await;
    let key = fixture.key(&waiting(&fixture, id, 2).await[0]).await;
    fixture.report_attribute(key, "hw_model", "cm4").await;
    fixture
        .sandbox
        .checks(|_| Err(CallFailure::Host("busy".to_owned())));
    fixture.release_all(id, &[(0, 1), (1, 1)]).await;
    fixture.offer_due().await;
    assert_eq!(fixture.newest(key).await.0, UpdateStatus::Scheduled);
    fixture.sandbox.checks(|input| Ok(accepts(input)));
    fixture.offer_due().await;
    assert_eq!(fixture.newest(key).await.0, UpdateStatus::Scheduled);
    fixture.clock.advance(Duration::from_mins(1));
    fixture.offer_due().await;
    assert_eq!(fixture.newest(key).await, skipped(OTHER_BOARD));
}
