use std::time::Duration;

use tidegate_core::{
    device::AutoConfirm,
    id::{ApprovalId, UpdateId},
    time::Timestamp,
    update::{Confirmation, NOT_APPROVED, OnDenied, SuccessCriteria, UpdateEvent, UpdateOptions},
};
use tidegate_engine::{
    Actor, ActorKind, Ctx,
    ports::{
        DeviceChange, Offer, OfferAction, OfferActor, OfferOverrides, OfferResult, PageRequest,
        RequestedApproval, Runs as _, SingleUpdates as _, Statistics as _, UpdateAuthorship,
        UpdateFilter, Updates as _,
    },
};

use super::*;
use crate::{SqlStore, rows::RowExt as _, test_fixture::TIMEOUT, testing::test_ctx};

const LATER: Timestamp = Timestamp(NOON.0 + 30 * 24 * 3_600_000);

fn approver() -> Ctx {
    Ctx {
        actor: Actor::new(ActorKind::Key, "approver"),
        now: LATER,
        ..test_ctx(tidegate_core::id::TenantId(0))
    }
}

impl StoreFixture<'_> {
    /// Creates updates that wait for a new approval; returns their ids, in the order of the devices.
    async fn request(&self, force: bool) -> anyhow::Result<Vec<UpdateId>> {
        let (offer, new) = (self.offer(NOON), RequestedApproval::New);
        let created = self
            .store
            .request_updates(self.tenant, &self.devices, &offer, force, new);
        let created = created.await?;
        let ids = created.iter().map(OfferResult::created);
        ids.collect::<Option<_>>().context("all are created")
    }

    async fn decide(&self, first: UpdateId, is_approved: bool, why: &str) -> anyhow::Result<bool> {
        let ctx = Ctx {
            tenant: self.tenant,
            ..approver()
        };
        Ok(self
            .store
            .decide_approval(&ctx, ApprovalId::of_first(first), is_approved, why)
            .await?)
    }

    async fn apply_approval(&self, first: UpdateId, limit: u32) -> anyhow::Result<usize> {
        Ok(self
            .store
            .apply_approval(self.tenant, ApprovalId::of_first(first), LATER, limit)
            .await?
            .len())
    }

    async fn number_of_approvals(&self) -> anyhow::Result<i64> {
        let mut tx = self.store.database.read_single().await?;
        let count = "SELECT COUNT(*) AS n FROM update_approvals WHERE tenant_id = $1";
        let row = sqlx::query(count)
            .bind(self.tenant.0)
            .fetch_one(tx.conn())
            .await?;
        Ok(row.take("n")?)
    }

    async fn update_status(&self, id: UpdateId) -> anyhow::Result<UpdateStatus> {
        let row = self
            .store
            .update(self.tenant, id)
            .await?
            .context("the update")?;
        Ok(row.update.state.status)
    }

    async fn shown(&self, number: usize) -> anyhow::Result<Option<UpdateId>> {
        let view = self
            .store
            .poll_view(self.tenant, &format!("d-{number}"))
            .await?;
        Ok(view.context("a device")?.open.map(|open| open.id))
    }
}

on_both! {
    async fn updates_that_wait_for_approval_are_shown_to_no_device_and_do_not_time_out(store) {
        let fixture = StoreFixture::new(store, &[3]).await?;
        let ids = fixture.request(false).await?;
        let row = store.update(fixture.tenant, ids[1]).await?.context("the update")?;
        assert_eq!(row.update.state.status, UpdateStatus::WaitingApproval);
        let approval = row.approval.context("an approval")?;
        assert_eq!((approval.id, &*approval.requested_by, approval.decision), (ApprovalId::of_first(ids[0]), "creator", None));
        for number in 0..3 {
            assert_eq!(fixture.shown(number).await?, None);
            assert_eq!(device(store, number).await?.state, DeviceState::Pending);
        }
        assert!(store.expire_updates(LATER, 100).await?.is_empty());
        assert_eq!(store.unapplied_approvals(100).await?, []);
        assert_eq!(fixture.apply_approval(ids[0], 100).await?, 0, "there is no decision");
        assert_eq!(fixture.update_status(ids[1]).await?, UpdateStatus::WaitingApproval);

        let page = PageRequest { limit: 2, offset: 0 };
        let of_status = |status| UpdateFilter { status, ..UpdateFilter::default() };
        let waiting = of_status(Some(UpdateStatus::WaitingApproval));
        let listed = store.list_updates(fixture.tenant, &waiting, page).await?;
        assert_eq!((listed.total, listed.items[0].update.id), (3, ids[2]));
        let offered = of_status(Some(UpdateStatus::Offered));
        assert_eq!(store.list_updates(fixture.tenant, &offered, page).await?.total, 0);
        assert_eq!(store.list_updates(store.theirs, &waiting, page).await?.total, 0);
        let stats = store.stats(fixture.tenant, NOON, None).await?;
        assert!(stats.updates_by_status.contains(&("waiting_approval".to_owned(), 3)), "{stats:?}");

        // The device already has an open update of this firmware.
        let again = store.create_update(fixture.tenant, fixture.devices[0], &fixture.offer(NOON)).await?;
        assert_eq!(again, OfferResult::AlreadyOpen(ids[0]));
    }

    async fn approved_updates_are_offered_in_batches_with_their_whole_time(store) {
        let fixture = StoreFixture::new(store, &[3]).await?;
        let ids = fixture.request(false).await?;
        assert!(!fixture.decide(ids[1], true, "").await?, "not the id of the approval");
        let stranger = Ctx { tenant: store.theirs, ..approver() };
        assert!(!store.decide_approval(&stranger, ApprovalId::of_first(ids[0]), true, "").await?);
        assert_eq!(store.approval(store.theirs, ApprovalId::of_first(ids[0])).await?, None);

        assert!(fixture.decide(ids[0], true, "go").await?);
        assert!(!fixture.decide(ids[0], false, "stop").await?, "the first decision counts");
        let audit = store.last_audit_row().await?;
        assert_eq!((&*audit.action, &audit.after["comment"]), ("update.approve", &"go".into()));
        assert_eq!(store.unapplied_approvals(100).await?, [(fixture.tenant, ApprovalId::of_first(ids[0]))]);

        assert_eq!(fixture.apply_approval(ids[0], 2).await?, 2);
        assert_eq!(store.unapplied_approvals(100).await?, [(fixture.tenant, ApprovalId::of_first(ids[0]))]);
        assert_eq!(fixture.apply_approval(ids[0], 2).await?, 1);
        assert_eq!(store.unapplied_approvals(100).await?, []);
        assert_eq!(fixture.apply_approval(ids[0], 2).await?, 0);
        for (number, id) in ids.iter().enumerate() {
            assert_eq!(fixture.shown(number).await?, Some(*id));
            let row = store.update(fixture.tenant, *id).await?.context("the update")?;
            assert_eq!(row.update.state.status, UpdateStatus::Offered);
            assert_eq!(row.update.state.timeout_at, LATER.plus(TIMEOUT));
            let decision = row.approval.and_then(|approval| approval.decision).context("a decision")?;
            assert_eq!((&*decision.by, &*decision.comment, decision.at), ("approver", "go", LATER));
        }
        let summary = store.approval(fixture.tenant, ApprovalId::of_first(ids[0])).await?.context("the approval")?;
        assert_eq!((summary.updates, summary.waiting), (3, 0));
        let stats = store.stats(fixture.tenant, NOON, None).await?;
        let of = |status: &str| stats.updates_by_status.iter().find(|(name, _)| name == status).map(|(_, n)| *n);
        assert_eq!((of("offered"), of("waiting_approval").unwrap_or(0)), (Some(3), 0));
    }

    async fn rejected_updates_end(store) {
        let fixture = StoreFixture::new(store, &[2]).await?;
        let ids = fixture.request(true).await?;
        assert!(fixture.decide(ids[0], false, "not on a Friday").await?);
        assert_eq!(store.last_audit_row().await?.action, "update.reject");
        assert_eq!(fixture.apply_approval(ids[0], 100).await?, 2);
        for id in ids {
            let state = store.update(fixture.tenant, id).await?.context("the update")?.update.state;
            assert_eq!((state.status, state.completed_at), (UpdateStatus::Cancelled, Some(LATER)));
            let error = state.error.context("an error")?;
            assert_eq!((&*error.code, &*error.message), (NOT_APPROVED, "rejected by approver: not on a Friday"));
        }
        assert_eq!(device(store, 0).await?.state, DeviceState::Registered);
    }

    async fn a_device_that_was_pinned_before_the_approval_is_left_alone_unless_forced(store) {
        let fixture = StoreFixture::new(store, &[2]).await?;
        let offer = fixture.offer(NOON);
        let expected = [(false, UpdateStatus::Cancelled), (true, UpdateStatus::Offered)];
        for (number, (force, status)) in expected.into_iter().enumerate() {
            let key = [fixture.devices[number]];
            let new = RequestedApproval::New;
            let created = store.request_updates(fixture.tenant, &key, &offer, force, new).await?;
            let id = created[0].created().context("an update")?;
            let pin = DeviceChange { pinned: Some(true), ..DeviceChange::at(later(1)) };
            store.change_device(fixture.tenant, &format!("d-{number}"), pin).await?;
            fixture.decide(id, true, "").await?;
            assert_eq!(fixture.apply_approval(id, 100).await?, 1);
            assert_eq!(fixture.update_status(id).await?, status);
        }
    }

    async fn a_device_that_confirms_by_itself_is_offered_the_approved_update(store) {
        let options = UpdateOptions {
            confirmation: Some(Confirmation { on_denied: OnDenied::Reject, timeout: Duration::from_hours(1) }),
            ..UpdateOptions::forced(TIMEOUT)
        };
        let fixture = StoreFixture::with_options(store, &[2], SuccessCriteria::Reported, options).await?;
        let ids = fixture.request(false).await?;
        let auto_confirm = AutoConfirm { initiator: None, remark: None, activated_at: later(1) };
        store.activate_auto_confirm(fixture.tenant, fixture.devices[0], auto_confirm).await?;
        assert_eq!(fixture.update_status(ids[0]).await?, UpdateStatus::WaitingApproval);
        fixture.decide(ids[0], true, "").await?;
        fixture.apply_approval(ids[0], 100).await?;
        assert_eq!(fixture.update_status(ids[0]).await?, UpdateStatus::Offered);
        assert_eq!(fixture.update_status(ids[1]).await?, UpdateStatus::WaitingConfirmation);
    }

    async fn later_batches_join_the_approval_until_it_is_decided(store) {
        let fixture = StoreFixture::new(store, &[3]).await?;
        let offer = fixture.offer(NOON);
        let request = async |number: usize, approval| {
            let key = [fixture.devices[number]];
            store.request_updates(fixture.tenant, &key, &offer, false, approval).await
        };
        let first = request(0, RequestedApproval::New).await?[0].created().context("an update")?;
        let joined = request(1, RequestedApproval::Existing(ApprovalId::of_first(first))).await?;
        assert!(joined[0].created().is_some());
        let summary = store.approval(fixture.tenant, ApprovalId::of_first(first)).await?.context("the approval")?;
        assert_eq!((summary.updates, summary.waiting), (2, 2));
        fixture.decide(first, true, "").await?;
        let late = request(2, RequestedApproval::Existing(ApprovalId::of_first(first))).await?;
        assert_eq!(late, [OfferResult::ApprovalDecided]);
        let again = request(1, RequestedApproval::Existing(ApprovalId::of_first(first))).await?;
        assert!(matches!(&again[..], [OfferResult::AlreadyOpen(_)]), "{again:?}");
        assert_eq!(fixture.shown(2).await?, None);
        assert_eq!(device(store, 2).await?.state, DeviceState::Registered);
        let summary = store.approval(fixture.tenant, ApprovalId::of_first(first)).await?.context("the approval")?;
        assert_eq!(summary.updates, 2);
    }

    async fn an_approval_that_more_updates_may_join_is_not_decided(store) {
        let fixture = StoreFixture::new(store, &[2]).await?;
        let offer = fixture.offer(NOON);
        let request = async |number: usize, approval, incomplete_until| {
            let by = OfferActor {
                ctx: Ctx { tenant: fixture.tenant, ..approver() },
                action: OfferAction::CreateMany,
                authorship: UpdateAuthorship::bulk(&approver()),
                approval: Some(approval),
                incomplete_until,
            };
            let (sql, key): (&SqlStore, _) = (store, [fixture.devices[number]]);
            let created = sql.create_updates(fixture.tenant, &key, &offer, false, Some(&by)).await?;
            created[0].created().context("an update")
        };
        // The decision is made LATER.
        let after = Timestamp(LATER.0 + 1);
        let first = request(0, RequestedApproval::New, Some(after)).await?;
        assert!(!fixture.decide(first, true, "").await?);
        let approval = store.approval(fixture.tenant, ApprovalId::of_first(first)).await?.context("the approval")?.approval;
        assert!(approval.is_incomplete(LATER) && !approval.is_incomplete(after));
        assert_eq!(approval.decision, None);

        request(1, RequestedApproval::Existing(ApprovalId::of_first(first)), Some(after)).await?;
        assert!(!fixture.decide(first, false, "").await?);
        store.complete_approval(store.theirs, ApprovalId::of_first(first)).await?;
        assert!(!fixture.decide(first, false, "").await?, "of another tenant");
        store.complete_approval(fixture.tenant, ApprovalId::of_first(first)).await?;
        assert!(fixture.decide(first, true, "").await?);
        assert_eq!(fixture.apply_approval(first, 100).await?, 2);
    }

    async fn an_approval_whose_server_died_before_all_updates_joined_it_is_decided(store) {
        let fixture = StoreFixture::new(store, &[1]).await?;
        let by = OfferActor {
            ctx: Ctx { tenant: fixture.tenant, ..approver() },
            action: OfferAction::CreateMany,
            authorship: UpdateAuthorship::bulk(&approver()),
            approval: Some(RequestedApproval::New),
            incomplete_until: Some(LATER),
        };
        let (sql, offer): (&SqlStore, _) = (store, fixture.offer(NOON));
        let created = sql.create_updates(fixture.tenant, &fixture.devices, &offer, false, Some(&by)).await?;
        let id = created[0].created().context("an update")?;
        assert!(fixture.decide(id, true, "").await?);
        assert_eq!(fixture.apply_approval(id, 100).await?, 1);
    }

    async fn an_approval_is_deleted_with_the_last_of_its_updates(store) {
        let fixture = StoreFixture::new(store, &[4]).await?;
        let offer = fixture.offer(NOON);
        let request = async |numbers: &[usize], approval| {
            let keys: Vec<_> = numbers.iter().map(|number| fixture.devices[*number]).collect();
            let created = store.request_updates(fixture.tenant, &keys, &offer, false, approval).await?;
            created[0].created().context("an update")
        };
        let bulk = request(&[0, 1], RequestedApproval::New).await?;
        let waiting = request(&[2], RequestedApproval::New).await?;
        let decided = request(&[3], RequestedApproval::New).await?;
        fixture.decide(decided, true, "").await?;
        fixture.apply_approval(decided, 100).await?;
        let kept = async || -> anyhow::Result<Vec<ApprovalId>> {
            let mut kept = Vec::new();
            for id in [bulk, waiting, decided] {
                let found = store.approval(fixture.tenant, ApprovalId::of_first(id)).await?;
                kept.extend(found.map(|found| found.approval.id));
            }
            Ok(kept)
        };
        let delete = async |number: usize| {
            store.delete_device(fixture.tenant, &format!("d-{number}"), later(1)).await
        };
        assert_eq!(kept().await?, [bulk, waiting, decided].map(ApprovalId::of_first));
        delete(0).await?;
        assert_eq!(kept().await?, [bulk, waiting, decided].map(ApprovalId::of_first), "another update waits for it");
        delete(3).await?;
        assert_eq!(kept().await?, [bulk, waiting].map(ApprovalId::of_first));
        delete(1).await?;
        assert_eq!(kept().await?, [ApprovalId::of_first(waiting)]);

        // A later batch of a request whose first devices were deleted.
        let late = request(&[2], RequestedApproval::Existing(ApprovalId::of_first(bulk))).await;
        assert!(late.is_err(), "the device has an open update of this firmware");
        let other = Offer { firmware: fixture.old, to_version: "1.0.0".into(), ..fixture.offer(NOON) };
        let keys = [fixture.devices[2]];
        let joins = RequestedApproval::Existing(ApprovalId::of_first(bulk));
        let late = store.request_updates(fixture.tenant, &keys, &other, true, joins).await?;
        assert!(late[0].created().is_some());
        assert_eq!(kept().await?, [bulk, waiting].map(ApprovalId::of_first));
        let summary = store.approval(fixture.tenant, ApprovalId::of_first(bulk)).await?.context("the approval")?;
        assert_eq!((summary.updates, summary.waiting), (1, 1));
        delete(2).await?;
        assert_eq!(kept().await?, []);
        assert_eq!(fixture.number_of_approvals().await?, 0);
    }

    /// Both see the update of the other device until they have committed.
    async fn devices_of_one_approval_are_deleted_at_once(store) {
        let fixture = StoreFixture::new(store, &[8]).await?;
        fixture.request(false).await?;
        let tenant = fixture.tenant;
        let deleting = (0..8).map(|number| async move {
            store.delete_device(tenant, &format!("d-{number}"), later(1)).await
        });
        futures::future::try_join_all(deleting).await?;
        assert_eq!(fixture.number_of_approvals().await?, 0);
    }

    async fn a_waiting_update_ends_when_it_is_cancelled_superseded_or_its_device_is_deleted(store) {
        let fixture = StoreFixture::new(store, &[3]).await?;
        let ids = fixture.request(false).await?;
        let cancelled = fixture.report(fixture.devices[0], ids[0], UpdateEvent::CancelRequested, later(1)).await?;
        assert!(cancelled.changes_update);
        assert_eq!(fixture.update_status(ids[0]).await?, UpdateStatus::Cancelled);

        let back = Offer { firmware: fixture.old, to_version: "1.0.0".into(), ..fixture.offer(later(1)) };
        let none = OfferOverrides::default();
        let (_, superseded) = store.roll_back_device(fixture.tenant, fixture.devices[1], &back, none, "", false).await?;
        assert_eq!(superseded, [(ids[1], None)]);
        assert_eq!(fixture.update_status(ids[1]).await?, UpdateStatus::Cancelled);

        store.delete_device(fixture.tenant, "d-2", later(2)).await?;
        assert_eq!(store.update(fixture.tenant, ids[2]).await?, None);
        let summary = store.approval(fixture.tenant, ApprovalId::of_first(ids[0])).await?.context("the approval")?;
        assert_eq!((summary.updates, summary.waiting), (2, 0));
        fixture.decide(ids[0], true, "").await?;
        assert_eq!(fixture.apply_approval(ids[0], 100).await?, 0);
        assert_eq!(fixture.update_status(ids[0]).await?, UpdateStatus::Cancelled);
        assert_eq!(store.unapplied_approvals(100).await?, []);
    }
}
