use tidegate_core::{
    id::TenantId,
    plugin::ClassKey,
    update::{INCOMPATIBLE, SuccessCriteria, UpdateOptions, UpdatePolicies, UpdateStatus},
};
use tidegate_engine::ports::{
    AcceptedClass, CheckOutcome, CheckedUpdates, Offer, OfferCompatibility, Runs as _, TickOutcome,
    UpdateCheck, UpdateToCheck, Updates as _,
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
        store.offer_updates(fixture.run, fence, 0, 10, &offer, false).await?;
        let due = store.updates_to_check(NOON, 10).await?;
        assert_eq!(due.len(), 3);
        assert!(store.expire_updates(NOON, 10).await?.is_empty(), "none is offered unchecked");

        let class = ClassKey { version: Some("1.0.0".to_owned()), ..ClassKey::default() };
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
            attributes: Vec::new(),
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

    async fn a_check_that_cannot_be_recorded_is_postponed(store) {
        let options = UpdateOptions::forced(TIMEOUT);
        let fixture = StoreFixture::with_options(store, &[2], SuccessCriteria::Reported, options).await?;
        let fence = fixture.lease().await?;
        let released = TickOutcome { levels: Some(vec![2]), ..fixture.noop().await? };
        assert!(store.apply(fixture.run, fence, released).await?);
        let compatibility = OfferCompatibility::of_campaign(Vec::new(), Vec::new());
        let offer = Offer { compatibility, ..fixture.offer(NOON) };
        store.offer_updates(fixture.run, fence, 0, 10, &offer, false).await?;
        let due = store.updates_to_check(NOON, 10).await?;
        let [one, other] = &due[..] else { panic!("{due:?}") };
        let of_other_tenant = TenantId(fixture.tenant.0 + 1);
        store.postpone_check(of_other_tenant, other.update, NOON).await?;
        store.postpone_check(fixture.tenant, one.update, NOON).await?;
        let due = |found: Vec<UpdateToCheck>| -> Vec<_> { found.iter().map(|it| it.update).collect() };
        assert_eq!(due(store.updates_to_check(later(59), 10).await?), [other.update]);
        // A check that is due later already is not brought forward.
        store.postpone_check(fixture.tenant, one.update, later(-30)).await?;
        assert_eq!(due(store.updates_to_check(later(59), 10).await?), [other.update]);
        assert_eq!(store.updates_to_check(later(60), 10).await?.len(), 2);
    }

    async fn tenants_take_turns_with_their_updates_to_check(store) {
        let mut due = Vec::new();
        for (tenant, devices, at) in [(store.ours, 2, later(-2)), (store.theirs, 1, NOON)] {
            let (criteria, options) = (SuccessCriteria::Reported, UpdateOptions::forced(TIMEOUT));
            let fixture = StoreFixture::of_tenant(store, tenant, &[devices], criteria, options).await?;
            let fence = fixture.lease().await?;
            let released = TickOutcome { levels: Some(vec![devices as u64]), ..fixture.noop().await? };
            assert!(store.apply(fixture.run, fence, released).await?);
            let compatibility = OfferCompatibility::of_campaign(Vec::new(), Vec::new());
            let offer = Offer { compatibility, ..fixture.offer(at) };
            store.offer_updates(fixture.run, fence, 0, 10, &offer, false).await?;
            for device in &fixture.devices {
                due.push((tenant, *device));
            }
        }
        let found = store.updates_to_check(NOON, 10).await?;
        let found: Vec<_> = found.iter().map(|it| (it.tenant, it.device)).collect();
        assert_eq!(found, [due[0], due[2], due[1]]);
        let found = store.updates_to_check(NOON, 2).await?;
        let found: Vec<_> = found.iter().map(|it| (it.tenant, it.device)).collect();
        assert_eq!(found, [due[0], due[2]]);
    }

    async fn an_offer_is_withdrawn_when_a_part_of_the_class_of_its_device_changes(store) {
        let site = || vec!["site".to_owned()];
        let changes = [("hw_model", "a"), ("hw_revision", "2"), ("site", "field"), ("sw_version", "1.0.5")];
        let options = UpdateOptions::forced(TIMEOUT);
        let fixture = StoreFixture::with_options(store, &[4], SuccessCriteria::Reported, options).await?;
        for device in &fixture.devices {
            fixture.report_attribute(*device, "site", "lab", NOON).await?;
        }
        let fence = fixture.lease().await?;
        let released = TickOutcome { levels: Some(vec![4]), ..fixture.noop().await? };
        assert!(store.apply(fixture.run, fence, released).await?);
        let accepted = ClassKey {
            version: Some("1.0.0".to_owned()),
            // The strategy requests the zone, policies do not.
            attributes: vec![("zone".to_owned(), "1".to_owned()), ("site".to_owned(), "lab".to_owned())],
            ..ClassKey::default()
        };
        let accepted = AcceptedClass { class: accepted, at: NOON, intermediate: None };
        let compatibility = OfferCompatibility::of_campaign(site(), vec![accepted]);
        let offer = Offer { compatibility, ..fixture.offer(NOON) };
        store.offer_updates(fixture.run, fence, 0, 10, &offer, false).await?;
        for (device, (attribute, value)) in fixture.devices.iter().zip(changes) {
            let device = *device;
            assert_eq!(fixture.status_of(device).await?, UpdateStatus::Offered);

            fixture.report_attribute(device, "uptime", "5", NOON).await?;
            assert_eq!(fixture.status_of(device).await?, UpdateStatus::Offered);
            let report = fixture.report_attribute(device, attribute, value, NOON).await?;
            assert!(report.changes_update, "{attribute}");
            assert_eq!(report.view.open, None, "{attribute}");
            assert_eq!(fixture.status_of(device).await?, UpdateStatus::Scheduled, "{attribute}");
            assert!(store.expire_updates(NOON, 10).await?.is_empty(), "{attribute}");
            let due = store.updates_to_check(NOON, 10).await?.remove(0);
            let class = |site: &str| {
                let reported = |name| (attribute == name).then(|| value.to_owned());
                ClassKey {
                    hardware_model: reported("hw_model"),
                    hardware_revision: reported("hw_revision"),
                    version: reported("sw_version").or(Some("1.0.0".to_owned())),
                    attributes: vec![("site".to_owned(), site.to_owned())],
                }
            };
            let checked = |class| CheckedUpdates {
                tenant: fixture.tenant,
                campaign: Some(fixture.campaign()),
                attributes: site(),
                checks: vec![UpdateCheck {
                    update: due.update,
                    device,
                    class,
                    outcome: CheckOutcome::Accepted,
                }],
                journal: Vec::new(),
            };
            store.record_checks(&checked(class("elsewhere")), NOON).await?;
            assert!(store.expire_updates(NOON, 10).await?.is_empty(), "it changed again");
            let now = if attribute == "site" { value } else { "lab" };
            store.record_checks(&checked(class(now)), NOON).await?;
            assert_eq!(store.expire_updates(NOON, 10).await?.len(), 1);
            let update = fixture.latest_update(device).await?.update;
            assert_eq!(update.state.status, UpdateStatus::Offered);
            let basis = update.compatibility.expect("a basis");
            assert_eq!((basis.attributes, basis.accepted), (site(), Some((class(now), NOON))));
        }
    }

    async fn a_limited_campaign_offers_updates_of_changed_devices_in_its_tick(store) {
        let options = UpdateOptions::forced(TIMEOUT);
        let fixture = StoreFixture::with_options(store, &[1], SuccessCriteria::Reported, options).await?;
        let fence = fixture.lease().await?;
        let released = TickOutcome { levels: Some(vec![1]), ..fixture.noop().await? };
        assert!(store.apply(fixture.run, fence, released).await?);
        let compatibility = OfferCompatibility::of_campaign(Vec::new(), Vec::new());
        let offer = Offer { compatibility, ..fixture.offer(NOON) };
        store.offer_updates(fixture.run, fence, 0, 10, &offer, false).await?;
        store.offer_due_retries(fixture.run, fence, 10, NOON).await?;
        assert_eq!(fixture.status_of(fixture.devices[0]).await?, UpdateStatus::Scheduled);
        let due = store.updates_to_check(NOON, 10).await?.remove(0);
        let checked = CheckedUpdates {
            tenant: fixture.tenant,
            campaign: Some(fixture.campaign()),
            attributes: Vec::new(),
            checks: vec![UpdateCheck {
                update: due.update,
                device: due.device,
                class: ClassKey { version: Some("1.0.0".to_owned()), ..ClassKey::default() },
                outcome: CheckOutcome::Accepted,
            }],
            journal: Vec::new(),
        };
        store.record_checks(&checked, NOON).await?;
        assert_eq!(store.offer_due_retries(fixture.run, fence, 10, NOON).await?.len(), 1);
        assert_eq!(fixture.status_of(fixture.devices[0]).await?, UpdateStatus::Offered);
    }
}
