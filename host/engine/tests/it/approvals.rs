//! Updates that have to be approved: large requests, and decisions of servers that died.

use std::{sync::Arc, time::Duration};

use tidegate_core::{
    campaign::Priority,
    id::{ApprovalId, UpdateId},
    settings::TenantSettings,
    update::{SuccessCriteria, UpdateOptions, UpdateStatus},
};
use tidegate_engine::{
    Authorized, Ctx, Error, Role, campaigns,
    ports::{ApprovalSummary, PageRequest},
    registry, tenants,
    updates::{self, BulkResult, OfferRefusal, UpdateRequest},
};
use tokio::{sync::Semaphore, task::JoinHandle};

use crate::engine_fixture::EngineFixture;

impl EngineFixture {
    async fn require_approval(&self) {
        let admin = Authorized::new(self.ctx_of("chief", Role::Admin)).expect("an admin");
        let change = |settings| {
            Ok::<_, Error>(TenantSettings {
                requires_approval: true,
                ..settings
            })
        };
        let (store, caches) = (self.engine.store(), self.engine.caches());
        let changed = tenants::change_settings(&admin, store, caches, change).await;
        assert!(changed.expect("a database").requires_approval);
    }

    async fn request(&self) -> UpdateRequest {
        UpdateRequest {
            firmware: self.add_firmware("1.1.0").await,
            priority: Priority::Normal,
            force: true,
            allow_beta: false,
            options: UpdateOptions::forced(Duration::from_mins(30)),
            success_criteria: SuccessCriteria::Reported,
            policies: None,
        }
    }

    async fn number_of(&self, status: UpdateStatus) -> u64 {
        let page = PageRequest {
            limit: 1,
            offset: 0,
        };
        let listed = updates::list(&self.ctx(), self.engine.store(), Some(status), page).await;
        listed.expect("a database").total
    }

    fn approver(&self) -> Ctx {
        self.ctx_of("approver", Role::Approver)
    }
}

#[tokio::test]
async fn the_batches_of_a_large_bulk_update_are_approved_as_one() {
    const DEVICES: usize = 2_100;

    let fixture = EngineFixture::new(DEVICES).await;
    fixture.require_approval().await;
    let request = fixture.request().await;
    let ids = (0..DEVICES).map(|n| format!("device-{n:03}")).collect();
    let (writer, plugins) = (fixture.engine.update_writer(), fixture.engine.plugins());
    let created = updates::create_many(&fixture.ctx(), writer, plugins, ids, &request).await;
    let created = created.expect("accepted");
    assert_eq!((created.accepted.len(), created.refused), (DEVICES, vec![]));
    let approval = created.approval.expect("an approval");
    assert_eq!(
        fixture.number_of(UpdateStatus::WaitingApproval).await,
        2_100
    );

    let (_, last) = created.accepted.last().expect("an update");
    let approver = Authorized::new(fixture.approver()).expect("an approver");
    let decided = updates::approve(&approver, writer, *last, "go").await;
    let decided = decided.expect("approved");
    assert_eq!((decided.approval.id, decided.updates), (approval, 2_100));
    assert_eq!(fixture.number_of(UpdateStatus::WaitingApproval).await, 0);
    assert_eq!(fixture.number_of(UpdateStatus::Offered).await, 2_100);
}

/// A bulk update that waits after its first batch, of 1000 devices.
struct InterruptedBulk {
    fixture: Arc<EngineFixture>,
    permits: Arc<Semaphore>,
    creating: JoinHandle<tidegate_engine::Result<BulkResult>>,
    /// One of the updates that are created already.
    update: UpdateId,
}

impl InterruptedBulk {
    async fn new(devices: usize) -> Self {
        let fixture = Arc::new(EngineFixture::new(devices).await);
        fixture.require_approval().await;
        let request = UpdateRequest {
            force: false,
            ..fixture.request().await
        };
        // Both default policies are asked about the only class of each batch.
        let permits = Arc::new(Semaphore::new(2));
        *fixture.sandbox.check_permits.lock() = Some(Arc::clone(&permits));
        let creating = tokio::spawn({
            let fixture = Arc::clone(&fixture);
            async move {
                let ids = (0..devices).map(|n| format!("device-{n:03}")).collect();
                let (writer, plugins) = (fixture.engine.update_writer(), fixture.engine.plugins());
                updates::create_many(&fixture.ctx(), writer, plugins, ids, &request).await
            }
        });
        while fixture.number_of(UpdateStatus::WaitingApproval).await < 1000 {
            tokio::task::yield_now().await;
        }
        let page = PageRequest {
            limit: 1,
            offset: 0,
        };
        let listed = updates::list(&fixture.ctx(), fixture.engine.store(), None, page).await;
        let update = listed.expect("a database").items[0].update.id;
        Self {
            fixture,
            permits,
            creating,
            update,
        }
    }

    async fn decide(&self, is_approved: bool) -> tidegate_engine::Result<ApprovalSummary> {
        let approver = Authorized::new(self.fixture.approver()).expect("an approver");
        let writer = self.fixture.engine.update_writer();
        if is_approved {
            updates::approve(&approver, writer, self.update, "").await
        } else {
            updates::reject(&approver, writer, self.update, "").await
        }
    }

    /// Lets the bulk update be created to its end.
    async fn finish(self) -> (Arc<EngineFixture>, BulkResult) {
        self.permits.add_permits(100);
        let created = self.creating.await.expect("no panic");
        (self.fixture, created.expect("the request succeeds"))
    }
}

#[tokio::test]
async fn a_bulk_update_is_decided_on_only_once_it_is_created_whole() {
    const DEVICES: usize = 2_100;

    for is_approved in [true, false] {
        let bulk = InterruptedBulk::new(DEVICES).await;
        for early in [true, false] {
            let refused = bulk.decide(early).await;
            let Err(Error::Conflict { code, .. }) = refused else {
                panic!("{refused:?}");
            };
            assert_eq!(code, "update_incomplete");
        }
        let update = bulk.update;
        let (fixture, created) = bulk.finish().await;
        assert_eq!((created.accepted.len(), created.refused), (DEVICES, vec![]));
        assert_eq!(
            fixture.number_of(UpdateStatus::WaitingApproval).await,
            2_100
        );

        let approver = Authorized::new(fixture.approver()).expect("an approver");
        let writer = fixture.engine.update_writer();
        let (decided, status) = if is_approved {
            let done = updates::approve(&approver, writer, update, "").await;
            (done, UpdateStatus::Offered)
        } else {
            let done = updates::reject(&approver, writer, update, "").await;
            (done, UpdateStatus::Cancelled)
        };
        assert_eq!(decided.expect("a decision").updates, 2_100);
        assert_eq!(fixture.number_of(status).await, 2_100);
    }
}

/// Of a server that died after the first batch, or that took far too long for the second one.
#[tokio::test]
async fn the_batches_of_an_abandoned_bulk_update_are_decided_on_and_no_other_joins_them() {
    const DEVICES: usize = 1_200;

    for (is_approved, status) in [
        (true, UpdateStatus::Offered),
        (false, UpdateStatus::Cancelled),
    ] {
        let bulk = InterruptedBulk::new(DEVICES).await;
        bulk.fixture.clock.advance(Duration::from_mins(5));
        let decided = bulk.decide(is_approved).await.expect("a decision");
        assert_eq!(decided.updates, 1000);
        let (fixture, created) = bulk.finish().await;
        assert_eq!(created.accepted.len(), 1000);
        assert_eq!(created.refused.len(), 200);
        let is_refused =
            |(_, refusal): &(String, OfferRefusal)| *refusal == OfferRefusal::ApprovalDecided;
        assert!(created.refused.iter().all(is_refused));
        assert_eq!(fixture.number_of(UpdateStatus::WaitingApproval).await, 0);
        assert_eq!(fixture.number_of(status).await, 1000);
    }
}

#[tokio::test]
async fn the_decision_of_a_server_that_died_is_applied_by_the_loop() {
    let fixture = EngineFixture::new(1).await;
    fixture.require_approval().await;
    let request = fixture.request().await;
    let (writer, plugins) = (fixture.engine.update_writer(), fixture.engine.plugins());
    let (operator, approver) = (fixture.ctx(), fixture.approver());
    let created = updates::create(&operator, writer, plugins, "device-000", &request);
    let update = created.await.expect("accepted").update;
    assert_eq!(update.state.status, UpdateStatus::WaitingApproval);
    fixture.clock.advance(Duration::from_mins(1));
    campaigns::check_updates(&fixture.engine)
        .await
        .expect("a round");
    assert_eq!(fixture.number_of(UpdateStatus::WaitingApproval).await, 1);

    let store = fixture.engine.store();
    let decided = store.decide_approval(&approver, ApprovalId::of_first(update.id), true, "");
    assert!(decided.await.expect("a database"));
    assert_eq!(fixture.number_of(UpdateStatus::WaitingApproval).await, 1);
    campaigns::check_updates(&fixture.engine)
        .await
        .expect("a round");
    assert_eq!(fixture.number_of(UpdateStatus::Offered).await, 1);
    let device = registry::get(&operator, store, fixture.engine.caches(), "device-000");
    assert_eq!(
        device.await.expect("the device").open_update,
        Some(update.id)
    );
}
