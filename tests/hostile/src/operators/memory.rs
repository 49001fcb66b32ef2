//! Loads, stores, and operators of memories.

use super::{LoopEnd, Operands, OperatorLoop};

/// Fields of the module.
pub(super) const FIELDS: &str =
    "(data $passive \"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\")\n";

/// Loads, and what makes an `i32` of their result.
const LOADS: [(&str, &str); 27] = [
    ("i32.load", ""),
    ("i32.load8_s", ""),
    ("i32.load8_u", ""),
    ("i32.load16_s", ""),
    ("i32.load16_u", ""),
    ("i64.load", "i32.wrap_i64"),
    ("i64.load8_s", "i32.wrap_i64"),
    ("i64.load8_u", "i32.wrap_i64"),
    ("i64.load16_s", "i32.wrap_i64"),
    ("i64.load16_u", "i32.wrap_i64"),
    ("i64.load32_s", "i32.wrap_i64"),
    ("i64.load32_u", "i32.wrap_i64"),
    ("f32.load", "i32.reinterpret_f32"),
    ("f64.load", "i64.reinterpret_f64 i32.wrap_i64"),
    ("v128.load", "i32x4.extract_lane 0"),
    ("v128.load8x8_s", "i32x4.extract_lane 0"),
    ("v128.load8x8_u", "i32x4.extract_lane 0"),
    ("v128.load16x4_s", "i32x4.extract_lane 0"),
    ("v128.load16x4_u", "i32x4.extract_lane 0"),
    ("v128.load32x2_s", "i32x4.extract_lane 0"),
    ("v128.load32x2_u", "i32x4.extract_lane 0"),
    ("v128.load8_splat", "i32x4.extract_lane 0"),
    ("v128.load16_splat", "i32x4.extract_lane 0"),
    ("v128.load32_splat", "i32x4.extract_lane 0"),
    ("v128.load64_splat", "i32x4.extract_lane 0"),
    ("v128.load32_zero", "i32x4.extract_lane 0"),
    ("v128.load64_zero", "i32x4.extract_lane 0"),
];

/// Stores and the type of their value.
const STORES: [(&str, &str); 10] = [
    ("i32.store", "i32"),
    ("i32.store8", "i32"),
    ("i32.store16", "i32"),
    ("i64.store", "i64"),
    ("i64.store8", "i64"),
    ("i64.store16", "i64"),
    ("i64.store32", "i64"),
    ("f32.store", "f32"),
    ("f64.store", "f64"),
    ("v128.store", "v128"),
];

/// Nodes of a chain that a core's own caches have.
const NEAR: u32 = 1 << 14;

/// Grows the memory to 62 MiB.
const GROWN: &str = "(drop (memory.grow $memory (i32.const 988)))";
/// Grows it and writes to each of its pages.
const TOUCHED: &str = "(drop (memory.grow $memory (i32.const 988)))
    (local.set $at (i32.const 1048576))
    (loop $touch
      (i32.store (local.get $at) (i32.const 1))
      (br_if $touch (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 4096))) (i32.const 65011712))))
    (local.set $at (i32.const 0))";

pub(super) fn loops() -> Vec<OperatorLoop> {
    let mut loops = cached_loops();
    loops.extend(lane_loops());
    loops.extend(uncached_loops());
    loops.extend(bulk_loops());
    loops.extend(growth_loops());
    loops
}

/// Accesses that the first cache has: of words, across the end of a cache line, across that of a page.
fn cached_loops() -> Vec<OperatorLoop> {
    let mut loops = Vec::new();
    for (what, offset) in [
        ("cached", 196_608),
        ("across lines", 196_669),
        ("across pages", 200_703),
    ] {
        // The memory has zeros there: the result is the next address.
        let zero = Operands::of("i32", what, ["0", "0", "0"]);
        for (load, to_i32) in LOADS {
            let step = format!("{load} offset={offset} {to_i32}");
            loops.push(OperatorLoop::chain(
                format!("{load} {to_i32}, {what}"),
                &zero,
                &step,
            ));
        }
    }
    for (what, offset, stride) in [
        ("cached", 196_608, 16),
        ("across lines", 196_669, 64),
        ("across pages", 196_607, 4096),
    ] {
        for (store, ty) in STORES {
            let name = format!("{store}, {what}");
            let at = (0..16).map(|number| {
                let offset = offset + number * stride;
                format!("i32.const 0 local.get ${ty} {store} offset={offset}\n")
            });
            loops.push(OperatorLoop::new(name, at.collect::<String>()));
        }
    }
    let zero = Operands::of("i32", "", ["0", "0", "0"]);
    let step = "local.set $i32 i32.const 0 local.get $i32 i32.store8 offset=210000
        i32.const 0 i32.load offset=210000";
    loops.push(OperatorLoop::chain(
        "i32.load of a byte that was just stored",
        &zero,
        step,
    ));
    loops.push(OperatorLoop::chain(
        "memory.size",
        &zero,
        "memory.size i32.add",
    ));
    loops
}

/// Loads and stores of one lane.
fn lane_loops() -> Vec<OperatorLoop> {
    let mut loops = Vec::new();
    let zero = Operands::of("v128", "", ["i64x2 0 0", "i64x2 0 0", "i64x2 0 0"]);
    for bits in [8, 16, 32, 64] {
        for (what, offset) in [("cached", 196_608), ("across pages", 200_703)] {
            let load = format!("v128.load{bits}_lane");
            let step =
                format!("local.set $v128 i32.const 0 local.get $v128 {load} offset={offset} 1");
            loops.push(OperatorLoop::chain(format!("{load}, {what}"), &zero, &step));
            let store = format!("v128.store{bits}_lane");
            let body = format!("i32.const 0 local.get $v128 {store} offset={offset} 1\n");
            loops.push(OperatorLoop::repeated(format!("{store}, {what}"), &body, 0));
        }
    }
    loops
}

/// Accesses that miss the caches and the tables of page addresses.
fn uncached_loops() -> Vec<OperatorLoop> {
    let mut loops = Vec::new();
    for (nodes, size) in [(NEAR, "1.8 MiB"), (1 << 17, "15 MiB"), (1 << 19, "59 MiB")] {
        let zero = Operands::of("i32", "", ["1048576", "0", "0"]);
        let name = format!("i32.load, a random chain through {size}");
        let chain = OperatorLoop::chain(name, &zero, "i32.load").set_up(random_chain(nodes));
        loops.push(if nodes == NEAR {
            chain
        } else {
            chain.ended_by(LoopEnd::Deadline)
        });
    }
    for (what, stride) in [("each line", 64), ("a line of each page", 4160)] {
        let next = format!(
            "local.get $at i32.const {} i32.add i32.const 0x1ffffff i32.and local.set $at\n",
            16 * stride
        );
        for (name, body) in [
            (
                "i32.load",
                "local.get $at i32.load offset=# local.get $i32 i32.add local.set $i32\n",
            ),
            (
                "v128.load",
                "local.get $at v128.load offset=# local.get $v128 i64x2.add local.set $v128\n",
            ),
            (
                "i32.store",
                "local.get $at local.get $n i32.store offset=#\n",
            ),
            (
                "v128.store",
                "local.get $at local.get $v128 v128.store offset=#\n",
            ),
        ] {
            let body =
                (0..16).map(|number| body.replace('#', &(1_048_576 + number * stride).to_string()));
            let body = body.collect::<String>();
            let name = format!("{name}, {what} of 32 MiB");
            loops.push(
                OperatorLoop::new(name, body)
                    .first(&next)
                    .set_up(TOUCHED)
                    .ended_by(LoopEnd::Deadline),
            );
        }
    }
    loops
}

/// Makes a cycle of words in random order, each the address of the next one, 112 bytes apart.
fn random_chain(nodes: u32) -> String {
    let last = nodes - 1;
    let address =
        |index: &str| format!("(i32.add (i32.mul {index} (i32.const 112)) (i32.const 1048576))");
    let next = format!(
        "(i32.and (i32.add (i32.mul (local.get $n) (i32.const 1664525)) (i32.const 1013904223)) (i32.const {last}))"
    );
    format!(
        "{GROWN}
         (local.set $n (i32.const 0))
         (loop $fill
           (i32.store {} {})
           (br_if $fill (i32.le_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const {last}))))",
        address("(local.get $n)"),
        address(&next)
    )
}

fn bulk_loops() -> Vec<OperatorLoop> {
    let mut loops = Vec::new();
    for bytes in [0, 1, 16, 64, 1024, 65_536] {
        let set_up = format!("(local.set $n (call $opaque_i32 (i32.const {bytes})))");
        for (name, body) in [
            (
                "memory.fill",
                "i32.const 196608 i32.const 1 local.get $n memory.fill\n",
            ),
            (
                "memory.copy",
                "i32.const 131072 i32.const 196608 local.get $n memory.copy\n",
            ),
            (
                "memory.copy by one byte",
                "i32.const 131072 i32.const 131073 local.get $n memory.copy\n",
            ),
        ] {
            let name = format!("{name}, {bytes} bytes");
            loops.push(OperatorLoop::repeated(name, body, 0).set_up(&set_up));
        }
        if bytes <= 64 {
            let body = "i32.const 196608 i32.const 0 local.get $n memory.init $passive\n";
            let name = format!("memory.init, {bytes} bytes");
            loops.push(OperatorLoop::repeated(name, body, 0).set_up(&set_up));
        }
        let body = format!("i32.const 131072 i32.const 196608 i32.const {bytes} memory.copy\n");
        let name = format!("memory.copy, {bytes} bytes, constant");
        loops.push(OperatorLoop::repeated(name, &body, 0));
        let body = format!("i32.const 131072 i32.const 1 i32.const {bytes} memory.fill\n");
        let name = format!("memory.fill, {bytes} bytes, constant");
        loops.push(OperatorLoop::repeated(name, &body, 0));
    }
    let body = "i32.const 1048576 i32.const 33554433 i32.const 16777216 memory.copy\n";
    loops.push(OperatorLoop::new("memory.copy, 16 MiB", body).set_up(TOUCHED));
    let body = "i32.const 1048576 i32.const 1 i32.const 16777216 memory.fill\n";
    loops.push(OperatorLoop::new("memory.fill, 16 MiB", body).set_up(TOUCHED));
    loops.push(OperatorLoop::repeated(
        "data.drop",
        "data.drop $passive\n",
        0,
    ));
    loops
}

fn growth_loops() -> Vec<OperatorLoop> {
    let refused = "i32.const 2000 memory.grow drop\n";
    let by_nothing = "local.get $at memory.grow drop\n";
    let next_page = "local.get $at i32.const 4096 i32.add local.set $at\n";
    vec![
        OperatorLoop::repeated("memory.grow by 0", by_nothing, 0),
        OperatorLoop::repeated("memory.grow, refused", refused, 0),
        OperatorLoop::new("memory.grow by a page", "i32.const 1 memory.grow drop\n")
            .ended_by(LoopEnd::Rounds(980)),
        OperatorLoop::new(
            "memory.grow by a page that is written to",
            "i32.const 1 memory.grow i32.const 16 i32.shl local.tee $at i32.const 1 i32.store\n",
        )
        .ended_by(LoopEnd::Rounds(980)),
        OperatorLoop::new(
            "i32.store to a fresh page",
            "local.get $at i32.const 1 i32.store offset=262144\n",
        )
        .first(next_page)
        .set_up(GROWN)
        .ended_by(LoopEnd::Rounds(15_700)),
        OperatorLoop::new(
            "i32.load of a fresh page",
            "local.get $at i32.load offset=262144 local.get $i32 i32.add local.set $i32\n",
        )
        .first(next_page)
        .set_up(GROWN)
        .ended_by(LoopEnd::Rounds(15_700)),
    ]
}
