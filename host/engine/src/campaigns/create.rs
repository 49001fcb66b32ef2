use tidegate_core::{
    Named as _,
    campaign::{Campaign, CampaignSpec, MAX_POLICIES, PluginUse, Priority, Targets},
    device_fields::DEVICE_FIELDS,
    firmware::Firmware,
    id::FirmwareId,
    plugin::{FieldError, PluginKind},
    time::Timestamp,
    update::{SuccessCriteria, UpdateOptions},
};

use crate::{
    Authorized, Ctx, Error, Operator, PluginCalls, Result,
    compatibility::{DEFAULT_POLICIES, Policies},
    plugins::PluginChoice,
    ports::{NewCampaign, Store, StoreError},
    rules::Rules,
    tenants,
    update_options::check_options,
};

/// The code of an error with the invalid fields of a campaign.
pub(super) const INVALID: &str = "invalid_campaign";

/// A campaign to be created, as requested.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    missing_docs,
    clippy::struct_excessive_bools,
    reason = "each other field is the field of CampaignSpec of that name"
)]
pub struct CampaignRequest {
    pub name: String,
    pub description: String,
    pub firmware: FirmwareId,
    pub targets: Targets,
    pub allow_beta: bool,
    /// Whether no compatibility policy is asked, if `policies` names none; else the default policies are.
    pub allow_incompatible: bool,
    pub strategy: PluginChoice,
    pub policies: Vec<PluginChoice>,
    pub priority: Priority,
    pub max_concurrent_updates: Option<u64>,
    pub options: UpdateOptions,
    pub requires_approval: bool,
    pub auto_rollback: bool,
    pub failure_threshold_percent: u8,
    pub success_criteria: SuccessCriteria,
}

/// Creates a campaign. All errors are reported together; nothing is stored then.
pub async fn create(
    ctx: &Authorized<Operator>,
    store: &dyn Store,
    plugins: &PluginCalls,
    request: CampaignRequest,
) -> Result<Campaign> {
    let spec = checked_spec(ctx, store, plugins, request).await?;
    let campaign = NewCampaign {
        spec,
        created_by: ctx.actor.name.to_string(),
        created_at: ctx.now,
    };
    let created = store.create_campaign(ctx, campaign).await;
    super::get(ctx, store, created.map_err(firmware_error)?).await
}

/// The specification for a request, if that is valid.
pub(super) async fn checked_spec(
    ctx: &Ctx,
    store: &dyn Store,
    plugins: &PluginCalls,
    request: CampaignRequest,
) -> Result<CampaignSpec> {
    let checked = check(ctx, store, plugins, &request).await?;
    checked.rules.accept(INVALID)?;
    let (Some(firmware), Some(strategy)) = (checked.firmware, checked.strategy) else {
        let message = "a valid request without firmware or strategy";
        return Err(Error::internal("check campaign", message));
    };
    let mut spec = request.into_spec(&firmware, strategy, checked.policies);
    spec.requires_approval |= tenants::settings(ctx, store).await?.requires_approval;
    Ok(spec)
}

/// The error of storing a campaign: a conflict means that its firmware was deleted.
pub(super) fn firmware_error(error: StoreError) -> Error {
    match error {
        StoreError::Conflict(message) => Error::invalid(INVALID, "firmware", message),
        error => error.into(),
    }
}

/// The invalid fields of a campaign to be created. Nothing is stored.
pub async fn validate(
    ctx: &Ctx,
    store: &dyn Store,
    plugins: &PluginCalls,
    request: &CampaignRequest,
) -> Result<Vec<FieldError>> {
    let checked = check(ctx, store, plugins, request).await?;
    Ok(checked.rules.into_errors())
}

/// A request with the objects that it names. If one is missing, `rules` has the reason.
struct CampaignRequestCheck {
    firmware: Option<Firmware>,
    strategy: Option<PluginUse>,
    policies: Vec<PluginUse>,
    rules: Rules,
}

async fn check(
    ctx: &Ctx,
    store: &dyn Store,
    plugins: &PluginCalls,
    request: &CampaignRequest,
) -> Result<CampaignRequestCheck> {
    let mut rules = Rules::default();
    request.check(ctx.now, &mut rules);
    let firmware = firmware(ctx, store, request, &mut rules).await?;
    let strategy = request
        .strategy
        .resolve(store, plugins, ctx.tenant, "strategy", &mut rules)
        .await?;
    let mut policies = Vec::with_capacity(request.policies.len());
    // More are refused, without validating each.
    for (index, choice) in request.policies.iter().take(MAX_POLICIES).enumerate() {
        let path = format!("policies.{index}");
        let policy = choice.resolve(store, plugins, ctx.tenant, &path, &mut rules);
        policies.push(policy.await?);
    }
    check_kinds(strategy.as_ref(), &policies, &mut rules);
    let mut policies: Vec<_> = policies.into_iter().flatten().collect();
    let defaults = default_policies(ctx, store, plugins, request, &policies, &mut rules);
    policies.extend(defaults.await?);
    Ok(CampaignRequestCheck {
        firmware,
        strategy,
        policies,
        rules,
    })
}

/// The default compatibility policies, unless the request names compatibility policies itself or wants none.
async fn default_policies(
    ctx: &Ctx,
    store: &dyn Store,
    plugins: &PluginCalls,
    request: &CampaignRequest,
    policies: &[PluginUse],
    rules: &mut Rules,
) -> Result<Vec<PluginUse>> {
    let named = policies
        .iter()
        .find(|policy| policy.kind == PluginKind::Compatibility);
    match named {
        Some(named) if request.allow_incompatible => {
            let message = format!(
                "cannot be combined with the compatibility policy {}",
                named.plugin
            );
            rules.reject("allow_incompatible", message);
        }
        // A policy that is invalid is reported, and may be a compatibility policy.
        None if !request.allow_incompatible && policies.len() == request.policies.len() => {
            let defaults =
                Policies::built_in(store, plugins, ctx.tenant, &DEFAULT_POLICIES).await?;
            if let Some(reason) = defaults.missing_reason() {
                rules.reject(
                    "policies",
                    format!("{reason}; or name compatibility policies"),
                );
            }
            return Ok(defaults.uses);
        }
        _ => {}
    }
    Ok(Vec::new())
}

impl CampaignRequest {
    /// The rules that concern the request alone.
    fn check(&self, now: Timestamp, rules: &mut Rules) {
        rules.require(
            (1..=200).contains(&self.name.chars().count()),
            "name",
            "must have 1 to 200 characters",
        );
        rules.require(
            self.description.len() <= 10_000,
            "description",
            "must have at most 10000 bytes",
        );
        let targets = &self.targets;
        let names_any =
            !targets.devices.is_empty() || !targets.groups.is_empty() || targets.filter.is_some();
        let message = "a campaign needs devices, groups, a filter or a feed as targets";
        rules.require(
            names_any || targets.feed.is_some(),
            "targets.filter",
            message,
        );
        let message = "cannot be combined with other targets: a feed's newest campaign is for all devices that follow \
                       the feed; to target some of them use a filter, such as `feed==beta;hw_model==rpi4`";
        rules.require(
            targets.feed.is_none() || !names_any,
            "targets.feed",
            message,
        );
        let feed = targets.feed.as_ref().map_or(1, |feed| feed.chars().count());
        rules.require(
            (1..=100).contains(&feed),
            "targets.feed",
            "must have 1 to 100 characters",
        );
        rules.require(
            targets.devices.len() <= 100_000,
            "targets.devices",
            "must name at most 100000 devices",
        );
        rules.require_harmless_ids("targets.devices", &targets.devices);
        rules.require(
            targets.groups.len() <= 1000,
            "targets.groups",
            "must name at most 1000 groups",
        );
        if let Some(filter) = &targets.filter
            && let Err(error) = filter.parse(&DEVICE_FIELDS)
        {
            rules.reject("targets.filter", error.to_string());
        }
        rules.require(
            self.policies.len() <= MAX_POLICIES,
            "policies",
            "must have at most 16 policies",
        );
        check_limit(self.max_concurrent_updates, rules);
        check_options(&self.options, self.success_criteria, now, rules);
        let percent = self.failure_threshold_percent;
        rules.require(
            (1..=100).contains(&percent),
            "failure_threshold_percent",
            "must be between 1 and 100",
        );
    }

    fn into_spec(
        self,
        firmware: &Firmware,
        strategy: PluginUse,
        policies: Vec<PluginUse>,
    ) -> CampaignSpec {
        let lifted = firmware.details.is_security_update && self.priority < Priority::High;
        CampaignSpec {
            name: self.name,
            description: self.description,
            firmware: self.firmware,
            targets: self.targets,
            allow_beta: self.allow_beta,
            strategy,
            policies,
            priority: if lifted {
                Priority::High
            } else {
                self.priority
            },
            max_concurrent_updates: self.max_concurrent_updates,
            options: self.options,
            requires_approval: self.requires_approval,
            auto_rollback: self.auto_rollback,
            failure_threshold_percent: self.failure_threshold_percent,
            success_criteria: self.success_criteria,
        }
    }
}

/// Checks a limit of devices in flight. More than the maximum cannot be stored.
pub(super) fn check_limit(max_concurrent_updates: Option<u64>, rules: &mut Rules) {
    let range = 1..=i64::MAX.unsigned_abs();
    rules.require(
        max_concurrent_updates.is_none_or(|limit| range.contains(&limit)),
        "max_concurrent_updates",
        "must be between 1 and 9223372036854775807",
    );
}

async fn firmware(
    ctx: &Ctx,
    store: &dyn Store,
    request: &CampaignRequest,
    rules: &mut Rules,
) -> Result<Option<Firmware>> {
    let firmware = store.firmware(ctx.tenant, request.firmware).await?;
    let message = match &firmware {
        None => format!("there is no firmware {}", request.firmware),
        Some(firmware) if firmware.details.is_beta && !request.allow_beta => {
            "is a beta firmware: set allow_beta to roll it out".to_owned()
        }
        Some(_) => return Ok(firmware),
    };
    rules.reject("firmware", message);
    Ok(None)
}

fn check_kinds(strategy: Option<&PluginUse>, policies: &[Option<PluginUse>], rules: &mut Rules) {
    if let Some(strategy) = strategy
        && strategy.kind != PluginKind::Strategy
    {
        let (plugin, kind) = (&strategy.plugin, strategy.kind.as_str());
        let message = format!("{plugin} is a {kind} policy, not a strategy");
        rules.reject("strategy.plugin", message);
    }
    for (index, policy) in policies.iter().enumerate() {
        if let Some(policy) = policy
            && policy.kind == PluginKind::Strategy
        {
            let message = format!("{} is a strategy, not a policy", policy.plugin);
            rules.reject(format!("policies.{index}.plugin"), message);
        }
    }
}
