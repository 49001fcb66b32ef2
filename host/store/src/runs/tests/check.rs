use tidegate_core::update::{
    INCOMPATIBLE, SuccessCriteria, UpdateClass, UpdateOptions, UpdatePolicies, UpdateStatus,
};
use tidegate_engine::ports::{
    CheckOutcome, CheckedUpdates, Offer, OfferCompatibility, Runs as _, TickOutcome, UpdateCheck,
    Updates as _,
};

use crate::{
    test_fixture::{NOON, StoreFixture, TIMEOUT, later},
    testing::on_both,
};

on_both! {
    async fn a_device_of_another_class_is_checked_before_it_is_offered_the_update(store) {
        let options = UpdateOptions::forced(TIMEOUT);
        let fixture = StoreFixture::with_options(store, &[3], SuccessCriteria::Reported, options).await?;
        let fence = fixture.lease().await?;
        let released = TickOutcome { levels: Some(vec![3]), ..fixture.noop().await? };
        assert!(store.apply(fixture.run, fence, released).await?);
        let compatibility = OfferCompatibility {
            policies: Some(UpdatePolicies::Campaign),
            ..OfferCompatibility::default()
        };
        let offer = Offer { compatibility, ..fixture.offer(NOON) };
        // The campaign accepted devices without a version; these have reported one.
        store.offer_updates(fixture.run, fence, 0, 10, &offer).await?;
        let due = store.updates_to_check(NOON, 10).await?;
        assert_eq!(due.len(), 3);
        assert!(store.expire_updates(NOON, 10).await?.is_empty(), "none is offered unchecked");

        let class = UpdateClass { version: Some("1.0.0".to_owned()), ..UpdateClass::default() };
        let outcomes = [CheckOutcome::Accepted, CheckOutcome::Rejected("no".to_owned()), CheckOutcome::Failed];
        let checks = due.iter().zip(outcomes).map(|(update, outcome)| UpdateCheck {
            update: update.update,
            device: update.device,
            class: class.clone(),
            outcome,
        });
        let checked = CheckedUpdates {
            tenant: fixture.tenant,
            campaign: Some(fixture.campaign()),
            checks: checks.collect(),
            journal: Vec::new(),
        };
        store.record_checks(&checked, NOON).await?;
        assert_eq!(store.expire_updates(NOON, 10).await?.len(), 1);
        let mut found = Vec::new();
        for update in &due {
            found.push(store.update(fixture.tenant, update.update).await?.expect("the update").update);
        }
        let statuses: Vec<_> = found.iter().map(|update| update.state.status).collect();
        assert_eq!(statuses, [UpdateStatus::Offered, UpdateStatus::Cancelled, UpdateStatus::Scheduled]);
        let basis = found[0].compatibility.clone().expect("a basis");
        assert_eq!(basis.accepted, Some((class, NOON)));
        let error = found[1].state.error.clone().expect("an error");
        assert_eq!((error.code.as_str(), error.message.as_str()), (INCOMPATIBLE, "no"));
        assert!(store.updates_to_check(NOON, 10).await?.is_empty());
        assert_eq!(store.updates_to_check(later(60), 10).await?.len(), 1, "a failed check is repeated");
        let wave = fixture.read_run().await?.waves.remove(0).report;
        assert_eq!((wave.counts.offered, wave.counts.cancelled), (2, 1));
        assert!(wave.failures.is_empty(), "{:?}", wave.failures);
    }
}
