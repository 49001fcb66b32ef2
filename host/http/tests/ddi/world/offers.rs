//! What devices are offered. No plugin is asked: what a campaign would do is done to the store.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use tidegate_core::{
    campaign::{CampaignSpec, PluginUse, Priority, Targets},
    firmware::{Artifact, FirmwareDetails, ModuleMetadata},
    id::{CampaignId, Digest, FirmwareId, UpdateId},
    plugin::{ClassKey, Kind},
    update::{Proof, Terms},
};
use tidegate_engine::{
    devices,
    ports::{
        Applied, Beginning, ClassVerdict, Made, NewCampaign, NewFirmware, NewModule, NewWave,
        Offer, PageRequest, RunRef, Trouble, UpdateFilter,
    },
};

use super::{FILE, World};

impl World {
    /// Offers a new firmware to a device that is known.
    pub(crate) async fn offer(&self, device_id: &str, version: &str) -> anyhow::Result<UpdateId> {
        let terms = Terms::forced(Duration::from_mins(30));
        self.offer_on(device_id, version, terms).await
    }

    /// The same by itself, done when the device reports the version.
    pub(crate) async fn offer_to_prove(
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
            proof: Proof::Attested,
            terms: Terms::forced(Duration::from_mins(30)),
            now: self.engine.now(),
        };
        let keys = [device.context("the device")?.key];
        let made = store.create_updates(self.tenant, &keys, &offer, false);
        match made.await?.pop() {
            Some(Made::Update(id, touched)) => {
                devices::forget(&self.engine, &[touched]);
                Ok(id)
            }
            other => anyhow::bail!("no update: {other:?}"),
        }
    }

    /// A firmware for one device, on these terms.
    pub(crate) async fn offer_on(
        &self,
        device_id: &str,
        version: &str,
        terms: Terms,
    ) -> anyhow::Result<UpdateId> {
        let (store, tenant, now) = (self.engine.store(), self.tenant, self.engine.now());
        let device = store
            .device(tenant, device_id)
            .await?
            .context("the device")?;
        let firmware = self.put_firmware(version).await?;
        let new = NewCampaign {
            spec: CampaignSpec {
                terms: terms.clone(),
                ..spec(firmware, device_id)
            },
            created_by: "tests".to_owned(),
            created_at: now,
        };
        let campaign = store.create_campaign(tenant, new).await?;
        let beginning = Beginning {
            at: now,
            waves: vec![NewWave {
                name: "all".to_owned(),
                members: vec![device.key],
            }],
            parallel: false,
            classes: vec![ClassVerdict {
                key: ClassKey::default(),
                devices: 1,
                excluded: None,
            }],
            selected: vec![(device.key, 0)],
            journal: Vec::new(),
        };
        anyhow::ensure!(store.begin_campaign(tenant, campaign, 0, beginning).await?);
        let run = RunRef { tenant, campaign };
        self.admit_all(run, firmware, version, terms).await?;
        let filter = UpdateFilter {
            campaign: Some(campaign),
            device: Some(device.key),
        };
        let first = PageRequest {
            limit: 1,
            offset: 0,
        };
        let page = store.list_updates(tenant, &filter, first).await?;
        let row = page.items.into_iter().next().context("an update")?;
        Ok(row.update.id)
    }

    /// Calls back every open update of the campaign that this one belongs to.
    pub(crate) async fn call_back(&self, update: UpdateId) -> anyhow::Result<()> {
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
        let touched = store.call_back(run, fence, 10, now).await?;
        devices::forget(&self.engine, &touched);
        store.release(run, fence).await?;
        Ok(())
    }

    async fn put_firmware(&self, version: &str) -> anyhow::Result<FirmwareId> {
        let body = stream::iter([Ok(Bytes::from_static(FILE))]).boxed();
        let stored = self.engine.ports.artifacts.put(body, 1024).await?;
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
        Ok(store.create_firmware(self.tenant, firmware).await?)
    }

    async fn admit_all(
        &self,
        run: RunRef,
        firmware: FirmwareId,
        version: &str,
        terms: Terms,
    ) -> anyhow::Result<CampaignId> {
        let (store, now) = (self.engine.store(), self.engine.now());
        let until = now.plus(Duration::from_secs(30));
        let fence = store
            .lease(run, "tests", now, until)
            .await?
            .context("a lease")?;
        let seen = store.run(run).await?.context("a campaign")?;
        let applied = Applied {
            levels: Some(vec![1]),
            ..Applied::nothing(seen.campaign.generation, now, Trouble::default())
        };
        anyhow::ensure!(store.apply(run, fence, applied).await?);
        let offer = Offer {
            firmware,
            to_version: version.to_owned(),
            weight: 500,
            proof: Proof::Reported,
            terms,
            now,
        };
        let admitted = store.admit(run, fence, 0, 10, &offer).await?;
        devices::forget(&self.engine, &admitted.touched);
        store.release(run, fence).await?;
        Ok(run.campaign)
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
            plugin: "immediate".to_owned(),
            revision: Digest([0; 32]),
            version: "1.0.0".to_owned(),
            kind: Kind::Strategy,
            config: "{}".to_owned(),
        },
        policies: Vec::new(),
        priority: Priority::Normal,
        max_concurrent_updates: None,
        terms: Terms::forced(Duration::from_mins(30)),
        requires_approval: false,
        auto_rollback: false,
        failure_threshold_percent: 100,
        proof: Proof::Reported,
    }
}
