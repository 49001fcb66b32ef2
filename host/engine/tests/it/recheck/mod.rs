//! A device of another class than policies accepted is checked again before it is offered an update.

mod offers;
mod rollbacks;
mod tenants;
mod upgrade_paths;
mod waves;

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tidegate_core::{
    campaign::Priority,
    feedback::{Execution, Feedback, Finished},
    firmware::FirmwareDetails,
    id::{CampaignId, DeviceKey, FirmwareId, UpdateId},
    mode::DeviceMode,
    plugin::{CheckInput, Compatibility, DecisionOutcome, PluginKind, RollbackScope},
    time::Timestamp,
    update::{
        Confirmation, OnDenied, Purpose, RetryPolicy, SuccessCriteria, Update, UpdateEvent,
        UpdateOptions, UpdateStatus,
    },
};
use tidegate_engine::{
    JournalSettings,
    campaigns::{self, MembershipStatus},
    latest,
    ports::{CallFailure, DeviceChange, PageRequest, UpdateFilter, UpdateRow},
    updates::{self, RetryOptions, UpdateRequest},
};

use tokio::sync::Semaphore;

use crate::{
    engine_fixture::{EngineFixture, campaign_request, explain, feedback},
    scripted_sandbox::decision,
};

const OTHER_BOARD: &str = "acme/fits: the hardware is cm4";

const DOWNGRADE: &str = "acme/fits: 1.2.0 is newer";

/// What makes a device another one: an attribute, its new value, and the reason of policies against it. Devices have
/// reported no revision and no site before.
const CHANGES: [(&str, &str, &str); 3] = [
    ("hw_model", "cm4", "the hardware is cm4"),
    ("hw_revision", "2", "the revision is 2"),
    ("site", "field", "the site is field"),
];

/// Policies that accept only an rpi4 of revision 1 or an unknown one, outside the field, that runs at most 1.1.
fn accepts(input: &CheckInput) -> Vec<Compatibility> {
    let classes = input.classes.iter().map(|class| {
        if class.key.hardware_model.as_deref() != Some("rpi4") {
            let model = class.key.hardware_model.as_deref().unwrap_or("unknown");
            Compatibility::Incompatible(format!("the hardware is {model}"))
        } else if class.key.version.as_deref() == Some("1.2.0") {
            Compatibility::Incompatible("1.2.0 is newer".to_owned())
        } else if class.key.hardware_revision.as_deref() == Some("2") {
            Compatibility::Incompatible("the revision is 2".to_owned())
        } else if class.key.attributes == [("site".to_owned(), "field".to_owned())] {
            Compatibility::Incompatible("the site is field".to_owned())
        } else {
            Compatibility::Compatible
        }
    });
    classes.collect()
}

impl EngineFixture {
    async fn with_policies(devices: usize) -> Self {
        let fixture = Self::with_attributes(devices, &["site"]).await;
        fixture
            .add_plugin_with_attributes("latest", PluginKind::Compatibility, &["site"])
            .await;
        fixture.sandbox.checks(|input| Ok(accepts(input)));
        fixture
    }

    async fn key(&self, device_id: &str) -> DeviceKey {
        let found = self.engine.store().device(self.tenant(), device_id).await;
        found.expect("the database answers").expect("a device").key
    }

    /// One iteration of the loops of checks and of deadlines.
    async fn offer_due(&self) {
        let checked = campaigns::recheck_updates(&self.engine, &|| true).await;
        checked.expect("devices are checked");
        let store = self.engine.store();
        let expired = store.expire_updates(self.engine.now(), 100).await;
        expired.expect("updates expire");
    }

    async fn release_all(&self, id: CampaignId, waves: &[(u32, u64)]) {
        let waves = waves.to_vec();
        self.sandbox
            .decides(move |_| Ok(decision(&waves, DecisionOutcome::Proceed)));
        self.tick(id).await;
    }

    /// Creates a single update of the first device.
    async fn create_update(&self, request: &UpdateRequest) -> UpdateRow {
        let (writer, plugins) = (self.engine.update_writer(), self.engine.plugins());
        let created = updates::create(&self.ctx(), writer, plugins, "device-000", request).await;
        created.expect("an update")
    }

    /// Rolls the first device back, to this version or the one before.
    async fn roll_back_device(&self, version: Option<&str>, force: bool) -> Update {
        let (writer, plugins) = (self.engine.update_writer(), self.engine.plugins());
        let (ctx, id) = (self.ctx(), "device-000");
        let back = updates::roll_back(&ctx, writer, plugins, id, version, force, "hums").await;
        back.expect("a rollback").update
    }

    /// Retries an update by hand.
    async fn retry(&self, id: UpdateId) -> Update {
        let (writer, plugins) = (self.engine.update_writer(), self.engine.plugins());
        let changes = RetryOptions::default();
        let retried = updates::retry(&self.ctx(), writer, plugins, id, changes).await;
        retried.expect("the update is retried").update
    }

    /// The updates of a device, newest first.
    async fn updates_of(&self, device: DeviceKey) -> Vec<UpdateRow> {
        let filter = UpdateFilter {
            campaign: None,
            device: Some(device),
            status: None,
        };
        let all = PageRequest {
            limit: 100,
            offset: 0,
        };
        let page = self
            .engine
            .store()
            .list_updates(self.tenant(), &filter, all)
            .await;
        page.expect("the database answers").items
    }

    async fn newest(&self, device: DeviceKey) -> (UpdateStatus, String) {
        let newest = self.updates_of(device).await.remove(0).update.state;
        let error = newest
            .error
            .map(|error| format!("{}: {}", error.code, error.message));
        (newest.status, error.unwrap_or_default())
    }

    /// The explanation of the open update of a device.
    async fn explained_update(&self, device_id: &str) -> String {
        let (ctx, store) = (self.ctx(), self.engine.store());
        let device = store.device(self.tenant(), device_id).await;
        let device = device.expect("the database answers").expect("a device");
        let reasons = updates::explain_open_updates(&ctx, store, &device).await;
        reasons.expect("reasons").join("\n")
    }

    /// A device reports an attribute. No policy is called for that.
    async fn report_without_calls(&self, device: DeviceKey, key: &str, value: &str) {
        let calls = self.calls.lock().len();
        self.report_attribute(device, key, value).await;
        assert_eq!(self.calls.lock().len(), calls, "{key} {value}");
    }

    async fn explained(&self, device_id: &str) -> (MembershipStatus, String) {
        let explained = explain(&self.ctx(), self.engine.store(), device_id).await;
        let newest = explained.expect("an explanation").remove(0);
        (newest.status, newest.reasons.join("\n"))
    }
}

fn skipped(reason: &str) -> (UpdateStatus, String) {
    (UpdateStatus::Cancelled, format!("INCOMPATIBLE: {reason}"))
}

/// A campaign whose first device is updated; the others wait.
async fn first_wave_done(fixture: &EngineFixture, options: UpdateOptions) -> CampaignId {
    let mut request = campaign_request(fixture.add_firmware("1.1.0").await);
    request.options = options;
    let id = fixture.create_and_start(request).await;
    fixture.release_all(id, &[(0, 1)]).await;
    fixture.report_result(id, Finished::Success).await;
    id
}

fn options() -> UpdateOptions {
    UpdateOptions::forced(Duration::from_mins(30))
}

/// The devices that the campaign has not updated yet.
async fn waiting(fixture: &EngineFixture, id: CampaignId, devices: usize) -> Vec<String> {
    let updated: Vec<_> = fixture
        .updates(id)
        .await
        .into_iter()
        .map(|row| row.device_id)
        .collect();
    let all = (0..devices).map(|n| format!("device-{n:03}"));
    all.filter(|device| !updated.contains(device)).collect()
}

/// A campaign that offered its update to one device.
async fn offered(options: UpdateOptions) -> (EngineFixture, CampaignId, DeviceKey) {
    let fixture = EngineFixture::with_policies(1).await;
    let mut request = campaign_request(fixture.add_firmware("1.1.0").await);
    request.options = options;
    let id = fixture.create_and_start(request).await;
    fixture.release_all(id, &[(0, 1)]).await;
    let key = fixture.key("device-000").await;
    (fixture, id, key)
}

fn single(firmware: FirmwareId) -> UpdateRequest {
    UpdateRequest {
        firmware,
        policies: None,
        priority: Priority::Normal,
        success_criteria: SuccessCriteria::Reported,
        options: options(),
        force: false,
        allow_beta: false,
    }
}
