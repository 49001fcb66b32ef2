//! Updates that have to be approved: large requests, and decisions of servers that died.

use std::time::Duration;

use tidegate_core::{
    campaign::Priority,
    id::ApprovalId,
    settings::TenantSettings,
    update::{SuccessCriteria, UpdateOptions, UpdateStatus},
};
use tidegate_engine::{
    Authorized, Ctx, Error, Role, campaigns,
    ports::PageRequest,
    registry, tenants,
    updates::{self, UpdateRequest},
};

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
    campaigns::expire_batch(&fixture.engine)
        .await
        .expect("a batch");
    assert_eq!(fixture.number_of(UpdateStatus::WaitingApproval).await, 1);

    let store = fixture.engine.store();
    let decided = store.decide_approval(&approver, ApprovalId::of_first(update.id), true, "");
    assert!(decided.await.expect("a database"));
    assert_eq!(fixture.number_of(UpdateStatus::WaitingApproval).await, 1);
    campaigns::expire_batch(&fixture.engine)
        .await
        .expect("a batch");
    assert_eq!(fixture.number_of(UpdateStatus::Offered).await, 1);
    let device = registry::get(&operator, store, fixture.engine.caches(), "device-000");
    assert_eq!(
        device.await.expect("the device").open_update,
        Some(update.id)
    );
}
