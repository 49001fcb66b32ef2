//! Offers updates to devices. No plugin is called: the store is changed as a campaign would change it.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use tidegate_core::{
    campaign::{CampaignSpec, PluginUse, Priority, Targets},
    firmware::{Artifact, FirmwareDetails, ModuleMetadata},
    id::{CampaignId, Digest, FirmwareId, UpdateId},
    plugin::{ClassKey, Description, Origin, PluginKind, PluginName},
    time::Timestamp,
    update::{SuccessCriteria, UpdateOptions},
};
use tidegate_engine::{
    Admin,
    ports::{
        Artifacts as _, CampaignStart, ClassVerdict, NewCampaign, NewFirmware, NewModule,
        NewRevision, NewWave, Offer, OfferCompatibility, OfferResult, PageRequest,
        PluginFailureState, RunRef, TickOutcome, UpdateFilter,
    },
};

use super::{FILE, TestServer};

impl TestServer {
    /// Offers a new firmware to a known device.
    pub(crate) async fn offer(&self, device_id: &str, version: &str) -> anyhow::Result<UpdateId> {
        let options = UpdateOptions::forced(Duration::from_mins(30));
        self.offer_with(device_id, version, options).await
    }

    /// Offers a single update that completes when the device reports its version.
    pub(crate) async fn offer_attested(
        &self,
        device_id: &str,
        version: &str,
    ) -> anyhow::Result<UpdateId> {
        let store = self.engine.store();
        let device = store.device(self.tenant, device_id).await?;
        let offer = Offer {
            firmware: self.put_firmware(version).await?,
            to_version: version.to_owned(),
            weight: 500,
            success_criteria: SuccessCriteria::Attested,
            options: UpdateOptions::forced(Duration::from_mins(30)),
            compatibility: OfferCompatibility::default(),
            now: self.engine.now(),
        };
        let keys = [device.context("the device")?.key];
        let made = store.create_updates(self.tenant, &keys, &offer, false, None);
        match made.await?.pop() {
            Some(OfferResult::Created(id, affected)) => {
                self.engine.caches().invalidate_affected(&[affected]);
                Ok(id)
            }
            other => anyhow::bail!("no update: {other:?}"),
        }
    }

    /// Offers a firmware to one device, with these options.
    pub(crate) async fn offer_with(
        &self,
        device_id: &str,
        version: &str,
        options: UpdateOptions,
    ) -> anyhow::Result<UpdateId> {
        let (store, tenant, now) = (self.engine.store(), self.tenant, self.engine.now());
        let device = store
            .device(tenant, device_id)
            .await?
            .context("the device")?;
        let firmware = self.put_firmware(version).await?;
        let new = NewCampaign {
            spec: CampaignSpec {
                options: options.clone(),
                ..spec(firmware, device_id)
            },
            created_by: "tests".to_owned(),
            created_at: now,
        };
        let ctx = self.ctx::<Admin>();
        store
            .put_revision(&ctx, revision_of(&new.spec.strategy))
            .await?;
        let campaign = store.create_campaign(&ctx, new).await?;
        let created = store.campaign(tenant, campaign).await?;
        let created = created.context("the campaign")?;
        let campaign_start = CampaignStart {
            at: now,
            waves: vec![NewWave {
                name: "all".to_owned(),
                members: vec![device.key],
            }],
            parallel: false,
            is_dynamic: false,
            classes: vec![ClassVerdict {
                key: ClassKey::default(),
                devices: 1,
                excluded: None,
                is_unchecked: false,
                intermediate: None,
            }],
            selected: vec![(device.key, 0)],
            journal: Vec::new(),
        };
        anyhow::ensure!(store.start_campaign(&ctx, &created, campaign_start).await?);
        let run = RunRef { tenant, campaign };
        self.release_all(run, firmware, version, options).await?;
        let filter = UpdateFilter {
            campaign: Some(campaign),
            device: Some(device.key),
            status: None,
        };
        let first = PageRequest {
            limit: 1,
            offset: 0,
        };
        let page = store.list_updates(tenant, &filter, first).await?;
        let row = page.items.into_iter().next().context("an update")?;
        Ok(row.update.id)
    }

    /// Cancels all open updates of this update's campaign.
    pub(crate) async fn cancel_campaign_of(&self, update: UpdateId) -> anyhow::Result<()> {
        let (store, now) = (self.engine.store(), self.engine.now());
        let row = store
            .update(self.tenant, update)
            .await?
            .context("an update")?;
        let (campaign, _) = row.update.campaign.context("a campaign")?;
        let run = RunRef {
            tenant: self.tenant,
            campaign,
        };
        let until = now.plus(Duration::from_secs(30));
        let fence = store
            .lease(run, "tests", now, until)
            .await?
            .context("a lease")?;
        let affected = store.cancel_updates(run, fence, 10, now).await?;
        self.engine.caches().invalidate_affected(&affected);
        store.release(run, fence).await?;
        Ok(())
    }

    async fn put_firmware(&self, version: &str) -> anyhow::Result<FirmwareId> {
        let body = stream::iter([Ok(Bytes::from_static(FILE))]).boxed();
        let received = self.artifacts.receive(body, 1024).await?;
        let stored = received.content();
        received.publish().await?;
        let firmware = NewFirmware {
            details: FirmwareDetails {
                name: "edge".to_owned(),
                version: version.to_owned(),
                ..FirmwareDetails::default()
            },
            modules: vec![NewModule {
                part: "os".to_owned(),
                name: "edge".to_owned(),
                version: version.to_owned(),
                metadata: vec![ModuleMetadata {
                    key: "region".to_owned(),
                    value: "eu".to_owned(),
                }],
                is_encrypted: true,
                artifacts: vec![Artifact {
                    filename: "edge 1.bin".to_owned(),
                    size: stored.size,
                    hashes: stored.hashes,
                }],
            }],
            created_by: "tests".to_owned(),
            created_at: self.engine.now(),
        };
        let store = self.engine.store();
        Ok(store
            .create_firmware(&self.ctx::<Admin>(), firmware)
            .await?)
    }

    async fn release_all(
        &self,
        run: RunRef,
        firmware: FirmwareId,
        version: &str,
        options: UpdateOptions,
    ) -> anyhow::Result<CampaignId> {
        let (store, now) = (self.engine.store(), self.engine.now());
        let until = now.plus(Duration::from_secs(30));
        let fence = store
            .lease(run, "tests", now, until)
            .await?
            .context("a lease")?;
        let seen = store.run(run).await?.context("a campaign")?;
        let applied = TickOutcome {
            levels: Some(vec![1]),
            ..TickOutcome::unchanged(seen.campaign.generation, now, PluginFailureState::default())
        };
        anyhow::ensure!(store.apply(run, fence, applied).await?);
        let offer = Offer {
            firmware,
            to_version: version.to_owned(),
            weight: 500,
            success_criteria: SuccessCriteria::Reported,
            options,
            compatibility: OfferCompatibility::default(),
            now,
        };
        let admitted = store
            .offer_updates(run, fence, 0, 10, &offer, false)
            .await?;
        self.engine.caches().invalidate_affected(&admitted.affected);
        store.release(run, fence).await?;
        Ok(run.campaign)
    }
}

fn revision_of(strategy: &PluginUse) -> NewRevision {
    NewRevision {
        digest: strategy.revision,
        kind: strategy.kind,
        contract: "1.0.0".to_owned(),
        description: Description {
            name: strategy.plugin.clone(),
            version: strategy.version.clone(),
            summary: String::new(),
            config_schema: "{}".to_owned(),
            state_schema: 1,
        },
        size: 1,
        origin: Origin::BuiltIn,
        created_by: "tests".to_owned(),
        created_at: Timestamp(0),
    }
}

fn spec(firmware: FirmwareId, device_id: &str) -> CampaignSpec {
    CampaignSpec {
        name: "spring".to_owned(),
        description: String::new(),
        firmware,
        targets: Targets {
            devices: vec![device_id.to_owned()],
            ..Targets::default()
        },
        allow_beta: false,
        strategy: PluginUse {
            plugin: PluginName::built_in("immediate"),
            revision: Digest([0; 32]),
            version: "1.0.0".to_owned(),
            kind: PluginKind::Strategy,
            config: "{}".to_owned(),
        },
        policies: Vec::new(),
        priority: Priority::Normal,
        max_concurrent_updates: None,
        options: UpdateOptions::forced(Duration::from_mins(30)),
        requires_approval: false,
        auto_rollback: false,
        failure_threshold_percent: 100,
        success_criteria: SuccessCriteria::Reported,
    }
}
