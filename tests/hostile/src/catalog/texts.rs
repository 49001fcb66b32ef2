//! Texts that act where they are shown, and log lines.

use std::fmt::Write as _;

use anyhow::Result;

use super::{HostileCase, TEXT, answers, fails, storing};
use crate::build::{Function, Hooks};

/// Characters that clear a terminal, turn the reading direction, and begin a line.
const HARMFUL: [char; 8] = [
    '\u{1b}', '\u{202e}', '\n', '\u{2028}', '\0', '\u{9b}', '\u{2067}', '\r',
];
/// The address of a list with the text as its first element.
const LIST: u32 = TEXT - 64;
/// The length of the text, in bytes.
const LENGTH: u32 = 6;

pub(super) fn cases() -> Result<Vec<HostileCase>> {
    let mut cases = Vec::new();
    for (number, (function, place, words)) in places().into_iter().enumerate() {
        let harmful = HARMFUL[number % HARMFUL.len()];
        let code = format!("U+{:04X}", u32::from(harmful));
        let hooks = storing(function, &words, text(harmful));
        let name = format!("{function:?} returns {code} in {place}");
        cases.push(fails(name, &hooks, function, "invalid-answer", &code)?);
    }
    for harmful in HARMFUL {
        let code = format!("U+{:04X}", u32::from(harmful));
        // Longer than the texts above, so that it is another component.
        let words = [(656, 2), (660, TEXT), (664, LENGTH + 1)];
        let hooks = storing(Function::Decide, &words, text(harmful) + "c");
        cases.push(fails(
            format!("a reason has {code}"),
            &hooks,
            Function::Decide,
            "invalid-answer",
            &code,
        )?);
    }
    cases.extend(log_lines()?);
    Ok(cases)
}

/// A text of [`LENGTH`] bytes with this character.
fn text(harmful: char) -> String {
    let mut text = format!("a{harmful}");
    while text.len() < LENGTH as usize {
        text.push('b');
    }
    text
}

/// A function, a text that it returns, and the words by which the text is stored there.
type Place = (Function, &'static str, Vec<(u32, u32)>);

/// Every text that a function returns.
fn places() -> Vec<Place> {
    use Function::{Check, Decide, Describe, Evaluate, Plan, Validate, Wants};
    // A list with one text, and one with a key or a value.
    let listed = |at: u32| vec![(at, LIST), (at + 4, 1), (LIST, TEXT), (LIST + 4, LENGTH)];
    let valued = |at: u32| {
        // The key is `x-`, in the memory before the list.
        let key = (LIST - 4, 0x2d78);
        vec![
            key,
            (at, LIST),
            (at + 4, 1),
            (LIST, LIST - 4),
            (LIST + 4, 2),
            (LIST + 8, TEXT),
            (LIST + 12, LENGTH),
        ]
    };
    let case =
        |at: u32, number: u32, text: u32| vec![(at, number), (text, TEXT), (text + 4, LENGTH)];
    vec![
        (Describe, "the summary", vec![(276, TEXT), (280, LENGTH)]),
        (Describe, "a key", listed(296)),
        (Describe, "a value", valued(296)),
        (
            Validate,
            "a path",
            vec![(20, LIST), (24, 1), (LIST, TEXT), (LIST + 4, LENGTH)],
        ),
        (
            Validate,
            "a message",
            vec![(20, LIST), (24, 1), (LIST + 8, TEXT), (LIST + 12, LENGTH)],
        ),
        (Wants, "an attribute", listed(340)),
        (Wants, "a metric", listed(348)),
        (Wants, "a fact", listed(356)),
        (Plan, "the name of a wave", vec![(800, TEXT), (804, LENGTH)]),
        (Plan, "a selector", case(808, 2, 816)),
        (Plan, "a device", [vec![(808, 3)], listed(816)].concat()),
        (Plan, "a value", valued(528)),
        (
            Decide,
            "the name of a gate",
            [vec![(668, 0)], case(656, 1, 660)].concat(),
        ),
        (Decide, "the reason of a hold", case(656, 2, 660)),
        (Decide, "the reason of a rollback", case(656, 3, 672)),
        (
            Decide,
            "the reason of the end",
            vec![(664, TEXT), (668, LENGTH)],
        ),
        (Decide, "the reason of a failure", case(656, 5, 660)),
        (Decide, "a sentence", listed(704)),
        (Decide, "a value", valued(712)),
        (Check, "a reason", case(800, 1, 804)),
        (Check, "a needed version", case(800, 2, 804)),
        (Evaluate, "why it is inconclusive", case(516, 1, 520)),
        (Evaluate, "the reason of a hold", case(516, 2, 520)),
        (Evaluate, "the reason of a rollback", case(516, 3, 532)),
        (Evaluate, "a sentence", listed(552)),
        (Evaluate, "a key", listed(560)),
    ]
}

/// Calls of `log`.
fn log_lines() -> Result<Vec<HostileCase>> {
    let decide = Function::Decide;
    let logging = |before: &str, at: u32, length: u32| {
        let mut body = before.to_owned();
        write!(
            body,
            "(call $line (i32.const {at}) (i32.const {length})) (i32.const 640)"
        )
        .expect("a text grows");
        Hooks::default().decide(body)
    };
    let grow = "(drop (memory.grow $memory (i32.const 800)))";
    let flood = Hooks::default().decide(include_str!("../../wat/log-flood.wat"));
    let empty = Hooks::default()
        .decide("(loop $again (call $line (i32.const 0) (i32.const 0)) (br $again)) unreachable");
    [
        fails("lines without end", &flood, decide, "out-of-fuel", ""),
        fails("empty lines without end", &empty, decide, "out-of-fuel", ""),
        answers("a line of 128 KiB", &logging("", TEXT, 128 << 10), decide),
        fails(
            "a line of 50 MiB",
            &logging(grow, 0, 50 << 20),
            decide,
            "answer-too-large",
            "",
        ),
        fails(
            "a line that is not UTF-8",
            &logging("(i32.store (i32.const 0) (i32.const -1))", 0, 4),
            decide,
            "invalid-answer",
            "the contract: invalid utf-8",
        ),
        fails(
            "a line outside the memory",
            &logging("", 0x7fff_0000, 1),
            decide,
            "invalid-answer",
            "the contract: string pointer/length out of bounds",
        ),
        answers(
            "a line of control characters",
            &logging("(i32.store (i32.const 0) (i32.const 0x4a325b1b))", 0, 4),
            decide,
        ),
    ]
    .into_iter()
    .collect()
}
