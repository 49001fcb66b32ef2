//! The calls of plugins by all use cases and loops.

mod facts;
mod usage_log;

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use tidegate_core::{
    Named as _,
    campaign::PluginUse,
    checker::{Violation, check_assignment, check_plan},
    id::{Digest, TenantId},
    plugin::{
        AssignInput, CheckInput, Compatibility, Decision, FieldError, HealthAnswer, HealthInput,
        Interests, Observation, Plan, PlanInput, PluginName,
    },
};

use usage_log::UsageLog;

use crate::{
    BuiltIns, Error, Result, Settings, TenantPermit, TenantShares, chain,
    ports::{
        Call, CallFailure, CallLimits, CallQuota, EntryKind, Inspection, NewRevision, Observer,
        Ports, Rejection, Sandbox, Store, Usage, Wants,
    },
};

/// Calls plugins. Every call is counted, and a failure is logged. An output that the checker refuses is a failure.
pub struct PluginCalls {
    store: Arc<dyn Store>,
    sandbox: Arc<dyn Sandbox>,
    observer: Arc<dyn Observer>,
    built_ins: BuiltIns,
    assign_rows: usize,
    usage: UsageLog,
    /// Replays of journals.
    replays: TenantShares,
}

/// Maximum number of journals that are replayed at a time; a tenant can have half of them.
const MAX_JOURNAL_REPLAYS: usize = 2;

impl PluginCalls {
    pub(crate) fn new(ports: &Ports, settings: &Settings) -> Self {
        Self {
            store: Arc::clone(&ports.store),
            sandbox: Arc::clone(&ports.sandbox),
            observer: Arc::clone(&ports.observer),
            built_ins: settings.built_ins.clone(),
            assign_rows: settings.assign_rows,
            usage: UsageLog::default(),
            replays: TenantShares::halves(MAX_JOURNAL_REPLAYS),
        }
    }

    /// The plugins that were built with this server.
    pub fn built_ins(&self) -> &BuiltIns {
        &self.built_ins
    }

    /// The versions of the contract that plugins may be built for.
    pub fn contracts(&self) -> &'static [&'static str] {
        self.sandbox.contracts()
    }

    /// Why this server cannot run a revision, if it was built for a contract that the server does not speak.
    pub(crate) fn unknown_contract(&self, revision: &NewRevision) -> Option<String> {
        let contract = &*revision.contract;
        if self.contracts().contains(&contract) {
            return None;
        }
        let (digest, plugin) = (revision.digest, &revision.description.name);
        let spoken = self.contracts().join(" and ");
        Some(format!(
            "The revision {digest} of {plugin} was built for version {contract} of the plugin contract; this server \
             speaks {spoken}."
        ))
    }

    /// Refuses a revision that was built for a contract that this server does not speak.
    pub(crate) fn require_contract(&self, revision: &NewRevision) -> Result<()> {
        let reason = self.unknown_contract(revision);
        reason.map_or(Ok(()), |reason| {
            Err(Error::conflict("unknown_contract", reason))
        })
    }

    /// The plugin usage of each tenant since the last call.
    pub(crate) fn take_usage(&self) -> HashMap<TenantId, Vec<(Digest, Usage)>> {
        self.usage.take()
    }

    /// Takes back usage that could not be written.
    pub(crate) fn restore_usage(&self, tenant: TenantId, usage: Vec<(Digest, Usage)>) {
        for (plugin, usage) in usage {
            self.usage.add(tenant, plugin, usage);
        }
    }

    /// Inspects a component, which a tenant uploads or which is the server's own. The error has the reason why it is
    /// rejected.
    pub(crate) async fn inspect(
        &self,
        tenant: Option<TenantId>,
        component: &Bytes,
    ) -> Result<Inspection> {
        let inspected = self.sandbox.inspect(tenant, component.clone()).await;
        inspected.map_err(|rejection| match rejection {
            Rejection::Invalid(message) => Error::Invalid {
                code: "plugin_rejected",
                message,
                errors: Vec::new(),
                remedy: None,
            },
            Rejection::Unavailable(cause) => Error::Unavailable {
                message: "the server cannot inspect the plugin now; retry later".to_owned(),
                source: Some(cause.into()),
            },
            Rejection::QueueFull(retry_after) => Error::TooMany {
                code: "compile_queue_full",
                message: "too many components wait for their inspection; retry later".to_owned(),
                retry_after: Some(retry_after),
            },
        })
    }

    /// What a plugin has to be shown to work with its config. Counted only if the plugin was called.
    pub(crate) async fn wants(
        &self,
        tenant: TenantId,
        quota: CallQuota,
        plugin: &PluginUse,
    ) -> std::result::Result<Interests, CallFailure> {
        let (revision, config) = (plugin.revision, &plugin.config);
        match self.sandbox.wants(tenant, quota, revision, config).await {
            Wants::Known(interests) => Ok(interests),
            Wants::Called(call) => self.record(tenant, plugin, "wants", call).outcome,
        }
    }

    /// A strategy's waves.
    pub(crate) async fn plan(
        &self,
        tenant: TenantId,
        strategy: &PluginUse,
        mut input: PlanInput,
    ) -> Call<Plan> {
        let context = &mut input.context;
        let facts = self.add_facts(tenant, CallQuota::Planning, strategy, context);
        let call = match facts.await {
            Ok(()) => self.sandbox.plan(tenant, strategy.revision, input).await,
            Err(failure) => Call::failed(failure),
        };
        let call = call.and_then(|plan| {
            check_plan(&plan)
                .map(|()| plan)
                .map_err(|violation| refused(&violation))
        });
        self.record(tenant, strategy, EntryKind::Plan.as_str(), call)
    }

    /// Maximum number of rows in one call of `assign`.
    pub(crate) fn assign_rows(&self) -> usize {
        self.assign_rows
    }

    /// The wave of each row, by a strategy that planned these waves.
    pub(crate) async fn assign(
        &self,
        tenant: TenantId,
        strategy: &PluginUse,
        plan: &Plan,
        mut input: AssignInput,
    ) -> Call<Vec<u32>> {
        let context = &mut input.context;
        let facts = self.add_facts(tenant, CallQuota::Planning, strategy, context);
        let call = match facts.await {
            Ok(()) => self.sandbox.assign(tenant, strategy.revision, input).await,
            Err(failure) => Call::failed(failure),
        };
        let check = |page: Vec<u32>| check_assignment(plan, &page).map(|()| page);
        let call = call.and_then(|page| check(page).map_err(|violation| refused(&violation)));
        self.record(tenant, strategy, EntryKind::Assign.as_str(), call)
    }

    /// A strategy's decision, as `check` accepts it.
    pub(crate) async fn decide<T>(
        &self,
        tenant: TenantId,
        strategy: &PluginUse,
        mut observation: Observation,
        check: impl FnOnce(Decision) -> std::result::Result<T, Violation>,
    ) -> Call<T> {
        let context = &mut observation.context;
        let (sandbox, revision) = (&self.sandbox, strategy.revision);
        let facts = self.add_facts(tenant, CallQuota::Decisions, strategy, context);
        let call = match facts.await {
            Ok(()) => sandbox.decide(tenant, revision, observation).await,
            Err(failure) => Call::failed(failure),
        };
        let call =
            call.and_then(|decision| check(decision).map_err(|violation| refused(&violation)));
        self.record(tenant, strategy, EntryKind::Decide.as_str(), call)
    }

    /// A compatibility policy's verdict on each class.
    pub(crate) async fn check(
        &self,
        tenant: TenantId,
        policy: &PluginUse,
        mut input: CheckInput,
    ) -> Call<Vec<Compatibility>> {
        let context = &mut input.context;
        let facts = self.add_facts(tenant, CallQuota::Planning, policy, context);
        let call = match facts.await {
            Ok(()) => self.sandbox.check(tenant, policy.revision, input).await,
            Err(failure) => Call::failed(failure),
        };
        self.record(tenant, policy, EntryKind::Check.as_str(), call)
    }

    /// A health policy's verdict.
    pub(crate) async fn evaluate(
        &self,
        tenant: TenantId,
        policy: &PluginUse,
        mut input: HealthInput,
    ) -> Call<HealthAnswer> {
        let context = &mut input.context;
        let facts = self.add_facts(tenant, CallQuota::Decisions, policy, context);
        let call = match facts.await {
            Ok(()) => self.sandbox.evaluate(tenant, policy.revision, input).await,
            Err(failure) => Call::failed(failure),
        };
        self.record(tenant, policy, EntryKind::Evaluate.as_str(), call)
    }

    /// The invalid fields of a config, JSON text. Not part of a tenant's usage, and not counted if the plugin itself
    /// was not called.
    pub(crate) async fn validate(
        &self,
        tenant: TenantId,
        plugin: &PluginName,
        revision: Digest,
        config: &str,
    ) -> Result<Vec<FieldError>> {
        let validation = self.sandbox.validate(tenant, revision, config).await;
        if let Some((fuel, duration)) = validation.cost {
            let failure = validation.outcome.as_ref().err();
            self.count(plugin, "validate", failure, fuel, duration);
        }
        Ok(validation.outcome?)
    }

    /// Repeats a recorded call under the recorded limits; `None`: under today's.
    pub(crate) async fn replay(
        &self,
        tenant: TenantId,
        plugin: &PluginName,
        revision: Digest,
        input: &[u8],
        limits: Option<CallLimits>,
    ) -> Call<()> {
        let sandbox = &self.sandbox;
        let call = sandbox.replay(tenant, revision, input, limits).await;
        let failure = call.outcome.as_ref().err();
        self.count(plugin, "replay", failure, call.fuel, call.duration);
        call
    }

    /// Waits for the tenant's turn to replay a part of a journal.
    pub(crate) async fn replay_turn(&self, tenant: TenantId) -> TenantPermit {
        self.replays.acquire(Some(tenant), None).await
    }

    /// A recorded input or output as readable JSON text.
    pub(crate) fn record_json(&self, record: &[u8]) -> Result<String> {
        Ok(self.sandbox.record_json(record)?)
    }

    /// A recorded input, and the output that is expected of it, as a golden.
    pub(crate) fn golden(
        &self,
        input: &[u8],
        output: Option<&[u8]>,
    ) -> std::result::Result<String, CallFailure> {
        self.sandbox.golden(input, output)
    }

    fn record<T>(
        &self,
        tenant: TenantId,
        plugin: &PluginUse,
        name: &'static str,
        call: Call<T>,
    ) -> Call<T> {
        let failure = call.outcome.as_ref().err();
        let usage = Usage {
            calls: 1,
            failures: u64::from(failure.is_some()),
            fuel: call.fuel,
            peak_memory: call.peak_memory,
        };
        self.usage.add(tenant, plugin.revision, usage);
        self.count(&plugin.plugin, name, failure, call.fuel, call.duration);
        if let Some(failure) = failure {
            tracing::warn!(plugin = %plugin.plugin, revision = %plugin.revision, call = name, class = failure.as_str(),
                fuel = call.fuel, peak_memory = call.peak_memory, error = %chain(failure), "plugin call failed");
        }
        call
    }

    fn count(
        &self,
        plugin: &PluginName,
        call: &'static str,
        failure: Option<&CallFailure>,
        fuel: u64,
        duration: Duration,
    ) {
        self.observer
            .plugin_called(plugin, call, failure, fuel, duration);
    }
}

/// An output that the checker refuses.
fn refused(violation: &Violation) -> CallFailure {
    CallFailure::InvalidAnswer(violation.to_string())
}
