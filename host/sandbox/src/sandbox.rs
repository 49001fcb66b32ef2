//! The port that the engine sees.

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use tidegate_core::{
    id::Digest,
    plugin::{
        AssignInput, CheckInput, Compatibility, Decision, HealthAnswer, HealthInput, Kind,
        Observation, Plan, PlanInput,
    },
};
use tidegate_engine::ports::{
    Call, CallFailure, ComponentSource, Inspection, Rejection, Sandbox, Validation,
};
use wasmtime::{
    Engine,
    component::{Component, Linker},
};

use crate::{
    code::{CodeCache, CodeKey},
    compile::{Compiler, CompilerCommand},
    component::world_of,
    engine,
    failure::describe,
    guest::{Guest, link_log},
    inspect,
    limits::{InvalidLimit, Limits},
    plugin::{Plugin, failed},
    record,
    shares::{Share, Shares},
    shelf::Shelf,
    since_1_0 as contract,
    ticker::Ticker,
};

/// How a sandbox is set up.
#[derive(Debug, Clone)]
pub struct SandboxConfig {
    /// What plugins may take.
    pub limits: Limits,
    /// Where compiled code is kept. Losing it costs time, nothing else.
    pub code_folder: PathBuf,
    /// How the process that compiles is started.
    pub compiler: CompilerCommand,
    /// How many plugins stay loaded.
    pub loaded: usize,
}

impl SandboxConfig {
    /// The defaults, with compiled code in this folder.
    pub fn new(code_folder: impl Into<PathBuf>) -> Self {
        Self {
            limits: Limits::default(),
            code_folder: code_folder.into(),
            compiler: CompilerCommand::default(),
            loaded: 64,
        }
    }
}

/// Why a sandbox cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A limit is beyond what an operator can set.
    #[error("check the sandbox's limits")]
    Limits(#[from] InvalidLimit),
    /// Wasmtime does not take its configuration, or there is not enough address space for the pool.
    #[error("set up the engine: {0}")]
    Engine(String),
    /// The folder of compiled code, or the thread that ticks.
    #[error("{0}")]
    Io(String, #[source] std::io::Error),
}

/// Runs plugins on Wasmtime.
pub struct WasmSandbox {
    limits: Limits,
    engine: Engine,
    linker: Linker<Guest>,
    cache: Arc<CodeCache>,
    compiler: Compiler,
    source: Arc<dyn ComponentSource>,
    shelf: Shelf,
    shares: Shares,
    _ticker: Ticker,
}

impl WasmSandbox {
    /// Sets up the engine and the folder of compiled code.
    pub fn open(
        config: SandboxConfig,
        source: Arc<dyn ComponentSource>,
    ) -> Result<Self, OpenError> {
        let broken = |error: wasmtime::Error| OpenError::Engine(describe(&error));
        let limits = config.limits;
        limits.validate()?;
        // Only the engine that compiles knows what its code depends on.
        let key = CodeKey::of(&engine::compiler().map_err(broken)?);
        let engine = engine::runner(Shares::total(limits.calls_at_once), limits.memory_bytes)
            .map_err(broken)?;
        let mut linker = Linker::new(&engine);
        link_log(&mut linker, contract::LOG).map_err(broken)?;
        let cache = CodeCache::open(&config.code_folder, key).map_err(|error| {
            let folder = config.code_folder.display();
            OpenError::Io(format!("open the folder of compiled code {folder}"), error)
        })?;
        let ticker = Ticker::start(engine.clone())
            .map_err(|error| OpenError::Io("start the ticking thread".to_owned(), error))?;
        Ok(Self {
            compiler: Compiler::new(config.compiler, &limits, key),
            cache: Arc::new(cache),
            shelf: Shelf::new(config.loaded),
            shares: Shares::new(limits.calls_at_once),
            limits,
            engine,
            linker,
            source,
            _ticker: ticker,
        })
    }

    /// The plugin of this digest, loaded: for callers that have a thread of their own to block.
    pub async fn plugin(&self, digest: Digest) -> Result<Plugin, CallFailure> {
        if let Some(plugin) = self.shelf.get(digest) {
            return Ok(plugin);
        }
        let (code, kind) = match self.cached(digest).await {
            Some(found) => found,
            None => self.rebuilt(digest).await?,
        };
        let plugin = self.load(digest, kind, code).await?;
        self.shelf.put(&plugin);
        Ok(plugin)
    }

    /// Compiled code as the cache has it, which begins with the world's name.
    async fn cached(&self, digest: Digest) -> Option<(Vec<u8>, Kind)> {
        let cache = Arc::clone(&self.cache);
        let code = tokio::task::spawn_blocking(move || cache.read(digest))
            .await
            .ok()??;
        unmark(code)
    }

    /// Compiles once more what the cache has lost.
    async fn rebuilt(&self, digest: Digest) -> Result<(Vec<u8>, Kind), CallFailure> {
        let component = self
            .source
            .component(digest)
            .await
            .map_err(|error| CallFailure::Host(format!("read the component {digest}: {error}")))?
            .ok_or_else(|| CallFailure::Host(format!("there is no component {digest}")))?;
        if Digest::of(&component) != digest {
            return Err(CallFailure::Host(format!(
                "the stored component {digest} has other bytes"
            )));
        }
        let kind = world_of(&component, self.limits.component_bytes)
            .map_err(|error| CallFailure::Link(error.to_string()))?;
        match self.compiled(digest, kind, component).await {
            Ok(code) => Ok((code, kind)),
            Err(Rejection::Invalid(why)) => Err(CallFailure::Link(why)),
            Err(Rejection::Unavailable(why)) => Err(CallFailure::Host(why)),
        }
    }

    /// Compiles, and keeps the code for next time.
    async fn compiled(
        &self,
        digest: Digest,
        kind: Kind,
        component: Bytes,
    ) -> Result<Vec<u8>, Rejection> {
        let again = async { self.cached(digest).await.map(|(code, _)| code) };
        let code = self.compiler.compile(component, again).await?;
        let cache = Arc::clone(&self.cache);
        let kept = tokio::task::spawn_blocking(move || {
            let marked = [&[mark(kind)], code.as_slice()].concat();
            (cache.write(digest, &marked), code)
        });
        let (written, code) = kept
            .await
            .map_err(|error| Rejection::Unavailable(format!("keep compiled code: {error}")))?;
        if let Err(error) = written {
            tracing::warn!(%digest, %error, "cannot keep compiled code; it is made again next time");
        }
        Ok(code)
    }

    async fn load(&self, digest: Digest, kind: Kind, code: Vec<u8>) -> Result<Plugin, CallFailure> {
        let (engine, linker, limits) = (
            self.engine.clone(),
            self.linker.clone(),
            self.limits.clone(),
        );
        tokio::task::spawn_blocking(move || {
            let component =
                trusted(&engine, &code).map_err(|error| CallFailure::Link(describe(&error)))?;
            Plugin::load(digest, kind, limits, &linker, &component)
        })
        .await
        .map_err(|error| CallFailure::Host(format!("load compiled code: {error}")))?
    }

    /// Runs a call on a thread that may block, when there is room for it.
    async fn call<T: Send + 'static>(
        &self,
        share: Share,
        digest: Digest,
        call: impl FnOnce(&Plugin) -> Call<T> + Send + 'static,
    ) -> Call<T> {
        match self.plugin(digest).await {
            Ok(plugin) => self
                .blocking(share, move || call(&plugin))
                .await
                .unwrap_or_else(failed),
            Err(failure) => failed(failure),
        }
    }

    /// Runs something that calls a plugin, as one of the calls of its share that may run at once.
    async fn blocking<T: Send + 'static>(
        &self,
        share: Share,
        run: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, CallFailure> {
        let permit = self.shares.place(share).await?;
        tokio::task::spawn_blocking(move || {
            // Held until the call ends, even if nobody waits for it any more.
            let _permit = permit;
            run()
        })
        .await
        .map_err(|error| CallFailure::Host(format!("the call broke the host's code: {error}")))
    }
}

#[async_trait]
impl Sandbox for WasmSandbox {
    async fn inspect(&self, component: Bytes) -> Result<Inspection, Rejection> {
        let kind = world_of(&component, self.limits.component_bytes)
            .map_err(|error| Rejection::Invalid(error.to_string()))?;
        let digest = Digest::of(&component);
        let plugin = if let Some(plugin) = self.shelf.get(digest) {
            plugin
        } else {
            let code = self.compiled(digest, kind, component).await?;
            self.load(digest, kind, code)
                .await
                .map_err(|failure| inspect::rejection(&failure))?
        };
        let described = self
            .blocking(Share::People, move || inspect::inspect(&plugin))
            .await
            .map_err(|failure| inspect::rejection(&failure))?;
        Ok(Inspection {
            digest,
            kind,
            contract: contract::VERSION.to_owned(),
            description: described?,
        })
    }

    async fn validate(&self, plugin: Digest, config: &str) -> Validation {
        let nobody = |failure| Validation {
            outcome: Err(failure),
            asked: None,
        };
        let plugin = match self.plugin(plugin).await {
            Ok(plugin) => plugin,
            Err(failure) => return nobody(failure),
        };
        let config = config.to_owned();
        self.blocking(Share::People, move || plugin.validate(&config))
            .await
            .unwrap_or_else(nobody)
    }

    async fn plan(&self, plugin: Digest, input: PlanInput) -> Call<Plan> {
        self.call(Share::Planning, plugin, |plugin| plugin.plan(input))
            .await
    }

    async fn assign(&self, plugin: Digest, input: AssignInput) -> Call<Vec<u16>> {
        self.call(Share::Planning, plugin, |plugin| plugin.assign(input))
            .await
    }

    async fn decide(&self, plugin: Digest, observation: Observation) -> Call<Decision> {
        self.call(Share::Decisions, plugin, |plugin| {
            plugin.decide(observation)
        })
        .await
    }

    async fn check(&self, plugin: Digest, input: CheckInput) -> Call<Vec<Compatibility>> {
        self.call(Share::Planning, plugin, |plugin| plugin.check(input))
            .await
    }

    async fn evaluate(&self, plugin: Digest, input: HealthInput) -> Call<HealthAnswer> {
        self.call(Share::Decisions, plugin, |plugin| plugin.evaluate(input))
            .await
    }

    async fn replay(&self, plugin: Digest, question: &[u8]) -> Call<()> {
        let question = question.to_vec();
        self.call(Share::People, plugin, move |plugin| {
            plugin.replay(&question)
        })
        .await
    }

    fn readable(&self, record: &[u8]) -> Result<String, CallFailure> {
        record::unfold(record).map_err(|error| CallFailure::Host(error.to_string()))
    }
}

/// Loads code that the cache or the compiler vouches for.
#[expect(
    unsafe_code,
    reason = "code is as trusted as the host's own: see the safety comment"
)]
fn trusted(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: these bytes came from the process that compiles, of this same build, just now, or an HMAC with a secret
    // that only this host can read says that they once did; and they are bytes in memory, which nobody changes between
    // that check and now.
    unsafe { Component::deserialize(engine, code) }
}

/// The byte that stands before cached code, so that loading it needs no look at the component.
fn mark(kind: Kind) -> u8 {
    match kind {
        Kind::Strategy => b's',
        Kind::Compatibility => b'c',
        Kind::Health => b'h',
    }
}

fn unmark(mut marked: Vec<u8>) -> Option<(Vec<u8>, Kind)> {
    let kinds = [Kind::Strategy, Kind::Compatibility, Kind::Health];
    let first = *marked.first()?;
    let kind = kinds.into_iter().find(|kind| mark(*kind) == first)?;
    marked.remove(0);
    Some((marked, kind))
}
