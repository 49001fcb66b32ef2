//! Wasmtime's engines: one compiles in the child process, the other one runs plugins.

use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, WasmFeatures,
};

use crate::{
    fuel_costs::operator_costs,
    limits::{MAX_INSTANCES, MAX_MEMORIES, MAX_MEMORY_BYTES, MAX_TABLE_ELEMENTS, MAX_TABLES},
};

/// Bytes of a memory that stay resident between calls: more than a call of a Rust plugin touches.
const KEEP_RESIDENT: usize = 2 << 20;

/// Disabled proposals: no supported language needs them, and each adds attack surface. Multi-memory stays enabled:
/// composed components, such as those of `QuickJS` and Python, use it.
const DISABLED_FEATURES: WasmFeatures = WasmFeatures::RELAXED_SIMD
    .union(WasmFeatures::MEMORY64)
    .union(WasmFeatures::THREADS)
    .union(WasmFeatures::SHARED_EVERYTHING_THREADS)
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::FUNCTION_REFERENCES)
    .union(WasmFeatures::GC)
    .union(WasmFeatures::GC_TYPES)
    .union(WasmFeatures::EXCEPTIONS)
    .union(WasmFeatures::LEGACY_EXCEPTIONS)
    .union(WasmFeatures::CUSTOM_PAGE_SIZES)
    .union(WasmFeatures::STACK_SWITCHING)
    .union(WasmFeatures::WIDE_ARITHMETIC)
    .union(WasmFeatures::MEMORY_CONTROL)
    .union(WasmFeatures::CM_ASYNC)
    .union(WasmFeatures::CM_ASYNC_STACKFUL)
    .union(WasmFeatures::CM_MORE_ASYNC_BUILTINS)
    .union(WasmFeatures::CM_THREADING)
    .union(WasmFeatures::CM_ERROR_CONTEXT)
    .union(WasmFeatures::CM_VALUES)
    .union(WasmFeatures::CM_NESTED_NAMES)
    .union(WasmFeatures::CM_FIXED_LENGTH_LISTS)
    .union(WasmFeatures::CM_MAP)
    .union(WasmFeatures::CM_GC)
    .union(WasmFeatures::CM64)
    .union(WasmFeatures::CM_IMPLEMENTS);

/// The engine that compiles. It has no instance pool, so it fits the child's address space limit.
pub(crate) fn compiler() -> wasmtime::Result<Engine> {
    Engine::new(&shared_config())
}

/// The engine that runs plugins. Its limit is the number of concurrent calls; each call has its own limit of memory, which
/// may be that of an earlier setting.
pub(crate) fn runner(calls_at_once: usize) -> wasmtime::Result<Engine> {
    let calls = u32::try_from(calls_at_once)?;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(calls)
        .total_core_instances(calls * MAX_INSTANCES)
        .total_memories(calls * MAX_MEMORIES)
        .total_tables(calls * MAX_TABLES)
        .max_core_instances_per_component(MAX_INSTANCES)
        .max_memories_per_component(MAX_MEMORIES)
        .max_tables_per_component(MAX_TABLES)
        .max_memories_per_module(MAX_MEMORIES)
        .max_tables_per_module(MAX_TABLES)
        .table_elements(MAX_TABLE_ELEMENTS)
        .max_memory_size(usize::try_from(MAX_MEMORY_BYTES)?)
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(64 << 10)
        .pagemap_scan(Enabled::Auto);
    let mut config = shared_config();
    config
        .enable_compiler(false)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config)
}

/// The configuration of both engines. If it differed, the runner would refuse the compiler's code.
fn shared_config() -> Config {
    let mut config = Config::new();
    config
        .consume_fuel(true)
        .operator_cost(operator_costs())
        .epoch_interruption(true)
        .concurrency_support(false)
        .cranelift_nan_canonicalization(true)
        .memory_init_cow(true)
        .wasm_multi_memory(true)
        .wasm_features(DISABLED_FEATURES, false);
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compiles a component in the text format.
    fn compiles(text: &str) -> Result<(), String> {
        let bytes = wat::parse_str(text).expect("the text is valid");
        let engine = compiler().expect("the configuration is valid");
        engine
            .precompile_component(&bytes)
            .map(drop)
            .map_err(|error| format!("{error:#}"))
    }

    fn module(body: &str) -> String {
        format!("(component (core module {body}))")
    }

    #[test]
    fn features_of_the_supported_languages_compile() {
        for body in [
            "(memory 1) (memory 1)",
            "(func (result v128) (v128.const i64x2 0 0))",
            "(memory 1) (func (memory.fill (i32.const 0) (i32.const 0) (i32.const 1)))",
            "(func (param i32) (result i32) (i32.extend8_s (local.get 0)))",
            "(func (result i32 i32) (i32.const 1) (i32.const 2))",
            "(table 1 funcref) (func (drop (ref.null func)))",
            "(global i32 (i32.add (i32.const 1) (i32.const 2)))",
            "(func (param f32) (result i32) (i32.trunc_sat_f32_s (local.get 0)))",
        ] {
            assert_eq!(compiles(&module(body)), Ok(()), "{body}");
        }
    }

    #[test]
    fn all_other_proposals_are_refused() {
        for (proposal, text) in [
            (
                "relaxed SIMD",
                module(
                    "(func (param v128 v128) (result v128)
                        (i8x16.relaxed_swizzle (local.get 0) (local.get 1)))",
                ),
            ),
            ("memory64", module("(memory i64 1)")),
            ("table64", module("(table i64 1 funcref)")),
            ("threads", module("(memory 1 1 shared)")),
            (
                "atomics",
                module("(memory 1) (func (drop (i32.atomic.load (i32.const 0))))"),
            ),
            (
                "shared-everything threads",
                module("(global (shared i32) (i32.const 0))"),
            ),
            ("tail calls", module("(func $f (return_call $f))")),
            (
                "function references",
                module("(type $t (func)) (func (param (ref $t)) (call_ref $t (local.get 0)))"),
            ),
            (
                "garbage collection",
                module("(type $s (struct)) (func (drop (struct.new $s)))"),
            ),
            ("externref", module("(func (param externref))")),
            ("exceptions", module("(tag $e) (func (throw $e))")),
            ("legacy exceptions", module("(func try catch_all end)")),
            ("custom page sizes", module("(memory 1 (pagesize 1))")),
            (
                "wide arithmetic",
                module(
                    "(func (result i64 i64)
                        (i64.mul_wide_u (i64.const 1) (i64.const 2)))",
                ),
            ),
            (
                "stack switching",
                module("(type $f (func)) (type $c (cont $f)) (func (param (ref null $c)))"),
            ),
            (
                "asynchronous functions",
                r#"(component (import "f" (func async)))"#.to_owned(),
            ),
            ("futures", "(component (type (future u8)))".to_owned()),
            ("streams", "(component (type (stream u8)))".to_owned()),
            (
                "error contexts",
                "(component (type error-context))".to_owned(),
            ),
            (
                "fixed-length lists",
                "(component (type (list u8 4)))".to_owned(),
            ),
            ("maps", "(component (type (map string u8)))".to_owned()),
        ] {
            assert!(compiles(&text).is_err(), "{proposal}");
        }
    }
}
