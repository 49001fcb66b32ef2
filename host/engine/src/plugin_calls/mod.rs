//! The calls of plugins by all use cases and loops.

mod facts;
mod plugin_call;
mod usage_log;

pub(crate) use plugin_call::{FailedCall, PluginCall, temporary_error};

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use tidegate_core::{
    Named as _,
    campaign::PluginUse,
    checker::{Violation, check_assignment, check_plan},
    id::{Digest, TenantId},
    plugin::{
        AssignInput, CheckInput, Compatibility, Context, Decision, FieldError, HealthAnswer,
        HealthInput, Interests, Observation, Plan, PlanInput, PluginName,
    },
};

use facts::NoFacts;
use usage_log::UsageLog;

use crate::{
    BuiltIns, Error, JournalSettings, Result, Settings, TenantPermit, TenantShares, chain,
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
    journal: JournalSettings,
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
            journal: settings.journal,
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

    /// Refuses a revision that was built for a contract that this server does not speak. `advice`: what to do then.
    pub(crate) fn require_contract(&self, revision: &NewRevision, advice: &str) -> Result<()> {
        let reason = self.unknown_contract(revision);
        reason.map_or(Ok(()), |reason| {
            Err(Error::conflict(
                "unknown_contract",
                format!("{reason} {advice}"),
            ))
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
    ) -> std::result::Result<Interests, FailedCall> {
        let (revision, config) = (plugin.revision, &plugin.config);
        match self.sandbox.wants(tenant, quota, revision, config).await {
            Wants::Known(interests) => Ok(interests),
            Wants::Called(call) => {
                let call = self.count_use(tenant, plugin, EntryKind::Wants, call);
                call.into_output()
            }
        }
    }

    /// A strategy's waves.
    pub(crate) async fn plan(
        &self,
        tenant: TenantId,
        strategy: &PluginUse,
        input: PlanInput,
    ) -> PluginCall<Plan> {
        let context = input.context;
        let ask = |context| {
            let input = PlanInput { context, ..input };
            self.sandbox.plan(tenant, strategy.revision, input)
        };
        let check = |plan| match check_plan(&plan) {
            Ok(()) => Ok(plan),
            Err(violation) => Err(refused(&violation)),
        };
        self.call(tenant, strategy, EntryKind::Plan, context, ask, check)
            .await
    }

    /// The settings of the journals in which calls are recorded.
    pub(crate) fn journal(&self) -> JournalSettings {
        self.journal
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
        input: AssignInput,
    ) -> PluginCall<Vec<u32>> {
        let context = input.context;
        let ask = |context| {
            let input = AssignInput { context, ..input };
            self.sandbox.assign(tenant, strategy.revision, input)
        };
        let check = |page: Vec<u32>| match check_assignment(plan, &page) {
            Ok(()) => Ok(page),
            Err(violation) => Err(refused(&violation)),
        };
        self.call(tenant, strategy, EntryKind::Assign, context, ask, check)
            .await
    }

    /// A strategy's decision, as `check` accepts it.
    pub(crate) async fn decide<T>(
        &self,
        tenant: TenantId,
        strategy: &PluginUse,
        observation: Observation,
        check: impl FnOnce(Decision) -> std::result::Result<T, Violation>,
    ) -> PluginCall<T> {
        let context = observation.context;
        let ask = |context| {
            let observation = Observation {
                context,
                ..observation
            };
            self.sandbox.decide(tenant, strategy.revision, observation)
        };
        let check = |decision| check(decision).map_err(|violation| refused(&violation));
        self.call(tenant, strategy, EntryKind::Decide, context, ask, check)
            .await
    }

    /// A compatibility policy's verdict on each class.
    pub(crate) async fn check(
        &self,
        tenant: TenantId,
        policy: &PluginUse,
        input: CheckInput,
    ) -> PluginCall<Vec<Compatibility>> {
        let context = input.context;
        let ask = |context| {
            let input = CheckInput { context, ..input };
            self.sandbox.check(tenant, policy.revision, input)
        };
        self.call(tenant, policy, EntryKind::Check, context, ask, Ok)
            .await
    }

    /// A health policy's verdict.
    pub(crate) async fn evaluate(
        &self,
        tenant: TenantId,
        policy: &PluginUse,
        input: HealthInput,
    ) -> PluginCall<HealthAnswer> {
        let context = input.context;
        let ask = |context| {
            let input = HealthInput { context, ..input };
            self.sandbox.evaluate(tenant, policy.revision, input)
        };
        self.call(tenant, policy, EntryKind::Evaluate, context, ask, Ok)
            .await
    }

    /// Adds the facts that the plugin wants to the context, makes the call with it and checks its output. Without facts
    /// the call is not made.
    async fn call<O, T, F: Future<Output = Call<O>>>(
        &self,
        tenant: TenantId,
        plugin: &PluginUse,
        kind: EntryKind,
        context: Context,
        ask: impl FnOnce(Context) -> F,
        check: impl FnOnce(O) -> std::result::Result<T, CallFailure>,
    ) -> PluginCall<T> {
        let quota = match kind {
            EntryKind::Decide | EntryKind::Evaluate => CallQuota::Decisions,
            _ => CallQuota::Planning,
        };
        let call = match self.with_facts(tenant, quota, plugin, context).await {
            Ok(context) => ask(context).await.and_then(check),
            Err(NoFacts::Wants(failed)) => return failed.into(),
            Err(NoFacts::Unknown(failure)) => Call::failed(failure),
        };
        self.count_use(tenant, plugin, kind, call)
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

    /// Counts a call as use of the plugin, and logs its failure.
    fn count_use<T>(
        &self,
        tenant: TenantId,
        plugin: &PluginUse,
        kind: EntryKind,
        call: Call<T>,
    ) -> PluginCall<T> {
        let failure = call.outcome.as_ref().err();
        let usage = Usage {
            calls: 1,
            failures: u64::from(failure.is_some()),
            fuel: call.fuel,
            peak_memory: call.peak_memory,
        };
        self.usage.add(tenant, plugin.revision, usage);
        let name = kind.as_str();
        self.count(&plugin.plugin, name, failure, call.fuel, call.duration);
        if let Some(failure) = failure {
            tracing::warn!(plugin = %plugin.plugin, revision = %plugin.revision, call = name, class = failure.as_str(),
                fuel = call.fuel, peak_memory = call.peak_memory, error = %chain(failure), "plugin call failed");
        }
        PluginCall { kind, call }
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
