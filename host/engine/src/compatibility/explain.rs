use tidegate_core::update::{CompatibilityBasis, INCOMPATIBLE, Update, UpdateClass, UpdateStatus};

/// Explains as what the device of an update was checked, when, and what was decided if it was checked again.
pub(crate) fn explain_compatibility(update: &Update) -> Vec<String> {
    let Some(basis) = &update.compatibility else {
        return Vec::new();
    };
    let mut sentences: Vec<_> = accepted(basis).into_iter().collect();
    let state = &update.state;
    if let (Some(error), Some(at)) = (&state.error, state.completed_at)
        && error.code == INCOMPATIBLE
    {
        let reason = &error.message;
        sentences.push(format!(
            "it had changed, was checked again at {at} and skipped: {reason}"
        ));
    }
    let is_due = state.status == UpdateStatus::Scheduled && update.attempt.first.is_none();
    if is_due {
        sentences.push(
            "it has changed since then, and is checked again before the update is offered"
                .to_owned(),
        );
    }
    sentences
}

fn accepted(basis: &CompatibilityBasis) -> Option<String> {
    let (class, at) = basis.accepted.as_ref()?;
    Some(format!(
        "policies checked its compatibility at {at} as {}",
        class_name(class)
    ))
}

/// The class of a device, for explanations.
pub(crate) fn class_name(class: &UpdateClass) -> String {
    let or_unknown = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".to_owned());
    format!(
        "hardware {}, revision {}, version {}",
        or_unknown(&class.hardware_model),
        or_unknown(&class.hardware_revision),
        or_unknown(&class.version)
    )
}
