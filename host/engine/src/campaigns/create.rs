use tidegate_core::{
    Named as _,
    campaign::{Campaign, CampaignSpec, MAX_POLICIES, PluginUse, Priority, Targets},
    firmware::Firmware,
    id::{Digest, FirmwareId, TenantId},
    plugin::{FieldError, PluginKind},
    selector::{DEVICE_FIELDS, parse},
    time::Timestamp,
    update::{SuccessCriteria, UpdateOptions},
};

use super::options::check_options;
use crate::{
    Authorized, Ctx, Engine, Error, Operator, Result,
    plugins::validate_config,
    ports::{NewCampaign, Store, StoreError},
};

/// A campaign to be created, as requested.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each field is the field of CampaignSpec of that name"
)]
pub struct Draft {
    pub name: String,
    pub description: String,
    pub firmware: FirmwareId,
    pub targets: Targets,
    pub allow_beta: bool,
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

/// A plugin and its config, as requested.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PluginChoice {
    /// Name of the plugin.
    pub plugin: String,
    /// The revision; `None`: the newest enabled one.
    pub revision: Option<Digest>,
    /// A JSON object.
    pub config: String,
}

/// Creates a campaign. All errors are reported together; nothing is stored then.
pub async fn create(ctx: &Authorized<Operator>, engine: &Engine, draft: Draft) -> Result<Campaign> {
    let checked = check(ctx, engine, &draft).await?;
    let (Some(firmware), Some(strategy), []) =
        (checked.firmware, checked.strategy, &checked.errors[..])
    else {
        return Err(Error::invalid_fields("invalid_campaign", checked.errors));
    };
    let spec = draft.into_spec(&firmware, strategy, checked.policies);
    let campaign = NewCampaign {
        spec,
        created_by: ctx.actor.name.to_string(),
        created_at: ctx.now,
    };
    let created = engine.store().create_campaign(ctx, campaign).await;
    let id = created.map_err(|error| match error {
        StoreError::Conflict(message) => Error::invalid("invalid_campaign", "firmware", message),
        error => error.into(),
    })?;
    super::get(ctx, engine.store(), id).await
}

/// The invalid fields of a campaign to be created. Nothing is stored.
pub async fn validate(ctx: &Ctx, engine: &Engine, draft: &Draft) -> Result<Vec<FieldError>> {
    Ok(check(ctx, engine, draft).await?.errors)
}

/// A draft with the objects that it names. `None`: an error tells why.
struct CheckedDraft {
    firmware: Option<Firmware>,
    strategy: Option<PluginUse>,
    policies: Vec<PluginUse>,
    errors: Vec<FieldError>,
}

async fn check(ctx: &Ctx, engine: &Engine, draft: &Draft) -> Result<CheckedDraft> {
    let mut errors = draft.validate(ctx.now);
    let firmware = firmware(ctx, engine.store(), draft, &mut errors).await?;
    let (tenant, choice) = (ctx.tenant, &draft.strategy);
    let strategy = resolve_plugin(engine, tenant, "strategy", choice, &mut errors).await?;
    let mut policies = Vec::with_capacity(draft.policies.len());
    for (index, choice) in draft.policies.iter().enumerate() {
        let path = format!("policies.{index}");
        policies.push(resolve_plugin(engine, tenant, &path, choice, &mut errors).await?);
    }
    check_kinds(strategy.as_ref(), &policies, &mut errors);
    Ok(CheckedDraft {
        firmware,
        strategy,
        policies: policies.into_iter().flatten().collect(),
        errors,
    })
}

impl Draft {
    fn validate(&self, now: Timestamp) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let mut rule = |good: bool, path: &str, message: &str| {
            if !good {
                errors.push(FieldError {
                    path: path.to_owned(),
                    message: message.to_owned(),
                });
            }
        };
        rule(
            (1..=200).contains(&self.name.chars().count()),
            "name",
            "must have 1 to 200 characters",
        );
        rule(
            self.description.len() <= 10_000,
            "description",
            "must have at most 10000 bytes",
        );
        let targets = &self.targets;
        let names_any =
            !targets.devices.is_empty() || !targets.groups.is_empty() || targets.filter.is_some();
        let message = "a campaign needs devices, groups, a filter or a feed as targets";
        rule(
            names_any || targets.feed.is_some(),
            "targets.filter",
            message,
        );
        let message = "cannot be combined with other targets: a feed's newest campaign is for all devices that follow \
                       the feed; to target some of them use a filter, such as `feed==beta;hw_model==rpi4`";
        rule(
            targets.feed.is_none() || !names_any,
            "targets.feed",
            message,
        );
        let feed = targets.feed.as_ref().map_or(1, |feed| feed.chars().count());
        rule(
            (1..=100).contains(&feed),
            "targets.feed",
            "must have 1 to 100 characters",
        );
        rule(
            targets.devices.len() <= 100_000,
            "targets.devices",
            "must name at most 100000 devices",
        );
        rule(
            targets.groups.len() <= 1000,
            "targets.groups",
            "must name at most 1000 groups",
        );
        if let Some(filter) = &targets.filter
            && let Err(error) = parse(filter, &DEVICE_FIELDS)
        {
            rule(false, "targets.filter", &error.to_string());
        }
        rule(
            self.policies.len() <= MAX_POLICIES,
            "policies",
            "must have at most 16 policies",
        );
        rule(
            self.max_concurrent_updates != Some(0),
            "max_concurrent_updates",
            "must be at least 1",
        );
        check_options(&self.options, self.success_criteria, now, &mut rule);
        let percent = self.failure_threshold_percent;
        rule(
            (1..=100).contains(&percent),
            "failure_threshold_percent",
            "must be between 1 and 100",
        );
        errors
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

async fn firmware(
    ctx: &Ctx,
    store: &dyn Store,
    draft: &Draft,
    errors: &mut Vec<FieldError>,
) -> Result<Option<Firmware>> {
    let firmware = store.firmware(ctx.tenant, draft.firmware).await?;
    let message = match &firmware {
        None => format!("there is no firmware {}", draft.firmware),
        Some(firmware) if firmware.details.is_beta && !draft.allow_beta => {
            "is a beta firmware: set allow_beta to roll it out".to_owned()
        }
        Some(_) => return Ok(firmware),
    };
    errors.push(FieldError {
        path: "firmware".to_owned(),
        message,
    });
    Ok(None)
}

/// Resolves a plugin choice to a revision and validates its config. `None`: it is invalid, and `errors` tells why.
pub(crate) async fn resolve_plugin(
    engine: &Engine,
    tenant: TenantId,
    path: &str,
    choice: &PluginChoice,
    errors: &mut Vec<FieldError>,
) -> Result<Option<PluginUse>> {
    let revision = engine
        .store()
        .revision(tenant, &choice.plugin, choice.revision)
        .await?;
    let Some(revision) = revision else {
        let message = match choice.revision {
            None => format!("there is no enabled plugin {}", choice.plugin),
            Some(digest) => format!("the plugin {} has no revision {digest}", choice.plugin),
        };
        errors.push(FieldError {
            path: format!("{path}.plugin"),
            message,
        });
        return Ok(None);
    };
    if !revision.enabled {
        let message = format!("the revision {} is disabled", revision.stored.digest);
        errors.push(FieldError {
            path: format!("{path}.revision"),
            message,
        });
        return Ok(None);
    }
    let digest = revision.stored.digest;
    let found = validate_config(engine, &choice.plugin, digest, &choice.config).await?;
    let good = found.is_empty();
    errors.extend(found.into_iter().map(|error| FieldError {
        path: format!("{path}.config{}", error.path),
        message: error.message,
    }));
    Ok(good.then(|| PluginUse {
        plugin: choice.plugin.clone(),
        revision: digest,
        version: revision.stored.description.version,
        kind: revision.stored.kind,
        config: choice.config.clone(),
    }))
}

fn check_kinds(
    strategy: Option<&PluginUse>,
    policies: &[Option<PluginUse>],
    errors: &mut Vec<FieldError>,
) {
    if let Some(strategy) = strategy
        && strategy.kind != PluginKind::Strategy
    {
        let message = format!(
            "{} is a {} policy, not a strategy",
            strategy.plugin,
            strategy.kind.as_str()
        );
        errors.push(FieldError {
            path: "strategy.plugin".to_owned(),
            message,
        });
    }
    for (index, policy) in policies.iter().enumerate() {
        if let Some(policy) = policy
            && policy.kind == PluginKind::Strategy
        {
            let message = format!("{} is a strategy, not a policy", policy.plugin);
            errors.push(FieldError {
                path: format!("policies.{index}.plugin"),
                message,
            });
        }
    }
}
