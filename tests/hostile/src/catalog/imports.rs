//! Forbidden imports, other versions of the contract, and other worlds.

use anyhow::Result;

use super::{HostileCase, accepted, component_text, custom_section, rejected};
use crate::build::{Hooks, World};

/// Interfaces that no plugin may import.
const FORBIDDEN: [&str; 12] = [
    "wasi:clocks/monotonic-clock@0.2.3",
    "wasi:clocks/wall-clock@0.2.0",
    "wasi:random/random@0.2.0",
    "wasi:cli/environment@0.2.0",
    "wasi:filesystem/preopens@0.2.0",
    "wasi:sockets/network@0.2.0",
    "wasi:http/outgoing-handler@0.2.0",
    "wasi:io/streams@0.2.0",
    "acme:tools/clock@1.0.0",
    "tidegate:host/secrets@1.0.0",
    "tidegate:plugin/log",
    "tidegate:plugin/meta@1.0.0",
];

pub(super) fn cases() -> Result<Vec<HostileCase>> {
    let mut cases = Vec::new();
    for name in FORBIDDEN {
        let component = component_text(&format!("(component (import \"{name}\" (instance)))"));
        cases.push(rejected(
            format!("it imports {name}"),
            component,
            &format!("it imports `{name}`"),
        )?);
    }
    for (version, name) in [
        ("1.1.0", "a later"),
        ("0.9.0", "an earlier"),
        ("2.0.0", "the next major"),
        ("1.0.0-rc.1", "an unfinished"),
    ] {
        let component = component_text(&format!(
            "(component (import \"tidegate:plugin/log@{version}\" (instance)))"
        ));
        cases.push(rejected(
            format!("it imports the log of {name} version"),
            component,
            &format!("version {version} of the contract"),
        )?);
        let whole = Hooks::default().component_for(&format!("@{version}"));
        cases.push(rejected(
            format!("it is built for {name} version"),
            whole,
            &format!("version {version} of the contract"),
        )?);
    }
    cases.push(accepted(
        "it is built for a later patch",
        Hooks::default().component_for("@1.0.9"),
    )?);
    cases.extend(kinds_of_imports()?);
    cases.extend(worlds()?);
    cases.extend(shapes()?);
    Ok(cases)
}

/// Imports that are no instances, or that an honest plugin has in addition.
fn kinds_of_imports() -> Result<Vec<HostileCase>> {
    let clock = Hooks::default()
        .contract(
            "world strategy {",
            "world strategy { import clock: interface { now: func() -> u64; }",
        )
        .imports("(import \"clock\" \"now\" (func (result i64)))");
    let line = "line: func(text: string);";
    let second = Hooks::default()
        .contract(line, "line: func(text: string); now: func() -> u64;")
        .imports("(import \"tidegate:plugin/log@1.0.0\" \"now\" (func (result i64)))");
    let answering = Hooks::default()
        .contract(line, "line: func(text: string); read: func(text: string);")
        .imports("(import \"tidegate:plugin/log@1.0.0\" \"read\" (func (param i32 i32)))");
    [
        rejected("it imports a function", component_text("(component (import \"line\" (func)))"), "it imports `line`"),
        rejected("it imports the log as a function", component_text("(component (import \"tidegate:plugin/log@1.0.0\" (func)))"), "it imports `tidegate:plugin/log@1.0.0`"),
        rejected("it imports a core module", component_text("(component (import \"code\" (core module)))"), "it imports `code`"),
        rejected("it imports a component", component_text("(component (import \"part\" (component)))"), "it imports `part`"),
        rejected("it imports a type", component_text("(component (import \"handle\" (type (sub resource))))"), "it imports `handle`"),
        rejected("an honest plugin imports a clock", clock.component(), "it imports `clock`"),
        rejected("the log has a clock", second.component(), "`now`"),
        rejected("the log has a second function", answering.component(), "`read`"),
        rejected("the log takes bytes", Hooks::default().contract(line, "line: func(text: list<u8>);").component(), "`line`"),
        rejected("the log returns a number", component_text(
            "(component (import \"tidegate:plugin/log@1.0.0\" (instance (export \"line\" (func (param \"text\" string) (result u64)))))
                (instance $i)
                (export \"tidegate:plugin/meta@1.0.0\" (instance $i))
                (export \"tidegate:plugin/health@1.0.0\" (instance $i)))"), "`line`"),
    ]
    .into_iter()
    .collect()
}

/// Components that implement no world, or another one than they say.
fn worlds() -> Result<Vec<HostileCase>> {
    let exporting = |names: &[&str]| {
        let exports = names
            .iter()
            .map(|name| format!("(export \"tidegate:plugin/{name}@1.0.0\" (instance $i))"));
        component_text(&format!(
            "(component (instance $i) {})",
            exports.collect::<String>()
        ))
    };
    let nested = |inner: &str| component_text(&format!("(component (component {inner}))"));
    // The section in which bindings say what a component is.
    let says_strategy = custom_section("component-type:strategy", b"\x01\x02\x03");
    let health = Hooks::of(World::Health).component()?;
    [
        rejected("it exports nothing", component_text("(component)"), "does not export `tidegate:plugin/meta@1.0.0`"),
        rejected("it exports no world", exporting(&["meta"]), "exports none of"),
        rejected("it exports an assignment alone", exporting(&["meta", "assignment"]), "exports none of"),
        rejected("it exports two worlds", exporting(&["meta", "rollout", "health"]), "only one world"),
        rejected("it exports all worlds", exporting(&["meta", "rollout", "health", "compatibility"]), "only one world"),
        rejected("its instances are empty", exporting(&["meta", "health"]), "has no `describe`"),
        rejected("its world is in a nested component", nested("(instance $i) (export \"tidegate:plugin/meta@1.0.0\" (instance $i)) (export \"tidegate:plugin/health@1.0.0\" (instance $i))"), "does not export"),
        rejected("it exports a function under the name of an interface", component_text(
            "(component (core module $m (func (export \"f\"))) (core instance $i (instantiate $m))
                (func $f (canon lift (core func $i \"f\")))
                (export \"tidegate:plugin/meta@1.0.0\" (func $f)))"), "does not export"),
        rejected("it has a start function of the component model", component_text(
            "(component (core module $m (func (export \"f\"))) (core instance $i (instantiate $m))
                (func $f (canon lift (core func $i \"f\"))) (start $f) (instance $e)
                (export \"tidegate:plugin/meta@1.0.0\" (instance $e))
                (export \"tidegate:plugin/health@1.0.0\" (instance $e)))"), "does not compile"),
        accepted("a policy says in a section that it is a strategy", Ok([health, says_strategy].concat())),
        rejected("it is a core module", component_text("(module (memory 1))"), "core module"),
    ]
    .into_iter()
    .collect()
}

/// Components whose functions have other types.
fn shapes() -> Result<Vec<HostileCase>> {
    [
        ("`decide` takes a number", "decide: func(observation: observation)", "decide: func(observation: u32)"),
        ("a decision has a further field", "wake-after: option<milliseconds>,\n", "wake-after: option<milliseconds>,\n priority: u8,\n"),
        ("a decision lacks its sentences", "explain: list<string>,\n        extras: list<attribute>,\n    }\n\n    /// Once at the start", "extras: list<attribute>,\n    }\n\n    /// Once at the start"),
        ("the fields of a release are in another order", "wave: u32,\n        /// How many of the wave's devices", "devices: u64, wave: u32, }\n record unused {\n        /// How many of the wave's devices"),
        ("an outcome has a further case", "fail(string),", "fail(string), restart,"),
        ("`plan` returns no error", "plan: func(input: plan-input) -> result<wave-plan, string>;", "plan: func(input: plan-input) -> result<wave-plan>;"),
        ("a description has a longer number", "state-schema: u32,", "state-schema: u64,"),
    ]
    .into_iter()
    .map(|(name, part, with)| {
        let hooks = Hooks::default().contract(part, with);
        rejected(name, hooks.component(), "type mismatch")
    })
    .collect()
}
