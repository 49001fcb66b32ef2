//! Proposals of WebAssembly by which calls could differ, or that no supported language needs: they are off.

use anyhow::Result;

use super::{HostileCase, component_text, rejected};

pub(super) fn cases() -> Result<Vec<HostileCase>> {
    let in_module = |body: &str| format!("(core module {body})");
    let rows = [
        (
            "relaxed SIMD",
            in_module(
                "(func (param v128 v128) (result v128) (i8x16.relaxed_swizzle (local.get 0) (local.get 1)))",
            ),
        ),
        (
            "relaxed fused multiplication",
            in_module(
                "(func (param v128) (result v128) (f32x4.relaxed_madd (local.get 0) (local.get 0) (local.get 0)))",
            ),
        ),
        ("a shared memory", in_module("(memory 1 1 shared)")),
        (
            "atomic instructions",
            in_module("(memory 1) (func (drop (i32.atomic.load (i32.const 0))))"),
        ),
        ("a memory of 64 bits", in_module("(memory i64 1)")),
        ("a table of 64 bits", in_module("(table i64 1 funcref)")),
        ("tail calls", in_module("(func $f (return_call $f))")),
        (
            "typed references to functions",
            in_module("(type $t (func)) (func (param (ref $t)) (call_ref $t (local.get 0)))"),
        ),
        (
            "garbage collection",
            in_module("(type $s (struct)) (func (drop (struct.new $s)))"),
        ),
        (
            "references to the host's objects",
            in_module("(func (param externref))"),
        ),
        ("exceptions", in_module("(tag $e) (func (throw $e))")),
        (
            "stack switching",
            in_module("(type $f (func)) (type $c (cont $f)) (func (param (ref null $c)))"),
        ),
        (
            "wide arithmetic",
            in_module("(func (result i64 i64) (i64.mul_wide_u (i64.const 1) (i64.const 2)))"),
        ),
        (
            "pages of another size",
            in_module("(memory 1 (pagesize 1))"),
        ),
        ("futures", "(type (future u8))".to_owned()),
        ("streams", "(type (stream u8))".to_owned()),
        (
            "threads of the component model",
            "(core type $t (func (param i32))) (core func (canon thread.spawn-ref $t))".to_owned(),
        ),
        ("values", "(component (import \"v\" (value u8)))".to_owned()),
    ];
    rows.into_iter()
        .map(|(name, text)| {
            let component = component_text(&format!(
                "(component {text} (instance $i)
                    (export \"tidegate:plugin/meta@1.0.0\" (instance $i))
                    (export \"tidegate:plugin/health@1.0.0\" (instance $i)))"
            ));
            rejected(format!("it uses {name}"), component, "does not compile")
        })
        .collect()
}
