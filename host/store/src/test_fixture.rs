//! The fixture of campaign and update tests: a fleet with firmware 1.0.0 and a campaign that installs 1.1.0.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context as _;
use tidegate_core::{
    Named as _,
    campaign::{CampaignSpec, CampaignStatus, PluginUse, Priority, Rollback, Targets},
    device::{AttributeMode, AttributeNames},
    feedback::{Execution, Feedback, Finished},
    firmware::FirmwareDetails,
    id::{CampaignId, DeviceKey, Digest, FirmwareId, TenantId, UpdateId},
    plugin::{ClassKey, PluginKind, PluginName, RollbackScope},
    time::Timestamp,
    update::{IntermediateFirmware, SuccessCriteria, UpdateEvent, UpdateOptions, UpdateStatus},
};
use tidegate_engine::ports::{
    AcceptedClass, CampaignChange, CampaignStart, ClassVerdict, DeviceEvent, DeviceReport,
    Devices as _, Fence, NewCampaign, NewFirmware, NewModule, NewWave, Offer, OfferCompatibility,
    OfferedBatch, Page, PageRequest, PluginFailureState, RecordError, RecordedReport,
    ReportedAttributes, Run, RunRef, Runs as _, TickOutcome, UpdateFilter, UpdateRow, Updates as _,
};

use crate::{runs::due, testing::TestStore};

/// The start of the campaign.
pub(crate) const NOON: Timestamp = Timestamp(43_200_000);
/// The update timeout.
pub(crate) const TIMEOUT: Duration = Duration::from_hours(1);
/// A page that contains all items.
pub(crate) const ALL: PageRequest = PageRequest {
    limit: 500,
    offset: 0,
};

/// A fleet and a campaign that started at [`NOON`].
pub(crate) struct StoreFixture<'a> {
    pub(crate) store: &'a TestStore,
    pub(crate) tenant: TenantId,
    pub(crate) old: FirmwareId,
    pub(crate) new: FirmwareId,
    /// In the order of the waves.
    pub(crate) devices: Vec<DeviceKey>,
    pub(crate) run: RunRef,
    success_criteria: SuccessCriteria,
    options: UpdateOptions,
    /// The firmware that devices on 1.0.0 are offered first.
    pub(crate) first: Option<IntermediateFirmware>,
}

/// Seconds after [`NOON`].
pub(crate) fn later(seconds: i64) -> Timestamp {
    Timestamp(NOON.0 + seconds * 1000)
}

pub(crate) fn firmware(version: &str) -> NewFirmware {
    NewFirmware {
        details: FirmwareDetails {
            name: "edge".into(),
            version: version.into(),
            ..FirmwareDetails::default()
        },
        modules: vec![NewModule {
            part: "os".into(),
            name: "edge os".into(),
            version: version.into(),
            artifacts: Vec::new(),
            ..NewModule::default()
        }],
        created_by: "creator".into(),
        created_at: Timestamp(1),
    }
}

/// Stores the revisions that [`spec`] names.
pub(crate) async fn install_plugins(store: &TestStore, tenant: TenantId) -> anyhow::Result<()> {
    let kinds = [
        ("canary", PluginKind::Strategy),
        ("hardware", PluginKind::Compatibility),
        ("failure-rate", PluginKind::Health),
    ];
    let mut tx = store.database.write().await?;
    for (name, kind) in kinds {
        let plugin = PluginName::built_in(name).to_string();
        let digest = Digest::of(name.as_bytes()).to_string();
        for sql in [
            "INSERT INTO plugins (tenant_id, name, kind) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            "INSERT INTO plugin_revisions (tenant_id, plugin, digest, contract, version, summary, config_schema, \
             state_schema, size, created_by, created_at, calls, failures, fuel) \
             VALUES ($1, $2, $4, '1.0.0', '1.0.0', $3, '{}', 1, 1, '', 0, 0, 0, 0) ON CONFLICT DO NOTHING",
        ] {
            sqlx::query(sql)
                .bind(tenant.0)
                .bind(&plugin)
                .bind(kind.as_str())
                .bind(&digest)
                .execute(tx.conn())
                .await?;
        }
    }
    tx.commit().await?;
    Ok(())
}

/// A campaign specification with a non-default value in most fields.
pub(crate) fn spec(firmware: FirmwareId, success_criteria: SuccessCriteria) -> CampaignSpec {
    let plugin = |name: &str, kind| PluginUse {
        plugin: name.parse().expect("a name"),
        revision: Digest::of(name.as_bytes()),
        version: "1.0.0".into(),
        kind,
        config: r#"{"steps":[1,2]}"#.into(),
    };
    CampaignSpec {
        name: "spring".into(),
        description: "the \"first\" one\0".into(),
        firmware,
        targets: Targets {
            devices: vec!["d-0".into()],
            groups: vec!["north".into()],
            filter: Some("hw_model==A".to_owned().into()),
            feed: None,
        },
        allow_beta: false,
        strategy: plugin("canary", PluginKind::Strategy),
        policies: vec![
            plugin("hardware", PluginKind::Compatibility),
            plugin("failure-rate", PluginKind::Health),
        ],
        priority: Priority::Normal,
        max_concurrent_updates: Some(100),
        options: UpdateOptions::forced(TIMEOUT),
        requires_approval: false,
        auto_rollback: true,
        failure_threshold_percent: 20,
        success_criteria,
    }
}

impl<'a> StoreFixture<'a> {
    /// A campaign in progress with waves of these sizes, for the tenant `ours`.
    pub(crate) async fn new(store: &'a TestStore, waves: &[usize]) -> anyhow::Result<Self> {
        Self::with_success_criteria(store, waves, SuccessCriteria::Reported).await
    }

    pub(crate) async fn with_success_criteria(
        store: &'a TestStore,
        waves: &[usize],
        success_criteria: SuccessCriteria,
    ) -> anyhow::Result<Self> {
        Self::with_options(
            store,
            waves,
            success_criteria,
            UpdateOptions::forced(TIMEOUT),
        )
        .await
    }

    pub(crate) async fn with_options(
        store: &'a TestStore,
        waves: &[usize],
        success_criteria: SuccessCriteria,
        options: UpdateOptions,
    ) -> anyhow::Result<Self> {
        Self::of_tenant(store, store.ours, waves, success_criteria, options).await
    }

    pub(crate) async fn of_tenant(
        store: &'a TestStore,
        tenant: TenantId,
        waves: &[usize],
        success_criteria: SuccessCriteria,
        options: UpdateOptions,
    ) -> anyhow::Result<Self> {
        let old = store.create_firmware(tenant, firmware("1.0.0")).await?;
        let new = store.create_firmware(tenant, firmware("1.1.0")).await?;
        let ids: Vec<String> = (0..waves.iter().sum()).map(|n| format!("d-{n}")).collect();
        let registered = ids
            .iter()
            .map(|id| store.register(tenant, id, Timestamp(2)));
        let registered = futures::future::try_join_all(registered).await?;
        let devices = registered.into_iter().map(|view| view.device).collect();
        let campaign = NewCampaign {
            spec: CampaignSpec {
                options: options.clone(),
                max_concurrent_updates: None,
                ..spec(new, success_criteria)
            },
            created_by: "creator".into(),
            created_at: Timestamp(3),
        };
        install_plugins(store, tenant).await?;
        let campaign = store.create_campaign(tenant, campaign).await?;
        let fixture = Self {
            store,
            tenant,
            old,
            new,
            devices,
            run: RunRef { tenant, campaign },
            success_criteria,
            options,
            first: None,
        };
        let devices = fixture.devices.iter();
        let reported = devices.map(|device| fixture.report_version(*device, "1.0.0", Timestamp(4)));
        futures::future::try_join_all(reported).await?;
        let begun = store
            .start_campaign(tenant, campaign, 0, fixture.campaign_start(waves))
            .await?;
        anyhow::ensure!(begun, "the campaign did not start");
        Ok(fixture)
    }

    pub(crate) fn campaign_start(&self, waves: &[usize]) -> CampaignStart {
        let mut left = self.devices.iter().copied();
        let waves = waves.iter().enumerate().map(|(index, size)| NewWave {
            name: format!("wave {index}"),
            members: left.by_ref().take(*size).collect(),
        });
        CampaignStart {
            at: NOON,
            waves: waves.collect(),
            parallel: false,
            is_dynamic: false,
            classes: vec![ClassVerdict {
                key: ClassKey::default(),
                devices: self.devices.len() as u64,
                excluded: None,
                is_unchecked: false,
                intermediate: None,
            }],
            selected: self.devices.iter().map(|key| (*key, 0)).collect(),
            journal: Vec::new(),
        }
    }

    pub(crate) fn store(&self) -> &TestStore {
        self.store
    }

    pub(crate) async fn read_run(&self) -> anyhow::Result<Run> {
        self.store.run(self.run).await?.context("the campaign")
    }

    pub(crate) async fn lease(&self) -> anyhow::Result<Fence> {
        let fence = self.store.lease(self.run, "us", NOON, NOON).await?;
        fence.context("an expired lease can be acquired")
    }

    /// Starts another campaign with the same devices.
    pub(crate) async fn start_another_campaign(&self, at: Timestamp) -> anyhow::Result<RunRef> {
        let spec = spec(self.new, self.success_criteria);
        self.start_campaign_of(spec, at).await
    }

    /// A campaign of this specification in progress, with all devices in one wave.
    pub(crate) async fn start_campaign_of(
        &self,
        spec: CampaignSpec,
        at: Timestamp,
    ) -> anyhow::Result<RunRef> {
        let campaign = NewCampaign {
            spec,
            created_by: "creator".into(),
            created_at: Timestamp(3),
        };
        let campaign = self.store.create_campaign(self.tenant, campaign).await?;
        let campaign_start = CampaignStart {
            at,
            ..self.campaign_start(&[self.devices.len()])
        };
        let begun = self
            .store
            .start_campaign(self.tenant, campaign, 0, campaign_start);
        anyhow::ensure!(begun.await?, "the campaign did not start");
        Ok(RunRef {
            campaign,
            ..self.run
        })
    }

    /// A tick outcome that changes nothing, at the campaign's generation.
    pub(crate) async fn noop(&self) -> anyhow::Result<TickOutcome> {
        self.noop_for(self.run).await
    }

    pub(crate) async fn noop_for(&self, run: RunRef) -> anyhow::Result<TickOutcome> {
        let run = self.store.run(run).await?.context("the campaign")?;
        Ok(TickOutcome::unchanged(
            run.campaign.generation,
            NOON,
            PluginFailureState::default(),
        ))
    }

    /// Wakes the campaign at this time, as an event does.
    pub(crate) async fn wake(&self, at: Timestamp) -> anyhow::Result<()> {
        let mut tx = self.store.database.write().await?;
        due::wake(&mut tx, self.run, at).await?;
        Ok(tx.commit().await?)
    }

    /// Raises the waves to these levels and offers their devices updates.
    pub(crate) async fn release(&self, levels: &[u64]) -> anyhow::Result<()> {
        let fence = self.lease().await?;
        let applied = TickOutcome {
            levels: Some(levels.to_vec()),
            ..self.noop().await?
        };
        anyhow::ensure!(self.store.apply(self.run, fence, applied).await?, "applied");
        for wave in 0..levels.len() {
            self.offer_updates(fence, wave as u32, 1000).await?;
        }
        Ok(())
    }

    pub(crate) async fn offer_updates(
        &self,
        fence: Fence,
        wave: u32,
        limit: u32,
    ) -> anyhow::Result<OfferedBatch> {
        let offer = self.offer(NOON);
        let offered = self
            .store
            .offer_updates(self.run, fence, wave, limit, &offer, false)
            .await?;
        for affected in offered.affected.iter().take(3) {
            let read = self
                .store
                .poll_view(self.tenant, &affected.device_id)
                .await?;
            anyhow::ensure!(affected.view.as_deref() == read.as_ref(), "{affected:?}");
        }
        Ok(offered)
    }

    pub(crate) fn offer(&self, now: Timestamp) -> Offer {
        let class = ClassKey {
            version: Some("1.0.0".to_owned()),
            ..ClassKey::default()
        };
        let compatibility = match &self.first {
            None => OfferCompatibility::default(),
            first => {
                let accepted = AcceptedClass {
                    class,
                    at: NOON,
                    intermediate: first.clone(),
                };
                OfferCompatibility::of_campaign(Vec::new(), vec![accepted])
            }
        };
        Offer {
            firmware: self.new,
            to_version: "1.1.0".into(),
            weight: 500,
            success_criteria: self.success_criteria,
            options: self.options.clone(),
            compatibility,
            now,
        }
    }

    /// Starts a rollback and acquires a new lease.
    pub(crate) async fn start_rollback(&self) -> anyhow::Result<Fence> {
        let generation = self.read_run().await?.campaign.generation;
        let rollback = Rollback {
            scope: RollbackScope::Everything,
            reason: "it is bad".into(),
            by: "creator".into(),
            since: Some(later(4)),
        };
        let change = CampaignChange {
            status: Some(CampaignStatus::RollingBack),
            rollback: Some(rollback),
            ..CampaignChange::default()
        };
        let (tenant, id) = (self.tenant, self.run.campaign);
        let changed = self
            .store
            .change_campaign(tenant, id, generation, change)
            .await?;
        anyhow::ensure!(changed, "the rollback did not start");
        self.lease().await
    }

    pub(crate) async fn latest_update(&self, device: DeviceKey) -> anyhow::Result<UpdateRow> {
        let updates = self.updates_of(device).await?.items;
        updates
            .into_iter()
            .next()
            .context("an update of the device")
    }

    pub(crate) async fn updates_of(&self, device: DeviceKey) -> anyhow::Result<Page<UpdateRow>> {
        let filter = UpdateFilter {
            campaign: Some(self.run.campaign),
            device: Some(device),
            status: None,
        };
        Ok(self.store.list_updates(self.tenant, &filter, ALL).await?)
    }

    pub(crate) async fn status_of(&self, device: DeviceKey) -> anyhow::Result<UpdateStatus> {
        Ok(self.latest_update(device).await?.update.state.status)
    }

    /// Records an event for the device's latest update.
    pub(crate) async fn record_event(
        &self,
        device: DeviceKey,
        event: UpdateEvent,
        at: Timestamp,
    ) -> anyhow::Result<Result<RecordedReport, RecordError>> {
        let update = self.latest_update(device).await?.update.id;
        Ok(self.report(device, update, event, at).await)
    }

    pub(crate) async fn report(
        &self,
        device: DeviceKey,
        update: UpdateId,
        event: UpdateEvent,
        at: Timestamp,
    ) -> Result<RecordedReport, RecordError> {
        let report = DeviceReport {
            tenant: self.tenant,
            device,
            by: None,
            read_at: None,
            at,
            event: DeviceEvent::Update(update, event),
        };
        self.store.report(report).await
    }

    pub(crate) async fn report_success(
        &self,
        device: DeviceKey,
        at: Timestamp,
    ) -> anyhow::Result<()> {
        let event = UpdateEvent::Feedback(feedback(Execution::Closed, Finished::Success, "done"));
        self.record_event(device, event, at).await??;
        Ok(())
    }

    pub(crate) async fn report_failure(
        &self,
        device: DeviceKey,
        why: &str,
        at: Timestamp,
    ) -> anyhow::Result<()> {
        let event = UpdateEvent::Feedback(feedback(Execution::Closed, Finished::Failure, why));
        self.record_event(device, event, at).await??;
        Ok(())
    }

    pub(crate) async fn report_version(
        &self,
        device: DeviceKey,
        version: &str,
        at: Timestamp,
    ) -> Result<RecordedReport, RecordError> {
        self.report_attribute(device, "sw_version", version, at)
            .await
    }

    pub(crate) async fn report_attribute(
        &self,
        device: DeviceKey,
        key: &str,
        value: &str,
        at: Timestamp,
    ) -> Result<RecordedReport, RecordError> {
        let data = BTreeMap::from([(key.to_owned(), Some(value.to_owned()))]);
        let attributes = ReportedAttributes {
            mode: AttributeMode::Merge,
            data,
            names: AttributeNames::default(),
        };
        let report = DeviceReport {
            tenant: self.tenant,
            device,
            by: None,
            read_at: None,
            at,
            event: DeviceEvent::Attributes(attributes),
        };
        self.store.report(report).await
    }

    pub(crate) fn campaign(&self) -> CampaignId {
        self.run.campaign
    }
}

/// Feedback with one message.
pub(crate) fn feedback(execution: Execution, finished: Finished, message: &str) -> Feedback {
    Feedback {
        messages: vec![message.to_owned()],
        ..Feedback::new(execution, finished)
    }
}
