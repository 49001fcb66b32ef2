use std::time::Duration;

use tidegate_core::{
    feedback::{Execution, Finished},
    update::{SuccessCriteria, UpdateEvent},
};
use tidegate_engine::ports::{Offer, Runs as _, TickOutcome, UpdateFilter, Updates as _};

use super::*;
use crate::test_fixture::ALL;

const SOAK: SuccessCriteria = SuccessCriteria::Soaked(Duration::from_hours(2));
/// When the soak ends: it starts in the second second.
const OVER: i64 = 2 + 7200;

/// A fixture with one device, which has just reported the new version.
async fn soaking(store: &TestStore) -> anyhow::Result<StoreFixture<'_>> {
    let fixture = StoreFixture::with_success_criteria(store, &[1], SOAK).await?;
    fixture.release(&[1]).await?;
    let key = fixture.devices[0];
    fixture.report_success(key, later(1)).await?;
    let recorded = fixture.report_version(key, "1.1.0", later(2)).await?;
    anyhow::ensure!(
        !recorded.view.wants_attributes,
        "its attributes are not requested"
    );
    Ok(fixture)
}

on_both! {
    async fn a_device_is_asked_again_when_it_has_soaked(store) {
        let fixture = soaking(store).await?;
        let key = fixture.devices[0];
        let state = fixture.latest_update(key).await?.update.state;
        assert_eq!((state.success_criteria, state.status), (SOAK, UpdateStatus::Verifying));
        assert_eq!(state.soaks_until, Some(later(OVER)));
        assert!(store.expire_updates(later(OVER - 1), 10).await?.is_empty());

        assert_eq!(store.expire_updates(later(OVER), 10).await?.len(), 1);
        let view = store.poll_view(store.ours, "d-0").await?.expect("the device");
        assert!(view.wants_attributes, "its version is requested");
        assert_eq!(fixture.status_of(key).await?, UpdateStatus::Verifying);
        let recorded = fixture.report_version(key, "1.1.0", later(OVER + 1)).await?;
        assert!(recorded.changes_update);
        assert_eq!(fixture.status_of(key).await?, UpdateStatus::Completed);
    }

    async fn a_soaked_device_that_does_not_report_times_out(store) {
        let fixture = soaking(store).await?;
        let key = fixture.devices[0];
        assert_eq!(store.expire_updates(later(OVER), 10).await?.len(), 1);
        assert!(store.expire_updates(later(OVER + 3599), 10).await?.is_empty());
        assert_eq!(store.expire_updates(later(OVER + 3600), 10).await?.len(), 1);
        assert_eq!(fixture.status_of(key).await?, UpdateStatus::TimedOut);
    }

    async fn a_device_that_reverts_during_the_soak_fails(store) {
        let fixture = soaking(store).await?;
        let key = fixture.devices[0];
        assert!(fixture.report_version(key, "1.0.0", later(60)).await?.changes_update);
        let state = fixture.latest_update(key).await?.update.state;
        let code = state.error.map(|error| error.code);
        assert_eq!((state.status, code.as_deref()), (UpdateStatus::Failed, Some("HEALTH_CHECK_FAILED")));
    }

    async fn a_version_of_a_later_update_is_no_failure(store) {
        let fixture = soaking(store).await?;
        let key = fixture.devices[0];
        let another = fixture.start_another_campaign(later(3)).await?;
        let fence = store.lease(another, "us", later(3), later(3)).await?.expect("a lease");
        let applied = TickOutcome { levels: Some(vec![1]), ..fixture.noop_for(another).await? };
        assert!(store.apply(another, fence, applied).await?);
        let offer = Offer { to_version: "1.2.0".into(), success_criteria: SuccessCriteria::Reported, ..fixture.offer(later(3)) };
        store.offer_updates(another, fence, 0, 10, &offer, false).await?;
        let of_another = UpdateFilter { campaign: Some(another.campaign), device: None, status: None };
        let second = store.list_updates(store.ours, &of_another, ALL).await?.items[0].update.id;
        let done = UpdateEvent::Feedback(feedback(Execution::Closed, Finished::Success, "done"));
        fixture.report(key, second, done, later(4)).await?;

        fixture.report_version(key, "1.2.0", later(5)).await?;
        assert_eq!(fixture.status_of(key).await?, UpdateStatus::Cancelled);
    }
}
