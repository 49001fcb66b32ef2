//! Bounds on answers that hold whatever the campaign is.

use super::bindings::exports::tidegate::plugin::{
    compatibility::Verdict,
    health::HealthAnswer,
    rollout::{Decision, Members, Outcome, WavePlan},
};
use super::bindings::tidegate::plugin::types::HealthVerdict;
use crate::text::REASON_BYTES;

const STATE_BYTES: usize = 64 << 10;
const EXPLAIN_LINES: usize = 16;
const EXPLAIN_LINE_BYTES: usize = 256;
const WHOLE: u16 = 10_000;

type Checked = Result<(), String>;

pub(super) fn plan(plan: &WavePlan) -> Checked {
    plan.waves.iter().enumerate().try_for_each(|(index, wave)| {
        at_most(
            &format!("the name of wave {index}"),
            wave.name.len(),
            REASON_BYTES,
        )?;
        match wave.members {
            Members::Share(share) => basis_points(&format!("the share of wave {index}"), share),
            _ => Ok(()),
        }
    })
}

pub(super) fn decision(decision: &Decision) -> Checked {
    match &decision.outcome {
        Outcome::Hold(text) | Outcome::Fail(text) => reason(text)?,
        Outcome::RollBack(back) => reason(&back.reason)?,
        Outcome::Proceed | Outcome::AwaitOperator(_) | Outcome::Complete => {}
    }
    state(&decision.state)?;
    explain(&decision.explain)
}

pub(super) fn verdicts(verdicts: &[Verdict]) -> Checked {
    verdicts.iter().try_for_each(|verdict| match verdict {
        Verdict::Compatible => Ok(()),
        Verdict::Incompatible(text) => reason(text),
        Verdict::Needs(needs) => {
            at_most("a needed version", needs.version.len(), REASON_BYTES)?;
            reason(&needs.reason)
        }
    })
}

pub(super) fn health(answer: &HealthAnswer) -> Checked {
    match &answer.verdict {
        HealthVerdict::Healthy => {}
        HealthVerdict::Inconclusive(text) | HealthVerdict::Hold(text) => reason(text)?,
        HealthVerdict::RollBack(back) => reason(&back.reason)?,
    }
    basis_points("the confidence", answer.confidence)?;
    state(&answer.state)?;
    explain(&answer.explain)
}

/// One answer for each thing that was asked about.
pub(super) fn as_many(things: &str, asked: usize, answered: usize) -> Checked {
    if asked == answered {
        Ok(())
    } else {
        Err(format!(
            "it was asked about {asked} {things} and answered for {answered}"
        ))
    }
}

fn reason(text: &str) -> Checked {
    at_most("a reason", text.len(), REASON_BYTES)
}

fn state(state: &[u8]) -> Checked {
    at_most("the state", state.len(), STATE_BYTES)
}

fn explain(lines: &[String]) -> Checked {
    if lines.len() > EXPLAIN_LINES {
        return Err(format!(
            "`explain` has {} sentences, and may have {EXPLAIN_LINES}",
            lines.len()
        ));
    }
    lines
        .iter()
        .try_for_each(|line| at_most("a sentence of `explain`", line.len(), EXPLAIN_LINE_BYTES))
}

fn at_most(what: &str, bytes: usize, most: usize) -> Checked {
    if bytes <= most {
        Ok(())
    } else {
        Err(format!("{what} is {bytes} bytes long, and may be {most}"))
    }
}

fn basis_points(what: &str, points: u16) -> Checked {
    if points <= WHOLE {
        Ok(())
    } else {
        Err(format!(
            "{what} is {points} basis points, and may be {WHOLE}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::since_1_0::bindings::exports::tidegate::plugin::rollout::Wave;

    type Fill = fn(&mut Decision, usize);

    fn quiet() -> Decision {
        Decision {
            admissions: Vec::new(),
            outcome: Outcome::Proceed,
            wake_after: None,
            state: Vec::new(),
            explain: Vec::new(),
        }
    }

    #[test]
    fn decisions_are_bounded() {
        assert_eq!(decision(&quiet()), Ok(()));
        let bounds: [(&str, Fill, usize); 4] = [
            ("the state", |d, n| d.state = vec![0; n], STATE_BYTES),
            (
                "a reason",
                |d, n| d.outcome = Outcome::Hold("x".repeat(n)),
                1024,
            ),
            (
                "`explain` has",
                |d, n| d.explain = vec![String::new(); n],
                16,
            ),
            ("a sentence", |d, n| d.explain = vec!["x".repeat(n)], 256),
        ];
        for (starts, fill, most) in bounds {
            let mut answer = quiet();
            fill(&mut answer, most);
            assert_eq!(decision(&answer), Ok(()), "{starts}");
            fill(&mut answer, most + 1);
            let refused = decision(&answer).expect_err("one too many");
            assert!(refused.starts_with(starts), "{refused}");
        }
    }

    #[test]
    fn shares_end_at_the_whole() {
        let share = |points| {
            plan(&WavePlan {
                waves: vec![Wave {
                    name: "canary".to_owned(),
                    members: Members::Share(points),
                }],
                parallel: false,
                dynamic: false,
            })
        };
        assert_eq!(share(10_000), Ok(()));
        assert_eq!(
            share(10_001),
            Err("the share of wave 0 is 10001 basis points, and may be 10000".to_owned())
        );
    }
}
