//! Strategies that keep the host busy and are not stopped: their decisions are valid, however expensive they are.

use anyhow::{Context as _, Result};

use crate::build::Hooks;

/// A strategy that is expensive in one way. Each decision releases one more device, up to [`BusyStrategy::DEVICES`], and
/// asks for the next one at once, so that its campaign has something to change at every tick.
#[derive(Debug, Clone)]
pub struct BusyStrategy {
    /// What is expensive.
    pub name: &'static str,
    /// Its bytes.
    pub component: Vec<u8>,
}

/// By what is expensive: `$work`, which runs after the decision is stored, and has its input.
const WORK: [(&str, &str); BusyStrategy::KINDS] = [
    (
        "a loop",
        "(local.set $at (i32.const 7000000))
         (loop $again
           (local.set $at (i32.sub (local.get $at) (i32.const 1)))
           (br_if $again (local.get $at)))",
    ),
    (
        "square roots",
        "(local.set $at (i32.const 1500000))
         (loop $again
           (local.set $x (f64.add (f64.const 1.5) (f64.sqrt (local.get $x))))
           (local.set $at (i32.sub (local.get $at) (i32.const 1)))
           (br_if $again (local.get $at)))",
    ),
    (
        "growing by nothing",
        "(local.set $at (i32.const 150000))
         (loop $again
           (drop (memory.grow $memory (i32.const 0)))
           (local.set $at (i32.sub (local.get $at) (i32.const 1)))
           (br_if $again (local.get $at)))",
    ),
    (
        "fresh pages",
        "(local.set $at (call $grown (i32.const 900)))
         (loop $again
           (i32.store8 (local.get $at) (i32.const 1))
           (local.set $at (i32.add (local.get $at) (i32.const 4096)))
           (br_if $again (i32.lt_u (local.get $at) (i32.mul (memory.size $memory) (i32.const 65536)))))",
    ),
    (
        "filling memory",
        "(memory.fill (call $grown (i32.const 500)) (i32.const 1) (i32.const 32000000))",
    ),
    (
        "recursion",
        "(local.set $at (i32.const 1000))
         (loop $again
           (drop (call $deeper (i32.const 2000)))
           (local.set $at (i32.sub (local.get $at) (i32.const 1)))
           (br_if $again (local.get $at)))",
    ),
    (
        "long log lines",
        "(local.set $at (call $grown (i32.const 2)))
         (memory.fill (local.get $at) (i32.const 120) (i32.const 131072))
         (call $line (local.get $at) (i32.const 131072))
         (call $line (local.get $at) (i32.const 131072))
         (call $line (local.get $at) (i32.const 131072))
         (call $line (local.get $at) (i32.const 131072))",
    ),
    (
        // Nothing compresses it, and it is another one after each decision.
        "a large state",
        "(local.set $at (call $grown (i32.const 1)))
         (i32.store (i32.const 696) (local.get $at))
         (i32.store (i32.const 700) (i32.const 65536))
         (i64.store (local.get $at) (i64.load (i32.const 920)))
         (local.set $n (i64.load (i32.const 920)))
         (loop $again
           (local.set $at (i32.add (local.get $at) (i32.const 8)))
           (local.set $n (i64.add
             (i64.mul (local.get $n) (i64.const 6364136223846793005)) (i64.const 1442695040888963407)))
           (i64.store (local.get $at) (local.get $n))
           (br_if $again (i32.lt_u (local.get $at)
             (i32.sub (i32.mul (memory.size $memory) (i32.const 65536)) (i32.const 8)))))",
    ),
    (
        // In one of eight seconds, but not twice in a row: a retry comes two seconds later.
        "traps",
        "(if (i32.and
               (i32.ne (i32.load offset=260 (local.get $input)) (i32.const 0))
               (i64.eq (i64.const 5)
                 (i64.and (i64.const 7) (i64.div_u (i64.load (local.get $input)) (i64.const 1000)))))
           (then unreachable))",
    ),
];

/// The state is the number of released devices; in the input it is at 256.
const RELEASE_ONE_MORE: &str = "
    (func $release_one_more (param $input i32)
      (i64.store (i32.const 920) (i64.const 1))
      (if (i32.load offset=260 (local.get $input))
        (then
          (i64.store (i32.const 920)
            (i64.add (i64.load (i32.load offset=256 (local.get $input))) (i64.const 1)))))
      (if (i64.gt_u (i64.load (i32.const 920)) (i64.const DEVICES))
        (then (i64.store (i32.const 920) (i64.const DEVICES))))
      (i32.store (i32.const 928) (i32.const 0))
      (i64.store (i32.const 936) (i64.load (i32.const 920)))
      (i32.store (i32.const 648) (i32.const 928))
      (i32.store (i32.const 652) (i32.const 1))
      (i32.store (i32.const 656) (i32.const 0))
      (i32.store (i32.const 680) (i32.const 1))
      (i32.store (i32.const 696) (i32.const 920))
      (i32.store (i32.const 700) (i32.const 8)))";

/// The start of this number of new pages, and a recursion of a depth.
const HELPERS: &str = "
    (func $grown (param $pages i32) (result i32)
      (i32.mul (memory.grow $memory (local.get $pages)) (i32.const 65536)))
    (func $deeper (param $depth i32) (result i32)
      (if (result i32) (local.get $depth)
        (then (i32.add
          (call $deeper (i32.sub (local.get $depth) (i32.const 1))) (local.get $depth)))
        (else (i32.const 0))))";

impl BusyStrategy {
    /// The number of strategies.
    pub const KINDS: usize = 9;
    /// Devices of a campaign: a strategy releases no more.
    pub const DEVICES: usize = 40;

    /// Builds all of them.
    pub fn all() -> Result<Vec<Self>> {
        let strategies = WORK.into_iter().map(|(name, work)| {
            let work = format!(
                "(func $work (param $input i32) (local $at i32) (local $n i64) (local $x f64) {work})"
            );
            let release = RELEASE_ONE_MORE.replace("DEVICES", &Self::DEVICES.to_string());
            let hooks = Hooks::default().decide(
                "(call $release_one_more (local.get $input))
                 (call $work (local.get $input))
                 (i32.const 640)",
            );
            let hooks = hooks.extra(release).extra(HELPERS).extra(work);
            let component = hooks.component().with_context(|| format!("build {name}"))?;
            Ok(Self { name, component })
        });
        strategies.collect()
    }
}
