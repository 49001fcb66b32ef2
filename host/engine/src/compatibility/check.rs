use std::{collections::HashMap, mem, time::Duration};

use tidegate_core::{
    campaign::{PluginUse, Targets},
    firmware::Firmware,
    id::TenantId,
    plugin::{CheckInput, Compatibility, Context, DeviceClass, PageOf, PluginName},
    time::Timestamp,
};

use super::{Policies, classify};
use crate::{
    PluginCalls, Result,
    plugin_calls::{PluginCall, temporary_error},
    ports::{CallFailure, SelectedDevice, Store},
};

/// Devices by id, each with the reason of the first policy that rejects it.
pub(crate) type CheckedDevices = HashMap<String, (SelectedDevice, Option<String>)>;

/// Maximum number of classes that a policy is asked about in one call.
const MAX_PAGE_CLASSES: usize = 1000;

/// Asks policies whether devices may get a firmware.
pub(crate) struct CompatibilityCheck<'a> {
    pub(crate) plugins: &'a PluginCalls,
    pub(crate) tenant: TenantId,
    pub(crate) policies: &'a Policies,
    pub(crate) firmware: &'a Firmware,
    pub(crate) context: Context,
}

impl CompatibilityCheck<'_> {
    /// Checks these devices. Unknown devices are omitted.
    pub(crate) async fn check_devices(
        &self,
        store: &dyn Store,
        device_ids: Vec<String>,
    ) -> Result<CheckedDevices> {
        let targets = Targets {
            devices: device_ids,
            ..Targets::default()
        };
        let attributes = &self.policies.attributes;
        let devices = store
            .select(self.tenant, &targets, None, None, attributes)
            .await?;
        let classified = classify(&devices, |_| ());
        let classes = classified.classes.into_iter().map(|((), class)| class);
        let reasons = self.reasons(classes.collect()).await?;
        let devices = devices.into_iter().zip(classified.class_of);
        Ok(devices
            .map(|(device, class)| {
                let reason = reasons[class as usize].clone();
                (device.device_id.clone(), (device, reason))
            })
            .collect())
    }

    /// The reason of the first policy that rejects each class, if any. A policy is asked only about the classes that
    /// the policies before it accept. One that fails rejects the classes; one that may answer if it is asked again
    /// later rejects none, and is the error.
    pub(crate) async fn reasons(&self, classes: Vec<DeviceClass>) -> Result<Vec<Option<String>>> {
        if let Some(reason) = self.policies.missing_reason() {
            return Ok(vec![Some(reason); classes.len()]);
        }
        let mut reasons = vec![None; classes.len()];
        let mut accepted: Vec<usize> = (0..classes.len()).collect();
        let mut classes = classes;
        for policy in &self.policies.uses {
            if classes.is_empty() {
                break;
            }
            let answer = self.ask(policy, &classes, |_| ()).await;
            let rejections = answer.fail_closed(policy)?;
            let asked = mem::take(&mut accepted)
                .into_iter()
                .zip(mem::take(&mut classes));
            for ((index, class), rejection) in asked.zip(rejections) {
                if rejection.is_none() {
                    accepted.push(index);
                    classes.push(class);
                }
                reasons[index] = rejection;
            }
        }
        Ok(reasons)
    }

    /// As [`Self::reasons`], but asks every policy about every class, so that a journal has all verdicts. `record`
    /// receives each call.
    pub(crate) async fn reasons_of_all(
        &self,
        classes: &[DeviceClass],
        mut record: impl FnMut(&PluginUse, &PluginCall<Vec<Compatibility>>) + Send,
    ) -> Result<Vec<Option<String>>> {
        let mut reasons = vec![None; classes.len()];
        if classes.is_empty() {
            return Ok(reasons);
        }
        for policy in &self.policies.uses {
            let answer = self.ask(policy, classes, |call| record(policy, call)).await;
            for (reason, rejection) in reasons.iter_mut().zip(answer.fail_closed(policy)?) {
                *reason = reason.take().or(rejection);
            }
        }
        Ok(reasons)
    }

    /// As [`Self::reasons`], but a policy that fails ends the check: its name and the failure. `record` receives each call.
    pub(crate) async fn verdicts(
        &self,
        classes: Vec<DeviceClass>,
        mut record: impl FnMut(&PluginUse, &PluginCall<Vec<Compatibility>>) + Send,
    ) -> std::result::Result<Vec<Option<String>>, (PluginName, CallFailure)> {
        if let Some(reason) = self.policies.missing_reason() {
            return Ok(vec![Some(reason); classes.len()]);
        }
        let mut reasons = vec![None; classes.len()];
        let uses = if classes.is_empty() {
            &[][..]
        } else {
            &self.policies.uses[..]
        };
        for policy in uses {
            let answer = self
                .ask(policy, &classes, |call| record(policy, call))
                .await;
            if let Some(failure) = answer.failure {
                return Err((policy.plugin.clone(), failure));
            }
            for (reason, rejection) in reasons.iter_mut().zip(answer.reasons) {
                *reason = reason.take().or(rejection);
            }
        }
        Ok(reasons)
    }

    /// One policy's reason against each class, if any. It is asked in pages; `record` receives each call. A page that
    /// fails rejects its classes, and no later page is asked.
    async fn ask(
        &self,
        policy: &PluginUse,
        classes: &[DeviceClass],
        mut record: impl FnMut(&PluginCall<Vec<Compatibility>>) + Send,
    ) -> PolicyAnswer {
        let mut answer = PolicyAnswer {
            reasons: Vec::with_capacity(classes.len()),
            failure: None,
        };
        let rejection = |reason: String| format!("{}: {reason}", policy.plugin);
        let pages = classes.chunks(MAX_PAGE_CLASSES);
        let total = pages.len() as u32;
        for (number, page) in (0..).zip(pages) {
            let input = CheckInput {
                context: self.context.clone(),
                firmware: self.firmware.facts(),
                page: PageOf { number, total },
                classes: page.to_vec(),
                config: policy.config.clone(),
            };
            let checked = self.plugins.check(self.tenant, policy, input).await;
            record(&checked);
            match checked.call.outcome {
                Ok(verdicts) => {
                    let reasons = verdicts.iter().map(reason_against);
                    let reasons = reasons.map(|reason| reason.map(rejection));
                    answer.reasons.extend(reasons);
                }
                Err(failure) => {
                    let reason = rejection(format!("the policy failed: {failure}"));
                    answer.reasons.resize(classes.len(), Some(reason));
                    answer.failure = Some(failure);
                    break;
                }
            }
        }
        answer
    }
}

/// What a policy says of each class.
struct PolicyAnswer {
    /// The reason against each class, if any.
    reasons: Vec<Option<String>>,
    failure: Option<CallFailure>,
}

impl PolicyAnswer {
    /// The reasons, also those of a policy that would fail again. An error if it may answer later.
    fn fail_closed(self, policy: &PluginUse) -> Result<Vec<Option<String>>> {
        let error = self.failure.and_then(|it| temporary_error(policy, &it));
        error.map_or(Ok(self.reasons), Err)
    }
}

fn reason_against(verdict: &Compatibility) -> Option<String> {
    match verdict {
        Compatibility::Compatible => None,
        Compatibility::Incompatible(reason) => Some(reason.clone()),
        Compatibility::Needs { version, reason } => {
            Some(format!("needs {version} first: {reason}"))
        }
    }
}

/// The context that policies get for an update without a campaign.
pub(crate) fn context_without_campaign(now: Timestamp, update_timeout: Duration) -> Context {
    Context {
        now,
        seed: 0,
        started_at: None,
        max_in_flight: None,
        failure_ceiling: 10_000,
        update_timeout,
        auto_rollback: false,
        facts: Vec::new(),
    }
}
