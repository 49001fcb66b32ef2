//! A sandbox with a temporary folder, and components in memory.

use std::{collections::HashMap, io, path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tempfile::TempDir;
use tidegate_core::{
    id::{Digest, TenantId},
    measurement::Durations,
    plugin::{
        AssignInput, Census, CheckInput, ClassKey, Context, DeviceClass, FirmwareFacts,
        HealthInput, Observation, PageOf, PlanInput,
    },
    time::Timestamp,
    wave::Counts,
};
use tidegate_engine::ports::{
    Call, CallFailure, ComponentSource, Inspection, Rejection, Sandbox as _,
};
use tidegate_sandbox::{ChildCommand, SandboxConfig, WasmSandbox};

/// The tenant of most calls.
pub(crate) const TENANT: TenantId = TenantId(1);
/// Another tenant.
pub(crate) const OTHER_TENANT: TenantId = TenantId(2);
/// The program of child processes.
pub(crate) const CHILD_PROGRAM: &str = env!("CARGO_BIN_EXE_tidegate-sandbox-child");

/// Uploaded components by digest.
#[derive(Default)]
pub(crate) struct MemoryComponents {
    components: Mutex<HashMap<Digest, Bytes>>,
}

impl MemoryComponents {
    pub(crate) fn put(&self, component: Vec<u8>) -> Digest {
        let digest = Digest::of(&component);
        self.components.lock().insert(digest, component.into());
        digest
    }
}

#[async_trait]
impl ComponentSource for MemoryComponents {
    async fn component(&self, digest: Digest) -> io::Result<Option<Bytes>> {
        let components = self.components.lock();
        Ok(components.get(&digest).cloned())
    }
}

/// A sandbox with its folder and components.
pub(crate) struct SandboxFixture {
    pub(crate) sandbox: WasmSandbox,
    pub(crate) components: Arc<MemoryComponents>,
    folder: Arc<TempDir>,
}

impl SandboxFixture {
    pub(crate) fn new() -> Result<Self> {
        Self::with(|_| ())
    }

    /// A sandbox with a changed configuration.
    pub(crate) fn with(change: impl FnOnce(&mut SandboxConfig)) -> Result<Self> {
        Self::open(Arc::new(TempDir::new()?), Arc::default(), change)
    }

    /// Another sandbox with the same folder and components, as after a restart.
    pub(crate) fn reopen(&self) -> Result<Self> {
        self.reopen_with(|_| ())
    }

    /// The same with a changed configuration.
    pub(crate) fn reopen_with(&self, change: impl FnOnce(&mut SandboxConfig)) -> Result<Self> {
        Self::open(
            Arc::clone(&self.folder),
            Arc::clone(&self.components),
            change,
        )
    }

    /// Another sandbox with the same folder, without components.
    pub(crate) fn reopen_without_components(&self) -> Result<Self> {
        Self::open(Arc::clone(&self.folder), Arc::default(), |_| ())
    }

    fn open(
        folder: Arc<TempDir>,
        components: Arc<MemoryComponents>,
        change: impl FnOnce(&mut SandboxConfig),
    ) -> Result<Self> {
        let mut config = SandboxConfig::new(folder.path().join("code"));
        config.child_command = ChildCommand {
            program: CHILD_PROGRAM.into(),
            args: Vec::new(),
        };
        // Calls must end by fuel or by another limit, not by a deadline because the machine is busy.
        config.limits.deadline = Duration::from_secs(2);
        config.limits.planning_deadline = Duration::from_secs(30);
        change(&mut config);
        let source: Arc<dyn ComponentSource> = Arc::<MemoryComponents>::clone(&components);
        Ok(Self {
            sandbox: WasmSandbox::open(config, source)?,
            components,
            folder,
        })
    }

    pub(crate) fn code_folder(&self) -> std::path::PathBuf {
        self.folder.path().join("code")
    }

    /// Uploads a component.
    pub(crate) async fn upload(&self, component: Vec<u8>) -> Result<Inspection, Rejection> {
        self.upload_as(TENANT, component).await
    }

    /// Uploads a component for a tenant.
    pub(crate) async fn upload_as(
        &self,
        tenant: TenantId,
        component: Vec<u8>,
    ) -> Result<Inspection, Rejection> {
        self.components.put(component.clone());
        self.sandbox.inspect(Some(tenant), component.into()).await
    }

    /// Uploads a component, and returns the reason why it is refused.
    pub(crate) async fn refusal(&self, component: Vec<u8>) -> Result<String> {
        match self.upload(component).await {
            Err(Rejection::Invalid(why)) => Ok(why),
            other => anyhow::bail!("not refused as invalid: {other:?}"),
        }
    }

    /// Calls a component's `decide`, without the checks of an upload.
    pub(crate) async fn decide(&self, component: Vec<u8>) -> Call<tidegate_core::plugin::Decision> {
        let digest = self.components.put(component);
        self.sandbox.decide(TENANT, digest, observation("{}")).await
    }
}

/// The failure of a call.
pub(crate) fn failure<T: std::fmt::Debug>(call: Call<T>) -> Result<CallFailure> {
    match call.outcome {
        Err(failure) => Ok(failure),
        Ok(answer) => anyhow::bail!("the call succeeded: {answer:?}"),
    }
}

/// A record with this JSON text: one stored block of DEFLATE.
pub(crate) fn deflate_stored(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("a short text");
    let (length, complement) = (length.to_le_bytes(), (!length).to_le_bytes());
    [&[1], &length[..], &complement[..], bytes].concat()
}

pub(crate) fn context() -> Context {
    Context {
        now: Timestamp(1_750_000_000_000),
        seed: 7,
        started_at: Some(Timestamp(1_749_999_000_000)),
        max_in_flight: Some(100),
        failure_ceiling: 2_000,
        update_timeout: Duration::from_mins(30),
        auto_rollback: true,
        facts: Vec::new(),
    }
}

pub(crate) fn observation(config: &str) -> Observation {
    Observation {
        context: context(),
        firmware: firmware(),
        operator: Vec::new(),
        waves: Vec::new(),
        durations: Durations::default(),
        verdicts: Vec::new(),
        config: config.to_owned(),
        state: Vec::new(),
    }
}

pub(crate) fn plan_input(config: &str) -> PlanInput {
    PlanInput {
        context: context(),
        firmware: firmware(),
        census: Census {
            devices: 300,
            groups: Vec::new(),
            classes: Vec::new(),
        },
        config: config.to_owned(),
    }
}

/// A page of this many rows for `assign`.
pub(crate) fn page(rows: usize) -> AssignInput {
    AssignInput {
        context: context(),
        config: "{}".to_owned(),
        waves: Vec::new(),
        groups: Vec::new(),
        classes: Vec::new(),
        page: PageOf::ONLY,
        group: vec![0; rows],
        class: vec![0; rows],
        place: vec![7; rows],
    }
}

/// One class for `check`.
pub(crate) fn check_input() -> CheckInput {
    CheckInput {
        context: context(),
        firmware: firmware(),
        page: PageOf::ONLY,
        classes: vec![DeviceClass {
            key: ClassKey {
                hardware_model: Some("edge".to_owned()),
                hardware_revision: None,
                version: Some("1.1.0".to_owned()),
                attributes: Vec::new(),
            },
            devices: 300,
        }],
        config: "{}".to_owned(),
    }
}

/// A campaign that has just started, for `evaluate`.
pub(crate) fn health_input() -> HealthInput {
    HealthInput {
        context: context(),
        firmware: firmware(),
        total: Counts::default(),
        failures: Vec::new(),
        waves: Vec::new(),
        durations: Durations::default(),
        metrics: Vec::new(),
        checks: Vec::new(),
        config: "{}".to_owned(),
        state: Vec::new(),
    }
}

fn firmware() -> FirmwareFacts {
    FirmwareFacts {
        name: "edge".to_owned(),
        version: "1.2.0".to_owned(),
        ..FirmwareFacts::default()
    }
}

/// A component that `cargo xtask components` builds, by its path in their folder without `.wasm`.
pub(crate) fn built_component(name: impl AsRef<Path>) -> Result<Vec<u8>> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("components");
    let path = target.join(name).with_extension("wasm");
    std::fs::read(&path).with_context(|| {
        format!(
            "{} does not exist: run `cargo xtask components` first",
            path.display()
        )
    })
}
