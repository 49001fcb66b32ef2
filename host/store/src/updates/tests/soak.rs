use std::time::Duration;

use tidegate_core::{
    feedback::{Execution, Finished},
    update::{Event, Proof},
};
use tidegate_engine::ports::{Applied, Offer, Runs as _, UpdateFilter};

use super::*;
use crate::scene::ALL;

const SOAK: Proof = Proof::Soaked(Duration::from_hours(2));
/// When a device that begins to soak in the second second has soaked.
const OVER: i64 = 2 + 7200;

/// A scene with one device, which has just reported the new version.
async fn soaking(store: &TestStore) -> anyhow::Result<Scene<'_>> {
    let scene = Scene::with_proof(store, &[1], SOAK).await?;
    scene.release(&[1]).await?;
    let key = scene.devices[0];
    scene.succeeds(key, later(1)).await?;
    let recorded = scene.reports_version(key, "1.1.0", later(2)).await?;
    anyhow::ensure!(!recorded.view.wants_attributes, "it is left in peace");
    Ok(scene)
}

on_both! {
    async fn a_device_is_asked_again_when_it_has_soaked(store) {
        let scene = soaking(store).await?;
        let key = scene.devices[0];
        let progress = scene.newest(key).await?.update.progress;
        assert_eq!((progress.proof, progress.status), (SOAK, UpdateStatus::Verifying));
        assert_eq!(progress.soaks_until, Some(later(OVER)));
        assert!(store.expire(later(OVER - 1), 10).await?.is_empty());

        assert_eq!(store.expire(later(OVER), 10).await?.len(), 1);
        let view = store.poll_view(store.ours, "d-0").await?.expect("the device");
        assert!(view.wants_attributes, "it is asked for its version");
        assert_eq!(scene.status_of(key).await?, UpdateStatus::Verifying);
        let recorded = scene.reports_version(key, "1.1.0", later(OVER + 1)).await?;
        assert!(recorded.moved);
        assert_eq!(scene.status_of(key).await?, UpdateStatus::Completed);
    }

    async fn a_device_that_does_not_answer_then_falls_silent(store) {
        let scene = soaking(store).await?;
        let key = scene.devices[0];
        assert_eq!(store.expire(later(OVER), 10).await?.len(), 1);
        assert!(store.expire(later(OVER + 3599), 10).await?.is_empty());
        assert_eq!(store.expire(later(OVER + 3600), 10).await?.len(), 1);
        assert_eq!(scene.status_of(key).await?, UpdateStatus::TimedOut);
    }

    async fn a_device_that_falls_back_has_failed(store) {
        let scene = soaking(store).await?;
        let key = scene.devices[0];
        assert!(scene.reports_version(key, "1.0.0", later(60)).await?.moved);
        let progress = scene.newest(key).await?.update.progress;
        let code = progress.error.map(|error| error.code);
        assert_eq!((progress.status, code.as_deref()), (UpdateStatus::Failed, Some("HEALTH_CHECK_FAILED")));
    }

    async fn what_a_later_update_brought_is_no_failure(store) {
        let scene = soaking(store).await?;
        let key = scene.devices[0];
        let another = scene.begin_another(later(3)).await?;
        let fence = store.lease(another, "us", later(3), later(3)).await?.expect("a lease");
        let applied = Applied { levels: Some(vec![1]), ..scene.nothing_of(another).await? };
        assert!(store.apply(another, fence, applied).await?);
        let offer = Offer { to_version: "1.2.0".into(), proof: Proof::Reported, ..scene.offer(later(3)) };
        store.admit(another, fence, 0, 10, &offer).await?;
        let of_another = UpdateFilter { campaign: Some(another.campaign), device: None };
        let second = store.list_updates(store.ours, &of_another, ALL).await?.items[0].update.id;
        let done = Event::Feedback(feedback(Execution::Closed, Finished::Success, "done"));
        scene.report(key, second, done, later(4)).await?;

        scene.reports_version(key, "1.2.0", later(5)).await?;
        assert_eq!(scene.status_of(key).await?, UpdateStatus::Cancelled);
    }
}
