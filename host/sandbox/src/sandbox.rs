//! The implementation of the engine's port.

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use quick_cache::sync::Cache;
use tidegate_core::{
    Named as _,
    id::{Digest, TenantId},
    plugin::{
        AssignInput, CheckInput, Compatibility, Decision, Description, FieldError, HealthAnswer,
        HealthInput, Interests, Observation, Plan, PlanInput,
    },
};
use tidegate_engine::{
    chain,
    ports::{
        Call, CallFailure, CallLimits, CallQuota, ComponentSource, Inspection, Rejection, Sandbox,
        Validation, Wants,
    },
};
use tracing::{Instrument as _, Span, field::Empty};
use wasmtime::component::Linker;

use crate::{
    call_permits::{CallClass, CallPermits, interactive_permits},
    call_threads::CallThreads,
    child_process::ChildCommand,
    code::{CodeCache, CodeKey},
    compile::Compiler,
    component::{World, world_of},
    engine,
    failure::describe,
    golden::recorded_golden,
    guest::link_log,
    inspect,
    limits::{InvalidLimit, SandboxLimits},
    loader::PluginLoader,
    plugin::Plugin,
    plugin_cache::PluginCache,
    record,
    rejections::Rejections,
    schema::{SchemaChecker, parse_config},
    ticker::Ticker,
    versions::Versions,
};

/// Number of plugins with configs whose `wants` are remembered.
const MAX_CACHED_WANTS: usize = 1024;

/// Configuration of a sandbox.
#[derive(Debug, Clone)]
pub struct SandboxConfig {
    /// Limits of plugins.
    pub limits: SandboxLimits,
    /// Folder of the compiled code. It is a cache: what is lost is compiled again.
    pub code_folder: PathBuf,
    /// The command that starts child processes.
    pub child_command: ChildCommand,
    /// Maximum number of loaded plugins.
    pub max_loaded_plugins: usize,
    /// Maximum size of the code of loaded plugins, in bytes.
    pub max_loaded_code_bytes: u64,
    /// Maximum size of the compiled code in the folder, in bytes. What was used least recently is deleted.
    pub code_cache_bytes: u64,
    /// Also speaks the draft of version 1.1 of the contract, which exists for tests.
    #[cfg(feature = "draft-contract")]
    pub speaks_draft: bool,
}

impl SandboxConfig {
    /// The default configuration, with this folder for compiled code.
    pub fn new(code_folder: impl Into<PathBuf>) -> Self {
        Self {
            limits: SandboxLimits::default(),
            code_folder: code_folder.into(),
            child_command: ChildCommand::default(),
            max_loaded_plugins: 64,
            max_loaded_code_bytes: 512 << 20,
            code_cache_bytes: 1 << 30,
            #[cfg(feature = "draft-contract")]
            speaks_draft: false,
        }
    }
}

/// Why a sandbox cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A limit is outside its allowed range.
    #[error("check the sandbox's limits")]
    Limits(#[from] InvalidLimit),
    /// Wasmtime refuses its configuration, or the address space is too small for the pool.
    #[error("set up the engine: {0}")]
    Engine(String),
    /// The folder of compiled code cannot be opened, or the ticker thread cannot start.
    #[error("{0}")]
    Io(String, #[source] std::io::Error),
}

/// Runs plugins on Wasmtime.
pub struct WasmSandbox {
    loader: PluginLoader,
    rejections: Rejections,
    schemas: SchemaChecker,
    /// By plugin and digest of the config. The plugin's answer is always the same.
    wants_cache: Cache<(Digest, Digest), Interests>,
    permits: CallPermits,
    threads: CallThreads,
    _ticker: Ticker,
}

impl WasmSandbox {
    /// Sets up the engine and the folder of compiled code.
    pub fn open(
        config: SandboxConfig,
        source: Arc<dyn ComponentSource>,
    ) -> Result<Self, OpenError> {
        let engine_error = |error: wasmtime::Error| OpenError::Engine(describe(&error));
        #[cfg(feature = "draft-contract")]
        let versions = if config.speaks_draft {
            Versions::ALL
        } else {
            Versions::SPOKEN
        };
        #[cfg(not(feature = "draft-contract"))]
        let versions = Versions::SPOKEN;
        let limits = config.limits;
        limits.validate()?;
        // Only the compiling engine can compute the key of its code.
        let key = CodeKey::for_engine(&engine::compiler().map_err(engine_error)?);
        let calls = CallPermits::total(limits.calls_at_once);
        let engine = engine::runner(calls).map_err(engine_error)?;
        let mut linker = Linker::new(&engine);
        for contract in versions.iter() {
            link_log(&mut linker, contract.names().log).map_err(engine_error)?;
        }
        let opened = CodeCache::open(&config.code_folder, key, config.code_cache_bytes);
        let cache = opened.map_err(|error| {
            let folder = config.code_folder.display();
            OpenError::Io(format!("open the folder of compiled code {folder}"), error)
        })?;
        let ticker = Ticker::start(engine.clone())
            .map_err(|error| OpenError::Io("start the ticker thread".to_owned(), error))?;
        let threads = CallThreads::new(calls)
            .map_err(|error| OpenError::Io("set up the threads of calls".to_owned(), error))?;
        Ok(Self {
            rejections: Rejections::open(&config.code_folder, &limits),
            wants_cache: Cache::new(MAX_CACHED_WANTS),
            permits: CallPermits::new(limits.calls_at_once),
            threads,
            schemas: SchemaChecker::new(
                config.child_command.clone(),
                &limits,
                interactive_permits(limits.calls_at_once),
            ),
            loader: PluginLoader {
                compiler: Compiler::new(config.child_command, &limits, key),
                code: Arc::new(cache),
                plugins: PluginCache::new(config.max_loaded_plugins, config.max_loaded_code_bytes),
                limits,
                versions,
                engine,
                linker,
                source,
            },
            _ticker: ticker,
        })
    }

    /// Loads the plugin with this digest, for callers that run its blocking calls on their own threads.
    pub async fn plugin(&self, digest: Digest) -> Result<Plugin, CallFailure> {
        self.loader.plugin(None, digest).await
    }

    /// A valid config of the plugin, JSON text: the one with which its upload is tried, built from the examples and defaults
    /// of its schema. `None`: they give none.
    pub async fn example_config(&self, plugin: &Plugin) -> Result<Option<String>, CallFailure> {
        let class = CallClass::Interactive(None);
        let schema = self.run_blocking(class, plugin.clone(), Plugin::schema);
        let schema = schema.await??;
        self.schemas.example(None, &schema).await
    }

    /// Calls a plugin on a blocking thread, with a permit of the class.
    async fn call<T: Send + 'static>(
        &self,
        class: CallClass,
        name: &'static str,
        digest: Digest,
        call: impl FnOnce(&Plugin) -> Call<T> + Send + 'static,
    ) -> Call<T> {
        let span = call_span(name, digest);
        let called = async {
            match self.loader.plugin(class.tenant(), digest).await {
                Ok(plugin) => self
                    .run_blocking(class, plugin, call)
                    .await
                    .unwrap_or_else(Call::failed),
                Err(failure) => Call::failed(failure),
            }
        };
        let call = called.instrument(span.clone()).await;
        record_outcome(&span, call.outcome.as_ref().err(), call.fuel);
        call
    }

    /// Runs a function that calls this plugin on a blocking thread, with a permit of the class.
    async fn run_blocking<T: Send + 'static>(
        &self,
        class: CallClass,
        plugin: Plugin,
        run: impl FnOnce(&Plugin) -> T + Send + 'static,
    ) -> Result<T, CallFailure> {
        let permit = self.permits.acquire(class, plugin.digest()).await;
        let span = Span::current();
        let called = self.threads.run(move || {
            // Held until the call ends, even if this future is dropped earlier.
            let _permit = permit;
            span.in_scope(|| run(&plugin))
        });
        called
            .await
            .map_err(|error| CallFailure::Host(format!("the call panicked: {}", chain(&error))))
    }

    /// Compiles a component, makes trial calls and reads its description. The code of a component that is refused is not
    /// cached: it would take the place of code that is called.
    async fn inspect_component(
        &self,
        tenant: Option<TenantId>,
        digest: Digest,
        world: World,
        component: Bytes,
    ) -> Result<Description, Rejection> {
        let loaded = self.loader.inspected(tenant, digest, world, component);
        let (plugin, new_code) = loaded.await?;
        let tried = self
            .try_plugin(tenant, plugin)
            .instrument(call_span("inspect", digest))
            .await;
        if let Some(code) = new_code
            && !matches!(tried, Err(Rejection::Invalid(_)))
        {
            self.loader.store_code(digest, world, code).await;
        }
        tried
    }

    /// Reads a plugin's description and makes trial calls.
    async fn try_plugin(
        &self,
        tenant: Option<TenantId>,
        plugin: Plugin,
    ) -> Result<Description, Rejection> {
        let class = CallClass::Interactive(tenant);
        let description = self
            .run_blocking(class, plugin.clone(), inspect::describe)
            .await
            .map_err(|failure| inspect::to_rejection(&failure))??;
        let example = self
            .schemas
            .example(tenant, &description.config_schema)
            .await
            .map_err(|failure| inspect::rejected_step("reading its description", &failure))?;
        self.run_blocking(class, plugin, move |plugin| {
            inspect::try_calls(plugin, example.as_deref())
        })
        .await
        .map_err(|failure| inspect::to_rejection(&failure))??;
        Ok(description)
    }

    /// Checks a config against the plugin's schema and, if that finds no errors, with the plugin's `validate`.
    async fn validate_config(&self, tenant: TenantId, digest: Digest, config: &str) -> Validation {
        let unvalidated = |outcome| Validation {
            outcome,
            cost: None,
        };
        let class = CallClass::Interactive(Some(tenant));
        let checked = async {
            let plugin = self.loader.plugin(Some(tenant), digest).await?;
            let errors = match parse_config(config) {
                Ok(_) => self.schema_errors(class, &plugin, config).await?,
                Err(error) => vec![error],
            };
            Ok::<_, CallFailure>((plugin, errors))
        };
        let plugin = match checked.await {
            Ok((plugin, errors)) if errors.is_empty() => plugin,
            Ok((_, errors)) => return unvalidated(Ok(errors)),
            Err(failure) => return unvalidated(Err(failure)),
        };
        let config = config.to_owned();
        self.run_blocking(class, plugin, move |plugin| plugin.validate(&config))
            .await
            .unwrap_or_else(|failure| unvalidated(Err(failure)))
    }

    async fn schema_errors(
        &self,
        class: CallClass,
        plugin: &Plugin,
        config: &str,
    ) -> Result<Vec<FieldError>, CallFailure> {
        let schema = if let Some(schema) = plugin.known_schema() {
            schema
        } else {
            self.run_blocking(class, plugin.clone(), Plugin::schema)
                .await??
        };
        self.schemas.check(class.tenant(), &schema, config).await
    }
}

#[async_trait]
impl Sandbox for WasmSandbox {
    async fn inspect(
        &self,
        tenant: Option<TenantId>,
        component: Bytes,
    ) -> Result<Inspection, Rejection> {
        let PluginLoader {
            limits, versions, ..
        } = &self.loader;
        let world = world_of(&component, limits.component_bytes, *versions)
            .map_err(|error| Rejection::Invalid(error.to_string()))?;
        let digest = Digest::of(&component);
        // Another inspection would come to the same end, and take the compiler from others.
        let rejections = self.rejections.clone();
        if let Some(reason) = on_blocking_thread(move || rejections.reason(digest)).await? {
            return Err(Rejection::Invalid(reason));
        }
        let inspected = self.inspect_component(tenant, digest, world, component);
        let inspected = inspected.await;
        if let Err(Rejection::Invalid(reason)) = &inspected {
            let (rejections, reason) = (self.rejections.clone(), reason.clone());
            on_blocking_thread(move || rejections.remember(digest, &reason)).await?;
        }
        let description = inspected?;
        Ok(Inspection {
            digest,
            kind: world.kind,
            contract: world.contract.names().version.to_owned(),
            description,
        })
    }

    async fn discard_code(&self, component: Digest) {
        self.loader.discard(component).await;
    }

    async fn validate(&self, tenant: TenantId, plugin: Digest, config: &str) -> Validation {
        let span = call_span("validate", plugin);
        let validated = self.validate_config(tenant, plugin, config);
        let validation = validated.instrument(span.clone()).await;
        let fuel = validation.cost.map_or(0, |(fuel, _)| fuel);
        record_outcome(&span, validation.outcome.as_ref().err(), fuel);
        validation
    }

    async fn wants(
        &self,
        tenant: TenantId,
        quota: CallQuota,
        plugin: Digest,
        config: &str,
    ) -> Wants {
        let key = (plugin, Digest::of(config.as_bytes()));
        if let Some(interests) = self.wants_cache.get(&key) {
            return Wants::Known(interests);
        }
        let class = match quota {
            CallQuota::Decisions => CallClass::Decisions(tenant),
            CallQuota::Planning => CallClass::Planning(tenant),
        };
        let config = config.to_owned();
        let call = self.call(class, "wants", plugin, move |plugin| plugin.wants(&config));
        let call = call.await;
        if let Ok(interests) = &call.outcome {
            self.wants_cache.insert(key, interests.clone());
        }
        Wants::Called(call)
    }

    async fn plan(&self, tenant: TenantId, plugin: Digest, input: PlanInput) -> Call<Plan> {
        self.call(CallClass::Planning(tenant), "plan", plugin, |plugin| {
            plugin.plan(input)
        })
        .await
    }

    async fn assign(&self, tenant: TenantId, plugin: Digest, input: AssignInput) -> Call<Vec<u32>> {
        self.call(CallClass::Planning(tenant), "assign", plugin, |plugin| {
            plugin.assign(input)
        })
        .await
    }

    async fn decide(
        &self,
        tenant: TenantId,
        plugin: Digest,
        observation: Observation,
    ) -> Call<Decision> {
        self.call(CallClass::Decisions(tenant), "decide", plugin, |plugin| {
            plugin.decide(observation)
        })
        .await
    }

    async fn check(
        &self,
        tenant: TenantId,
        plugin: Digest,
        input: CheckInput,
    ) -> Call<Vec<Compatibility>> {
        self.call(CallClass::Planning(tenant), "check", plugin, |plugin| {
            plugin.check(input)
        })
        .await
    }

    async fn evaluate(
        &self,
        tenant: TenantId,
        plugin: Digest,
        input: HealthInput,
    ) -> Call<HealthAnswer> {
        let class = CallClass::Decisions(tenant);
        self.call(class, "evaluate", plugin, |plugin| plugin.evaluate(input))
            .await
    }

    async fn replay(
        &self,
        tenant: TenantId,
        plugin: Digest,
        input: &[u8],
        limits: Option<CallLimits>,
    ) -> Call<()> {
        let input = input.to_vec();
        self.call(
            CallClass::Interactive(Some(tenant)),
            "replay",
            plugin,
            move |plugin| plugin.replay_within(&input, limits),
        )
        .await
    }

    fn contracts(&self) -> &'static [&'static str] {
        self.loader.versions.names
    }

    fn record_json(&self, record: &[u8]) -> Result<String, CallFailure> {
        record::decompress(record).map_err(|error| CallFailure::InvalidRecord(error.to_string()))
    }

    fn golden(&self, input: &[u8], output: Option<&[u8]>) -> Result<String, CallFailure> {
        recorded_golden(input, output)
            .map_err(|error| CallFailure::InvalidRecord(error.to_string()))
    }
}

/// Runs a function that reads or writes files.
async fn on_blocking_thread<T: Send + 'static>(
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Rejection> {
    let ran = tokio::task::spawn_blocking(run).await;
    ran.map_err(|error| Rejection::Unavailable(chain(&error).to_string()))
}

/// The span of a plugin call, from loading the plugin to its output.
fn call_span(call: &'static str, revision: Digest) -> Span {
    tracing::error_span!("plugin_call", call, %revision, outcome = Empty, fuel = Empty)
}

/// Adds `ok` or the failure class to the span of a call, as in the journal, and the fuel.
fn record_outcome(span: &Span, failure: Option<&CallFailure>, fuel: u64) {
    let outcome = failure.map_or("ok", CallFailure::as_str);
    tracing::record_all!(span, outcome, fuel);
}
