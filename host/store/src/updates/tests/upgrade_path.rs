//! Intermediate versions that devices install before the firmware of their campaign.

use tidegate_core::{
    campaign::{CampaignSpec, CampaignStatus, ROLLBACK_WEIGHT},
    feedback::{Execution, Finished},
    id::{CampaignId, FirmwareId, UpdateId},
    plugin::{ClassKey, RollbackScope},
    time::Timestamp,
    update::{
        INCOMPATIBLE, IntermediateFirmware, NO_UPGRADE_PATH, Purpose, RetryPolicy, SuccessCriteria,
        Update, UpdateEvent, UpdateOptions, UpgradePath,
    },
};
use tidegate_engine::ports::{
    AcceptedClass, CampaignChange, CampaignStart, Campaigns as _, CheckOutcome, CheckedUpdates,
    ClassVerdict, Membership, NewCampaign, Offer, RunRef, Runs as _, SingleUpdates as _,
    StoreError, UpdateCheck,
};

use super::{counters::check_counters, *};
use crate::test_fixture::{TIMEOUT, firmware, spec};

const REASON: &str = "version-path: needs 1.0.5 first: it converts the data.";

fn class(version: &str) -> ClassKey {
    ClassKey {
        version: Some(version.to_owned()),
        ..ClassKey::default()
    }
}

/// A campaign to 1.1.0 whose devices need this firmware first.
struct SteppedCampaign<'a> {
    fixture: StoreFixture<'a>,
    first: IntermediateFirmware,
}

impl<'a> SteppedCampaign<'a> {
    /// All devices are offered the intermediate firmware; with this many retries.
    async fn offered(
        store: &'a TestStore,
        devices: usize,
        max_retries: u32,
    ) -> anyhow::Result<Self> {
        let options = UpdateOptions {
            retries: RetryPolicy {
                max_retries,
                delay: std::time::Duration::from_mins(1),
            },
            ..UpdateOptions::forced(TIMEOUT)
        };
        let criteria = SuccessCriteria::Reported;
        let mut fixture = StoreFixture::with_options(store, &[devices], criteria, options).await?;
        let first = intermediate(store, "1.0.5").await?;
        fixture.first = Some(first.clone());
        fixture.release(&[devices as u64]).await?;
        let campaign = Self { fixture, first };
        check_counters(store).await?;
        Ok(campaign)
    }

    async fn newest(&self, device: DeviceKey) -> anyhow::Result<Update> {
        Ok(self.fixture.latest_update(device).await?.update)
    }

    /// The device installs the firmware of its newest update.
    async fn install(&self, device: DeviceKey, at: Timestamp) -> anyhow::Result<()> {
        self.fixture.report_success(device, at).await?;
        check_counters(self.fixture.store()).await
    }

    /// Records what policies decide on the only update to check, whose device is on this version.
    async fn decide(&self, version: &str, outcome: CheckOutcome) -> anyhow::Result<UpdateId> {
        let store = self.fixture.store();
        let due = store.updates_to_check(later(60), 10).await?;
        let [update] = &due[..] else {
            anyhow::bail!("one update to check: {due:?}")
        };
        assert_eq!((update.firmware, update.installs), (self.fixture.new, true));
        let checked = CheckedUpdates {
            tenant: self.fixture.tenant,
            campaign: Some(self.fixture.campaign()),
            attributes: Vec::new(),
            checks: vec![UpdateCheck {
                update: update.update,
                device: update.device,
                class: class(version),
                outcome,
            }],
            journal: Vec::new(),
        };
        store.record_checks(&checked, later(60)).await?;
        Ok(update.update)
    }

    /// Offers what is due and was checked; returns how many updates that changed.
    async fn offer_due(&self) -> anyhow::Result<usize> {
        let expired = self.fixture.store().expire_updates(later(60), 10).await?;
        check_counters(self.fixture.store()).await?;
        Ok(expired.len())
    }
}

/// A firmware of this version, to be installed first.
pub(super) async fn intermediate(
    store: &TestStore,
    version: &str,
) -> anyhow::Result<IntermediateFirmware> {
    let firmware = store.create_firmware(store.ours, firmware(version)).await?;
    Ok(IntermediateFirmware {
        firmware,
        version: version.to_owned(),
        reason: REASON.to_owned(),
    })
}

/// Creates another campaign to 1.1.0 whose devices need this firmware first, and starts it.
async fn started(
    fixture: &StoreFixture<'_>,
    first: IntermediateFirmware,
) -> anyhow::Result<Result<CampaignId, StoreError>> {
    let store = fixture.store();
    let campaign = NewCampaign {
        spec: CampaignSpec {
            name: "stepped".to_owned(),
            ..spec(fixture.new, SuccessCriteria::Reported)
        },
        created_by: "creator".to_owned(),
        created_at: Timestamp(3),
    };
    let id = store.create_campaign(fixture.tenant, campaign).await?;
    let start = CampaignStart {
        classes: vec![ClassVerdict {
            key: class("1.0.0"),
            devices: 1,
            excluded: None,
            is_unchecked: false,
            intermediate: Some(first),
        }],
        ..fixture.campaign_start(&[1])
    };
    let started = store.start_campaign(fixture.tenant, id, 0, start).await;
    Ok(started.map(|begun| {
        assert!(begun, "the campaign did not start");
        id
    }))
}

on_both! {
    async fn a_device_installs_the_intermediate_version_first_and_counts_once(store) {
        let campaign = SteppedCampaign::offered(store, 1, 0).await?;
        let (fixture, first) = (&campaign.fixture, &campaign.first);
        let key = fixture.devices[0];
        let step = campaign.newest(key).await?;
        assert_eq!((step.firmware, step.to_version.as_str()), (first.firmware, "1.0.5"));
        assert_eq!(step.state.status, UpdateStatus::Offered);
        let path = UpgradePath {
            target: fixture.new,
            target_version: "1.1.0".to_owned(),
            installed: Vec::new(),
            reason: Some(REASON.to_owned()),
        };
        assert_eq!(step.intermediate_of(), Some(&path));
        assert_eq!(step.target(), (fixture.new, "1.1.0"));

        campaign.install(key, later(10)).await?;
        let device = device(store, 0).await?;
        assert_eq!((device.state, device.sw_version.as_deref()), (DeviceState::Pending, Some("1.0.5")));
        assert_eq!(device.installed_firmware, Some(first.firmware));
        let next = campaign.newest(key).await?;
        assert_eq!((next.firmware, next.to_version.as_str()), (fixture.new, "1.1.0"));
        assert_eq!((next.state.status, next.installed_before()), (UpdateStatus::Scheduled, &["1.0.5".to_owned()][..]));
        assert_eq!((next.intermediate_of(), next.attempt.count, next.attempt.first), (None, 0, None));
        assert_eq!((&next.from_version, next.from_firmware), (&step.from_version, step.from_firmware));
        let run = fixture.read_run().await?;
        let counts = run.waves[0].report.counts;
        assert_eq!((counts.offered, counts.completed, counts.total()), (1, 0, 1));
        assert_eq!((run.rollback_progress.open_updates, run.rollback_progress.rollback_pending), (1, 0));
        assert_eq!(run.durations.count, 0);
        assert_eq!(campaign.offer_due().await?, 0, "policies are asked first");

        let checked = campaign.decide("1.0.5", CheckOutcome::Accepted).await?;
        assert_eq!(checked, next.id);
        assert_eq!(campaign.offer_due().await?, 1);
        campaign.install(key, later(90)).await?;
        let run = fixture.read_run().await?;
        assert_eq!((run.waves[0].report.counts.completed, run.waves[0].report.counts.total()), (1, 1));
        assert_eq!((run.rollback_progress.open_updates, run.rollback_progress.rollback_pending), (0, 1));
        assert_eq!(run.durations.count, 1);
        let totals = store.totals(fixture.tenant, key).await?;
        assert_eq!((totals.completed, totals.total()), (1, 1));
        let updates = fixture.updates_of(key).await?.items;
        let updates: Vec<_> = updates.iter().map(|row| (row.update.to_version.as_str(), row.update.attempt.is_retried)).collect();
        assert_eq!(updates, [("1.1.0", false), ("1.0.5", true)]);
    }

    async fn policies_may_need_another_version_after_the_first(store) {
        let campaign = SteppedCampaign::offered(store, 1, 0).await?;
        let key = campaign.fixture.devices[0];
        campaign.install(key, later(10)).await?;
        let second = intermediate(store, "1.0.9").await?;
        campaign.decide("1.0.5", CheckOutcome::Needs(second.clone())).await?;
        assert_eq!(campaign.offer_due().await?, 1);
        let step = campaign.newest(key).await?;
        assert_eq!((step.firmware, step.to_version.as_str()), (second.firmware, "1.0.9"));
        assert_eq!(step.installed_before(), ["1.0.5"]);
        assert_eq!(step.target(), (campaign.fixture.new, "1.1.0"));
        let kept = store.delete_firmware(store.ours, second.firmware, NOON).await;
        assert!(matches!(kept, Err(StoreError::Conflict(_))), "{kept:?}");
        campaign.install(key, later(60)).await?;
        assert_eq!(campaign.newest(key).await?.installed_before(), ["1.0.5", "1.0.9"]);
        campaign.decide("1.0.9", CheckOutcome::Accepted).await?;
        assert_eq!(campaign.offer_due().await?, 1);
        campaign.install(key, later(90)).await?;
        assert_eq!(campaign.fixture.read_run().await?.waves[0].report.counts.completed, 1);
    }

    async fn a_changed_device_may_need_no_intermediate_version_any_more(store) {
        let campaign = SteppedCampaign::offered(store, 1, 0).await?;
        let key = campaign.fixture.devices[0];
        // It was not told of the offer yet.
        campaign.fixture.report_version(key, "1.0.6", later(5)).await?;
        let step = campaign.decide("1.0.6", CheckOutcome::Accepted).await?;
        let update = campaign.newest(key).await?;
        assert_eq!((update.id, update.firmware), (step, campaign.fixture.new));
        assert_eq!(update.compatibility.as_ref().map(|basis| basis.path.is_none()), Some(true));
        assert_eq!(campaign.offer_due().await?, 1);
        campaign.install(key, later(70)).await?;
        assert_eq!(campaign.fixture.updates_of(key).await?.items.len(), 1);
    }

    async fn a_version_that_is_needed_again_fails_the_update(store) {
        let campaign = SteppedCampaign::offered(store, 1, 5).await?;
        let key = campaign.fixture.devices[0];
        campaign.install(key, later(10)).await?;
        campaign.decide("1.0.5", CheckOutcome::Needs(campaign.first.clone())).await?;
        let failed = campaign.newest(key).await?;
        assert_eq!(failed.state.status, UpdateStatus::Failed, "it is not retried");
        let error = failed.state.error.context("an error")?;
        assert_eq!(error.code, NO_UPGRADE_PATH);
        check_counters(store).await?;
        assert!(error.message.contains("need 1.0.5 before 1.1.0, but the device has installed it already"), "{}", error.message);
        let report = campaign.fixture.read_run().await?.waves.remove(0).report;
        assert_eq!((report.counts.failed, report.failures[0].code.as_str()), (1, NO_UPGRADE_PATH));
    }

    async fn a_version_that_the_server_does_not_have_ends_the_update(store) {
        let campaign = SteppedCampaign::offered(store, 1, 0).await?;
        let key = campaign.fixture.devices[0];
        campaign.install(key, later(10)).await?;
        campaign.decide("1.0.5", CheckOutcome::Rejected("upload it".to_owned())).await?;
        let ended = campaign.newest(key).await?.state;
        assert_eq!((ended.status, ended.error.context("an error")?.code.as_str()), (UpdateStatus::Cancelled, INCOMPATIBLE));
    }

    async fn a_failed_intermediate_update_is_the_failure_of_the_device(store) {
        let campaign = SteppedCampaign::offered(store, 1, 1).await?;
        let key = campaign.fixture.devices[0];
        campaign.fixture.report_failure(key, "FLASH", later(10)).await?;
        check_counters(store).await?;
        let retry = campaign.newest(key).await?;
        assert_eq!((retry.attempt.count, retry.firmware), (1, campaign.first.firmware));
        let due = retry.attempt.scheduled_at.context("a retry")?;
        store.expire_updates(due, 10).await?;
        campaign.fixture.report_failure(key, "FLASH", due).await?;
        check_counters(store).await?;
        let report = campaign.fixture.read_run().await?.waves.remove(0).report;
        assert_eq!((report.counts.failed, report.counts.total()), (1, 1));
        assert_eq!(campaign.newest(key).await?.state.status, UpdateStatus::Failed);

        // It runs the intermediate version after all.
        campaign.fixture.report_version(key, "1.0.5", due).await?;
        check_counters(store).await?;
        let report = campaign.fixture.read_run().await?.waves.remove(0).report;
        assert_eq!((report.counts.offered, report.counts.failed, report.failures.len()), (1, 0, 0));
        assert_eq!(campaign.newest(key).await?.state.status, UpdateStatus::Scheduled);
    }

    async fn a_late_success_continues_the_path_instead_of_the_retry(store) {
        let campaign = SteppedCampaign::offered(store, 1, 2).await?;
        let key = campaign.fixture.devices[0];
        let step = campaign.newest(key).await?.id;
        store.expire_updates(NOON.plus(TIMEOUT), 10).await?;
        check_counters(store).await?;
        let success = UpdateEvent::Feedback(feedback(Execution::Closed, Finished::Success, "done"));
        campaign.fixture.report(key, step, success, later(3601)).await?;
        check_counters(store).await?;
        let updates = campaign.fixture.updates_of(key).await?.items;
        let updates: Vec<_> = updates.iter().map(|row| (row.update.to_version.as_str(), row.update.state.status)).collect();
        assert_eq!(updates, [("1.1.0", UpdateStatus::Scheduled), ("1.0.5", UpdateStatus::Completed)]);
    }

    async fn a_cancellation_stops_the_next_step(store) {
        let campaign = SteppedCampaign::offered(store, 3, 0).await?;
        let fixture = &campaign.fixture;
        let [between, by_operator, by_campaign] = fixture.devices[..] else { anyhow::bail!("three devices") };
        campaign.install(between, later(10)).await?;
        fixture.record_event(by_operator, UpdateEvent::CancelRequested, later(10)).await??;
        let fence = fixture.lease().await?;
        store.cancel_updates(fixture.run, fence, 10, later(20)).await?;
        check_counters(store).await?;
        assert_eq!(campaign.newest(between).await?.state.status, UpdateStatus::Cancelled);
        for device in [by_operator, by_campaign] {
            assert_eq!(campaign.newest(device).await?.state.status, UpdateStatus::Cancelling);
            // It has installed the firmware nevertheless.
            campaign.install(device, later(30)).await?;
            let next = campaign.newest(device).await?;
            assert_eq!((next.state.status, next.firmware), (UpdateStatus::Cancelled, fixture.new));
            assert_eq!(next.installed_before(), ["1.0.5"]);
        }
        assert!(store.updates_to_check(later(60), 10).await?.is_empty());
        let run = fixture.read_run().await?;
        assert_eq!((run.waves[0].report.counts.cancelled, run.waves[0].report.counts.total()), (3, 3));
        assert_eq!((run.rollback_progress.open_updates, run.rollback_progress.rollback_pending), (0, 3));
        assert_eq!(device(store, 1).await?.state, DeviceState::InSync);
    }

    async fn a_rollback_returns_a_device_from_the_middle_of_its_path(store) {
        let campaign = SteppedCampaign::offered(store, 3, 0).await?;
        let fixture = &campaign.fixture;
        let [between, at_the_end, untouched] = fixture.devices[..] else { anyhow::bail!("three devices") };
        campaign.install(at_the_end, later(10)).await?;
        campaign.decide("1.0.5", CheckOutcome::Accepted).await?;
        campaign.offer_due().await?;
        campaign.install(at_the_end, later(70)).await?;
        campaign.install(between, later(80)).await?;
        let denied = UpdateEvent::Feedback(feedback(Execution::Closed, Finished::Failure, "no"));
        fixture.record_event(untouched, denied, later(80)).await??;
        let fence = fixture.start_rollback().await?;
        store.cancel_updates(fixture.run, fence, 10, later(100)).await?;
        let offer = Offer { weight: ROLLBACK_WEIGHT, ..fixture.offer(later(100)) };
        let batch = store.create_rollback_updates(fixture.run, fence, RollbackScope::Everything, 10, &offer).await?;
        assert_eq!(batch.processed, 3);
        check_counters(store).await?;
        for device in [between, at_the_end] {
            let newest = campaign.newest(device).await?;
            let purpose = newest.campaign.map(|(_, purpose)| purpose);
            assert_eq!((purpose, newest.firmware), (Some(Purpose::Rollback), fixture.old));
        }
        let purpose = campaign.newest(untouched).await?.campaign.map(|(_, purpose)| purpose);
        assert_eq!(purpose, Some(Purpose::Forward { wave: 0 }), "it has the firmware of before");
    }

    async fn an_intermediate_firmware_is_kept_until_its_campaign_ends(store) {
        let fixture = StoreFixture::new(store, &[1]).await?;
        let first = intermediate(store, "1.0.5").await?;
        let id = started(&fixture, first.clone()).await??;
        let run = RunRef { tenant: fixture.tenant, campaign: id };
        assert_eq!(store.accepted_classes(run).await?, [AcceptedClass { class: class("1.0.0"), at: NOON, intermediate: Some(first.clone()) }]);
        let membership = store.membership(fixture.tenant, id, fixture.devices[0]).await?;
        assert_eq!(membership, Membership::InWave { wave: 0, position: 0, joined_later_at: None, intermediate: Some(first.clone()) });
        let kept = store.delete_firmware(fixture.tenant, first.firmware, NOON).await;
        assert!(matches!(kept, Err(StoreError::Conflict(_))), "{kept:?}");
        let ended = CampaignChange {
            status: Some(CampaignStatus::Cancelled),
            ended_at: Some(NOON),
            ..CampaignChange::default()
        };
        assert!(store.change_campaign(fixture.tenant, id, 1, ended).await?);
        assert!(store.delete_firmware(fixture.tenant, first.firmware, NOON).await?);
        let deleted = started(&fixture, first).await?;
        assert!(matches!(deleted, Err(StoreError::Conflict(_))), "{deleted:?}");
        let unknown = IntermediateFirmware { firmware: FirmwareId(i64::MAX), version: "9".into(), reason: "no".into() };
        assert!(started(&fixture, unknown).await?.is_err());
    }
}
