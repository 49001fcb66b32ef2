use tidegate_core::{
    Named as _,
    feedback::Feedback,
    update::{DeviceRefusal, Refusal, UpdateState},
};

use crate::{
    Result,
    ports::{Store, UpdateRow},
};

/// What the device last reported about an open update, as a sentence, and what follows from a refusal. `None`: it has
/// ended, or the device has reported nothing.
pub(crate) async fn explain_last_report(
    store: &dyn Store,
    row: &UpdateRow,
) -> Result<Option<String>> {
    let update = &row.update;
    if !update.state.status.is_open() || update.state.phase.is_none() {
        return Ok(None);
    }
    let newest = store.history(update.tenant, update.id, 1).await?;
    Ok(newest
        .first()
        .map(|newest| sentence(&newest.feedback, &update.state)))
}

fn sentence(feedback: &Feedback, state: &UpdateState) -> String {
    let (word, result) = (feedback.execution.as_str(), feedback.finished.as_str());
    let code = feedback.code.map(|code| format!(", code {code}"));
    let message = feedback.messages.last();
    let message = message.map(|message| format!(": {message}"));
    let follows = match (state.refusal, state.options.device_refusal) {
        _ if !feedback.is_refusal() => "",
        (None, _) => "",
        (Some(_), DeviceRefusal::Wait) => {
            "; the update stays on offer until its timeout, because its device_refusal is wait"
        }
        (Some(Refusal::Refused), DeviceRefusal::Fail) => {
            "; if the device reads the update again and refuses it again, the update fails"
        }
        (Some(Refusal::ReadAgain), DeviceRefusal::Fail) => {
            "; it has read the update again, and if it refuses it again, the update fails"
        }
    };
    format!(
        "the device last reported {word} with the result {result}{}{}{follows}",
        code.unwrap_or_default(),
        message.unwrap_or_default()
    )
}
