use tidegate_core::{
    plugin::ClassKey,
    update::{CompatibilityBasis, INCOMPATIBLE, Update, UpdatePolicies, UpdateStatus},
};

/// Explains as what the device of an update was checked, when, and what was decided if it was checked again.
pub(crate) fn explain_compatibility(update: &Update) -> Vec<String> {
    let Some(basis) = &update.compatibility else {
        return Vec::new();
    };
    if basis.policies == UpdatePolicies::Forced {
        let why = "an operator forced it: policies do not check its compatibility, also if the device changes";
        return vec![why.to_owned()];
    }
    let mut sentences: Vec<_> = explain_path(update).into_iter().collect();
    sentences.extend(accepted(basis));
    let state = &update.state;
    if let (Some(error), Some(at)) = (&state.error, state.completed_at)
        && error.code == INCOMPATIBLE
    {
        let reason = &error.message;
        sentences.push(format!(
            "it had changed, was checked again at {at} and skipped: {reason}"
        ));
        let rejected = basis.rejected.as_ref();
        sentences
            .extend(rejected.map(|class| format!("it was checked again as {}", class_name(class))));
        sentences.push(format!(
            "it is not offered the update again by itself, even if it changes back; a retry of update {} offers it, after \
             another check if it is not what policies accepted",
            update.id
        ));
    }
    if state.status == UpdateStatus::Scheduled && update.attempt.first.is_none() {
        let waits = match basis.accepted {
            Some(_) => {
                "it has changed since then, and is checked again before the update is offered"
            }
            None => "it is checked as what it is now before the update is offered",
        };
        sentences.push(waits.to_owned());
    }
    sentences
}

/// Where the update is on an upgrade path, and why.
fn explain_path(update: &Update) -> Option<String> {
    let path = update.compatibility.as_ref()?.path.as_ref()?;
    let (id, target) = (path.target, &path.target_version);
    let installed = path.installed.join(", ");
    let before = match (&path.reason, path.installed.is_empty()) {
        (None, _) => {
            return Some(format!(
                "it installed {installed} before {target}, as policies needed"
            ));
        }
        (Some(_), true) => String::new(),
        (Some(_), false) => format!(", after {installed}"),
    };
    let (version, reason) = (&update.to_version, path.reason.as_deref()?);
    Some(format!(
        "{version} is an intermediate version on its way to {target} (firmware {id}){before}: {reason}"
    ))
}

fn accepted(basis: &CompatibilityBasis) -> Option<String> {
    let (class, at) = basis.accepted.as_ref()?;
    Some(format!(
        "policies checked its compatibility at {at} as {}",
        class_name(class)
    ))
}

/// The class of a device, for explanations.
pub(crate) fn class_name(class: &ClassKey) -> String {
    let or_unknown = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".to_owned());
    let mut name = format!(
        "hardware {}, revision {}, version {}",
        or_unknown(&class.hardware_model),
        or_unknown(&class.hardware_revision),
        or_unknown(&class.version)
    );
    for (key, value) in &class.attributes {
        name += ", ";
        name += key;
        name += " ";
        name += value;
    }
    name
}
