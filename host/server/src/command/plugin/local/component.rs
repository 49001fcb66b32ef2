//! A component in a file, and a sandbox for it.

use std::{io, path::PathBuf, sync::Arc};

use anyhow::{Context as _, Result, anyhow, bail};
use async_trait::async_trait;
use bytes::Bytes;
use clap::Args;
use tidegate_core::{Named, id::Digest};
use tidegate_engine::ports::{ComponentSource, Inspection, Rejection, Sandbox as _};
use tidegate_sandbox::{
    CallName, Golden, OpenError, Plugin, SandboxConfig, SandboxLimits, WasmSandbox,
};

use super::code_folder::CodeFolder;
use crate::{client::LocalOutput, config::Config};

/// The component of a command, and the server whose limits apply.
#[derive(Debug, Args)]
pub(super) struct ComponentArgs {
    /// Component file, `.wasm`
    pub(super) file: PathBuf,
    /// Configuration file of a server, TOML, whose limits apply [default: those of a server without one]
    #[arg(long, value_name = "FILE", env = "TIDEGATE_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    pub(super) output: LocalOutput,
}

impl ComponentArgs {
    pub(super) fn open(&self) -> Result<LocalComponent> {
        let config = Config::load(self.config.as_deref())?;
        let bytes = std::fs::read(&self.file);
        let bytes = bytes.with_context(|| format!("read {}", self.file.display()))?;
        LocalComponent::open(bytes.into(), config.sandbox.limits())
    }
}

/// A component, and a sandbox that has it only.
pub(super) struct LocalComponent {
    pub(super) bytes: Bytes,
    pub(super) digest: Digest,
    pub(super) limits: SandboxLimits,
    sandbox: WasmSandbox,
    /// Deleted after the sandbox is closed.
    _code_folder: CodeFolder,
}

impl LocalComponent {
    fn open(bytes: Bytes, limits: SandboxLimits) -> Result<Self> {
        let component = Arc::new(OneComponent {
            digest: Digest::of(&bytes),
            bytes: bytes.clone(),
        });
        let open = |folder: &CodeFolder| {
            let config = SandboxConfig {
                limits: limits.clone(),
                ..SandboxConfig::new(folder.path())
            };
            WasmSandbox::open(config, Arc::clone(&component) as Arc<dyn ComponentSource>)
        };
        let kept = CodeFolder::kept().map(|folder| (open(&folder), folder));
        let (sandbox, code_folder) = match kept {
            Some((Ok(sandbox), folder)) => (sandbox, folder),
            None | Some((Err(OpenError::Io(..)), _)) => {
                let folder = CodeFolder::temporary()?;
                (open(&folder).context("open the sandbox")?, folder)
            }
            Some((Err(error), _)) => return Err(anyhow!(error).context("open the sandbox")),
        };
        Ok(Self {
            digest: component.digest,
            bytes,
            limits,
            sandbox,
            _code_folder: code_folder,
        })
    }

    /// Verifies the component as at an upload.
    pub(super) async fn inspect(&self) -> Result<Inspection, Rejection> {
        self.sandbox.inspect(None, self.bytes.clone()).await
    }

    /// Loads the plugin without the trial calls of an upload, which a plugin that traps would not pass.
    pub(super) async fn load(&self) -> Result<Plugin> {
        Ok(self.sandbox.plugin(self.digest).await?)
    }

    /// The config of the trial calls of an upload. `None`: the plugin's schema gives none.
    pub(super) async fn example_config(&self, plugin: &Plugin) -> Result<Option<String>> {
        let config = self.sandbox.example_config(plugin).await;
        config.context("read the schema of its config")
    }

    /// The input of a call on the trial campaign of uploads.
    pub(super) async fn trial(&self, plugin: &Plugin, call: CallName) -> Result<Golden> {
        let calls = plugin.calls();
        if !calls.contains(&call) {
            let calls: Vec<_> = calls.iter().map(Named::as_str).collect();
            let call = call.as_str();
            bail!("it has no `{call}`; its calls are {}", calls.join(", "));
        }
        let config = match call {
            CallName::Describe => None,
            _ => self.example_config(plugin).await?,
        };
        Ok(Golden::trial(
            plugin,
            call,
            config.as_deref().unwrap_or("{}"),
        ))
    }
}

struct OneComponent {
    digest: Digest,
    bytes: Bytes,
}

#[async_trait]
impl ComponentSource for OneComponent {
    async fn component(&self, digest: Digest) -> io::Result<Option<Bytes>> {
        Ok((digest == self.digest).then(|| self.bytes.clone()))
    }
}
