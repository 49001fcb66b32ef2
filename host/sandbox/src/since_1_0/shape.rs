//! Bounds of outputs that do not depend on the campaign.

use tidegate_core::visible_text::is_harmful;

use super::bindings::exports::tidegate::plugin::{
    compatibility::Verdict,
    health::HealthAnswer,
    meta::{Description, FieldError, Interests},
    rollout::{Decision, Members, Outcome, WavePlan},
};
use super::bindings::tidegate::plugin::types::{Attribute, HealthVerdict};
use crate::limits::MAX_REASON_BYTES;

const MAX_STATE_BYTES: usize = 64 << 10;
const MAX_EXPLAIN_LINES: usize = 16;
const MAX_EXPLAIN_LINE_BYTES: usize = 256;
/// Only the size of the whole answer limits these.
const MAX_FIELD_ERROR_BYTES: usize = usize::MAX;
const MAX_SELECTOR_BYTES: usize = usize::MAX;
const MAX_DEVICE_ID_BYTES: usize = usize::MAX;
const MAX_BASIS_POINTS: u16 = 10_000;
/// Number of attributes, of metrics and of facts that a plugin may want.
const MAX_WANTED_NAMES: usize = 64;
const MAX_WANTED_NAME_BYTES: usize = 128;
/// Extras of one record.
const MAX_EXTRAS: usize = 64;
/// Keys that begin so are the plugin's own.
const OWN_KEY: &str = "x-";

type CheckResult = Result<(), String>;

/// The inspection checks the other fields.
pub(super) fn check_description(description: &Description) -> CheckResult {
    check_text("the summary", &description.summary, MAX_REASON_BYTES)?;
    check_extras(&description.extras)
}

pub(super) fn check_wants(wants: &Interests) -> CheckResult {
    for (what, names) in [
        ("attributes", &wants.attributes),
        ("metrics", &wants.metrics),
        ("facts", &wants.facts),
    ] {
        let is_valid = |name: &String| (1..=MAX_WANTED_NAME_BYTES).contains(&name.len());
        if names.len() > MAX_WANTED_NAMES || !names.iter().all(is_valid) {
            return Err(format!(
                "it may want at most {MAX_WANTED_NAMES} {what}, with names of 1 to {MAX_WANTED_NAME_BYTES} bytes"
            ));
        }
        let check = |name: &String| check_text(what, name, MAX_WANTED_NAME_BYTES);
        names.iter().try_for_each(check)?;
    }
    check_extras(&wants.extras)
}

pub(super) fn check_field_errors(errors: &[FieldError]) -> CheckResult {
    errors.iter().try_for_each(|FieldError { path, message }| {
        check_text("a path of `validate`", path, MAX_FIELD_ERROR_BYTES)?;
        check_text("a message of `validate`", message, MAX_FIELD_ERROR_BYTES)
    })
}

pub(super) fn check_plan(plan: &WavePlan) -> CheckResult {
    plan.waves
        .iter()
        .enumerate()
        .try_for_each(|(index, wave)| {
            check_text(
                &format!("the name of wave {index}"),
                &wave.name,
                MAX_REASON_BYTES,
            )?;
            match &wave.members {
                Members::Share(share) => {
                    check_basis_points(&format!("the share of wave {index}"), *share)
                }
                // An error of it quotes it.
                Members::Selector(selector) => check_text(
                    &format!("the selector of wave {index}"),
                    selector,
                    MAX_SELECTOR_BYTES,
                ),
                Members::Devices(ids) => {
                    let what = format!("a device of wave {index}");
                    let check = |id: &String| check_text(&what, id, MAX_DEVICE_ID_BYTES);
                    ids.iter().try_for_each(check)
                }
                Members::Count(_) | Members::Rest | Members::Custom => Ok(()),
            }?;
            check_extras(&wave.extras)
        })?;
    check_extras(&plan.extras)
}

pub(super) fn check_decision(decision: &Decision) -> CheckResult {
    match &decision.outcome {
        Outcome::Hold(text) | Outcome::Complete(Some(text)) | Outcome::Fail(text) => {
            check_reason(text)?;
        }
        Outcome::RollBack(back) => check_reason(&back.reason)?,
        Outcome::AwaitOperator(gate) => {
            check_text("the name of the gate", &gate.name, MAX_REASON_BYTES)?;
        }
        Outcome::Proceed | Outcome::Complete(None) => {}
    }
    check_state(&decision.state)?;
    check_explain(&decision.explain)?;
    check_extras(&decision.extras)
}

pub(super) fn check_verdicts(verdicts: &[Verdict]) -> CheckResult {
    verdicts.iter().try_for_each(|verdict| match verdict {
        Verdict::Compatible => Ok(()),
        Verdict::Incompatible(text) => check_reason(text),
        Verdict::Needs(needs) => {
            check_text("a needed version", &needs.version, MAX_REASON_BYTES)?;
            check_reason(&needs.reason)
        }
    })
}

pub(super) fn check_health(answer: &HealthAnswer) -> CheckResult {
    match &answer.verdict {
        // The conversion refuses `other`.
        HealthVerdict::Healthy | HealthVerdict::Other(_) => {}
        HealthVerdict::Inconclusive(text) | HealthVerdict::Hold(text) => check_reason(text)?,
        HealthVerdict::RollBack(back) => check_reason(&back.reason)?,
    }
    check_basis_points("the confidence", answer.confidence)?;
    check_state(&answer.state)?;
    check_explain(&answer.explain)?;
    check_extras(&answer.extras)
}

/// This version of the contract defines no keys, so that all others than a plugin's own are mistakes.
fn check_extras(extras: &[Attribute]) -> CheckResult {
    if extras.len() > MAX_EXTRAS {
        let count = extras.len();
        return Err(format!(
            "`extras` has {count} entries; the maximum is {MAX_EXTRAS}"
        ));
    }
    extras.iter().try_for_each(|Attribute { key, value }| {
        check_text("a key of `extras`", key, MAX_WANTED_NAME_BYTES)?;
        check_text("a value of `extras`", value, MAX_REASON_BYTES)?;
        if key.starts_with(OWN_KEY) {
            return Ok(());
        }
        Err(format!(
            "`extras` has the key `{key}`, which this server does not know; a plugin's own keys begin with `{OWN_KEY}`"
        ))
    })
}

/// Checks that the output has one element per element of the input.
pub(super) fn check_count(items: &str, expected: usize, actual: usize) -> CheckResult {
    if expected == actual {
        Ok(())
    } else {
        Err(format!("it has {actual} results for {expected} {items}"))
    }
}

fn check_reason(text: &str) -> CheckResult {
    check_text("a reason", text, MAX_REASON_BYTES)
}

fn check_state(state: &[u8]) -> CheckResult {
    check_length("the state", state.len(), MAX_STATE_BYTES)
}

fn check_explain(lines: &[String]) -> CheckResult {
    if lines.len() > MAX_EXPLAIN_LINES {
        return Err(format!(
            "`explain` has {} sentences; the maximum is {MAX_EXPLAIN_LINES}",
            lines.len()
        ));
    }
    lines
        .iter()
        .try_for_each(|line| check_text("a sentence of `explain`", line, MAX_EXPLAIN_LINE_BYTES))
}

/// Checks a text for people: its length, and that it has no character that acts where it is shown.
fn check_text(what: &str, text: &str, max_bytes: usize) -> CheckResult {
    check_length(what, text.len(), max_bytes)?;
    match text.chars().find(|c| is_harmful(*c)) {
        None => Ok(()),
        Some(c) => Err(format!(
            "{what} has the character U+{:04X}; control and bidirectional characters are not allowed",
            u32::from(c)
        )),
    }
}

fn check_length(what: &str, bytes: usize, max: usize) -> CheckResult {
    if bytes <= max {
        Ok(())
    } else {
        Err(format!("{what} has {bytes} bytes; the maximum is {max}"))
    }
}

fn check_basis_points(what: &str, points: u16) -> CheckResult {
    if points <= MAX_BASIS_POINTS {
        Ok(())
    } else {
        Err(format!(
            "{what} is {points} basis points; the maximum is {MAX_BASIS_POINTS}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::since_1_0::bindings::{
        exports::tidegate::plugin::{
            compatibility::Needs,
            rollout::{Gate, Wave},
        },
        tidegate::plugin::types::{RollBack, Scope},
    };

    type Fill = fn(&mut Decision, usize);

    fn empty_decision() -> Decision {
        Decision {
            releases: Vec::new(),
            outcome: Outcome::Proceed,
            wake_after: None,
            state: Vec::new(),
            explain: Vec::new(),
            extras: Vec::new(),
        }
    }

    fn extra(key: &str, value: &str) -> Attribute {
        Attribute {
            key: key.to_owned(),
            value: value.to_owned(),
        }
    }

    #[test]
    fn extras_are_the_plugins_own_or_known() {
        let check = |extras: Vec<Attribute>| {
            check_decision(&Decision {
                extras,
                ..empty_decision()
            })
        };
        assert_eq!(check(vec![extra("x-score", "0.93"); 64]), Ok(()));
        assert!(check(vec![extra("x-score", "0.93"); 65]).is_err());
        let error = check(vec![extra("priority", "high")]).expect_err("it is unknown");
        assert!(error.contains("`priority`"), "{error}");
    }

    #[test]
    fn wanted_names_are_bounded() {
        let check = |facts: Vec<String>| {
            check_wants(&Interests {
                attributes: Vec::new(),
                metrics: Vec::new(),
                facts,
                extras: Vec::new(),
            })
        };
        assert_eq!(check(vec!["x".repeat(128); 64]), Ok(()));
        assert!(check(vec!["x".repeat(129)]).is_err());
        assert!(check(vec![String::new()]).is_err());
        assert!(check(vec!["x".to_owned(); 65]).is_err());
    }

    #[test]
    fn decisions_are_bounded() {
        assert_eq!(check_decision(&empty_decision()), Ok(()));
        let bounds: [(&str, Fill, usize); 4] = [
            ("the state", |d, n| d.state = vec![0; n], MAX_STATE_BYTES),
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
        for (prefix, fill, max) in bounds {
            let mut output = empty_decision();
            fill(&mut output, max);
            assert_eq!(check_decision(&output), Ok(()), "{prefix}");
            fill(&mut output, max + 1);
            let error = check_decision(&output).expect_err("one too many");
            assert!(error.starts_with(prefix), "{error}");
        }
    }

    #[test]
    fn texts_for_people_have_no_characters_that_act_where_they_are_shown() {
        for c in ['\n', '\t', '\u{1b}', '\u{9b}', '\u{202e}', '\u{2028}'] {
            let text = format!("wa{c}ve");
            let back = || RollBack {
                scope: Scope::Everything,
                reason: text.clone(),
            };
            let decision = |change: &dyn Fn(&mut Decision)| {
                let mut output = empty_decision();
                change(&mut output);
                check_decision(&output)
            };
            let plan = |name: &str, members| {
                check_plan(&WavePlan {
                    waves: vec![Wave {
                        name: name.to_owned(),
                        members,
                        extras: Vec::new(),
                    }],
                    parallel: false,
                    dynamic: false,
                    extras: Vec::new(),
                })
            };
            let health = |verdict, explain| {
                check_health(&HealthAnswer {
                    verdict,
                    confidence: 0,
                    state: Vec::new(),
                    explain,
                    extras: Vec::new(),
                })
            };
            let verdict = |version: &str, reason: &str| {
                check_verdicts(&[Verdict::Needs(Needs {
                    version: version.to_owned(),
                    reason: reason.to_owned(),
                })])
            };
            let description = |change: &dyn Fn(&mut Description)| {
                let mut description = Description {
                    name: "canary".to_owned(),
                    version: "1.0.0".to_owned(),
                    summary: "A summary".to_owned(),
                    // Its texts are escaped where messages quote them: a pattern may have these characters.
                    config_schema: format!("{{\"pattern\": \"{text}\"}}"),
                    state_schema: 1,
                    extras: Vec::new(),
                };
                change(&mut description);
                check_description(&description)
            };
            let wants = |change: &dyn Fn(&mut Interests)| {
                let mut wants = Interests {
                    attributes: Vec::new(),
                    metrics: Vec::new(),
                    facts: Vec::new(),
                    extras: Vec::new(),
                };
                change(&mut wants);
                check_wants(&wants)
            };
            let field_error = |path: &str, message: &str| {
                check_field_errors(&[FieldError {
                    path: path.to_owned(),
                    message: message.to_owned(),
                }])
            };
            assert_eq!(description(&|_| ()), Ok(()));
            for (what, checked) in [
                (
                    "a reason",
                    decision(&|it| it.outcome = Outcome::Hold(text.clone())),
                ),
                (
                    "a reason",
                    decision(&|it| it.outcome = Outcome::Fail(text.clone())),
                ),
                (
                    "a reason",
                    decision(&|it| it.outcome = Outcome::RollBack(back())),
                ),
                (
                    "a sentence of `explain`",
                    decision(&|it| it.explain = vec![text.clone()]),
                ),
                ("the name of wave 0", plan(&text, Members::Rest)),
                (
                    "the selector of wave 0",
                    plan("canary", Members::Selector(text.clone())),
                ),
                (
                    "a device of wave 0",
                    plan(
                        "canary",
                        Members::Devices(vec!["pi-1".to_owned(), text.clone()]),
                    ),
                ),
                (
                    "a reason",
                    health(HealthVerdict::Inconclusive(text.clone()), Vec::new()),
                ),
                (
                    "a reason",
                    health(HealthVerdict::Hold(text.clone()), Vec::new()),
                ),
                (
                    "a reason",
                    health(HealthVerdict::RollBack(back()), Vec::new()),
                ),
                (
                    "a sentence of `explain`",
                    health(HealthVerdict::Healthy, vec![text.clone()]),
                ),
                (
                    "a reason",
                    check_verdicts(&[Verdict::Incompatible(text.clone())]),
                ),
                ("a needed version", verdict(&text, "it is older")),
                ("a reason", verdict("1.0.0", &text)),
                (
                    "the summary",
                    description(&|it| it.summary.clone_from(&text)),
                ),
                (
                    "the name of the gate",
                    decision(&|it| {
                        let name = text.clone();
                        it.outcome = Outcome::AwaitOperator(Gate { name, before: None });
                    }),
                ),
                (
                    "a reason",
                    decision(&|it| it.outcome = Outcome::Complete(Some(text.clone()))),
                ),
                (
                    "a key of `extras`",
                    decision(&|it| it.extras = vec![extra(&text, "")]),
                ),
                (
                    "a value of `extras`",
                    decision(&|it| it.extras = vec![extra("x-a", &text)]),
                ),
                ("metrics", wants(&|it| it.metrics = vec![text.clone()])),
                (
                    "attributes",
                    wants(&|it| it.attributes = vec![text.clone()]),
                ),
                ("facts", wants(&|it| it.facts = vec![text.clone()])),
                ("a path of `validate`", field_error(&text, "is wrong")),
                ("a message of `validate`", field_error("/a", &text)),
            ] {
                let error = checked.expect_err(what);
                let expected = format!("{what} has the character U+{:04X};", u32::from(c));
                assert!(error.starts_with(&expected), "{error}");
                assert!(!error.contains(c), "{error:?}");
            }
        }
    }

    #[test]
    fn shares_are_at_most_10000_basis_points() {
        let share = |points| {
            check_plan(&WavePlan {
                waves: vec![Wave {
                    name: "canary".to_owned(),
                    members: Members::Share(points),
                    extras: Vec::new(),
                }],
                parallel: false,
                dynamic: false,
                extras: Vec::new(),
            })
        };
        assert_eq!(share(10_000), Ok(()));
        assert_eq!(
            share(10_001),
            Err("the share of wave 0 is 10001 basis points; the maximum is 10000".to_owned())
        );
    }
}
