//! Control flow, calls, globals, tables and references.

use std::fmt::Write as _;

use super::{LoopEnd, Operands, OperatorLoop};

/// A new random number in `$i32` for each round.
const RANDOM: &str =
    "local.get $i64 i64.const 6364136223846793005 i64.mul i64.const 1442695040888963407 i64.add
    local.tee $i64 i64.const 32 i64.shr_u i32.wrap_i64 local.set $i32\n";

/// Vectors in the largest frame: 128 KiB.
const FRAME_VECTORS: u32 = 8192;

/// Functions, tables, elements and globals.
pub(super) fn fields() -> String {
    let mut text = String::from(
        "(type $nothing (func))
         (func $first) (func $second) (func $third) (func $fourth)
         (table $many 10000 funcref)
         (elem (table $many) (i32.const 0) func $first $second $third $fourth)
         (elem $passive_elements func $first $second $third $fourth $first $second $third $fourth)
         (global $counter (mut i64) (i64.const 0))
         (global $vector (mut v128) (v128.const i64x2 0 0))
         (func $returns return)\n",
    );
    text.push_str(&holding("$saves", "i64", 16));
    text.push_str(&holding("$frame", "v128", FRAME_VECTORS));
    let many = "i64 ".repeat(32);
    writeln!(text, "(func $parameters (param {many}))").expect("a text grows");
    let values = "i64.const 1 ".repeat(32);
    writeln!(text, "(func $results (result {many}) {values})").expect("a text grows");
    text
}

/// A function that would hold values while it calls another one, if its parameter was not 0.
fn holding(name: &str, ty: &str, values: u32) -> String {
    let mut text = format!(
        "(func {name} (param i32) (local{})\n",
        format!(" {ty}").repeat(values as usize)
    );
    text.push_str("(if (local.get 0) (then\n");
    for value in 1..=values {
        let at = 16 * (value - 1);
        writeln!(
            text,
            "(local.set {value} ({ty}.load offset={at} (i32.const 65536)))"
        )
        .expect("a text grows");
    }
    text.push_str("(call $first)\n");
    for value in 1..=values {
        let at = 16 * (value - 1);
        writeln!(
            text,
            "({ty}.store offset={at} (i32.const 65536) (local.get {value}))"
        )
        .expect("a text grows");
    }
    text.push_str("))) \n");
    text
}

pub(super) fn loops() -> Vec<OperatorLoop> {
    let mut loops = branch_loops();
    loops.extend(call_loops());
    loops.extend(table_loops());
    loops
}

fn repeat(name: &str, body: &str) -> OperatorLoop {
    OperatorLoop::repeated(name, &format!("{body}\n"), 1)
}

fn branch_loops() -> Vec<OperatorLoop> {
    let bit = "local.get $i32 i32.const # i32.shr_u i32.const 1 i32.and";
    let store = "i32.const 0 i32.const 0 i32.store8 offset=210000";
    let targets = "block block block block local.get $i32 i32.const # i32.shr_u i32.const 3 i32.and br_table 0 1 2 3
        end local.get $n i32.const 5 i32.xor local.set $n
        end local.get $n i32.const 3 i32.add local.set $n
        end local.get $n i32.const 7 i32.mul local.set $n
        end";
    vec![
        OperatorLoop::new("br_if", ""),
        repeat("nop and drop", "nop local.get $n drop"),
        repeat("loop", "loop end"),
        repeat("block", "block end"),
        repeat("br", "block br 0 end"),
        repeat(
            "if",
            "local.get $n if local.get $n i32.const 2 i32.add local.set $n end",
        ),
        repeat(
            "else",
            "local.get $at if nop else local.get $n i32.const 2 i32.add local.set $n end",
        ),
        repeat(
            "br_if, not taken",
            &format!("block local.get $at br_if 0 {store} end"),
        ),
        repeat("br_table", &targets.replace('#', "0")),
        repeat("if, at random", &format!("{bit} if {store} end")).first(RANDOM),
        repeat(
            "br_if, at random",
            &format!("block {bit} br_if 0 {store} end"),
        )
        .first(RANDOM),
        repeat("br_table, at random", targets).first(RANDOM),
        repeat(
            "local.set and local.tee",
            "local.get $n local.tee $at local.set $n",
        ),
        repeat(
            "global.get and global.set",
            "global.get $counter i64.const 1 i64.add global.set $counter",
        ),
        repeat("global.set", "local.get $i64 global.set $counter"),
        repeat(
            "global.set of a vector",
            "local.get $v128 global.set $vector",
        ),
    ]
}

fn call_loops() -> Vec<OperatorLoop> {
    let random = "local.get $i32 i32.const # i32.shr_u i32.const 3 i32.and call_indirect $many (type $nothing)";
    let arguments = "local.get $i64 ".repeat(32);
    let drops = "drop ".repeat(32);
    vec![
        repeat("call", "call $first"),
        repeat("call and return", "call $returns"),
        repeat(
            "call, a function that saves registers",
            "local.get $at call $saves",
        ),
        repeat(
            "call, a function with a frame of 128 KiB",
            "local.get $at call $frame",
        )
        .ended_by(LoopEnd::Deadline),
        repeat(
            "call with 32 parameters",
            &format!("{arguments} call $parameters"),
        ),
        repeat("call with 32 results", &format!("call $results {drops}")),
        repeat(
            "call_indirect",
            "local.get $at call_indirect $many (type $nothing)",
        ),
        repeat("call_indirect, at random", random).first(RANDOM),
        repeat(
            "call of log, an empty line",
            "i32.const 1024 i32.const 0 call $line",
        ),
        repeat(
            "call of log, a line of 16 KB",
            "i32.const 1024 i32.const 16000 call $line",
        ),
    ]
}

fn table_loops() -> Vec<OperatorLoop> {
    let zero = Operands::of("i32", "", ["0", "0", "0"]);
    let chain = |name: &str, step: &str| OperatorLoop::chain(name, &zero, step);
    let mut loops = vec![
        chain(
            "table.get",
            "local.get $n table.get $many ref.is_null i32.add",
        ),
        chain(
            "table.get of a null",
            "i32.const 5000 table.get $many ref.is_null i32.add",
        ),
        chain("table.size", "table.size $many i32.add"),
        chain("ref.null", "ref.null func ref.is_null i32.add"),
        chain(
            "ref.func and ref.is_null",
            "ref.func $first ref.is_null i32.add",
        ),
        repeat("ref.func", "ref.func $first drop"),
        repeat("table.set", "local.get $n ref.null func table.set $many"),
        repeat(
            "table.get and table.set",
            "local.get $n local.get $at table.get $many table.set $many",
        ),
        repeat(
            "table.grow by 0",
            "ref.null func local.get $at table.grow $many drop",
        ),
        repeat(
            "table.grow, refused",
            "ref.null func i32.const 20000 table.grow $many drop",
        ),
        OperatorLoop::new(
            "table.grow by 1",
            "ref.null func i32.const 1 table.grow $many drop\n",
        )
        .ended_by(LoopEnd::Rounds(9_000)),
        repeat("elem.drop", "elem.drop $passive_elements"),
    ];
    for elements in [0, 1, 8, 1000, 9999] {
        let set_up = format!("(local.set $n (call $opaque_i32 (i32.const {elements})))");
        for (name, body) in [
            (
                "table.fill",
                "i32.const 0 ref.null func local.get $n table.fill $many",
            ),
            (
                "table.copy",
                "i32.const 0 i32.const 1 local.get $n table.copy $many $many",
            ),
        ] {
            loops.push(repeat(&format!("{name}, {elements} elements"), body).set_up(&set_up));
        }
        if elements <= 8 {
            let body = "i32.const 0 i32.const 0 local.get $n table.init $many $passive_elements";
            loops.push(repeat(&format!("table.init, {elements} elements"), body).set_up(&set_up));
        }
    }
    loops
}
