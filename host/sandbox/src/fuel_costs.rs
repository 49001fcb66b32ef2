//! The fuel that each instruction costs.

use wasmtime::OperatorCost;

/// The version of the costs. A change of them is a new version: a call that was recorded with another one is replayed
/// without comparing its fuel.
pub(crate) const FUEL_COSTS: u32 = 3;

/// Sets the cost of operators.
macro_rules! charge {
    ($costs:ident, $units:expr, $($operator:ident)+) => {
        $($costs.$operator = $units;)+
    };
}

/// One unit of fuel per instruction and per byte moved, except for those that take longer: a unit should cost at most
/// 2.5 ns, half of what the default deadline has for each unit of the default fuel. `cargo xtask bench --only fuel`
/// measures all of them.
pub(crate) fn operator_costs() -> OperatorCost {
    let mut costs = OperatorCost::new();
    charge_accesses(&mut costs);
    charge_arithmetic(&mut costs);
    charge_calls_of_the_runtime(&mut costs);
    // Its header checks fuel and deadline.
    costs.Loop = 1;
    costs
}

/// An access that crosses lines or pages takes 3 times as long as others, and one that the second cache has 5 times.
/// What no cache has takes hundreds of nanoseconds, which is left to the deadline.
fn charge_accesses(costs: &mut OperatorCost) {
    charge!(costs, 3,
        I32Load I32Load8S I32Load8U I32Load16S I32Load16U
        I64Load I64Load8S I64Load8U I64Load16S I64Load16U I64Load32S I64Load32U
        F32Load F64Load
        V128Load V128Load8x8S V128Load8x8U V128Load16x4S V128Load16x4U V128Load32x2S V128Load32x2U
        V128Load8Splat V128Load16Splat V128Load32Splat V128Load64Splat V128Load32Zero V128Load64Zero
        V128Load8Lane V128Load16Lane V128Load32Lane V128Load64Lane);
    charge!(costs, 2,
        I32Store I32Store8 I32Store16 I64Store I64Store8 I64Store16 I64Store32 F32Store F64Store
        V128Store V128Store8Lane V128Store16Lane V128Store32Lane V128Store64Lane);
}

/// A multiplication, a division or a root of denormal numbers takes 150 cycles, of whatever width.
fn charge_arithmetic(costs: &mut OperatorCost) {
    charge!(costs, 16, I32DivS I32DivU I32RemS I32RemU I64DivS I64DivU I64RemS I64RemU);
    charge!(costs, 16, F32Mul F64Mul F32x4Mul F64x2Mul);
    charge!(costs, 16, F32Div F32Sqrt F64Div F64Sqrt F64x2Div F64x2Sqrt);
    charge!(costs, 32, F32x4Div F32x4Sqrt);
    charge!(costs, 3,
        F32Ceil F32Floor F32Trunc F32Nearest F64Ceil F64Floor F64Trunc F64Nearest
        F32x4Ceil F32x4Floor F32x4Trunc F32x4Nearest F64x2Ceil F64x2Floor F64x2Trunc F64x2Nearest);
    charge!(costs, 3, F32x4Min F32x4Max F64x2Min F64x2Max);
    charge!(costs, 3,
        I32x4TruncSatF32x4S I32x4TruncSatF32x4U I32x4TruncSatF64x2SZero I32x4TruncSatF64x2UZero);
    charge!(costs, 2, F32Min F32Max F64Min F64Max);
    charge!(costs, 2, F32DemoteF64 F64PromoteF32 F32x4DemoteF64x2Zero F64x2PromoteLowF32x4);
    charge!(costs, 2,
        F32ConvertI64U F64ConvertI64U I64TruncF32U I64TruncF64U I64TruncSatF32U I64TruncSatF64U);
}

/// These leave the compiled code for a function of Wasmtime or of the C library. A fill of no bytes is expensive if its
/// page was never written to. Growing a memory or a table is the most expensive one.
fn charge_calls_of_the_runtime(costs: &mut OperatorCost) {
    charge!(costs, 8, MemoryCopy);
    charge!(costs, 40, MemoryFill);
    charge!(costs, 64, MemoryInit TableInit TableCopy TableFill DataDrop ElemDrop);
    charge!(costs, u8::MAX, RefFunc MemoryGrow TableGrow);
    costs.variable.memory_grow_per_page = u8::MAX;
    costs.variable.table_init_per_element = 8;
}
