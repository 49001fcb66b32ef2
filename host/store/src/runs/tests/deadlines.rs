use tidegate_core::{device::DeviceState, update::UpdateStatus};
use tidegate_engine::ports::{Devices as _, Runs as _};

use crate::{
    test_fixture::{NOON, StoreFixture, TIMEOUT, later},
    testing::on_both,
};

on_both! {
    async fn an_update_without_reports_times_out(store) {
        let fixture = StoreFixture::new(store, &[3]).await?;
        fixture.release(&[3]).await?;
        fixture.report_success(fixture.devices[0], later(1)).await?;
        let end = NOON.plus(TIMEOUT);
        assert!(store.expire_updates(later(3599), 10).await?.is_empty());
        let affected = store.expire_updates(end, 1).await?;
        assert_eq!(affected.len(), 1);
        assert_eq!(affected[0].campaign, Some(fixture.campaign()));
        assert_eq!((affected[0].tenant, affected[0].device_id.as_str()), (store.ours, "d-1"));
        assert_eq!(store.expire_updates(end, 10).await?.len(), 1);
        assert!(store.expire_updates(end, 10).await?.is_empty());

        let run = fixture.read_run().await?;
        let report = &run.waves[0].report;
        assert_eq!((report.counts.timed_out, report.counts.completed), (2, 1));
        assert_eq!((report.failures[0].code.as_str(), report.failures[0].devices), ("TIMEOUT", 2));
        assert_eq!((run.rollback_progress.open_updates, run.rollback_progress.rollback_pending), (0, 3));
        assert_eq!(fixture.status_of(fixture.devices[1]).await?, UpdateStatus::TimedOut);
        let silent = store.device(store.ours, "d-1").await?.expect("the device");
        assert_eq!((silent.state, silent.sw_version.as_deref()), (DeviceState::Error, Some("1.0.0")));
        assert_eq!(store.due(end, 10).await?, [fixture.run]);
    }
}
