use std::time::Duration;

use super::*;

const NOW: Timestamp = Timestamp(1_000);

fn update(status: UpdateStatus, proof: Proof) -> Progress {
    Progress {
        status,
        ..Progress::offered(proof, Terms::forced(Duration::from_mins(1)), Timestamp(0))
    }
}

fn feedback(execution: Execution, finished: Finished) -> Feedback {
    let messages = vec!["flash worn out".to_owned()];
    Feedback {
        messages,
        ..Feedback::new(execution, finished)
    }
}

fn step(from: UpdateStatus, proof: Proof, event: &Event) -> Result<UpdateStatus, Refusal> {
    update(from, proof)
        .after(event, NOW)
        .map(|progress| progress.status)
}

#[test]
fn what_the_device_last_said_is_kept_and_decides_nothing() {
    use UpdateStatus as S;
    let say = |progress: Progress, event: Event| progress.after(&event, NOW);
    let coded = |execution, code| Feedback {
        code,
        ..feedback(execution, Finished::None)
    };
    let begun = update(S::Installing, Proof::Reported);
    assert_eq!((begun.phase, begun.code), (None, None));
    let rejected = Event::Feedback(coded(Execution::Rejected, Some(42)));
    let said = say(begun.clone(), rejected).expect("it is open");
    assert_eq!(
        (said.phase, said.code),
        (Some(Execution::Rejected), Some(42))
    );
    assert!(said != begun && said.stands_as(&begun));
    // The last code stays until there is another.
    let said = say(said, Event::Feedback(coded(Execution::Downloaded, None)));
    let said = said.expect("it is open");
    assert_eq!(
        (said.phase, said.code),
        (Some(Execution::Downloaded), Some(42))
    );
    let done = say(
        said.clone(),
        Event::Feedback(coded(Execution::Closed, Some(0))),
    );
    let done = done.expect("it is open");
    assert_eq!((done.phase, done.code), (Some(Execution::Closed), Some(0)));
    assert!(!done.stands_as(&said));
    let asked = Progress {
        status: S::Cancelling,
        ..said
    };
    let kept = say(
        asked,
        Event::CancelFeedback(coded(Execution::Rejected, Some(-1))),
    );
    let kept = kept.expect("it is called back");
    assert_eq!(
        (kept.phase, kept.code),
        (Some(Execution::Rejected), Some(-1))
    );
}

#[test]
fn feedback_moves_an_update_on() {
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
        (S::Verifying, E::Closed, F::Success, Err(Refusal::Closed)),
        (S::Completed, E::Closed, F::Failure, Err(Refusal::Closed)),
        (S::Cancelled, E::Proceeding, F::None, Err(Refusal::Closed)),
        (S::Rejected, E::Proceeding, F::None, Err(Refusal::Closed)),
        (
            S::WaitingConfirmation,
            E::Closed,
            F::Success,
            Err(Refusal::Unconfirmed),
        ),
        (S::Offered, E::Confirmed, F::None, Ok(S::Offered)),
    ] {
        let event = Event::Feedback(feedback(execution, finished));
        assert_eq!(
            step(from, Proof::Reported, &event),
            to,
            "{from:?} {execution:?} {finished:?}"
        );
    }
}

#[test]
fn a_call_back_needs_the_device_to_agree() {
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
        (S::Cancelled, E::Rejected, F::None, Err(Refusal::Closed)),
        (
            S::Installing,
            E::Closed,
            F::Success,
            Err(Refusal::NotCancelling),
        ),
        (
            S::WaitingConfirmation,
            E::Closed,
            F::Success,
            Err(Refusal::NotCancelling),
        ),
        (
            S::Rejected,
            E::Closed,
            F::Success,
            Err(Refusal::NotCancelling),
        ),
        (
            S::Completed,
            E::Closed,
            F::Success,
            Err(Refusal::NotCancelling),
        ),
    ] {
        let event = Event::CancelFeedback(feedback(execution, finished));
        assert_eq!(
            step(from, Proof::Reported, &event),
            to,
            "{from:?} {execution:?} {finished:?}"
        );
    }
}

#[test]
fn proof_is_the_new_version_reported_after_the_end() {
    let done = Event::Feedback(feedback(Execution::Closed, Finished::Success));
    assert_eq!(
        step(UpdateStatus::Installing, Proof::Attested, &done),
        Ok(UpdateStatus::Verifying)
    );
    for (from, is_target, to) in [
        (UpdateStatus::Verifying, true, UpdateStatus::Completed),
        (UpdateStatus::Verifying, false, UpdateStatus::Verifying),
        (UpdateStatus::Installing, true, UpdateStatus::Installing),
    ] {
        assert_eq!(
            step(from, Proof::Attested, &Event::VersionReported { is_target }),
            Ok(to)
        );
    }
}

#[test]
fn what_may_be_installed_is_not_called_back_but_waited_for() {
    for (from, to) in [
        (UpdateStatus::Offered, Ok(UpdateStatus::Cancelling)),
        (UpdateStatus::Installing, Ok(UpdateStatus::Cancelling)),
        (UpdateStatus::Cancelling, Ok(UpdateStatus::Cancelling)),
        (UpdateStatus::Verifying, Ok(UpdateStatus::Verifying)),
        (UpdateStatus::Completed, Err(Refusal::Closed)),
    ] {
        assert_eq!(step(from, Proof::Attested, &Event::CancelRequested), to);
    }
}

#[test]
fn nobody_waits_for_a_device_that_does_not_answer_a_call_back() {
    use UpdateStatus as S;
    for (from, to) in [
        (S::Cancelling, Ok(S::Cancelled)),
        (S::Verifying, Ok(S::Cancelled)),
        (S::Scheduled, Err(Refusal::NotCancelling)),
        (S::WaitingConfirmation, Err(Refusal::NotCancelling)),
        (S::Offered, Err(Refusal::NotCancelling)),
        (S::Installing, Err(Refusal::NotCancelling)),
        (S::Completed, Err(Refusal::Closed)),
        (S::Cancelled, Err(Refusal::Closed)),
    ] {
        assert_eq!(step(from, Proof::Attested, &Event::Quit), to, "{from:?}");
    }
    let quit = update(S::Cancelling, Proof::Reported).after(&Event::Quit, NOW);
    assert_eq!(quit.map(|quit| quit.completed_at), Ok(Some(NOW)));
}

#[test]
fn it_is_remembered_that_a_device_went_over() {
    let done = Event::Feedback(feedback(Execution::Closed, Finished::Success));
    let failed = Event::Feedback(feedback(Execution::Closed, Finished::Failure));
    for (event, proof, update_type, went_over) in [
        (&done, Proof::Attested, UpdateType::Forced, true),
        (&done, Proof::Reported, UpdateType::Forced, true),
        (&done, Proof::Attested, UpdateType::DownloadOnly, false),
        (&failed, Proof::Attested, UpdateType::Forced, false),
    ] {
        let mut begun = update(UpdateStatus::Installing, proof);
        begun.terms.update_type = update_type;
        assert!(!begun.went_over);
        let after = begun.after(event, NOW).expect("it is taken");
        assert_eq!(after.went_over, went_over, "{proof:?} {update_type:?}");
        let silent = after.after(&Event::DeadlinePassed, Timestamp(120_000));
        assert_eq!(silent.map(|silent| silent.went_over), Ok(went_over));
    }
}

#[test]
fn what_never_began_is_called_back_at_once() {
    let waiting = update(UpdateStatus::WaitingConfirmation, Proof::Reported);
    let ended = waiting.clone().after(&Event::CancelRequested, NOW);
    let ended = ended.expect("it may be called back");
    assert_eq!(
        (ended.status, ended.completed_at),
        (UpdateStatus::Cancelled, Some(NOW))
    );
    let began = Progress {
        started_at: Some(Timestamp(5)),
        ..waiting
    };
    let asked = began.after(&Event::CancelRequested, NOW);
    let asked = asked.expect("it may be called back");
    assert_eq!(
        (asked.status, asked.timeout_at),
        (UpdateStatus::Cancelling, Timestamp(61_000)),
        "the device has the time of an update to answer"
    );
}

#[test]
fn what_is_only_downloaded_ends_there() {
    use Execution as E;
    use Finished as F;
    use UpdateStatus as S;
    for proof in [Proof::Reported, Proof::Attested] {
        for (from, execution, finished, to) in [
            (S::Offered, E::Download, F::None, Ok(S::Downloading)),
            (S::Downloading, E::Downloaded, F::None, Ok(S::Completed)),
            (S::Offered, E::Downloaded, F::None, Ok(S::Completed)),
            (S::Cancelling, E::Downloaded, F::None, Ok(S::Completed)),
            (S::Downloading, E::Closed, F::Success, Ok(S::Completed)),
            (S::Downloading, E::Closed, F::Failure, Ok(S::Failed)),
            (S::Completed, E::Closed, F::Success, Err(Refusal::Closed)),
        ] {
            let mut only = update(from, proof);
            only.terms.update_type = UpdateType::DownloadOnly;
            let event = Event::Feedback(feedback(execution, finished));
            let after = only.after(&event, NOW).map(|after| after.status);
            assert_eq!(after, to, "{from:?} {execution:?} {finished:?}");
        }
    }
}

#[test]
fn silence_ends_an_update_only_when_its_time_is_up() {
    let late = Timestamp(60_000);
    for (from, to) in [
        (UpdateStatus::WaitingConfirmation, UpdateStatus::TimedOut),
        (UpdateStatus::Offered, UpdateStatus::TimedOut),
        (UpdateStatus::Verifying, UpdateStatus::TimedOut),
        (UpdateStatus::Cancelling, UpdateStatus::Cancelled),
        (UpdateStatus::Completed, UpdateStatus::Completed),
        (UpdateStatus::Rejected, UpdateStatus::Rejected),
    ] {
        let progress = update(from, Proof::Reported);
        assert_eq!(
            progress.clone().after(&Event::DeadlinePassed, NOW),
            Ok(progress.clone())
        );
        assert_eq!(
            progress
                .after(&Event::DeadlinePassed, late)
                .map(|p| p.status),
            Ok(to)
        );
    }
}

#[test]
fn a_failure_says_why() {
    let event = Event::Feedback(feedback(Execution::Closed, Finished::Failure));
    let failed = update(UpdateStatus::Installing, Proof::Reported)
        .after(&event, NOW)
        .expect("it may fail");
    let error = failed.error.expect("a failed update has an error");
    assert_eq!(
        (error.code.as_str(), error.message.as_str()),
        ("FAILED", "flash worn out")
    );
    assert_eq!(failed.completed_at, Some(NOW));
}
