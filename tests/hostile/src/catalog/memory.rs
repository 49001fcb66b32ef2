//! Memories, tables, instances and other parts beyond the limits.

use anyhow::Result;

use super::{HostileCase, accepted, answers, component_text, fails, leb128, rejected};
use crate::build::{Function, Hooks};

const OUT_OF_MEMORY: &str = "the plugin exceeded its memory limit";

pub(super) fn cases() -> Result<Vec<HostileCase>> {
    let mut cases = growing()?;
    cases.extend(declared()?);
    cases.extend(many()?);
    Ok(cases)
}

/// Plugins that grow while they run.
fn growing() -> Result<Vec<HostileCase>> {
    let grow = |function| Hooks::at(function, include_str!("../../wat/memory-bomb.wat"));
    let fresh_pages = "
        (drop (memory.grow $memory (i32.const 900)))
        (loop $again
          (i32.store8 (local.get $at) (i32.const 1))
          (local.set $at (i32.add (local.get $at) (i32.const 4096)))
          (br_if $again (i32.lt_u (local.get $at) (i32.const 58982400))))
        (i32.const 640)";
    let tables = "
        (loop $again
          (br_if $again (i32.ne (table.grow $many (ref.null func) (i32.const 1000)) (i32.const -1))))
        (i32.const 640)";
    let second = Hooks::default()
        .decide(include_str!("../../wat/many-memories.wat"))
        .extra("(memory $second 0) (memory $third 0) (memory $fourth 0)");
    let allocated = Hooks::default().allocate(
        "(if (i32.eq (memory.grow $memory (i32.const 2000)) (i32.const -1)) (then unreachable))",
    );
    [
        fails(
            "Describe grows its memory without end",
            &grow(Function::Describe),
            Function::Describe,
            "out-of-memory",
            OUT_OF_MEMORY,
        ),
        fails(
            "Decide grows its memory without end",
            &grow(Function::Decide),
            Function::Decide,
            "out-of-memory",
            OUT_OF_MEMORY,
        ),
        fails(
            "Check grows its memory without end",
            &grow(Function::Check),
            Function::Check,
            "out-of-memory",
            OUT_OF_MEMORY,
        ),
        fails(
            "Evaluate grows its memory without end",
            &grow(Function::Evaluate),
            Function::Evaluate,
            "out-of-memory",
            OUT_OF_MEMORY,
        ),
        fails(
            "several memories are too large together",
            &second,
            Function::Decide,
            "out-of-memory",
            OUT_OF_MEMORY,
        ),
        fails(
            "the allocation grows the memory",
            &allocated,
            Function::Decide,
            "out-of-memory",
            OUT_OF_MEMORY,
        ),
        answers(
            "fresh pages are touched, each once",
            &Hooks::default().decide(fresh_pages),
            Function::Decide,
        ),
        answers(
            "a table grows until it is refused",
            &Hooks::default()
                .decide(tables)
                .extra("(table $many 0 funcref)"),
            Function::Decide,
        ),
    ]
    .into_iter()
    .collect()
}

/// Plugins that ask for more before they run.
fn declared() -> Result<Vec<HostileCase>> {
    let with = |extra: &str| Hooks::default().extra(extra).component();
    let memories = "(memory 0)\n".repeat(16);
    let tables = "(table 0 funcref)\n".repeat(65);
    [
        rejected(
            "its second memory has 4 GiB",
            with("(memory 65536)"),
            "does not match the contract",
        ),
        rejected(
            "its second memory has the whole limit",
            with("(memory 1024)"),
            OUT_OF_MEMORY,
        ),
        rejected(
            "it has 17 memories",
            with(&memories),
            "does not match the contract",
        ),
        rejected(
            "it has 65 tables",
            with(&tables),
            "does not match the contract",
        ),
        rejected(
            "its table has 10,000,000 elements",
            with("(table 10000000 funcref)"),
            "does not match the contract",
        ),
        rejected(
            "a data segment is outside its memory",
            with("(data (i32.const 262140) \"12345678\")"),
            "out of bounds memory access",
        ),
        rejected(
            "an element segment is outside its table",
            with("(table 1 funcref) (func $f) (elem (i32.const 1) func $f)"),
            "out of bounds table access",
        ),
        accepted(
            "a data segment has 3 MiB",
            Hooks::default()
                .extra("(memory $big 64)")
                .extra(format!(
                    "(data (memory $big) (i32.const 0) \"{}\")",
                    "x".repeat(3 << 20)
                ))
                .component(),
        ),
        rejected(
            "a data segment has 5 MiB",
            with(&format!("(data \"{}\")", "x".repeat(5 << 20))),
            "`sandbox.component_bytes`",
        ),
        accepted(
            "it has 20,000 data segments",
            with(&"(data \"\\01\")\n".repeat(20_000)),
        ),
    ]
    .into_iter()
    .collect()
}

/// Plugins with many parts.
fn many() -> Result<Vec<HostileCase>> {
    let with = |extra: String| Hooks::default().extra(extra).component();
    let numbered = |count: u32, text: fn(u32) -> String| (0..count).map(text).collect::<String>();
    let health = |parts: &str| {
        component_text(&format!(
            "(component {parts} (instance $i)
                (export \"tidegate:plugin/meta@1.0.0\" (instance $i))
                (export \"tidegate:plugin/health@1.0.0\" (instance $i)))"
        ))
    };
    let instances = |count: usize| {
        let instances = "(core instance (instantiate $m))\n".repeat(count);
        health(&format!("(core module $m) {instances}"))
    };
    let nested = |levels: usize| Ok([health("")?, nested_components(levels)].concat());
    [
        rejected(
            "it has 200,000 globals",
            with("(global i64 (i64.const 0))\n".repeat(200_000)),
            "does not match the contract",
        ),
        accepted(
            "it has 20,000 types",
            with(numbered(20_000, |n| {
                let params = (0..14).map(|bit| if n >> bit & 1 == 1 { "i64 " } else { "i32 " });
                format!("(type (func (param {})))\n", params.collect::<String>())
            })),
        ),
        accepted(
            "it has 20,000 exports",
            with(numbered(20_000, |n| {
                format!("(export \"e{n}\" (func $line))\n")
            })),
        ),
        accepted("it has 5,000 functions", with("(func)\n".repeat(5_000))),
        rejected(
            "it has 65 core instances",
            instances(65),
            "65 core module instances, which exceeds",
        ),
        rejected(
            "it has 5,000 core instances",
            instances(5_000),
            "instances count exceeds",
        ),
        rejected(
            "it has 2,000 core modules",
            health(&"(core module)\n".repeat(2_000)),
            "modules count exceeds",
        ),
        rejected(
            "components are nested 100 levels deep",
            nested(100),
            "has no `describe`",
        ),
        rejected(
            "components are nested 100,000 levels deep",
            nested(100_000),
            "compiling it needed more than",
        ),
    ]
    .into_iter()
    .collect()
}

/// The section of a component that has a component, and so on.
fn nested_components(levels: usize) -> Vec<u8> {
    const HEADER: &[u8] = b"\0asm\x0d\0\x01\0";
    let mut lengths = vec![HEADER.len()];
    for level in 1..levels {
        let inner = lengths[level - 1];
        lengths.push(HEADER.len() + 1 + leb128(inner).len() + inner);
    }
    let sections = lengths.into_iter().rev();
    sections
        .flat_map(|length| [&[4], &leb128(length)[..], HEADER].concat())
        .collect()
}
