//! Tenants do not wait for one another's policies.

use std::sync::atomic::{AtomicUsize, Ordering};

use tidegate_core::campaign::Targets;

use super::*;
use crate::engine_fixture::wait_until;

/// A device of this number was offered the update of a campaign and is another one now.
async fn changed_device(fixture: &EngineFixture, n: usize) -> DeviceKey {
    let id = format!("device-{n:03}");
    let mut request = campaign_request(fixture.add_firmware(&format!("1.1.{n}")).await);
    request.options = options();
    request.targets = Targets {
        devices: vec![id.clone()],
        ..Targets::default()
    };
    let campaign = fixture.create_and_start(request).await;
    fixture.release_all(campaign, &[(0, 1)]).await;
    let key = fixture.key(&id).await;
    fixture.report_without_calls(key, "hw_model", "cm4").await;
    assert_eq!(fixture.newest(key).await.0, UpdateStatus::Scheduled);
    key
}

#[tokio::test]
async fn slow_policies_of_a_tenant_delay_the_checks_of_no_other() {
    let slow = EngineFixture::with_policies(1).await;
    let other = slow.other_tenant(1).await;
    let of_slow = changed_device(&slow, 0).await;
    let of_other = changed_device(&other, 0).await;
    let permits = Arc::new(Semaphore::new(0));
    *slow.sandbox.slow_checks.lock() = Some((slow.tenant(), Arc::clone(&permits)));
    let checking = campaigns::recheck_updates(&slow.engine, &|| true);
    let waiting = async {
        let is_checked = async || other.newest(of_other).await == skipped(OTHER_BOARD);
        wait_until(is_checked).await;
        assert_eq!(slow.newest(of_slow).await.0, UpdateStatus::Scheduled);
        permits.add_permits(1_000);
    };
    let (checked, ()) = tokio::join!(checking, waiting);
    assert_eq!(checked.expect("devices are checked").len(), 2);
    assert_eq!(slow.newest(of_slow).await, skipped(OTHER_BOARD));
}

#[tokio::test]
async fn a_round_of_checks_ends_and_the_next_one_goes_on() {
    let fixture = EngineFixture::with_policies(2).await;
    let devices = [
        changed_device(&fixture, 0).await,
        changed_device(&fixture, 1).await,
    ];
    for expected in [1, 2] {
        let checks = AtomicUsize::new(0);
        let may_begin = || checks.fetch_add(1, Ordering::SeqCst) == 0;
        let checked = campaigns::recheck_updates(&fixture.engine, &may_begin).await;
        assert_eq!(checked.expect("devices are checked").len(), 1);
        let mut ended = 0;
        for device in devices {
            ended += usize::from(fixture.newest(device).await == skipped(OTHER_BOARD));
        }
        assert_eq!(ended, expected);
    }
}
