//! A database with devices and plugins, and campaigns that tests tick by hand.

use std::{sync::Arc, time::Duration};

use tidegate_core::{
    campaign::{Campaign, CampaignStatus, Priority, Targets},
    device::{AttributeMode, AttributeNames},
    feedback::{Execution, Feedback, Finished},
    firmware::{Artifact, FirmwareDetails, Hashes},
    id::{CampaignId, DeviceKey, Digest, FirmwareId, TenantId},
    plugin::{Description, Interests, Members, Origin, Plan, PlannedWave, PluginKind},
    time::Timestamp,
    update::{SuccessCriteria, UpdateEvent, UpdateOptions, UpdateStatus},
    wave::Counts,
};
use tidegate_engine::{
    Actor, ActorKind, Authorized, Ctx, Engine, JournalSettings, Operator, Ports, Role, ServerCtx,
    Settings,
    campaigns::{self, CampaignRequest},
    plugins::PluginChoice,
    ports::{
        DeviceEvent, DeviceReport, EntryKind, JournalEntry, NewDevice, NewFirmware, NewModule,
        NewRevision, PageRequest, RecordError, RecordedReport, ReportedAttributes, RunRef, Store,
        Tenants as _, UpdateFilter, UpdateRow,
    },
};

use crate::{
    scripted_sandbox::ScriptedSandbox,
    test_adapters::{CallObserver, Calls, ManualClock, NoArtifacts, ZeroEntropy},
};

pub(crate) fn server_ctx() -> ServerCtx {
    ServerCtx::new(Actor::server(), "1", Timestamp(0)).expect("the server may do all")
}

/// The default settings, with the policies that [`EngineFixture::new`] adds as built-in ones.
pub(crate) fn settings() -> Settings {
    settings_with(&[])
}

fn settings_with(attributes: &[&str]) -> Settings {
    let names = ["hardware", "version-path", "latest"];
    let built_ins = names.map(|name| (name, digest_of(name, attributes)));
    Settings {
        built_ins: built_ins.into_iter().collect(),
        ..Settings::default()
    }
}

/// The digest of a plugin that requests these attributes.
pub(crate) fn digest_of(plugin: &str, attributes: &[&str]) -> Digest {
    Digest::of(format!("{plugin}{}", attributes.concat()).as_bytes())
}

pub(crate) struct EngineFixture {
    pub(crate) engine: Arc<Engine>,
    pub(crate) sandbox: Arc<ScriptedSandbox>,
    pub(crate) clock: Arc<ManualClock>,
    tenant: TenantId,
    pub(crate) ports: Ports,
    /// Every plugin call: plugin, call, and outcome as observed for metrics.
    pub(crate) calls: Calls,
    folder: Arc<tempfile::TempDir>,
}

impl EngineFixture {
    /// Creates this many devices on firmware 1.0.0, and a strategy that plans waves of one device, two devices and the
    /// rest.
    pub(crate) async fn new(devices: usize) -> Self {
        Self::with_attributes(devices, &[]).await
    }

    /// The same, with compatibility policies that request these attributes.
    pub(crate) async fn with_attributes(devices: usize, attributes: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = store(folder.path()).await;
        let tenant = store
            .create_tenant(&server_ctx(), "LAB")
            .await
            .expect("a tenant")
            .id;
        let sandbox = Arc::new(ScriptedSandbox::new(plan(&[
            Members::Count(1),
            Members::Count(2),
            Members::Rest,
        ])));
        let clock = Arc::new(ManualClock::new(Timestamp(1_000_000)));
        let calls = Calls::default();
        let ports = Ports {
            store,
            artifacts: Arc::new(NoArtifacts),
            sandbox: sandbox.clone(),
            clock: clock.clone(),
            entropy: Arc::new(ZeroEntropy),
            observer: Arc::new(CallObserver(Arc::clone(&calls))),
        };
        let fixture = Self {
            engine: Arc::new(Engine::new(ports.clone(), settings_with(attributes))),
            sandbox,
            clock,
            tenant,
            ports,
            calls,
            folder: Arc::new(folder),
        };
        fixture.fill(devices, attributes).await;
        fixture
    }

    /// The same server after a restart with other settings of journals.
    pub(crate) fn restarted(self, journal: JournalSettings) -> Self {
        self.restarted_with(|settings| settings.journal = journal)
    }

    /// The same server after a restart with other settings.
    pub(crate) fn restarted_with(self, set: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = self.engine.settings().clone();
        set(&mut settings);
        Self {
            engine: Arc::new(Engine::new(self.ports.clone(), settings)),
            ..self
        }
    }

    /// Another tenant of the same server, with this many devices.
    pub(crate) async fn other_tenant(&self, devices: usize) -> Self {
        let store = self.engine.store();
        let tenant = store.create_tenant(&server_ctx(), "OTHER").await;
        let other = Self {
            engine: Arc::clone(&self.engine),
            sandbox: Arc::clone(&self.sandbox),
            clock: Arc::clone(&self.clock),
            tenant: tenant.expect("a tenant").id,
            ports: self.ports.clone(),
            calls: Arc::clone(&self.calls),
            folder: Arc::clone(&self.folder),
        };
        other.fill(devices, &[]).await;
        other
    }

    async fn fill(&self, devices: usize, attributes: &[&str]) {
        self.add_plugin("acme/waves", PluginKind::Strategy).await;
        self.add_plugin("acme/calm", PluginKind::Health).await;
        for policy in ["acme/fits", "hardware", "version-path"] {
            let kind = PluginKind::Compatibility;
            self.add_plugin_with_attributes(policy, kind, attributes)
                .await;
        }
        self.add_devices(devices).await;
    }

    pub(crate) async fn add_plugin(&self, name: &str, kind: PluginKind) {
        self.add_plugin_with_attributes(name, kind, &[]).await;
    }

    /// A plugin that requests these attributes of devices.
    pub(crate) async fn add_plugin_with_attributes(
        &self,
        name: &str,
        kind: PluginKind,
        attributes: &[&str],
    ) {
        let build = digest_of(name, attributes);
        let attributes = attributes.iter().map(|name| (*name).to_owned());
        let interests = Interests {
            attributes: attributes.collect(),
            ..Interests::default()
        };
        self.sandbox.wants(build, interests);
        let description = description(name);
        self.put_revision(kind, build, "1.0.0", description).await;
    }

    /// A later build of a plugin for a version of the contract, with this schema of its state.
    pub(crate) async fn add_plugin_of(
        &self,
        name: &str,
        kind: PluginKind,
        build: &[u8],
        (contract, state_schema): (&str, u32),
    ) {
        let build = Digest::of(build);
        let description = Description {
            version: "2.0.0".to_owned(),
            state_schema,
            ..description(name)
        };
        self.put_revision(kind, build, contract, description).await;
    }

    /// Another version of a plugin, with this schema of its state. Returns its revision.
    pub(crate) async fn add_version(
        &self,
        name: &str,
        kind: PluginKind,
        version: &str,
        state_schema: u32,
    ) -> Digest {
        let digest = Digest::of(format!("{name} {version}").as_bytes());
        let description = Description {
            version: version.to_owned(),
            state_schema,
            ..description(name)
        };
        self.put_revision(kind, digest, "1.0.0", description).await;
        digest
    }

    async fn put_revision(
        &self,
        kind: PluginKind,
        digest: Digest,
        contract: &str,
        description: Description,
    ) {
        let revision = NewRevision {
            digest,
            kind,
            contract: contract.to_owned(),
            description,
            size: 1,
            origin: Origin::Folder,
            created_by: "tests".to_owned(),
            created_at: Timestamp(0),
        };
        self.engine
            .store()
            .put_revision(&self.ctx(), revision)
            .await
            .expect("a revision");
    }

    async fn add_devices(&self, devices: usize) {
        for n in 0..devices {
            let attributes = [("hw_model", "rpi4"), ("sw_version", "1.0.0")];
            let device = NewDevice {
                device_id: format!("device-{n:03}"),
                attributes: attributes
                    .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    .into(),
                created_at: Some(Timestamp(0)),
                ..NewDevice::default()
            };
            self.engine
                .store()
                .create_device(&self.ctx(), device)
                .await
                .expect("a device");
        }
    }

    pub(crate) async fn add_firmware(&self, version: &str) -> FirmwareId {
        self.add_firmware_with(FirmwareDetails {
            name: "edge".to_owned(),
            version: version.to_owned(),
            ..FirmwareDetails::default()
        })
        .await
    }

    pub(crate) async fn add_firmware_with(&self, details: FirmwareDetails) -> FirmwareId {
        let hashes = Hashes {
            sha1: [1; 20],
            md5: [2; 16],
            sha256: [3; 32],
        };
        let module = NewModule {
            part: "os".to_owned(),
            name: "edge".to_owned(),
            version: details.version.clone(),
            artifacts: vec![Artifact {
                filename: "edge.bin".to_owned(),
                size: 1,
                hashes,
            }],
            ..NewModule::default()
        };
        let firmware = NewFirmware {
            details,
            modules: vec![module],
            created_by: "op".to_owned(),
            created_at: Timestamp(0),
        };
        self.engine
            .store()
            .create_firmware(&self.ctx(), firmware)
            .await
            .expect("a firmware")
    }

    /// The context of a request of the user `op`, an admin.
    pub(crate) fn ctx(&self) -> Authorized<Operator> {
        Authorized::new(self.ctx_of("op", Role::Admin)).expect("an operator")
    }

    pub(crate) fn ctx_of(&self, user: &str, role: Role) -> Ctx {
        Ctx {
            tenant: self.tenant,
            actor: Actor::new(ActorKind::Key, user),
            role,
            request_id: "1".into(),
            now: self.engine.now(),
        }
    }

    pub(crate) fn tenant(&self) -> TenantId {
        self.tenant
    }

    pub(crate) async fn create(&self, request: CampaignRequest) -> Campaign {
        campaigns::create(
            &self.ctx(),
            self.engine.store(),
            self.engine.plugins(),
            request,
        )
        .await
        .expect("a valid campaign")
    }

    /// A started campaign for all devices.
    pub(crate) async fn create_and_start(&self, request: CampaignRequest) -> CampaignId {
        let id = self.create(request).await.id;
        self.try_start(id).await.expect("the campaign starts");
        id
    }

    pub(crate) async fn try_start(&self, id: CampaignId) -> tidegate_engine::Result<Campaign> {
        campaigns::start(
            &self.ctx(),
            self.engine.store(),
            self.engine.caches(),
            self.engine.plugins(),
            self.engine.signals(),
            id,
        )
        .await
    }

    /// Starts a campaign on all devices with firmware 1.1.0.
    pub(crate) async fn start_campaign(&self) -> CampaignId {
        let firmware = self.add_firmware("1.1.0").await;
        self.create_and_start(campaign_request(firmware)).await
    }

    pub(crate) async fn pause(&self, id: CampaignId, reason: &str) {
        let (store, signals) = (self.engine.store(), self.engine.signals());
        campaigns::pause(&self.ctx(), store, signals, id, reason)
            .await
            .expect("the campaign pauses");
    }

    pub(crate) async fn resume(&self, id: CampaignId) {
        let (store, signals) = (self.engine.store(), self.engine.signals());
        campaigns::resume(&self.ctx(), store, self.engine.plugins(), signals, id)
            .await
            .expect("the campaign resumes");
    }

    pub(crate) async fn tick(&self, campaign: CampaignId) {
        let run = RunRef {
            tenant: self.tenant(),
            campaign,
        };
        campaigns::tick(&self.engine, run)
            .await
            .expect("the tick succeeds");
    }

    pub(crate) async fn campaign(&self, id: CampaignId) -> Campaign {
        campaigns::get(&self.ctx(), self.engine.store(), id)
            .await
            .expect("the campaign exists")
    }

    pub(crate) async fn status(&self, id: CampaignId) -> CampaignStatus {
        self.campaign(id).await.status
    }

    pub(crate) async fn counts(&self, id: CampaignId) -> Counts {
        let waves = campaigns::waves(&self.ctx(), self.engine.store(), id)
            .await
            .expect("waves");
        waves.iter().fold(Counts::default(), |total, wave| {
            total.plus(&wave.report.counts)
        })
    }

    /// The campaign's updates, oldest first.
    pub(crate) async fn updates(&self, id: CampaignId) -> Vec<UpdateRow> {
        let filter = UpdateFilter {
            campaign: Some(id),
            device: None,
            status: None,
        };
        let all = PageRequest {
            limit: 500,
            offset: 0,
        };
        let page = self
            .engine
            .store()
            .list_updates(self.tenant(), &filter, all)
            .await
            .expect("updates");
        page.items.into_iter().rev().collect()
    }

    pub(crate) async fn open(&self, id: CampaignId) -> Vec<UpdateRow> {
        let updates = self.updates(id).await;
        updates
            .into_iter()
            .filter(|row| row.update.state.status.is_open())
            .collect()
    }

    /// Reports this result for every open update. Cancelling updates are confirmed as cancelled.
    pub(crate) async fn report_result(&self, id: CampaignId, finished: Finished) {
        for row in self.open(id).await {
            let result = feedback(finished);
            let event = match row.update.state.status {
                UpdateStatus::Cancelling => {
                    UpdateEvent::CancelFeedback(feedback(Finished::Success))
                }
                _ => UpdateEvent::Feedback(result),
            };
            self.report(&row, event).await;
        }
    }

    pub(crate) async fn report(&self, row: &UpdateRow, event: UpdateEvent) {
        let event = DeviceEvent::Update(row.update.id, event);
        self.record(row.update.device, event).await;
    }

    pub(crate) async fn report_version(&self, device: DeviceKey, version: &str) {
        self.report_attribute(device, "sw_version", version).await;
    }

    pub(crate) async fn report_attribute(&self, device: DeviceKey, key: &str, value: &str) {
        let attributes = ReportedAttributes {
            mode: AttributeMode::Merge,
            data: [(key.to_owned(), Some(value.to_owned()))].into(),
            names: AttributeNames::default(),
        };
        self.record(device, DeviceEvent::Attributes(attributes))
            .await;
    }

    pub(crate) async fn try_report(
        &self,
        row: &UpdateRow,
        event: UpdateEvent,
    ) -> Result<RecordedReport, RecordError> {
        let event = DeviceEvent::Update(row.update.id, event);
        self.try_record(row.update.device, event).await
    }

    pub(crate) async fn record(&self, device: DeviceKey, event: DeviceEvent) {
        let recorded = self.try_record(device, event).await;
        recorded.expect("the report is recorded");
    }

    async fn try_record(
        &self,
        device: DeviceKey,
        event: DeviceEvent,
    ) -> Result<RecordedReport, RecordError> {
        let report = DeviceReport {
            tenant: self.tenant(),
            device,
            by: None,
            read_at: None,
            at: self.engine.now(),
            event,
        };
        self.engine.store().report(report).await
    }

    pub(crate) async fn journal(&self, id: CampaignId) -> Vec<JournalEntry> {
        let all = PageRequest {
            limit: 500,
            offset: 0,
        };
        let ctx = self.ctx();
        let page = campaigns::journal(&ctx, self.engine.store(), id, 0, all);
        page.await.expect("a journal").items
    }

    /// Number of calls of the strategy's `decide`.
    pub(crate) async fn decisions(&self, id: CampaignId) -> usize {
        let journal = self.journal(id).await;
        let decisions = journal.iter();
        decisions
            .filter(|entry| entry.kind == EntryKind::Decide)
            .count()
    }

    /// The outcomes of the server's own journal entries.
    pub(crate) async fn host_outcomes(&self, id: CampaignId) -> Vec<String> {
        let entries = self.journal(id).await.into_iter();
        entries
            .filter(|entry| entry.kind == EntryKind::Host)
            .map(|entry| entry.outcome)
            .collect()
    }

    pub(crate) async fn version_of(&self, device_id: &str) -> Option<String> {
        let device = self
            .engine
            .store()
            .device(self.tenant(), device_id)
            .await
            .expect("a device");
        device.and_then(|device| device.sw_version)
    }
}

/// A device's explanations by the newest campaigns that have started.
pub(crate) async fn explain(
    ctx: &Ctx,
    store: &dyn Store,
    device_id: &str,
) -> tidegate_engine::Result<Vec<campaigns::Explanation>> {
    let page = PageRequest {
        limit: 50,
        offset: 0,
    };
    let explained = campaigns::explain(ctx, store, device_id, None, page).await?;
    Ok(explained.items)
}

pub(crate) fn feedback(finished: Finished) -> Feedback {
    Feedback::new(Execution::Closed, finished)
}

fn description(name: &str) -> Description {
    Description {
        name: name.parse().expect("a name"),
        version: "1.0.0".to_owned(),
        summary: "scripted".to_owned(),
        config_schema: "{}".to_owned(),
        state_schema: 1,
    }
}

pub(crate) fn campaign_request(firmware: FirmwareId) -> CampaignRequest {
    let choice = |plugin: &str| PluginChoice {
        plugin: plugin.to_owned(),
        revision: None,
        config: "{}".to_owned(),
    };
    CampaignRequest {
        name: "spring".to_owned(),
        description: String::new(),
        firmware,
        targets: Targets {
            filter: Some("hw_model==rpi4".to_owned().into()),
            ..Targets::default()
        },
        allow_beta: false,
        allow_incompatible: false,
        strategy: choice("acme/waves"),
        policies: vec![choice("acme/fits"), choice("acme/calm")],
        priority: Priority::Normal,
        max_concurrent_updates: None,
        options: UpdateOptions::forced(Duration::from_mins(30)),
        requires_approval: false,
        auto_rollback: true,
        failure_threshold_percent: 100,
        success_criteria: SuccessCriteria::Reported,
    }
}

pub(crate) fn plan(members: &[Members]) -> Plan {
    let named = members
        .iter()
        .enumerate()
        .map(|(index, members)| PlannedWave {
            name: format!("wave {index}"),
            members: members.clone(),
        });
    Plan {
        waves: named.collect(),
        parallel: false,
        dynamic: false,
    }
}

async fn store(folder: &std::path::Path) -> Arc<tidegate_store::SqlStore> {
    let options = tidegate_store::Options::sqlite(&folder.join("tidegate.db"));
    Arc::new(
        tidegate_store::SqlStore::open(options)
            .await
            .expect("a database"),
    )
}

/// For a busy machine.
const MAX_WAIT: Duration = Duration::from_mins(1);

pub(crate) async fn wait_until(holds: impl AsyncFn() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(MAX_WAIT, waiting)
        .await
        .expect("it never holds");
}
