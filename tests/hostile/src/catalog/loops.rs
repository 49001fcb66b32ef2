//! Calls that do not end: fuel ends them.

use anyhow::Result;

use super::{HostileCase, fails};
use crate::build::{Function, Hooks};

const ENDLESS: &str = "(loop $again (br $again)) unreachable";
const OUT_OF_FUEL: &str = "the plugin ran out of fuel";

/// Instructions that cost the host more than an addition, by name.
const EXPENSIVE: [(&str, &str); 22] = [
    (
        "i32.div_u",
        "(local.set $m (i32.sub (i32.const -1) (i32.div_u (local.get $m) (local.get $d))))",
    ),
    (
        "i64.div_s",
        "(local.set $n (i64.sub (i64.const -1) (i64.div_s (local.get $n) (i64.extend_i32_s (local.get $d)))))",
    ),
    (
        "i64.rem_u",
        "(local.set $n (i64.sub (i64.const -1) (i64.rem_u (local.get $n) (i64.extend_i32_s (local.get $d)))))",
    ),
    (
        "f64.div",
        "(local.set $x (f64.add (f64.const 1.5) (f64.div (f64.const 1e5) (local.get $x))))",
    ),
    (
        "f64.sqrt",
        "(local.set $x (f64.add (f64.const 1.5) (f64.sqrt (local.get $x))))",
    ),
    (
        "f32x4.div",
        "(local.set $v (f32x4.div (f32x4.splat (f32.const 1e5)) (local.get $v)))",
    ),
    ("f64x2.sqrt", "(local.set $v (f64x2.sqrt (local.get $v)))"),
    (
        "f64.nearest",
        "(local.set $x (f64.add (f64.const 1.5) (f64.nearest (local.get $x))))",
    ),
    (
        "memory.grow by 0",
        "(drop (memory.grow $memory (i32.const 0)))",
    ),
    (
        "memory.fill",
        "(memory.fill $memory (i32.const 131072) (i32.const 1) (i32.const 131072))",
    ),
    (
        "memory.copy",
        "(memory.copy $memory $memory (i32.const 131072) (i32.const 131073) (i32.const 131071))",
    ),
    (
        "table.grow by 0",
        "(drop (table.grow $many (ref.null func) (i32.const 0)))",
    ),
    (
        "table.fill",
        "(table.fill $many (i32.const 0) (ref.null func) (i32.const 10000))",
    ),
    (
        "table.copy",
        "(table.copy $many $many (i32.const 0) (i32.const 1) (i32.const 9999))",
    ),
    (
        "f64.mul of denormal numbers",
        "(local.set $y (f64.mul (local.get $y) (local.get $z)))",
    ),
    (
        "f64.div of denormal numbers",
        "(local.set $y (f64.div (local.get $y) (local.get $z)))",
    ),
    (
        "memory.fill of nothing",
        "(memory.fill $memory (i32.const 131072) (i32.const 1) (local.get $none))",
    ),
    (
        "memory.copy of nothing",
        "(memory.copy $memory $memory (i32.const 131072) (i32.const 131073) (local.get $none))",
    ),
    (
        "table.init",
        "(table.init $many $elements (i32.const 0) (i32.const 0) (i32.const 1))",
    ),
    ("ref.func", "(drop (ref.func $nothing))"),
    ("elem.drop", "(elem.drop $elements)"),
    (
        "call_indirect",
        "(call_indirect $many (type $nothing) (i32.const 0))",
    ),
];

pub(super) fn cases() -> Result<Vec<HostileCase>> {
    let mut cases = Vec::new();
    for function in Function::ALL {
        cases.push(fails(
            format!("{function:?} never ends"),
            &Hooks::at(function, ENDLESS),
            function,
            "out-of-fuel",
            OUT_OF_FUEL,
        )?);
        let recursion = Hooks::at(function, "(call $deeper (i32.const 1))")
            .extra(include_str!("../../wat/deep-recursion.wat"));
        cases.push(fails(
            format!("{function:?} recurses without end"),
            &recursion,
            function,
            "trap",
            "call stack exhausted",
        )?);
    }
    for function in [Function::Describe, Function::Decide, Function::Evaluate] {
        let after = format!(
            "(func (export \"cabi_post_{}\") (param i32) (loop $again (br $again)))",
            function.export()
        );
        cases.push(fails(
            format!("what follows {function:?} never ends"),
            &Hooks::at(function, format!("(i32.const {})", function.output())).extra(after),
            function,
            "out-of-fuel",
            OUT_OF_FUEL,
        )?);
    }
    for function in [Function::Validate, Function::Plan, Function::Check] {
        let hooks = Hooks::at(function, format!("(i32.const {})", function.output()));
        cases.push(fails(
            format!("the allocation for {function:?} never ends"),
            &hooks.allocate("(loop $again (br $again))"),
            function,
            "out-of-fuel",
            OUT_OF_FUEL,
        )?);
    }
    for (name, start, class, message) in [
        (
            "the start function never ends",
            "(loop $again (br $again))",
            "out-of-fuel",
            OUT_OF_FUEL,
        ),
        (
            "the start function recurses without end",
            "(drop (call $deeper (i32.const 1)))",
            "trap",
            "call stack exhausted",
        ),
        (
            "the start function traps",
            "unreachable",
            "trap",
            "unreachable",
        ),
    ] {
        let start = format!("(func $start {start}) (start $start)");
        let hooks = Hooks::default()
            .extra(include_str!("../../wat/deep-recursion.wat"))
            .extra(start);
        cases.push(fails(name, &hooks, Function::Describe, class, message)?);
    }
    for (instruction, body) in EXPENSIVE {
        // Parameters and variables, which the compiler does not know.
        let function = format!(
            "(type $nothing (func)) (func $nothing) (table $many 10000 funcref) (elem (table $many) (i32.const 0) func $nothing)
             (elem $elements func $nothing)
             (func $expensive (param $d i32) (local $m i32) (local $n i64) (local $x f64) (local $v v128)
                (local $y f64) (local $z f64) (local $none i32)
                (local.set $y (f64.const 1e-310)) (local.set $z (f64.convert_i32_s (i32.sub (local.get $d) (i32.const 2))))
                (local.set $none (i32.sub (local.get $d) (i32.const 3)))
                (local.set $x (f64.const 3)) (local.set $v (f32x4.splat (f32.const 3)))
                (loop $again {body} (br $again)))"
        );
        let hooks = Hooks::default()
            .decide("(call $expensive (i32.const 3)) unreachable")
            .extra(function);
        cases.push(fails(
            format!("a loop of {instruction}"),
            &hooks,
            Function::Decide,
            "out-of-fuel",
            OUT_OF_FUEL,
        )?);
    }
    Ok(cases)
}
