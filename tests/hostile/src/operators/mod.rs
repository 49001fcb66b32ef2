//! A loop for each operator that the sandbox allows, to measure what the server pays for a unit of fuel.
//!
//! One strategy has all of them: the seed of a call of `decide` selects a loop and the number of its rounds
//! ([`loop_seed`]). For any other seed the strategy is honest, so that it can be uploaded.

mod control;
mod memory;
mod numeric;
mod simd;

use std::fmt::Write as _;

use anyhow::Result;

use crate::build::{Hooks, strategy_with};

/// How often a round repeats an operator.
const UNROLLED: usize = 16;
/// The upper 16 bits of a seed that selects a loop.
const MAGIC: u64 = 0xf0e1;
/// Where results are stored, so that the compiler keeps what computes them.
const RESULTS: u32 = 140_000;
const TYPES: [&str; 5] = ["i32", "i64", "f32", "f64", "v128"];

/// What ends a loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoopEnd {
    /// The fuel.
    Fuel,
    /// The deadline: the operator's cost depends on more than the operator.
    Deadline,
    /// It can be repeated this often only.
    Rounds(u32),
}

/// A loop that consists of one operator, as far as possible.
#[derive(Debug, Clone)]
pub struct OperatorLoop {
    /// The operator, its operands, and what it is combined with.
    pub name: String,
    /// What ends it.
    pub end: LoopEnd,
    set_up: String,
    body: String,
}

impl OperatorLoop {
    /// A round of the loop is this body, once.
    fn new(name: impl Into<String>, body: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            end: LoopEnd::Fuel,
            set_up: String::new(),
            body: body.into(),
        }
    }

    /// A round is this body several times. `#` in the body is the number of the repetition times a stride.
    fn repeated(name: impl Into<String>, body: &str, stride: usize) -> Self {
        let body = (0..UNROLLED).map(|number| body.replace('#', &(number * stride).to_string()));
        Self::new(name, body.collect::<String>())
    }

    /// A dependent chain: each step takes the last one's result from the stack and leaves its own.
    fn chain(name: impl Into<String>, operands: &Operands, step: &str) -> Self {
        let Operands { ty, acc, b, c, .. } = operands;
        let body = format!(
            "local.get ${ty}\n{}local.set ${ty}\n",
            format!("{step}\n").repeat(UNROLLED)
        );
        Self::new(name, body).set_up(format!(
            "(local.set ${ty} (call $opaque_{ty} ({acc})))
             (local.set ${ty}b (call $opaque_{ty} ({b})))
             (local.set ${ty}c (call $opaque_{ty} ({c})))"
        ))
    }

    /// Instructions before the loop. Their cost is not the loop's.
    fn set_up(mut self, set_up: impl AsRef<str>) -> Self {
        self.set_up.push_str(set_up.as_ref());
        self
    }

    /// Instructions at the start of each round.
    fn first(mut self, first: &str) -> Self {
        self.body.insert_str(0, first);
        self
    }

    fn ended_by(self, end: LoopEnd) -> Self {
        Self { end, ..self }
    }

    /// The function of the loop.
    fn function(&self, number: usize) -> Result<String> {
        let Self { set_up, body, .. } = self;
        let mut text = format!(
            "(func $loop_{number} (type $loop) (param $rounds i32) (local $at i32) (local $n i32)"
        );
        for ty in TYPES {
            write!(
                text,
                " (local ${ty} {ty}) (local ${ty}b {ty}) (local ${ty}c {ty})"
            )?;
        }
        write!(
            text,
            "\n(local.set $n (call $opaque_i32 (i32.const 3)))\n{set_up}\n(loop $again\n{body}
             (br_if $again (local.tee $rounds (i32.sub (local.get $rounds) (i32.const 1)))))\n"
        )?;
        for ty in TYPES {
            writeln!(text, "({ty}.store (i32.const {RESULTS}) (local.get ${ty}))")?;
        }
        text.push_str("(i32.store (i32.const 140032) (local.get $n)))\n");
        Ok(text)
    }
}

/// A value with which a chain begins, and two others, which the compiler does not know.
struct Operands {
    what: &'static str,
    ty: &'static str,
    acc: String,
    b: String,
    c: String,
}

impl Operands {
    /// Constants of a type of numbers.
    fn of(ty: &'static str, what: &'static str, [acc, b, c]: [&str; 3]) -> Self {
        let constant = |value: &str| format!("{ty}.const {value}");
        Self {
            what,
            ty,
            acc: constant(acc),
            b: constant(b),
            c: constant(c),
        }
    }

    /// Vectors with the same number in each lane.
    fn splat(shape: &str, what: &'static str, [acc, b, c]: [&str; 3]) -> Self {
        let ty = &shape[..3];
        let constant = |value: &str| format!("{shape}.splat ({ty}.const {value})");
        Self {
            what,
            ty: "v128",
            acc: constant(acc),
            b: constant(b),
            c: constant(c),
        }
    }
}

/// The chain of an operator alone, and of the operator and another one, for each of the operands. The compiler
/// simplifies some chains of one operator.
fn chains(name: &str, step: &str, sets: &[Operands], mix: &str) -> Vec<OperatorLoop> {
    let chains = sets.iter().flat_map(|operands| {
        let what = operands.what;
        let mixed = format!("{step}\nlocal.get ${}c {mix}", operands.ty);
        [
            OperatorLoop::chain(format!("{name}, {what}"), operands, step),
            OperatorLoop::chain(format!("{name}, {what}, then {mix}"), operands, &mixed),
        ]
    });
    chains.collect()
}

/// All loops. The first one is the base: a chain of `i32.add`.
pub fn operator_loops() -> Vec<OperatorLoop> {
    let mut loops = numeric::loops();
    loops.extend(simd::loops());
    loops.extend(memory::loops());
    loops.extend(control::loops());
    loops
}

/// A strategy that has these loops.
pub fn loops_component(loops: &[OperatorLoop]) -> Result<Vec<u8>> {
    let mut fields = String::from("(type $loop (func (param i32)))\n");
    for ty in TYPES {
        writeln!(
            fields,
            "(func $opaque_{ty} (param {ty}) (result {ty}) (local.get 0))"
        )?;
    }
    fields.push_str(memory::FIELDS);
    fields.push_str(&control::fields());
    let mut names = String::new();
    for (number, operator_loop) in loops.iter().enumerate() {
        fields.push_str(&operator_loop.function(number)?);
        write!(names, " $loop_{number}")?;
    }
    let count = loops.len();
    writeln!(
        fields,
        "(table $loops {count} funcref) (elem (table $loops) (i32.const 0) func{names})"
    )?;
    let seed = "(i64.load offset=8 (local.get $input))";
    let decide = format!(
        "(block $honest
           (br_if $honest (i64.ne (i64.shr_u {seed} (i64.const 48)) (i64.const {MAGIC})))
           (call_indirect $loops (type $loop) (i32.wrap_i64 {seed})
             (i32.and (i32.wrap_i64 (i64.shr_u {seed} (i64.const 32))) (i32.const 0xffff))))
         (i32.const 640)"
    );
    strategy_with(&Hooks::default().decide(decide).extra(fields))
}

/// The seed of a call that runs a loop, by its place in the component, for a number of rounds.
pub fn loop_seed(number: usize, rounds: u32) -> u64 {
    (MAGIC << 48) | ((number as u64) << 32) | u64::from(rounds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loops_are_a_component() -> Result<()> {
        let loops = operator_loops();
        assert_eq!(loops[0].name, "i32.add, large");
        assert!(!loops_component(&loops)?.is_empty());
        Ok(())
    }
}
