use tidegate_core::{
    campaign::CampaignStatus,
    update::{SuccessCriteria, UpdateOptions},
};
use tidegate_engine::ports::{Fence, OfferedBatch, RunRef, Runs as _, TickOutcome};

use crate::{
    test_fixture::{NOON, StoreFixture, TIMEOUT, later, spec},
    testing::on_both,
};

on_both! {
    async fn one_host_at_a_time_and_every_lease_has_a_higher_fence(store) {
        let fixture = StoreFixture::new(store, &[1]).await?;
        let first = store.lease(fixture.run, "a", NOON, later(30)).await?.expect("it is not leased");
        assert_eq!(store.lease(fixture.run, "b", later(29), later(60)).await?, None);
        let second = store.lease(fixture.run, "b", later(30), later(60)).await?.expect("the lease expired");
        assert!(second.0 > first.0);
        // Renewing or releasing a lost lease does nothing.
        assert!(!store.renew_lease(fixture.run, first, later(90)).await?);
        store.release(fixture.run, first).await?;
        assert_eq!(store.lease(fixture.run, "a", later(31), later(60)).await?, None);
        assert!(store.renew_lease(fixture.run, second, later(70)).await?);
        assert_eq!(store.lease(fixture.run, "a", later(69), later(90)).await?, None, "it was renewed");
        store.release(fixture.run, second).await?;
        assert!(!store.renew_lease(fixture.run, second, later(90)).await?);
        let third = store.lease(fixture.run, "a", later(31), later(60)).await?.expect("it was released");
        assert!(third.0 > second.0);
        let theirs = RunRef { tenant: store.theirs, ..fixture.run };
        assert_eq!(store.lease(theirs, "a", later(99), later(100)).await?, None);
        assert!(store.run(theirs).await?.is_none());
    }

    async fn a_campaign_is_due_at_its_wake_up_and_when_dirty(store) {
        let fixture = StoreFixture::new(store, &[2]).await?;
        assert_eq!(store.due(NOON, 10).await?, [fixture.run], "it has just started");
        assert_eq!(store.due(later(-1), 10).await?, []);
        let fence = store.lease(fixture.run, "a", NOON, later(1000)).await?.expect("it is not leased");
        let mut applied = fixture.noop().await?;
        applied.wake_at = Some(later(100));
        applied.levels = Some(vec![2]);
        assert!(store.apply(fixture.run, fence, applied).await?);
        fixture.offer_updates(fence, 0, 10).await?;
        assert_eq!(store.due(later(100), 10).await?, [], "it is leased");
        store.release(fixture.run, fence).await?;
        assert_eq!(store.due(later(99), 10).await?, [], "its own offers do not make it dirty");
        assert_eq!(store.due(later(100), 10).await?, [fixture.run]);

        // A report during the lease makes the campaign due, although the tick sets no wake-up.
        let fence = store.lease(fixture.run, "a", later(40), later(1000)).await?.expect("it is not leased");
        fixture.report_success(fixture.devices[0], later(50)).await?;
        assert!(store.apply(fixture.run, fence, fixture.noop().await?).await?);
        assert_eq!(store.due(later(50), 10).await?, [], "it is leased");
        store.release(fixture.run, fence).await?;
        assert_eq!(store.due(later(50), 10).await?, [fixture.run]);

        let fence = store.lease(fixture.run, "a", later(51), later(80)).await?.expect("it is not leased");
        assert_eq!(store.due(later(51), 10).await?, [], "acquiring the lease cleared the dirty flag");
        assert_eq!(store.due(later(80), 10).await?, [fixture.run], "the lease expired");
        assert!(store.apply(fixture.run, fence, fixture.noop().await?).await?);
        assert_eq!(store.due(later(79), 10).await?, []);
        assert_eq!(store.due(later(80), 10).await?, [fixture.run], "the lease expired after the decision");
        store.release(fixture.run, fence).await?;
        assert_eq!(store.due(later(10_000), 10).await?, []);
        fixture.wake(later(200)).await?;
        fixture.wake(later(300)).await?;
        assert_eq!(store.due(later(199), 10).await?, []);
        assert_eq!(store.due(later(200), 10).await?, [fixture.run]);
    }

    async fn an_outcome_releases_the_lease_if_nothing_follows(store) {
        let fixture = StoreFixture::new(store, &[2]).await?;
        let fence = store.lease(fixture.run, "a", NOON, later(1000)).await?.expect("it is not leased");
        let last = TickOutcome { releases_lease: true, ..fixture.noop().await? };
        let stale = TickOutcome { generation: last.generation - 1, ..last.clone() };
        assert!(!store.apply(fixture.run, fence, stale).await?);
        assert_eq!(store.lease(fixture.run, "b", later(1), later(30)).await?, None, "nothing was applied");
        fixture.wake(later(2)).await?;
        let generation = last.generation;
        assert!(store.apply(fixture.run, fence, last).await?);
        let after = fixture.read_run().await?;
        assert_eq!(after.campaign.generation, generation, "the release alone is no change");
        assert!(after.campaign.decision_due, "it was woken meanwhile");
        assert!(!store.renew_lease(fixture.run, fence, later(90)).await?);
        assert_eq!(store.due(later(2), 10).await?, [fixture.run]);
        let next = store.lease(fixture.run, "b", later(2), later(30)).await?.expect("it was released");
        assert!(next.0 > fence.0);
        assert_eq!(store.due(later(29), 10).await?, [], "acquiring the lease cleared the dirty flag");
    }

    async fn the_batch_with_the_last_released_device_releases_the_lease(store) {
        let fixture = StoreFixture::new(store, &[3, 2]).await?;
        let offer = fixture.offer(NOON);
        let offer_two = async |fence, wave| store.offer_updates(fixture.run, fence, wave, 2, &offer, true).await;
        let lost = fixture.lease().await?;
        let fence = store.lease(fixture.run, "a", later(1), later(1000)).await?.expect("the lease expired");
        let outcome = TickOutcome { levels: Some(vec![3, 2]), ..fixture.noop().await? };
        assert!(store.apply(fixture.run, fence, outcome).await?);

        assert!(!offer_two(lost, 1).await?.lease_released, "the fence is lost");
        let first = offer_two(fence, 0).await?;
        assert_eq!((first.affected.len(), first.remaining, first.lease_released), (2, 1, false));
        assert!(store.renew_lease(fixture.run, fence, later(1001)).await?, "a device is left");
        fixture.wake(later(3)).await?;
        let second = offer_two(fence, 0).await?;
        assert_eq!((second.affected.len(), second.remaining, second.lease_released), (1, 0, true));
        assert!(!store.renew_lease(fixture.run, fence, later(1002)).await?);
        assert_eq!(store.due(later(3), 10).await?, [fixture.run], "it was woken meanwhile");

        // The next lease is not the one that a late batch ends.
        let next = store.lease(fixture.run, "b", later(3), later(1000)).await?.expect("it was released");
        assert!(next.0 > fence.0);
        assert_eq!(offer_two(fence, 1).await?, OfferedBatch::default());
        assert!(store.renew_lease(fixture.run, next, later(1003)).await?);
        let held = TickOutcome { status: Some(CampaignStatus::Held), ..fixture.noop().await? };
        assert!(store.apply(fixture.run, next, held).await?);
        let refused = offer_two(next, 1).await?;
        assert_eq!((refused.remaining, refused.lease_released), (2, false), "nothing was committed");
        assert!(store.renew_lease(fixture.run, next, later(1004)).await?);
    }

    async fn a_campaign_is_requeued_with_the_release_of_its_lease(store) {
        let fixture = StoreFixture::new(store, &[1]).await?;
        let lost = fixture.lease().await?;
        let fence = store.lease(fixture.run, "a", later(1), later(1000)).await?.expect("the lease expired");
        assert!(store.apply(fixture.run, fence, fixture.noop().await?).await?);
        // A server that lost its lease ends no other, but what it left undone is done.
        store.requeue(fixture.run, lost, later(9)).await?;
        assert!(store.renew_lease(fixture.run, fence, later(1001)).await?);
        store.requeue(fixture.run, fence, later(7)).await?;
        assert!(!store.renew_lease(fixture.run, fence, later(1002)).await?);
        assert_eq!(store.due(later(6), 10).await?, []);
        assert_eq!(store.due(later(7), 10).await?, [fixture.run]);
        let theirs = RunRef { tenant: store.theirs, ..fixture.run };
        let next = store.lease(fixture.run, "b", later(7), later(1000)).await?.expect("it was released");
        store.requeue(theirs, next, later(8)).await?;
        assert!(store.renew_lease(fixture.run, next, later(1003)).await?, "it is not theirs");
    }

    async fn ticks_without_an_event_that_change_nothing_are_counted(store) {
        let fixture = StoreFixture::new(store, &[1]).await?;
        let unchanged_ticks = async || anyhow::Ok(fixture.read_run().await?.unchanged_ticks);
        fixture.lease().await?;
        let before = unchanged_ticks().await?;
        let fence = fixture.lease().await?;
        assert_eq!(unchanged_ticks().await?, before + 1);
        assert!(store.apply(fixture.run, fence, fixture.noop().await?).await?);
        assert_eq!(unchanged_ticks().await?, before + 1);

        fixture.wake(NOON).await?;
        fixture.lease().await?;
        assert_eq!(unchanged_ticks().await?, 0, "an event");
        let fence = fixture.lease().await?;
        assert_eq!(unchanged_ticks().await?, 1);
        let raised = TickOutcome { levels: Some(vec![1]), ..fixture.noop().await? };
        assert!(store.apply(fixture.run, fence, raised).await?);
        assert_eq!(unchanged_ticks().await?, 0, "a wave was released");
    }

    async fn a_campaign_that_fails_every_tick_is_due_after_the_others(store) {
        let fixture = StoreFixture::new(store, &[1]).await?;
        let failing = fixture.run;
        let second = fixture.start_another_campaign(later(1)).await?;
        assert_eq!(store.due(later(2), 1).await?, [failing]);
        // Its ticks fail: only the new wake-up remains.
        let fence = store.lease(failing, "a", later(2), later(32)).await?.expect("it is not leased");
        assert_eq!(store.due(later(2), 1).await?, [second], "a leased campaign is not due");
        store.requeue(failing, fence, later(4)).await?;
        assert_eq!(store.due(later(5), 1).await?, [second], "the other campaign is longer overdue");
        let fence = store.lease(second, "a", later(5), later(35)).await?.expect("it is not leased");
        assert_eq!(store.due(later(5), 1).await?, [failing]);
        assert!(store.apply(second, fence, fixture.noop_for(second).await?).await?);
        store.release(second, fence).await?;
        assert_eq!(store.due(later(5), 9).await?, [failing]);
    }

    async fn a_lost_fence_does_nothing(store) {
        let fixture = StoreFixture::new(store, &[4]).await?;
        fixture.release(&[2]).await?;
        let lost = fixture.lease().await?;
        let held = fixture.lease().await?;
        let before = fixture.read_run().await?;
        let mut applied = fixture.noop().await?;
        applied.levels = Some(vec![4]);
        assert!(!store.apply(fixture.run, lost, applied.clone()).await?);
        assert!(store.cancel_updates(fixture.run, lost, 10, NOON).await?.is_empty());
        let scope = tidegate_core::plugin::RollbackScope::Everything;
        let offer = fixture.offer(NOON);
        assert_eq!(store.create_rollback_updates(fixture.run, lost, scope, 10, &offer).await?.processed, 0);
        assert_eq!(fixture.read_run().await?, before);
        assert!(store.apply(fixture.run, held, applied).await?);
        assert!(fixture.offer_updates(Fence(lost.0), 0, 10).await?.affected.is_empty());
        assert_eq!(fixture.read_run().await?.waves[0].admitted, 2);
    }

    async fn tenants_take_turns_with_their_due_campaigns(store) {
        let fixture = StoreFixture::new(store, &[1]).await?;
        let mut ours = Vec::new();
        for at in [later(-3), later(-2), later(-1)] {
            ours.push(fixture.start_another_campaign(at).await?);
        }
        let (criteria, options) = (SuccessCriteria::Reported, UpdateOptions::forced(TIMEOUT));
        let theirs = StoreFixture::of_tenant(store, store.theirs, &[1], criteria, options).await?;
        let expected = [ours[0], theirs.run, ours[1], ours[2], fixture.run];
        assert_eq!(store.due(NOON, 10).await?, expected);
        assert_eq!(store.due(NOON, 2).await?, expected[..2]);
    }

    async fn strategies_of_a_tenant_take_turns_with_their_due_campaigns(store) {
        let fixture = StoreFixture::new(store, &[1]).await?;
        let mut heavy = Vec::new();
        for at in [later(-5), later(-4), later(-3)] {
            let mut spec = spec(fixture.new, SuccessCriteria::Reported);
            spec.strategy.plugin = "acme/heavy".parse()?;
            heavy.push(fixture.start_campaign_of(spec, at).await?);
        }
        let (criteria, options) = (SuccessCriteria::Reported, UpdateOptions::forced(TIMEOUT));
        let theirs = StoreFixture::of_tenant(store, store.theirs, &[1], criteria, options).await?;
        // A tenant with two strategies has no more turns than one with one.
        let expected = [heavy[0], theirs.run, fixture.run, heavy[1], heavy[2]];
        assert_eq!(store.due(NOON, 10).await?, expected);
        assert_eq!(store.due(NOON, 3).await?, expected[..3]);
    }
}
