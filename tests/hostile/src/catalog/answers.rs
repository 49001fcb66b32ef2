//! Outputs that are too large or malformed.

use anyhow::Result;

use super::{HostileCase, TEXT, answers, fails, output, storing};
use crate::build::{Function, Hooks};

const INVALID: &str = "invalid-answer";
const TOO_LARGE: &str = "answer-too-large";
const OUTSIDE: &str = "out of bounds of memory";

pub(super) fn cases() -> Result<Vec<HostileCase>> {
    let mut cases = Vec::new();
    for function in Function::ALL {
        cases.extend(of_every_function(function)?);
    }
    cases.extend(lists()?);
    cases.extend(discriminants()?);
    cases.extend(allocations()?);
    Ok(cases)
}

/// What the output of every function can do wrong.
fn of_every_function(function: Function) -> Result<Vec<HostileCase>> {
    let at = function.output();
    // The payload of the result; that of `decide` is aligned to 8 bytes.
    let payload = at + if function == Function::Decide { 8 } else { 4 };
    let error = |text: u32, length: u32| [(at, 1), (payload, text), (payload + 4, length)];
    let huge = format!(
        "(drop (memory.grow $memory (i32.const 128))) {}",
        output(function, &error(0, 8 << 20))
    );
    let name = |what: &str| format!("{function:?} returns {what}");
    [
        fails(
            name("an error of 8 MiB"),
            &Hooks::at(function, huge),
            function,
            TOO_LARGE,
            "is larger than",
        ),
        fails(
            name("an error that is not UTF-8"),
            &storing(function, &error(TEXT, 4), b"\xfc\xfd\xfe\xff"),
            function,
            INVALID,
            "utf-8",
        ),
        fails(
            name("an error outside its memory"),
            &storing(function, &error(0x7fff_0000, 1), ""),
            function,
            INVALID,
            OUTSIDE,
        ),
        fails(
            name("an error of 4 GiB"),
            &storing(function, &error(TEXT, u32::MAX), ""),
            function,
            INVALID,
            OUTSIDE,
        ),
        fails(
            name("a result that is neither"),
            &storing(function, &[(at, 2)], ""),
            function,
            INVALID,
            "discriminant",
        ),
        fails(
            name("a misaligned pointer"),
            &Hooks::at(function, format!("(i32.const {})", at + 1)),
            function,
            INVALID,
            "not aligned",
        ),
        fails(
            name("a pointer outside its memory"),
            &Hooks::at(function, "(i32.const -8)"),
            function,
            INVALID,
            OUTSIDE,
        ),
        fails(
            name("an error that clears the screen"),
            &storing(function, &error(TEXT, 4), "\x1b[2J"),
            function,
            "plugin-error",
            r"\u{1b}[2J",
        ),
    ]
    .into_iter()
    .collect()
}

/// Lists whose length is a lie, or whose elements overlap.
fn lists() -> Result<Vec<HostileCase>> {
    use Function::{Assign, Check, Decide, Evaluate, Plan, Validate, Wants};
    let overlapping = Hooks::default().decide(include_str!("../../wat/overlapping-answer.wat"));
    // Each of these lists has 2^29 or 2^28 elements, whose size together is 0 in 32 bits.
    let overflows = [
        (Validate, 20, 0x1000_0000, "errors"),
        (Wants, 340, 0x2000_0000, "attributes"),
        (Plan, 516, 0x0800_0000, "waves"),
        (Decide, 648, 0x1000_0000, "releases"),
        (Decide, 704, 0x2000_0000, "sentences"),
        (Assign, 516, 0x4000_0000, "rows"),
        (Check, 516, 0x4000_0000, "verdicts"),
        (Evaluate, 548, 0x8000_0000, "bytes of state"),
    ];
    let mut cases = vec![
        fails(
            "Decide returns a million sentences that overlap",
            &overlapping,
            Decide,
            TOO_LARGE,
            "is larger than",
        ),
        fails(
            "Decide returns a list at an odd address",
            &storing(Decide, &[(704, TEXT + 1), (708, 1)], ""),
            Decide,
            INVALID,
            "not aligned",
        ),
        fails(
            "Check returns a list at an odd address",
            &storing(Check, &[(516, TEXT + 2)], ""),
            Check,
            INVALID,
            "not aligned",
        ),
        fails(
            "Decide returns a list outside its memory",
            &storing(Decide, &[(704, 0x7fff_0000), (708, 1)], ""),
            Decide,
            INVALID,
            OUTSIDE,
        ),
        fails(
            "Check returns more verdicts than may be copied",
            &Hooks::at(
                Check,
                "(drop (memory.grow $memory (i32.const 400))) (i32.store (i32.const 520) (i32.const 1000000)) (i32.const 512)",
            ),
            Check,
            TOO_LARGE,
            "is larger than",
        ),
    ];
    for (function, at, length, what) in overflows {
        let hooks = storing(
            function,
            &[(function.output(), 0), (at, TEXT), (at + 4, length)],
            "",
        );
        cases.push(fails(
            format!("{function:?} returns {length} {what}"),
            &hooks,
            function,
            INVALID,
            OUTSIDE,
        ));
    }
    cases.into_iter().collect()
}

/// Cases that the contract does not have.
fn discriminants() -> Result<Vec<HostileCase>> {
    use Function::{Assign, Check, Decide, Evaluate, Plan};
    let mut cases = vec![
        // Every number but 0 is true.
        answers(
            "Plan returns 2 as a boolean",
            &storing(Plan, &[(524, 2)], ""),
            Plan,
        ),
        fails(
            "Assign returns an error and rows",
            &storing(Assign, &[(512, 1), (516, TEXT), (520, 3)], "bad"),
            Assign,
            "plugin-error",
            "bad",
        ),
    ];
    for (function, words, what) in [
        (Plan, vec![(808, 6)], "members"),
        (Decide, vec![(656, 6)], "an outcome"),
        (Decide, vec![(656, 3), (660, 3)], "a scope"),
        (Decide, vec![(680, 2)], "a time"),
        (Decide, vec![(656, 1), (668, 2)], "a wave behind a gate"),
        (Check, vec![(800, 3)], "a verdict"),
        (Evaluate, vec![(516, 5)], "a verdict"),
        (Evaluate, vec![(516, 3), (520, 3)], "a scope"),
    ] {
        let name = format!("{function:?} returns {what} of an unknown case");
        cases.push(fails(
            name,
            &storing(function, &words, ""),
            function,
            INVALID,
            "discriminant",
        ));
    }
    cases.into_iter().collect()
}

/// Where inputs are stored.
fn allocations() -> Result<Vec<HostileCase>> {
    let at = |allocate: &str| Hooks::default().allocate(allocate);
    let decide = Function::Decide;
    [
        fails(
            "the allocation is misaligned",
            &at("(return (i32.const 65537))"),
            decide,
            INVALID,
            "not aligned",
        ),
        fails(
            "the allocation is outside the memory",
            &at("(return (i32.const -8))"),
            decide,
            INVALID,
            "beyond end of memory",
        ),
        fails(
            "the allocation traps",
            &at("unreachable"),
            decide,
            "trap",
            "unreachable",
        ),
        answers(
            "all inputs are stored at the same place",
            &at("(return (i32.const 65536))"),
            decide,
        ),
    ]
    .into_iter()
    .collect()
}
