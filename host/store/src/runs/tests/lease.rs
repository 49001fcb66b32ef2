use tidegate_engine::ports::{Fence, Runs as _};

use crate::{
    scene::{NOON, Scene, later},
    testing::on_both,
};

on_both! {
    async fn one_host_at_a_time_and_every_lease_has_a_higher_fence(store) {
        let scene = Scene::set(store, &[1]).await?;
        let first = store.lease(scene.run, "a", NOON, later(30)).await?.expect("it is free");
        assert_eq!(store.lease(scene.run, "b", later(29), later(60)).await?, None);
        let second = store.lease(scene.run, "b", later(30), later(60)).await?.expect("it has ended");
        assert!(second.0 > first.0);
        // Giving back what was lost gives back nothing.
        store.release(scene.run, first).await?;
        assert_eq!(store.lease(scene.run, "a", later(31), later(60)).await?, None);
        store.release(scene.run, second).await?;
        let third = store.lease(scene.run, "a", later(31), later(60)).await?.expect("it was given back");
        assert!(third.0 > second.0);
        let theirs = tidegate_engine::ports::RunRef { tenant: store.theirs, ..scene.run };
        assert_eq!(store.lease(theirs, "a", later(99), later(100)).await?, None);
        assert!(store.run(theirs).await?.is_none());
    }

    async fn a_campaign_is_due_when_it_wants_to_be_and_when_it_stirs(store) {
        let scene = Scene::set(store, &[2]).await?;
        assert_eq!(store.due(NOON, 10).await?, [scene.run], "it has just begun");
        assert_eq!(store.due(later(-1), 10).await?, []);
        let fence = store.lease(scene.run, "a", NOON, later(1000)).await?.expect("free");
        let mut applied = scene.nothing().await?;
        applied.wake_at = Some(later(100));
        applied.levels = Some(vec![2]);
        assert!(store.apply(scene.run, fence, applied).await?);
        scene.admit(fence, 0, 10).await?;
        assert_eq!(store.due(later(100), 10).await?, [], "somebody is at it");
        store.release(scene.run, fence).await?;
        assert_eq!(store.due(later(99), 10).await?, [], "its own offers are no news");
        assert_eq!(store.due(later(100), 10).await?, [scene.run]);

        // While it is being looked at, a device reports: it is due although the look ends without a wish.
        let fence = store.lease(scene.run, "a", later(40), later(1000)).await?.expect("free");
        scene.succeeds(scene.devices[0], later(50)).await?;
        assert!(store.apply(scene.run, fence, scene.nothing().await?).await?);
        assert_eq!(store.due(later(50), 10).await?, [], "somebody is at it");
        store.release(scene.run, fence).await?;
        assert_eq!(store.due(later(50), 10).await?, [scene.run]);

        let fence = store.lease(scene.run, "a", later(51), later(80)).await?.expect("free");
        assert_eq!(store.due(later(51), 10).await?, [], "who took it has seen it");
        assert_eq!(store.due(later(80), 10).await?, [scene.run], "a host that dies over it loses it");
        assert!(store.apply(scene.run, fence, scene.nothing().await?).await?);
        assert_eq!(store.due(later(79), 10).await?, []);
        assert_eq!(store.due(later(80), 10).await?, [scene.run], "or after it decided, before it acted on that");
        store.release(scene.run, fence).await?;
        assert_eq!(store.due(later(10_000), 10).await?, []);
        store.wake(scene.run, later(200)).await?;
        store.wake(scene.run, later(300)).await?;
        assert_eq!(store.due(later(199), 10).await?, []);
        assert_eq!(store.due(later(200), 10).await?, [scene.run]);
    }

    async fn a_campaign_that_fails_at_every_look_goes_behind_the_others(store) {
        let scene = Scene::set(store, &[1]).await?;
        let failing = scene.run;
        let second = scene.begin_another(later(1)).await?;
        assert_eq!(store.due(later(2), 1).await?, [failing]);
        // Its looks come to nothing: all that is left of each is the wish to be looked at again.
        let fence = store.lease(failing, "a", later(2), later(32)).await?.expect("free");
        assert_eq!(store.due(later(2), 1).await?, [second], "nobody waits for what is being looked at");
        store.wake(failing, later(4)).await?;
        store.release(failing, fence).await?;
        assert_eq!(store.due(later(5), 1).await?, [second], "the other has waited for longer");
        let fence = store.lease(second, "a", later(5), later(35)).await?.expect("free");
        assert_eq!(store.due(later(5), 1).await?, [failing]);
        assert!(store.apply(second, fence, scene.nothing_of(second).await?).await?);
        store.release(second, fence).await?;
        assert_eq!(store.due(later(5), 9).await?, [failing]);
    }

    async fn a_lost_fence_does_nothing(store) {
        let scene = Scene::set(store, &[4]).await?;
        scene.release(&[2]).await?;
        let lost = scene.lease().await?;
        let held = scene.lease().await?;
        let before = scene.look().await?;
        let mut applied = scene.nothing().await?;
        applied.levels = Some(vec![4]);
        assert!(!store.apply(scene.run, lost, applied.clone()).await?);
        assert!(store.call_back(scene.run, lost, 10, NOON).await?.is_empty());
        let scope = tidegate_core::plugin::Scope::Everything;
        let offer = scene.offer(NOON);
        assert_eq!(store.send_back(scene.run, lost, scope, 10, &offer).await?.looked_at, 0);
        assert_eq!(scene.look().await?, before);
        assert!(store.apply(scene.run, held, applied).await?);
        assert!(scene.admit(Fence(lost.0), 0, 10).await?.touched.is_empty());
        assert_eq!(scene.look().await?.waves[0].admitted, 2);
    }
}
