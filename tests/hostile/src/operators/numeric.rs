//! Operators of integers and floats.

use super::{Operands, OperatorLoop, chains};

const INTEGER_BINARY: [&str; 15] = [
    "add", "sub", "mul", "and", "or", "xor", "shl", "shr_s", "shr_u", "rotl", "rotr", "div_s",
    "div_u", "rem_s", "rem_u",
];
const INTEGER_UNARY: [&str; 5] = ["clz", "ctz", "popcnt", "extend8_s", "extend16_s"];
const INTEGER_COMPARISONS: [&str; 10] = [
    "eq", "ne", "lt_s", "lt_u", "gt_s", "gt_u", "le_s", "le_u", "ge_s", "ge_u",
];
const FLOAT_BINARY: [&str; 7] = ["add", "sub", "mul", "div", "min", "max", "copysign"];
const FLOAT_UNARY: [&str; 7] = ["abs", "neg", "ceil", "floor", "trunc", "nearest", "sqrt"];
const FLOAT_COMPARISONS: [&str; 6] = ["eq", "ne", "lt", "gt", "le", "ge"];

pub(super) fn loops() -> Vec<OperatorLoop> {
    let mut loops = Vec::new();
    for ty in ["i32", "i64"] {
        loops.extend(integer_loops(ty));
    }
    for ty in ["f32", "f64"] {
        loops.extend(float_loops(ty));
        for integer in ["i32", "i64"] {
            loops.extend(conversion_loops(ty, integer));
        }
    }
    loops.extend(width_loops());
    loops
}

fn integers(ty: &'static str) -> Vec<Operands> {
    let (large, divisor) = match ty {
        "i32" => ("0x87654321", "0x12345"),
        _ => ("0x8765432187654321", "0x123456789"),
    };
    [
        ("large", "1"),
        ("a small second operand", "3"),
        ("a large second operand", divisor),
    ]
    .map(|(what, b)| Operands::of(ty, what, [large, b, large]))
    .into()
}

fn integer_loops(ty: &'static str) -> Vec<OperatorLoop> {
    let sets = integers(ty);
    let mix = format!("{ty}.xor");
    let (to_i32, from_i32) = match ty {
        "i32" => ("", ""),
        _ => ("i32.wrap_i64", "i64.extend_i32_u"),
    };
    let mut loops = Vec::new();
    for operator in INTEGER_BINARY {
        let name = format!("{ty}.{operator}");
        loops.extend(chains(
            &name,
            &format!("local.get ${ty}b {name}"),
            &sets,
            &mix,
        ));
    }
    let set = &sets[..1];
    for operator in INTEGER_UNARY {
        let name = format!("{ty}.{operator}");
        loops.extend(chains(&name, &name, set, &mix));
    }
    for operator in INTEGER_COMPARISONS {
        let name = format!("{ty}.{operator}");
        let step = format!("local.get ${ty}b {name} {from_i32}");
        loops.extend(chains(&name, &step, set, &mix));
    }
    let eqz = format!("{ty}.eqz");
    loops.extend(chains(&eqz, &format!("{eqz} {from_i32}"), set, &mix));
    let select = format!(
        "local.set ${ty} local.get ${ty}b local.get ${ty}c local.get ${ty} {to_i32} select"
    );
    loops.extend(chains(&format!("{ty}: select"), &select, set, &mix));
    let constant = format!("{ty}.const 12345 {ty}.add");
    loops.extend(chains(&format!("{ty}.const"), &constant, set, &mix));
    loops
}

fn floats(ty: &'static str) -> Vec<Operands> {
    let (denormal, root) = match ty {
        "f32" => ("1e-40", "1e-20"),
        _ => ("1e-310", "1e-155"),
    };
    vec![
        Operands::of(ty, "normal", ["1.5", "1.0001", "0.75"]),
        Operands::of(ty, "denormal", [denormal, "1", root]),
        Operands::of(ty, "not a number", ["nan", "1", "1"]),
    ]
}

fn float_loops(ty: &'static str) -> Vec<OperatorLoop> {
    let sets = floats(ty);
    let mix = format!("{ty}.mul");
    let mut loops = Vec::new();
    for operator in FLOAT_BINARY {
        let name = format!("{ty}.{operator}");
        loops.extend(chains(
            &name,
            &format!("local.get ${ty}b {name}"),
            &sets,
            &mix,
        ));
    }
    for operator in FLOAT_UNARY {
        let name = format!("{ty}.{operator}");
        loops.extend(chains(&name, &name, &sets, &mix));
    }
    for operator in FLOAT_COMPARISONS {
        let name = format!("{ty}.{operator}");
        let step = format!("local.get ${ty}b {name} {ty}.convert_i32_s");
        loops.extend(chains(&name, &step, &sets, &mix));
    }
    let constant = format!("{ty}.const 0.5 {ty}.add");
    loops.extend(chains(&format!("{ty}.const"), &constant, &sets[..1], &mix));
    let select = format!(
        "local.set ${ty} local.get ${ty} local.get ${ty}b local.get ${ty} local.get ${ty}c {ty}.lt select"
    );
    loops.extend(chains(&format!("{ty}: select"), &select, &sets, &mix));
    loops
}

/// Conversions between floats and integers, there and back.
fn conversion_loops(ty: &'static str, integer: &'static str) -> Vec<OperatorLoop> {
    let mut loops = Vec::new();
    for sign in ["s", "u"] {
        // Integers that the float represents, so that the conversion back does not trap.
        let large = match (integer, sign) {
            ("i32", "s") => "0x7fffff00",
            ("i32", _) => "0xffffff00",
            (_, "s") => "0x7fffff0000000000",
            _ => "0xffffff0000000000",
        };
        let sets = [
            Operands::of(integer, "small", ["5", "0", "1"]),
            Operands::of(integer, "large", [large, "0", "0"]),
        ];
        let there = format!("{ty}.convert_{integer}_{sign}");
        for back in ["trunc", "trunc_sat"] {
            let back = format!("{integer}.{back}_{ty}_{sign}");
            let mix = format!("{integer}.xor");
            let step = format!("{there} {back}");
            loops.extend(chains(&format!("{there} and {back}"), &step, &sets, &mix));
        }
        let beyond = [
            Operands::of(ty, "out of range", ["1e30", "0", "1e30"]),
            Operands::of(ty, "below the range", ["-1e30", "0", "-1e30"]),
            Operands::of(ty, "not a number", ["nan", "0", "nan"]),
        ];
        let back = format!("{integer}.trunc_sat_{ty}_{sign}");
        let step = format!("{back} {there}");
        let mix = format!("{ty}.mul");
        loops.extend(chains(&format!("{back} and {there}"), &step, &beyond, &mix));
    }
    if (integer, ty) == ("i32", "f32") || (integer, ty) == ("i64", "f64") {
        let there = format!("{ty}.reinterpret_{integer}");
        let back = format!("{integer}.reinterpret_{ty}");
        let mix = format!("{integer}.xor");
        let step = format!("{there} {back}");
        let sets = &integers(integer)[..1];
        loops.extend(chains(&format!("{there} and {back}"), &step, sets, &mix));
    }
    loops
}

/// Conversions between types of the same kind.
fn width_loops() -> Vec<OperatorLoop> {
    let mut loops = Vec::new();
    for extend in ["i64.extend_i32_s", "i64.extend_i32_u"] {
        let step = format!("i32.wrap_i64 {extend}");
        let name = format!("i32.wrap_i64 and {extend}");
        loops.extend(chains(&name, &step, &integers("i64")[..1], "i64.xor"));
    }
    let extend = "i64.extend32_s";
    loops.extend(chains(extend, extend, &integers("i64")[..1], "i64.xor"));
    let sets = [
        Operands::of("f64", "normal", ["1.5", "1", "1.0001"]),
        Operands::of("f64", "denormal", ["1e-40", "1", "1"]),
        Operands::of("f64", "not a number", ["nan", "1", "1"]),
    ];
    let step = "f32.demote_f64 f64.promote_f32";
    loops.extend(chains(
        "f32.demote_f64 and f64.promote_f32",
        step,
        &sets,
        "f64.mul",
    ));
    loops
}
