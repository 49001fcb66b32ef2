use tidegate_core::{device::DeviceState, update::UpdateStatus};
use tidegate_engine::ports::{Devices as _, Runs as _};

use crate::{
    scene::{NOON, Scene, TIMEOUT, later},
    testing::on_both,
};

on_both! {
    async fn silence_ends_an_update_when_its_time_is_up(store) {
        let scene = Scene::set(store, &[3]).await?;
        scene.release(&[3]).await?;
        scene.succeeds(scene.devices[0], later(1)).await?;
        let end = NOON.plus(TIMEOUT);
        assert!(store.expire(later(3599), 10).await?.is_empty());
        let touched = store.expire(end, 1).await?;
        assert_eq!(touched.len(), 1);
        assert_eq!(touched[0].campaign, Some(scene.campaign()));
        assert_eq!((touched[0].tenant, touched[0].device_id.as_str()), (store.ours, "d-1"));
        assert_eq!(store.expire(end, 10).await?.len(), 1);
        assert!(store.expire(end, 10).await?.is_empty());

        let run = scene.look().await?;
        let report = &run.waves[0].report;
        assert_eq!((report.counts.timed_out, report.counts.completed), (2, 1));
        assert_eq!((report.failures[0].code.as_str(), report.failures[0].devices), ("TIMEOUT", 2));
        assert_eq!((run.ending.open_forward, run.ending.to_look_at), (0, 3));
        assert_eq!(scene.status_of(scene.devices[1]).await?, UpdateStatus::TimedOut);
        let silent = store.device(store.ours, "d-1").await?.expect("the device");
        assert_eq!((silent.state, silent.sw_version.as_deref()), (DeviceState::Error, Some("1.0.0")));
        assert_eq!(store.due(end, 10).await?, [scene.run]);
    }
}
