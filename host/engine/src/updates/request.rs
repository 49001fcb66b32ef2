use tidegate_core::{
    campaign::{MAX_POLICIES, PluginUse, Priority},
    firmware::Firmware,
    id::{FirmwareId, TenantId},
    plugin::{FieldError, PluginKind},
    update::{SuccessCriteria, UpdateOptions},
};

use crate::{
    Ctx, Error, PluginCalls, Result,
    compatibility::IntermediateRules,
    plugins::PluginChoice,
    ports::{Offer, OfferCompatibility, Store},
    rules::Rules,
    update_options::check_options,
};

/// Maximum number of devices per request.
pub const MAX_DEVICES: usize = 10_000;
/// The code of an error with the invalid fields of an update.
pub(super) const INVALID: &str = "invalid_update";

/// An operator's request to update one or many devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateRequest {
    /// The firmware to install.
    pub firmware: FirmwareId,
    /// Its precedence over other updates. A security update gets at least `high`.
    pub priority: Priority,
    /// Ignore policies and pins, and install the firmware even if it is installed.
    pub force: bool,
    /// Whether beta firmware is allowed.
    pub allow_beta: bool,
    /// Type, timeouts, confirmation, window and retries. The total timeout is 5 to 1440 minutes.
    pub options: UpdateOptions,
    /// What counts as success.
    pub success_criteria: SuccessCriteria,
    /// The compatibility policies to check; `None` or an empty list: the default policies.
    pub policies: Option<Vec<PluginChoice>>,
}

/// A request with the objects that it names. If one is missing, `rules` has the reason.
pub(super) struct UpdateRequestCheck {
    firmware: Option<Firmware>,
    policies: Vec<PluginUse>,
    pub(super) rules: Rules,
}

impl UpdateRequestCheck {
    /// The firmware and the chosen policies, or all errors.
    pub(super) fn finish(self) -> Result<(Firmware, Vec<PluginUse>)> {
        self.rules.accept(INVALID)?;
        let missing = || Error::internal("check update", "a valid request without firmware");
        let firmware = self.firmware.ok_or_else(missing)?;
        Ok((firmware, self.policies))
    }
}

/// The invalid fields of an update of these devices; `None`: of one device, which exists. Nothing is stored.
pub async fn validate(
    ctx: &Ctx,
    store: &dyn Store,
    plugins: &PluginCalls,
    device_ids: Option<&[String]>,
    request: &UpdateRequest,
) -> Result<Vec<FieldError>> {
    let mut checked = request.check(ctx, store, plugins).await?;
    if let Some(device_ids) = device_ids {
        check_device_ids(device_ids, &mut checked.rules);
    }
    Ok(checked.rules.into_errors())
}

/// Checks that there are neither too few nor too many devices, and that their ids are harmless.
pub(super) fn check_device_ids(device_ids: &[String], rules: &mut Rules) {
    let fits = (1..=MAX_DEVICES).contains(&device_ids.len());
    let message = format!("must name 1 to {MAX_DEVICES} devices");
    rules.require(fits, "device_ids", &message);
    rules.require_harmless_ids("device_ids", device_ids);
}

impl UpdateRequest {
    /// Checks everything except the devices, and reads the firmware and the policies.
    pub(super) async fn check(
        &self,
        ctx: &Ctx,
        store: &dyn Store,
        plugins: &PluginCalls,
    ) -> Result<UpdateRequestCheck> {
        let mut rules = Rules::default();
        check_options(&self.options, self.success_criteria, ctx.now, &mut rules);
        let policies = self.policies.as_ref().map_or(0, Vec::len);
        let message = format!("must be at most {MAX_POLICIES}");
        rules.require(policies <= MAX_POLICIES, "policies", &message);
        let firmware = store.firmware(ctx.tenant, self.firmware).await?;
        let firmware = firmware.filter(|firmware| firmware.deleted_at.is_none());
        match &firmware {
            None => rules.reject(
                "firmware",
                format!("there is no firmware {}", self.firmware),
            ),
            Some(firmware) if firmware.details.is_beta && !self.allow_beta => {
                rules.reject(
                    "firmware",
                    "is a beta firmware: set `allow_beta` to install it",
                );
            }
            Some(_) => {}
        }
        let policies = self
            .chosen_policies(store, plugins, ctx.tenant, &mut rules)
            .await?;
        Ok(UpdateRequestCheck {
            firmware,
            policies,
            rules,
        })
    }

    /// Whether it names policies, all of which are compatibility policies.
    pub(super) fn names_policies(&self) -> bool {
        !self.policies.as_deref().unwrap_or_default().is_empty()
    }

    /// The policies that a request names. What is invalid is added to `rules`.
    async fn chosen_policies(
        &self,
        store: &dyn Store,
        plugins: &PluginCalls,
        tenant: TenantId,
        rules: &mut Rules,
    ) -> Result<Vec<PluginUse>> {
        let mut chosen = Vec::new();
        for (index, choice) in self
            .policies
            .iter()
            .flatten()
            .take(MAX_POLICIES)
            .enumerate()
        {
            let path = format!("policies.{index}");
            let policy = choice.resolve(store, plugins, tenant, &path, rules).await?;
            if let Some(policy) = &policy
                && policy.kind != PluginKind::Compatibility
            {
                let message = format!("{} is not a compatibility policy", policy.plugin);
                rules.reject(format!("{path}.plugin"), message);
            }
            chosen.extend(policy);
        }
        Ok(chosen)
    }

    /// Which firmware a device may install before this one.
    pub(super) fn intermediate_rules(&self, firmware: &Firmware) -> IntermediateRules {
        IntermediateRules::of_update(&self.options, firmware, self.allow_beta)
    }

    pub(super) fn offer(&self, ctx: &Ctx, firmware: &Firmware) -> Offer {
        let lifted = firmware.details.is_security_update && self.priority < Priority::High;
        let priority = if lifted {
            Priority::High
        } else {
            self.priority
        };
        Offer {
            firmware: self.firmware,
            to_version: firmware.details.version.clone(),
            weight: priority.weight(),
            success_criteria: self.success_criteria,
            options: self.options.clone(),
            compatibility: OfferCompatibility::default(),
            now: ctx.now,
        }
    }
}
