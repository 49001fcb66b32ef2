use std::time::Duration;

use tidegate_core::{
    feedback::{Execution, Finished},
    update::{DeviceRefusal, Refusal, RetryPolicy, SuccessCriteria, UpdateEvent, UpdateOptions},
};
use tidegate_engine::ports::Updates as _;

use super::*;
use crate::test_fixture::TIMEOUT;

fn refusal() -> UpdateEvent {
    UpdateEvent::Feedback(feedback(Execution::Rejected, Finished::Failure, "no space"))
}

/// A campaign with this option that offered its update to one device.
async fn offered(
    store: &TestStore,
    device_refusal: DeviceRefusal,
) -> anyhow::Result<StoreFixture<'_>> {
    let options = UpdateOptions {
        device_refusal,
        ..UpdateOptions::forced(TIMEOUT)
    };
    let fixture =
        StoreFixture::with_options(store, &[1], SuccessCriteria::Reported, options).await?;
    fixture.release(&[1]).await?;
    Ok(fixture)
}

on_both! {
    async fn the_same_refusal_after_another_retrieval_ends_the_update(store) {
        let fixture = offered(store, DeviceRefusal::Fail).await?;
        let key = fixture.devices[0];
        fixture.record_event(key, UpdateEvent::Retrieved, later(1)).await??;
        let before = fixture.latest_update(key).await?;
        for (event, expected) in [
            (refusal(), Refusal::Refused),
            // A repetition of the same message.
            (refusal(), Refusal::Refused),
            (UpdateEvent::Retrieved, Refusal::ReadAgain),
        ] {
            let recorded = fixture.record_event(key, event, later(2)).await??;
            assert!(!recorded.changes_update, "the update stays as it is");
            assert_eq!(store.poll_view(store.ours, "d-0").await?.as_ref(), Some(&recorded.view));
            let update = fixture.latest_update(key).await?;
            assert_eq!((update.update.state.refusal, update.revision), (Some(expected), before.revision));
            assert_eq!(update.update.state.phase, Some(Execution::Rejected));
            assert_eq!(update.update.state.options.device_refusal, DeviceRefusal::Fail);
        }
        let recorded = fixture.record_event(key, refusal(), later(4)).await??;
        assert_eq!((recorded.changes_update, &recorded.view.open), (true, &None));
        let ended = fixture.latest_update(key).await?.update;
        assert_eq!(ended.state.status, UpdateStatus::Failed);
        assert_eq!(ended.state.error.context("an error")?.message, "no space");
        assert_eq!(store.history(store.ours, ended.id, 10).await?.len(), 1);
        let counts = fixture.read_run().await?.waves[0].report.counts;
        assert_eq!((counts.failed, counts.in_flight()), (1, 0));
        // Sent again, because the device did not receive the response.
        assert!(fixture.record_event(key, refusal(), later(5)).await?.is_ok());
    }

    async fn with_wait_a_refusal_never_ends_the_update(store) {
        let fixture = offered(store, DeviceRefusal::Wait).await?;
        let key = fixture.devices[0];
        for _ in 0..3 {
            fixture.record_event(key, UpdateEvent::Retrieved, later(1)).await??;
            fixture.record_event(key, refusal(), later(2)).await??;
        }
        let update = fixture.latest_update(key).await?.update;
        assert_eq!((update.state.status, update.state.phase), (UpdateStatus::Downloading, Some(Execution::Rejected)));
        assert_eq!(update.state.options.device_refusal, DeviceRefusal::Wait);
        let created = fixture.read_run().await?.campaign;
        assert_eq!(created.spec.options.device_refusal, DeviceRefusal::Wait);
    }

    async fn a_retry_begins_without_a_refusal(store) {
        let retries = RetryPolicy { max_retries: 1, delay: Duration::from_mins(1) };
        let options = UpdateOptions { retries, ..UpdateOptions::forced(TIMEOUT) };
        let fixture = StoreFixture::with_options(store, &[1], SuccessCriteria::Reported, options).await?;
        fixture.release(&[1]).await?;
        let key = fixture.devices[0];
        for event in [refusal(), UpdateEvent::Retrieved, refusal()] {
            fixture.record_event(key, event, later(1)).await??;
        }
        let retry = fixture.latest_update(key).await?.update;
        assert_eq!((retry.state.status, retry.state.refusal), (UpdateStatus::Scheduled, None));
    }
}
