//! Operators of vectors.

use super::{Operands, OperatorLoop, chains};

/// For each shape of integers: binary operators, unary ones, and those whose result is an `i32`.
const INTEGERS: [(&str, &str, &str, &str); 4] = [
    (
        "i8x16",
        "swizzle eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u narrow_i16x8_s narrow_i16x8_u add add_sat_s add_sat_u \
         sub sub_sat_s sub_sat_u min_s min_u max_s max_u avgr_u",
        "abs neg popcnt",
        "all_true bitmask",
    ),
    (
        "i16x8",
        "eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u q15mulr_sat_s narrow_i32x4_s narrow_i32x4_u add add_sat_s \
         add_sat_u sub sub_sat_s sub_sat_u mul min_s min_u max_s max_u avgr_u extmul_low_i8x16_s extmul_high_i8x16_s \
         extmul_low_i8x16_u extmul_high_i8x16_u",
        "extadd_pairwise_i8x16_s extadd_pairwise_i8x16_u abs neg extend_low_i8x16_s extend_high_i8x16_s \
         extend_low_i8x16_u extend_high_i8x16_u",
        "all_true bitmask",
    ),
    (
        "i32x4",
        "eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u add sub mul min_s min_u max_s max_u dot_i16x8_s \
         extmul_low_i16x8_s extmul_high_i16x8_s extmul_low_i16x8_u extmul_high_i16x8_u",
        "extadd_pairwise_i16x8_s extadd_pairwise_i16x8_u abs neg extend_low_i16x8_s extend_high_i16x8_s \
         extend_low_i16x8_u extend_high_i16x8_u",
        "all_true bitmask",
    ),
    (
        "i64x2",
        "eq ne lt_s gt_s le_s ge_s add sub mul extmul_low_i32x4_s extmul_high_i32x4_s extmul_low_i32x4_u \
         extmul_high_i32x4_u",
        "abs neg extend_low_i32x4_s extend_high_i32x4_s extend_low_i32x4_u extend_high_i32x4_u",
        "all_true bitmask",
    ),
];

/// The same for floats.
const FLOATS: [(&str, &str, &str); 2] = [
    (
        "f32x4",
        "eq ne lt gt le ge add sub mul div min max pmin pmax",
        "ceil floor trunc nearest abs neg sqrt convert_i32x4_s convert_i32x4_u demote_f64x2_zero",
    ),
    (
        "f64x2",
        "eq ne lt gt le ge add sub mul div min max pmin pmax",
        "ceil floor trunc nearest abs neg sqrt convert_low_i32x4_s convert_low_i32x4_u promote_low_f32x4",
    ),
];

/// Floats to integers.
const TRUNCATIONS: [(&str, &str); 2] = [
    ("f32x4", "trunc_sat_f32x4_s trunc_sat_f32x4_u"),
    ("f64x2", "trunc_sat_f64x2_s_zero trunc_sat_f64x2_u_zero"),
];

const SHUFFLE: &str = "i8x16.shuffle 0 17 31 4 5 22 23 8 11 10 9 30 13 12 2 16";

pub(super) fn loops() -> Vec<OperatorLoop> {
    let mut loops = Vec::new();
    let bits = [bits()];
    for (shape, binary, unary, to_i32) in INTEGERS {
        loops.extend(operators(shape, binary, unary, &bits, "v128.xor"));
        for operator in to_i32.split_whitespace() {
            let name = format!("{shape}.{operator}");
            let step = format!("{name} i32x4.splat");
            loops.extend(chains(&name, &step, &bits, "v128.xor"));
        }
        for operator in ["shl", "shr_s", "shr_u"] {
            let name = format!("{shape}.{operator}");
            loops.extend(chains(
                &name,
                &format!("local.get $n {name}"),
                &bits,
                "v128.xor",
            ));
        }
        loops.extend(lanes(shape, &bits));
    }
    for (shape, binary, unary) in FLOATS {
        let mix = format!("{shape}.mul");
        loops.extend(operators(shape, binary, unary, &floats(shape), &mix));
        // Lanes that are integers.
        loops.extend(operators(shape, "", unary, &bits, "v128.xor"));
        loops.extend(lanes(shape, &floats(shape)));
    }
    for (shape, truncations) in TRUNCATIONS {
        loops.extend(operators(
            "i32x4",
            "",
            truncations,
            &floats(shape),
            "v128.xor",
        ));
        loops.extend(operators("i32x4", "", truncations, &bits, "v128.xor"));
    }
    loops.extend(of_bits(&bits));
    loops
}

/// Any bits: each lane differs.
fn bits() -> Operands {
    let constant = |words: &str| format!("v128.const i32x4 {words}");
    Operands {
        what: "any bits",
        ty: "v128",
        acc: constant("0x87654321 0x13579bdf 0xfedcba98 0x2468ace0"),
        b: constant("0x01020304 0x85060708 0x090a8b0c 0x0d0e0f80"),
        c: constant("0x4b1d93c7 0x4f00ba11 0xc49a25e3 0x7fb0d1ce"),
    }
}

fn floats(shape: &'static str) -> Vec<Operands> {
    let (denormal, root) = match shape {
        "f32x4" => ("1e-40", "1e-20"),
        _ => ("1e-310", "1e-155"),
    };
    vec![
        Operands::splat(shape, "normal", ["1.5", "1.0001", "0.75"]),
        Operands::splat(shape, "denormal", [denormal, "1", root]),
        Operands::splat(shape, "not a number", ["nan", "1", "1"]),
    ]
}

fn operators(
    shape: &str,
    binary: &str,
    unary: &str,
    sets: &[Operands],
    mix: &str,
) -> Vec<OperatorLoop> {
    let mut loops = Vec::new();
    for operator in binary.split_whitespace() {
        let name = format!("{shape}.{operator}");
        loops.extend(chains(
            &name,
            &format!("local.get $v128b {name}"),
            sets,
            mix,
        ));
    }
    for operator in unary.split_whitespace() {
        let name = format!("{shape}.{operator}");
        loops.extend(chains(&name, &name, sets, mix));
    }
    loops
}

/// Lanes out of a vector, into it, and into all lanes.
fn lanes(shape: &str, sets: &[Operands]) -> Vec<OperatorLoop> {
    let scalar = match shape {
        "i8x16" | "i16x8" => "i32",
        other => &other[..3],
    };
    let extracts: &[&str] = match shape {
        "i8x16" | "i16x8" => &["extract_lane_s", "extract_lane_u"],
        _ => &["extract_lane"],
    };
    let mut loops = Vec::new();
    for extract in extracts {
        let name = format!("{shape}.{extract} and {shape}.splat");
        let step = format!("{shape}.{extract} 1 {shape}.splat");
        loops.extend(chains(&name, &step, sets, "v128.xor"));
        let name = format!("{shape}.{extract} and {shape}.replace_lane");
        let step =
            format!("local.tee $v128 local.get $v128 {shape}.{extract} 1 {shape}.replace_lane 0");
        loops.extend(chains(&name, &step, sets, "v128.xor"));
    }
    let name = format!("{shape}.replace_lane");
    let step = format!("local.get ${scalar} {name} 1");
    loops.extend(chains(&name, &step, sets, "v128.xor"));
    loops
}

/// Operators of 128 bits.
fn of_bits(sets: &[Operands]) -> Vec<OperatorLoop> {
    let mut loops = operators("v128", "and andnot or xor", "not", sets, "v128.xor");
    for (name, step) in [
        (
            "v128.bitselect",
            "local.get $v128b local.get $v128c v128.bitselect",
        ),
        ("v128.any_true", "v128.any_true i32x4.splat"),
        ("v128.const", "v128.const i64x2 1 2 i64x2.add"),
        (
            "v128: select",
            "local.set $v128 local.get $v128b local.get $v128 local.get $v128 i32x4.extract_lane 1 select (result v128)",
        ),
    ] {
        loops.extend(chains(name, step, sets, "v128.xor"));
    }
    let shuffle = format!("local.get $v128b {SHUFFLE}");
    loops.extend(chains("i8x16.shuffle", &shuffle, sets, "v128.xor"));
    let itself = format!("local.tee $v128 local.get $v128 {SHUFFLE}");
    loops.extend(chains("i8x16.shuffle of one", &itself, sets, "v128.xor"));
    loops
}
