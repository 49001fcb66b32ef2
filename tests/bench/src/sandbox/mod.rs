//! Plugin calls through the sandbox, each with a store of its own.

mod assign;
mod decide;
mod validate;

pub(crate) use assign::measure as assign;
pub(crate) use decide::measure as decide;
pub(crate) use validate::measure as validate;

use std::{io, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use bytes::Bytes;
use tidegate_core::{id::Digest, plugin::Context, time::Timestamp};
use tidegate_engine::ports::{ComponentSource, Sandbox as _};
use tidegate_sandbox::{ChildCommand, Plugin, SandboxConfig, WasmSandbox};

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

impl SandboxFixture {
    async fn new(bench: &Bench, component: Vec<u8>) -> Result<Self> {
        let mut config = SandboxConfig::new(std::path::absolute(bench.work.join("compiled"))?);
        config.child_command = child_command()?;
        let sandbox = WasmSandbox::open(config, Arc::new(NoComponents))?;
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
