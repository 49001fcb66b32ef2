use std::{mem, time::Duration};

use tidegate_core::{
    campaign::PluginUse,
    firmware::Firmware,
    id::TenantId,
    plugin::{CheckInput, Compatibility, Context, DeviceClass, PageOf},
    time::Timestamp,
    version::is_same,
};

use super::Policies;
use crate::{
    Error, PluginCalls, Result,
    plugin_calls::{PluginCall, temporary_error},
    ports::CallFailure,
};

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

    /// The objection of the policies to each class, if any. Asks every policy about every class, so that a journal has all
    /// verdicts; `record` receives each call. If several policies object, the first one counts that rejects the class,
    /// else the first one that needs another version. `on_failure`: what the failure of a policy means.
    pub(super) async fn objections(
        &self,
        classes: &[DeviceClass],
        on_failure: OnFailure,
        record: &mut CallRecorder<'_>,
    ) -> std::result::Result<Vec<Option<Objection>>, CheckFailure> {
        if let Some(reason) = self.policies.missing_reason() {
            let missing = Objection {
                reason,
                needs: None,
            };
            return Ok(vec![Some(missing); classes.len()]);
        }
        let mut objections: Vec<Option<Objection>> = vec![None; classes.len()];
        let uses = if classes.is_empty() {
            &[][..]
        } else {
            &self.policies.uses[..]
        };
        for policy in uses {
            let answer = self.ask(policy, classes, |call| record(policy, call)).await;
            if let Some(failure) = answer.failure {
                let excludes = on_failure == OnFailure::Exclude && failure.is_deterministic();
                if !excludes {
                    return Err(CheckFailure::Policy(Box::new((policy.clone(), failure))));
                }
            }
            for (objection, new) in objections.iter_mut().zip(answer.objections) {
                *objection = Objection::heavier(objection.take(), new);
            }
        }
        Ok(objections)
    }

    /// One policy's objection to each class, if any. It is asked in pages; `record` receives each call. A page that fails
    /// rejects its classes, and no later page is asked.
    async fn ask(
        &self,
        policy: &PluginUse,
        classes: &[DeviceClass],
        mut record: impl FnMut(&PluginCall<Vec<Compatibility>>) + Send,
    ) -> PolicyAnswer {
        let mut answer = PolicyAnswer {
            objections: Vec::with_capacity(classes.len()),
            failure: None,
        };
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
                    let verdicts = verdicts.iter();
                    let version = &self.firmware.details.version;
                    let objections = verdicts.map(|it| Objection::of(policy, version, it));
                    answer.objections.extend(objections);
                }
                Err(failure) => {
                    let objection = Objection {
                        reason: format!("{}: the policy failed: {failure}", policy.plugin),
                        needs: None,
                    };
                    answer.objections.resize(classes.len(), Some(objection));
                    answer.failure = Some(failure);
                    break;
                }
            }
        }
        answer
    }
}

/// Receives the calls of policies, for a journal.
pub(crate) type CallRecorder<'a> =
    dyn FnMut(&PluginUse, &PluginCall<Vec<Compatibility>>) + Send + 'a;

/// What the failure of a policy means that would fail again. One that may answer later always ends the check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnFailure {
    /// It rejects the classes.
    Exclude,
    /// It ends the check.
    EndCheck,
}

/// Why a check ended without a decision.
#[derive(Debug)]
pub(crate) enum CheckFailure {
    /// A policy failed.
    Policy(Box<(PluginUse, CallFailure)>),
    /// Something else did.
    Other(Error),
}

impl From<CheckFailure> for Error {
    fn from(failure: CheckFailure) -> Self {
        match failure {
            CheckFailure::Policy(failure) => {
                let (policy, failure) = *failure;
                temporary_error(&policy, &failure).unwrap_or_else(|| failure.into())
            }
            CheckFailure::Other(error) => error,
        }
    }
}

/// Why a class may not get a firmware now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Objection {
    /// The policy's name and its reason.
    pub(crate) reason: String,
    /// The version that must be installed first; `None`: the class is incompatible.
    pub(crate) needs: Option<String>,
}

impl Objection {
    /// The objection of this policy to a firmware of this version. That a version is needed before itself, a policy says
    /// that looks at the devices only.
    fn of(policy: &PluginUse, firmware_version: &str, verdict: &Compatibility) -> Option<Self> {
        let name = &policy.plugin;
        match verdict {
            Compatibility::Compatible => None,
            Compatibility::Needs { version, .. } if is_same(version, firmware_version) => None,
            Compatibility::Incompatible(reason) => Some(Self {
                reason: format!("{name}: {reason}"),
                needs: None,
            }),
            Compatibility::Needs { version, reason } => Some(Self {
                reason: format!("{name}: needs {version} first: {reason}"),
                needs: Some(version.clone()),
            }),
        }
    }

    /// The one of two objections that counts.
    fn heavier(first: Option<Self>, second: Option<Self>) -> Option<Self> {
        let rejects = |objection: &Option<Self>| {
            let needs = objection.as_ref().map(|objection| &objection.needs);
            needs.is_some_and(Option::is_none)
        };
        if first.is_none() || (rejects(&second) && !rejects(&first)) {
            second
        } else {
            first
        }
    }
}

/// What a policy says of each class.
struct PolicyAnswer {
    /// The objection to each class, if any.
    objections: Vec<Option<Objection>>,
    failure: Option<CallFailure>,
}

impl PolicyAnswer {
    /// The reasons, also those of a policy that would fail again. An error if it may answer later.
    fn fail_closed(self, policy: &PluginUse) -> Result<Vec<Option<String>>> {
        let error = self.failure.and_then(|it| temporary_error(policy, &it));
        let reasons = self.objections.into_iter();
        let reasons = reasons.map(|objection| objection.map(|objection| objection.reason));
        error.map_or_else(|| Ok(reasons.collect()), Err)
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
