//! A server with one tenant, and firmware for its devices.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU8, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use tidegate_artifacts::ArtifactStore;
use tidegate_core::{
    access::AccessSettings,
    campaign::{CampaignSpec, PluginUse, Priority, Targets},
    firmware::{Artifact, FirmwareDetails, ModuleMetadata},
    id::{CampaignId, Digest, FirmwareId, TenantId, UpdateId},
    plugin::{
        AssignInput, CheckInput, ClassKey, Compatibility, Decision, HealthAnswer, HealthInput,
        Kind, Observation, Plan, PlanInput,
    },
    settings::TenantSettings,
    time::Timestamp,
    update::{Proof, Terms},
};
use tidegate_engine::{
    Engine, Ports, Settings, devices,
    ports::{
        Applied, Beginning, Call, CallFailure, ClassVerdict, Clock, Entropy, Inspection, Made,
        NewCampaign, NewDevice, NewFirmware, NewGateway, NewModule, NewWave, Offer, PageRequest,
        Record, Rejection, Role, RunRef, Sandbox, Trouble, Unobserved, UpdateFilter, Validation,
    },
    tenants::{self, Actor, fingerprint},
};
use tidegate_http::{AppState, HttpSettings, Metrics, Serving};
use tidegate_store::{Options, SqlStore};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::wire::{Answer, Request};

pub(crate) const FILE: &[u8] = b"the bytes of a firmware";
/// The gateway token of the tenant.
pub(crate) const GATEWAY: &str = "GatewayToken gateway-secret";

pub(crate) struct World {
    pub(crate) engine: Arc<Engine>,
    pub(crate) tenant: TenantId,
    pub(crate) clock: Arc<HandClock>,
    pub(crate) addr: SocketAddr,
    stopping: CancellationToken,
    _folder: tempfile::TempDir,
}

impl World {
    /// A server of tenant LAB, with a gateway, that lets in only who has a token.
    pub(crate) async fn closed() -> anyhow::Result<Self> {
        Self::start(false, |_| {}, Serving::default()).await
    }

    /// The same with other settings.
    pub(crate) async fn closed_with(
        set: impl FnOnce(&mut HttpSettings),
        serving: Serving,
    ) -> anyhow::Result<Self> {
        Self::start(false, set, serving).await
    }

    /// A server that lets everybody in.
    pub(crate) async fn open() -> anyhow::Result<Self> {
        Self::start(true, |_| {}, Serving::default()).await
    }

    async fn start(
        anonymous_devices: bool,
        set: impl FnOnce(&mut HttpSettings),
        serving: Serving,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let options = Options::sqlite(&folder.path().join("tidegate.db"));
        let clock = Arc::new(HandClock(AtomicI64::new(1_700_000_000_000)));
        let ports = Ports {
            store: Arc::new(SqlStore::open(options).await?),
            artifacts: Arc::new(ArtifactStore::in_memory()),
            sandbox: Arc::new(NoSandbox),
            clock: clock.clone(),
            entropy: Arc::new(Counting::default()),
            observer: Arc::new(Unobserved),
        };
        let settings = Settings {
            anonymous_devices,
            ..Settings::default()
        };
        let engine = Arc::new(Engine::new(ports, settings));
        let tenant = engine.store().create_tenant("LAB", engine.now()).await?.id;
        let gateway = NewGateway {
            name: "gateway".to_owned(),
            sha256: fingerprint("gateway-secret"),
            group: None,
            created_at: engine.now(),
        };
        engine.store().create_gateway(tenant, gateway).await?;

        let mut settings = HttpSettings::new(vec![7; 32]);
        set(&mut settings);
        let state = AppState::new(Arc::clone(&engine), Arc::new(Metrics::new()?), settings);
        let stopping = state.stopping.clone();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let addr = listener.local_addr()?;
        let router = tidegate_http::router(state);
        let grace = Duration::from_secs(5);
        tokio::spawn(serving.serve(listener, router, stopping.clone(), grace));
        Ok(Self {
            engine,
            tenant,
            clock,
            addr,
            stopping,
            _folder: folder,
        })
    }

    pub(crate) async fn send(&self, request: Request) -> anyhow::Result<Answer> {
        request.send(self.addr).await
    }

    /// Changes whom the tenant lets in.
    pub(crate) async fn allow(&self, change: impl Fn(&mut AccessSettings)) -> anyhow::Result<()> {
        self.change_settings(|settings| change(&mut settings.access))
            .await
    }

    /// Whether addresses of devices are kept.
    pub(crate) async fn track_address(&self, wants: bool) -> anyhow::Result<()> {
        self.change_settings(|settings| settings.track_address = wants)
            .await
    }

    async fn change_settings(&self, change: impl Fn(&mut TenantSettings)) -> anyhow::Result<()> {
        let admin = Actor {
            tenant: self.tenant,
            user: "admin".to_owned(),
            role: Role::Admin,
        };
        let change = |mut settings: TenantSettings| {
            change(&mut settings);
            Ok::<_, tidegate_engine::Error>(settings)
        };
        tenants::change_settings(&self.engine, &admin, change).await?;
        Ok(())
    }

    /// Makes a device that has a token.
    pub(crate) async fn put_device(&self, device_id: &str, token: &str) -> anyhow::Result<()> {
        let device = NewDevice {
            device_id: device_id.to_owned(),
            token_sha256: Some(fingerprint(token)),
            created_at: Some(self.engine.now()),
            ..NewDevice::default()
        };
        self.engine
            .store()
            .create_device(self.tenant, device)
            .await?;
        Ok(())
    }

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
            generation: seen.campaign.generation,
            at: now,
            levels: Some(vec![1]),
            status: None,
            hold: None,
            rollback: None,
            wake_at: None,
            explain: None,
            ended_at: None,
            strategy_state: None,
            policy_states: None,
            trouble: Trouble::default(),
            journal: Vec::new(),
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

impl Drop for World {
    fn drop(&mut self) {
        self.stopping.cancel();
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

pub(crate) struct HandClock(AtomicI64);

impl HandClock {
    pub(crate) fn pass(&self, seconds: i64) {
        self.0.fetch_add(seconds * 1000, Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        let now = self.0.load(Ordering::SeqCst);
        assert!(now >= 0, "the clock is broken");
        Timestamp(now)
    }
}

/// Never twice the same, and no secret.
#[derive(Default)]
struct Counting(AtomicU8);

impl Entropy for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(self.0.fetch_add(1, Ordering::SeqCst));
    }
}

/// No device's request needs a plugin.
struct NoSandbox;

fn no_call<T>() -> Call<T> {
    Call {
        outcome: Err(no_sandbox()),
        fuel: 0,
        peak_memory: 0,
        duration: Duration::ZERO,
        log: Vec::new(),
        record: Record::default(),
    }
}

fn no_sandbox() -> CallFailure {
    CallFailure::Host("no plugin is called here".to_owned())
}

#[async_trait]
impl Sandbox for NoSandbox {
    async fn inspect(&self, _: Bytes) -> Result<Inspection, Rejection> {
        Err(Rejection::Unavailable(no_sandbox().to_string()))
    }

    async fn validate(&self, _: Digest, _: &str) -> Validation {
        Validation {
            outcome: Err(no_sandbox()),
            asked: None,
        }
    }

    async fn plan(&self, _: Digest, _: PlanInput) -> Call<Plan> {
        no_call()
    }

    async fn assign(&self, _: Digest, _: AssignInput) -> Call<Vec<u16>> {
        no_call()
    }

    async fn decide(&self, _: Digest, _: Observation) -> Call<Decision> {
        no_call()
    }

    async fn check(&self, _: Digest, _: CheckInput) -> Call<Vec<Compatibility>> {
        no_call()
    }

    async fn evaluate(&self, _: Digest, _: HealthInput) -> Call<HealthAnswer> {
        no_call()
    }

    async fn replay(&self, _: Digest, _: &[u8]) -> Call<()> {
        no_call()
    }

    fn readable(&self, _: &[u8]) -> Result<String, CallFailure> {
        Err(no_sandbox())
    }
}
