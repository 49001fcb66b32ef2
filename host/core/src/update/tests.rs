use std::time::Duration;

use super::*;

const NOW: Timestamp = Timestamp(1_000);

fn update(status: UpdateStatus, success_criteria: SuccessCriteria) -> UpdateState {
    UpdateState {
        status,
        ..UpdateState::offered(
            success_criteria,
            UpdateOptions::forced(Duration::from_mins(1)),
            Timestamp(0),
        )
    }
}

fn feedback(execution: Execution, finished: Finished) -> Feedback {
    let messages = vec!["flash worn out".to_owned()];
    Feedback {
        messages,
        ..Feedback::new(execution, finished)
    }
}

fn step(
    from: UpdateStatus,
    success_criteria: SuccessCriteria,
    event: &UpdateEvent,
) -> Result<UpdateStatus, EventError> {
    update(from, success_criteria)
        .after(event, NOW)
        .map(|state| state.status)
}

#[test]
fn the_last_report_is_stored_without_effect() {
    use UpdateStatus as S;
    let apply = |state: UpdateState, event: UpdateEvent| state.after(&event, NOW);
    let with_code = |execution, code| Feedback {
        code,
        ..feedback(execution, Finished::None)
    };
    let started = update(S::Installing, SuccessCriteria::Reported);
    assert_eq!((started.phase, started.code), (None, None));
    let rejected = UpdateEvent::Feedback(with_code(Execution::Rejected, Some(42)));
    let updated = apply(started.clone(), rejected).expect("an open update");
    assert_eq!(
        (updated.phase, updated.code),
        (Some(Execution::Rejected), Some(42))
    );
    assert!(updated != started && updated.differs_only_in_report(&started));
    // The last code stays until the device sends another.
    let updated = apply(
        updated,
        UpdateEvent::Feedback(with_code(Execution::Downloaded, None)),
    );
    let updated = updated.expect("an open update");
    assert_eq!(
        (updated.phase, updated.code),
        (Some(Execution::Downloaded), Some(42))
    );
    let done = apply(
        updated.clone(),
        UpdateEvent::Feedback(with_code(Execution::Closed, Some(0))),
    );
    let done = done.expect("an open update");
    assert_eq!((done.phase, done.code), (Some(Execution::Closed), Some(0)));
    assert!(!done.differs_only_in_report(&updated));
    let cancelling = UpdateState {
        status: S::Cancelling,
        ..updated
    };
    let rejected_cancel = apply(
        cancelling,
        UpdateEvent::CancelFeedback(with_code(Execution::Rejected, Some(-1))),
    );
    let rejected_cancel = rejected_cancel.expect("a cancelling update");
    assert_eq!(
        (rejected_cancel.phase, rejected_cancel.code),
        (Some(Execution::Rejected), Some(-1))
    );
}

#[test]
fn feedback_advances_an_update() {
    use Execution as E;
    use Finished as F;
    use UpdateStatus as S;
    for (from, execution, finished, to) in [
        (S::Offered, E::Download, F::None, Ok(S::Downloading)),
        (S::Offered, E::Proceeding, F::None, Ok(S::Installing)),
        (S::Downloading, E::Downloaded, F::None, Ok(S::Installing)),
        (S::Installing, E::Download, F::None, Ok(S::Installing)),
        (S::Installing, E::Canceled, F::None, Ok(S::Installing)),
        (S::Installing, E::Rejected, F::None, Ok(S::Installing)),
        (S::Installing, E::Closed, F::Success, Ok(S::Completed)),
        (S::Installing, E::Closed, F::None, Ok(S::Completed)),
        (S::Offered, E::Closed, F::Failure, Ok(S::Failed)),
        (S::Cancelling, E::Proceeding, F::None, Ok(S::Cancelling)),
        (S::Cancelling, E::Closed, F::Success, Ok(S::Completed)),
        (S::Cancelling, E::Closed, F::Failure, Ok(S::Failed)),
        (S::Verifying, E::Closed, F::Success, Err(EventError::Closed)),
        (S::Completed, E::Closed, F::Failure, Err(EventError::Closed)),
        (
            S::Cancelled,
            E::Proceeding,
            F::None,
            Err(EventError::Closed),
        ),
        (S::Rejected, E::Proceeding, F::None, Err(EventError::Closed)),
        (
            S::WaitingConfirmation,
            E::Closed,
            F::Success,
            Err(EventError::ConfirmationPending),
        ),
        (S::Offered, E::Confirmed, F::None, Ok(S::Offered)),
    ] {
        let event = UpdateEvent::Feedback(feedback(execution, finished));
        assert_eq!(
            step(from, SuccessCriteria::Reported, &event),
            to,
            "{from:?} {execution:?} {finished:?}"
        );
    }
}

#[test]
fn cancelling_needs_the_devices_acknowledgement() {
    use Execution as E;
    use Finished as F;
    use UpdateStatus as S;
    for (from, execution, finished, to) in [
        (S::Cancelling, E::Closed, F::Success, Ok(S::Cancelled)),
        (S::Cancelling, E::Closed, F::None, Ok(S::Cancelled)),
        (S::Cancelling, E::Canceled, F::None, Ok(S::Cancelled)),
        (S::Cancelling, E::Rejected, F::None, Ok(S::Installing)),
        (S::Cancelling, E::Closed, F::Failure, Ok(S::Installing)),
        (S::Cancelling, E::Proceeding, F::None, Ok(S::Cancelling)),
        (S::Cancelled, E::Rejected, F::None, Err(EventError::Closed)),
        (
            S::Installing,
            E::Closed,
            F::Success,
            Err(EventError::NotCancelling),
        ),
        (
            S::WaitingConfirmation,
            E::Closed,
            F::Success,
            Err(EventError::NotCancelling),
        ),
        (
            S::Rejected,
            E::Closed,
            F::Success,
            Err(EventError::NotCancelling),
        ),
        (
            S::Completed,
            E::Closed,
            F::Success,
            Err(EventError::NotCancelling),
        ),
    ] {
        let event = UpdateEvent::CancelFeedback(feedback(execution, finished));
        assert_eq!(
            step(from, SuccessCriteria::Reported, &event),
            to,
            "{from:?} {execution:?} {finished:?}"
        );
    }
}

#[test]
fn attestation_is_the_new_version_reported_after_success() {
    let done = UpdateEvent::Feedback(feedback(Execution::Closed, Finished::Success));
    assert_eq!(
        step(UpdateStatus::Installing, SuccessCriteria::Attested, &done),
        Ok(UpdateStatus::Verifying)
    );
    for (from, is_target, to) in [
        (UpdateStatus::Verifying, true, UpdateStatus::Completed),
        (UpdateStatus::Verifying, false, UpdateStatus::Verifying),
        (UpdateStatus::Installing, true, UpdateStatus::Installing),
    ] {
        assert_eq!(
            step(
                from,
                SuccessCriteria::Attested,
                &UpdateEvent::VersionReported { is_target }
            ),
            Ok(to)
        );
    }
}

#[test]
fn verifying_updates_are_awaited_rather_than_cancelled() {
    for (from, to) in [
        (UpdateStatus::Offered, Ok(UpdateStatus::Cancelling)),
        (UpdateStatus::Installing, Ok(UpdateStatus::Cancelling)),
        (UpdateStatus::Cancelling, Ok(UpdateStatus::Cancelling)),
        (UpdateStatus::Verifying, Ok(UpdateStatus::Verifying)),
        (UpdateStatus::Completed, Err(EventError::Closed)),
    ] {
        assert_eq!(
            step(
                from,
                SuccessCriteria::Attested,
                &UpdateEvent::CancelRequested
            ),
            to
        );
    }
}

#[test]
fn force_cancel_ends_unanswered_cancellations() {
    use UpdateStatus as S;
    for (from, to) in [
        (S::Cancelling, Ok(S::Cancelled)),
        (S::Verifying, Ok(S::Cancelled)),
        (S::Scheduled, Err(EventError::NotCancelling)),
        (S::WaitingApproval, Err(EventError::NotCancelling)),
        (S::WaitingConfirmation, Err(EventError::NotCancelling)),
        (S::Offered, Err(EventError::NotCancelling)),
        (S::Installing, Err(EventError::NotCancelling)),
        (S::Completed, Err(EventError::Closed)),
        (S::Cancelled, Err(EventError::Closed)),
    ] {
        assert_eq!(
            step(from, SuccessCriteria::Attested, &UpdateEvent::ForceCancel),
            to,
            "{from:?}"
        );
    }
    let quit =
        update(S::Cancelling, SuccessCriteria::Reported).after(&UpdateEvent::ForceCancel, NOW);
    assert_eq!(quit.map(|quit| quit.completed_at), Ok(Some(NOW)));
}

#[test]
fn reported_installations_are_recorded() {
    let done = UpdateEvent::Feedback(feedback(Execution::Closed, Finished::Success));
    let failed = UpdateEvent::Feedback(feedback(Execution::Closed, Finished::Failure));
    for (event, success_criteria, update_type, installed_reported) in [
        (&done, SuccessCriteria::Attested, UpdateType::Forced, true),
        (&done, SuccessCriteria::Reported, UpdateType::Forced, true),
        (
            &done,
            SuccessCriteria::Attested,
            UpdateType::DownloadOnly,
            false,
        ),
        (
            &failed,
            SuccessCriteria::Attested,
            UpdateType::Forced,
            false,
        ),
    ] {
        let mut started = update(UpdateStatus::Installing, success_criteria);
        started.options.update_type = update_type;
        assert!(!started.installed_reported);
        let after = started.after(event, NOW).expect("a valid event");
        assert_eq!(
            after.installed_reported, installed_reported,
            "{success_criteria:?} {update_type:?}"
        );
        let silent = after.after(&UpdateEvent::DeadlinePassed, Timestamp(120_000));
        assert_eq!(
            silent.map(|silent| silent.installed_reported),
            Ok(installed_reported)
        );
    }
}

#[test]
fn updates_that_never_started_are_cancelled_immediately() {
    let waiting = update(UpdateStatus::WaitingConfirmation, SuccessCriteria::Reported);
    let ended = waiting.clone().after(&UpdateEvent::CancelRequested, NOW);
    let ended = ended.expect("a cancellable update");
    assert_eq!(
        (ended.status, ended.completed_at),
        (UpdateStatus::Cancelled, Some(NOW))
    );
    let started_earlier = UpdateState {
        started_at: Some(Timestamp(5)),
        ..waiting
    };
    let cancelling = started_earlier.after(&UpdateEvent::CancelRequested, NOW);
    let cancelling = cancelling.expect("a cancellable update");
    assert_eq!(
        (cancelling.status, cancelling.timeout_at),
        (UpdateStatus::Cancelling, Timestamp(61_000)),
        "the device has the update timeout to acknowledge"
    );
}

#[test]
fn download_only_updates_end_after_the_download() {
    use Execution as E;
    use Finished as F;
    use UpdateStatus as S;
    for success_criteria in [SuccessCriteria::Reported, SuccessCriteria::Attested] {
        for (from, execution, finished, to) in [
            (S::Offered, E::Download, F::None, Ok(S::Downloading)),
            (S::Downloading, E::Downloaded, F::None, Ok(S::Completed)),
            (S::Offered, E::Downloaded, F::None, Ok(S::Completed)),
            (S::Cancelling, E::Downloaded, F::None, Ok(S::Completed)),
            (S::Downloading, E::Closed, F::Success, Ok(S::Completed)),
            (S::Downloading, E::Closed, F::Failure, Ok(S::Failed)),
            (S::Completed, E::Closed, F::Success, Err(EventError::Closed)),
        ] {
            let mut only = update(from, success_criteria);
            only.options.update_type = UpdateType::DownloadOnly;
            let event = UpdateEvent::Feedback(feedback(execution, finished));
            let after = only.after(&event, NOW).map(|after| after.status);
            assert_eq!(after, to, "{from:?} {execution:?} {finished:?}");
        }
    }
}

#[test]
fn updates_time_out_only_after_their_deadline() {
    let late = Timestamp(60_000);
    for (from, to) in [
        (UpdateStatus::WaitingConfirmation, UpdateStatus::TimedOut),
        (UpdateStatus::Offered, UpdateStatus::TimedOut),
        (UpdateStatus::Verifying, UpdateStatus::TimedOut),
        (UpdateStatus::Cancelling, UpdateStatus::Cancelled),
        (UpdateStatus::Completed, UpdateStatus::Completed),
        (UpdateStatus::Rejected, UpdateStatus::Rejected),
    ] {
        let state = update(from, SuccessCriteria::Reported);
        assert_eq!(
            state.clone().after(&UpdateEvent::DeadlinePassed, NOW),
            Ok(state.clone())
        );
        assert_eq!(
            state
                .after(&UpdateEvent::DeadlinePassed, late)
                .map(|p| p.status),
            Ok(to)
        );
    }
}

#[test]
fn a_failure_has_a_code_and_a_message() {
    let event = UpdateEvent::Feedback(feedback(Execution::Closed, Finished::Failure));
    let failed = update(UpdateStatus::Installing, SuccessCriteria::Reported)
        .after(&event, NOW)
        .expect("a failing update");
    let error = failed.error.expect("a failed update has an error");
    assert_eq!(
        (error.code.as_str(), error.message.as_str()),
        ("FAILED", "flash worn out")
    );
    assert_eq!(failed.completed_at, Some(NOW));
}
