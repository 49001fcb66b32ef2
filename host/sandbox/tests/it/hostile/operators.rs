//! `cargo xtask bench --only fuel` measures each operator that plugins can use.

use std::collections::BTreeSet;

use anyhow::Result;
use tidegate_hostile::{loops_component, operator_loops};
use wasmparser::{Parser, Payload};

/// The proposals whose operators plugins can use.
const ALLOWED: [&str; 6] = [
    "mvp",
    "sign_extension",
    "saturating_float_to_int",
    "bulk_memory",
    "reference_types",
    "simd",
];
/// The others, which the engine's configuration turns off.
const REFUSED: [&str; 12] = [
    "custom_descriptors",
    "exceptions",
    "function_references",
    "gc",
    "legacy_exceptions",
    "memory_control",
    "relaxed_simd",
    "shared_everything_threads",
    "stack_switching",
    "tail_call",
    "threads",
    "wide_arithmetic",
];

macro_rules! names {
    ($(@$proposal:ident $operator:ident $({ $($field:ident: $type:ty),* })? => $visit:ident ($($rest:tt)*))*) => {
        /// Each operator with its proposal.
        const OPERATORS: &[(&str, &str)] = &[$((stringify!($proposal), stringify!($operator))),*];
    };
}
wasmparser::for_each_operator!(names);

#[test]
fn every_operator_that_plugins_can_use_is_measured() -> Result<()> {
    let component = loops_component(&operator_loops())?;
    let mut measured = BTreeSet::new();
    for payload in Parser::new(0).parse_all(&component) {
        if let Payload::CodeSectionEntry(body) = payload? {
            for operator in body.get_operators_reader()? {
                let debug = format!("{:?}", operator?);
                let name = debug.split([' ', '{']).next().unwrap_or_default();
                measured.insert(name.to_owned());
            }
        }
    }
    let allowed = OPERATORS
        .iter()
        .filter(|(proposal, _)| ALLOWED.contains(proposal));
    let missing: Vec<_> = allowed
        // Not valid in any proposal.
        .filter(|(_, name)| *name != "TypedSelectMulti" && !measured.contains(*name))
        .collect();
    assert!(missing.is_empty(), "add loops for {missing:?}");
    Ok(())
}

#[test]
fn every_proposal_is_allowed_or_refused() {
    for (proposal, operator) in OPERATORS {
        let is_known = ALLOWED.contains(proposal) || REFUSED.contains(proposal);
        assert!(is_known, "{operator}: is `{proposal}` on?");
    }
}
