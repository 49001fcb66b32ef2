//! Loads plugins: from memory, from the cache of compiled code, or by compiling their components.

use std::sync::Arc;

use bytes::Bytes;
use tidegate_core::{
    Named as _,
    id::{Digest, TenantId},
    plugin::PluginKind,
};
use tidegate_engine::{
    chain,
    ports::{CallFailure, ComponentSource, Rejection},
};
use wasmtime::{
    Engine,
    component::{Component, Linker},
};

use crate::{
    code::CodeCache,
    compile::{CompilePurpose, Compiler},
    component::{World, world_of},
    failure::describe,
    guest::Guest,
    inspect::to_rejection,
    limits::SandboxLimits,
    plugin::Plugin,
    plugin_cache::PluginCache,
    versions::Versions,
};

/// More bytes than any header of cached code has.
const MAX_HEADER_BYTES: usize = 64;

/// Loads plugins that are built for one of its versions of the contract.
pub(crate) struct PluginLoader {
    pub(crate) limits: SandboxLimits,
    pub(crate) versions: Versions,
    pub(crate) engine: Engine,
    pub(crate) linker: Linker<Guest>,
    pub(crate) code: Arc<CodeCache>,
    pub(crate) compiler: Compiler,
    pub(crate) source: Arc<dyn ComponentSource>,
    pub(crate) plugins: PluginCache,
}

impl PluginLoader {
    /// Loads the plugin with this digest. If it must be compiled, a tenant waits for its turn.
    pub(crate) async fn plugin(
        &self,
        tenant: Option<TenantId>,
        digest: Digest,
    ) -> Result<Plugin, CallFailure> {
        if let Some(plugin) = self.plugins.get(digest) {
            return Ok(plugin);
        }
        let (code, world) = match self.load_cached(digest).await {
            Some(found) => found,
            None => self.rebuild(tenant, digest).await?,
        };
        let code_bytes = code.len() as u64;
        let plugin = self.load(digest, world, code).await?;
        self.plugins.insert(digest, plugin.clone(), code_bytes);
        Ok(plugin)
    }

    /// Loads the plugin of a component that is inspected, with its code if that is not in the cache.
    pub(crate) async fn inspected(
        &self,
        tenant: Option<TenantId>,
        digest: Digest,
        world: World,
        component: Bytes,
    ) -> Result<(Plugin, Option<Vec<u8>>), Rejection> {
        if let Some(plugin) = self.plugins.get(digest) {
            return Ok((plugin, None));
        }
        let mut new_code = None;
        let code = if let Some((code, _)) = self.load_cached(digest).await {
            code
        } else {
            let purpose = CompilePurpose::Inspection;
            let compiled = self.compile(purpose, tenant, digest, component).await?;
            new_code = Some(compiled.clone());
            compiled
        };
        let loaded = self.load(digest, world, code).await;
        let plugin = loaded.map_err(|failure| to_rejection(&failure))?;
        Ok((plugin, new_code))
    }

    /// Reads code from the cache, and the world from its header.
    async fn load_cached(&self, digest: Digest) -> Option<(Vec<u8>, World)> {
        let cache = Arc::clone(&self.code);
        let code = tokio::task::spawn_blocking(move || cache.read(digest))
            .await
            .ok()??;
        split_header(code, self.versions)
    }

    /// Recompiles code that is missing from the cache.
    async fn rebuild(
        &self,
        tenant: Option<TenantId>,
        digest: Digest,
    ) -> Result<(Vec<u8>, World), CallFailure> {
        let component = self
            .source
            .component(digest)
            .await
            .map_err(|error| {
                CallFailure::Host(format!("read the component {digest}: {}", chain(&error)))
            })?
            .ok_or_else(|| CallFailure::Host(not_stored(digest)))?;
        if Digest::of(&component) != digest {
            return Err(CallFailure::Host(format!(
                "the stored component {digest} is corrupt: its digest differs"
            )));
        }
        let world = world_of(&component, self.limits.component_bytes, self.versions)
            .map_err(|error| CallFailure::Link(error.to_string()))?;
        let purpose = CompilePurpose::Call;
        match self.compile(purpose, tenant, digest, component).await {
            Ok(code) => {
                self.store_code(digest, world, code.clone()).await;
                Ok((code, world))
            }
            Err(Rejection::Invalid(why)) => Err(CallFailure::Link(why)),
            Err(error) => Err(CallFailure::Host(error.to_string())),
        }
    }

    /// Compiles a component, unless its code was cached meanwhile.
    async fn compile(
        &self,
        purpose: CompilePurpose,
        tenant: Option<TenantId>,
        digest: Digest,
        component: Bytes,
    ) -> Result<Vec<u8>, Rejection> {
        let recheck = async { self.load_cached(digest).await.map(|(code, _)| code) };
        let compiled = self.compiler.compile(purpose, tenant, component, recheck);
        compiled.await
    }

    /// Adds code to the cache.
    pub(crate) async fn store_code(&self, digest: Digest, world: World, code: Vec<u8>) {
        let cache = Arc::clone(&self.code);
        let stored = tokio::task::spawn_blocking(move || {
            let code = [header(world).as_bytes(), &code].concat();
            cache.write(digest, &code)
        });
        let written = stored.await.map_err(std::io::Error::other);
        if let Err(error) = written.flatten() {
            tracing::warn!(%digest, error = %chain(&error), "cannot cache compiled code; it will be compiled again");
        }
    }

    /// Removes a component's code from memory and from the cache.
    pub(crate) async fn discard(&self, digest: Digest) {
        self.plugins.remove(digest);
        let cache = Arc::clone(&self.code);
        let removed = tokio::task::spawn_blocking(move || cache.remove(digest));
        let removed = removed.await.map_err(std::io::Error::other);
        if let Err(error) = removed.flatten() {
            tracing::warn!(%digest, error = %chain(&error), "cannot delete compiled code; it stays until its space is needed");
        }
    }

    async fn load(
        &self,
        digest: Digest,
        world: World,
        code: Vec<u8>,
    ) -> Result<Plugin, CallFailure> {
        let (engine, linker, limits) = (
            self.engine.clone(),
            self.linker.clone(),
            self.limits.clone(),
        );
        tokio::task::spawn_blocking(move || {
            let component = deserialize_trusted(&engine, &code)
                .map_err(|error| CallFailure::Link(describe(&error)))?;
            Plugin::load(digest, world, limits, &linker, &component)
        })
        .await
        .map_err(|error| CallFailure::Host(format!("load compiled code: {}", chain(&error))))?
    }
}

/// Why a component cannot be loaded that is neither stored nor in a folder of plugins.
fn not_stored(digest: Digest) -> String {
    format!(
        "the component {digest} is not stored: put its file into the directory of plugins (`--plugins`), or upload it again"
    )
}

/// Loads code that came from the compiler process or was authenticated by the cache.
#[expect(
    unsafe_code,
    reason = "the code is as trusted as the server's own: see the safety comment"
)]
fn deserialize_trusted(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: the bytes are the output of a compiler process of this same build: either received directly, or read from
    // the cache and authenticated by an HMAC whose secret only this server can read. They are in memory, so they cannot
    // change after that check.
    unsafe { Component::deserialize(engine, code) }
}

/// The first line of cached code: its world and the version of the contract, so that loading the code does not need the
/// component.
fn header(world: World) -> String {
    format!("{} {}\n", world.kind.as_str(), world.contract.names().minor)
}

/// Splits the header from code. `None`: it is of an earlier server, or of a version that is not spoken.
fn split_header(mut code: Vec<u8>, versions: Versions) -> Option<(Vec<u8>, World)> {
    let end = code
        .iter()
        .take(MAX_HEADER_BYTES)
        .position(|byte| *byte == b'\n')?;
    let line = std::str::from_utf8(&code[..end]).ok()?;
    let (kind, minor) = line.split_once(' ')?;
    let kind: PluginKind = kind.parse().ok()?;
    let contract = versions.iter().find(|it| it.names().minor == minor)?;
    code.drain(..=end);
    Some((code, World { contract, kind }))
}
