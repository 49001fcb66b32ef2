//! Plugin calls through the sandbox, each with a store of its own.

mod assign;
mod built_ins;
mod cost;
mod decide;
mod fuel;
mod load;
mod validate;

pub(crate) use assign::measure as assign;
pub(crate) use built_ins::measure as built_ins;
pub(crate) use decide::measure as decide;
pub(crate) use fuel::measure as fuel;
pub(crate) use load::measure as load;
pub(crate) use validate::measure as validate;

use std::{io, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use bytes::Bytes;
use tidegate_core::{id::Digest, plugin::Context, time::Timestamp};
use tidegate_engine::ports::{ComponentSource, Sandbox as _};
use tidegate_sandbox::{ChildCommand, Plugin, SandboxConfig, SandboxLimits, WasmSandbox};

use crate::Bench;

/// Starts child processes with this program.
pub(crate) fn child_command() -> Result<ChildCommand> {
    Ok(ChildCommand {
        program: std::env::current_exe()?,
        args: Vec::new(),
    })
}

/// A source without components: the uploaded component is compiled already.
struct NoComponents;

#[async_trait]
impl ComponentSource for NoComponents {
    async fn component(&self, _: Digest) -> io::Result<Option<Bytes>> {
        Ok(None)
    }
}

/// A sandbox with one plugin.
struct SandboxFixture {
    sandbox: WasmSandbox,
    plugin: Plugin,
}

/// Opens a sandbox on the folder of compiled code that all benchmarks share.
fn open(bench: &Bench) -> Result<WasmSandbox> {
    open_with(bench, SandboxLimits::default())
}

fn open_with(bench: &Bench, limits: SandboxLimits) -> Result<WasmSandbox> {
    let mut config = SandboxConfig::new(std::path::absolute(bench.work.join("compiled"))?);
    config.child_command = child_command()?;
    config.limits = limits;
    Ok(WasmSandbox::open(config, Arc::new(NoComponents))?)
}

/// The component of a built-in plugin.
fn built_in(bench: &Bench, name: &str) -> Result<Vec<u8>> {
    let component = bench.components.join(name).with_extension("wasm");
    std::fs::read(&component)
        .with_context(|| format!("read {}: run `cargo xtask components`", component.display()))
}

impl SandboxFixture {
    async fn new(bench: &Bench, component: Vec<u8>) -> Result<Self> {
        Self::with(bench, component, SandboxLimits::default()).await
    }

    async fn with(bench: &Bench, component: Vec<u8>, limits: SandboxLimits) -> Result<Self> {
        let sandbox = open_with(bench, limits)?;
        let inspection = sandbox
            .inspect(None, component.into())
            .await
            .context("inspect the component")?;
        let plugin = sandbox.plugin(inspection.digest).await?;
        Ok(Self { sandbox, plugin })
    }
}

/// The context of a running campaign.
fn context() -> Context {
    Context {
        now: Timestamp(1_767_225_600_000),
        seed: 42,
        started_at: Some(Timestamp(1_767_225_600_000 - 86_400_000)),
        max_in_flight: None,
        failure_ceiling: 2000,
        update_timeout: Duration::from_hours(1),
        auto_rollback: true,
        facts: Vec::new(),
    }
}
