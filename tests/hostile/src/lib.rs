//! Hostile plugins, for tests of the plugin sandbox and of the server.
//!
//! Each is a core module in WebAssembly text under `wat/`, wrapped by wit-component with the contract's own WIT, so
//! that no guest toolchain is needed. They share `wat/base.wat`: an honest plugin, of which a hostile one replaces some
//! functions ([`Hooks`]). [`HostilePlugin`] has those that a campaign runs; the catalog ([`HostileKind`]) has all others,
//! each with the step at which the host stops it. [`BusyStrategy`] has those that the host does not stop.

mod bomb;
mod build;
mod busy;
mod catalog;
mod operators;
mod schemas;

pub use bomb::{compile_bomb, many_functions};
pub use build::{Function, Hooks, World, strategy_with};
pub use busy::BusyStrategy;
pub use catalog::{HostileCase, HostileKind, Stage};
pub use operators::{LoopEnd, OperatorLoop, loop_seed, loops_component, operator_loops};
pub use schemas::{DATA_KEYWORDS, doubling_schema, slow_config, slow_schema};

use anyhow::{Context as _, Result};

/// A plugin and what it does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HostilePlugin {
    /// Nothing: it plans one wave of all devices, and completes.
    Honest,
    /// `decide` never ends.
    EndlessLoop,
    /// Instantiation never ends.
    LoopInStart,
    /// `decide` grows its memory until that fails, and then panics.
    MemoryBomb,
    /// `decide` grows several memories, one after the other.
    ManyMemories,
    /// `decide` recurses without end.
    DeepRecursion,
    /// `decide` returns megabytes of text.
    HugeAnswer,
    /// `decide` returns a list of a million strings that all overlap.
    OverlappingAnswer,
    /// `decide` traps without a log line.
    Trap,
    /// `decide` writes a log line and then traps, as a panic does.
    Panic,
    /// `decide` writes log lines without end.
    LogFlood,
    /// `decide` grows its memory by 0 pages without end: little fuel, much work for the host.
    GrowLoop,
    /// `decide` fills megabytes with one instruction, without end.
    FillLoop,
    /// `decide` returns a pointer outside its memory.
    WildPointer,
    /// `decide` returns a string that is not UTF-8.
    BadText,
    /// `decide` releases a billion devices of a wave that does not exist. The output is well-formed.
    InvalidDecision,
    /// `decide` releases a device of wave 1 before wave 0, which is invalid if there are two waves.
    OutOfOrder,
    /// `decide` releases one device of wave 0, and one more as soon as its first policy returns hold.
    ReleasesOnHold,
    /// `decide` releases one device of wave 0 at first, and then completes, even if the device is in flight.
    CompletesInFlight,
    /// `plan` returns a wave with more devices than there are. The output is well-formed.
    InvalidPlan,
    /// `plan` returns a share above 100 %.
    ImpossibleShare,
}

impl HostilePlugin {
    /// All plugins.
    pub const ALL: [Self; 21] = [
        Self::Honest,
        Self::EndlessLoop,
        Self::LoopInStart,
        Self::MemoryBomb,
        Self::ManyMemories,
        Self::DeepRecursion,
        Self::HugeAnswer,
        Self::OverlappingAnswer,
        Self::Trap,
        Self::Panic,
        Self::LogFlood,
        Self::GrowLoop,
        Self::FillLoop,
        Self::WildPointer,
        Self::BadText,
        Self::InvalidDecision,
        Self::OutOfOrder,
        Self::ReleasesOnHold,
        Self::CompletesInFlight,
        Self::InvalidPlan,
        Self::ImpossibleShare,
    ];

    /// Builds the component, a strategy.
    pub fn component(self) -> Result<Vec<u8>> {
        strategy_with(&self.hooks()).with_context(|| format!("build {self:?}"))
    }

    fn hooks(self) -> Hooks {
        let honest = Hooks::default();
        match self {
            Self::Honest => honest,
            Self::EndlessLoop => honest.decide(include_str!("../wat/endless-loop.wat")),
            Self::LoopInStart => honest.extra(include_str!("../wat/loop-in-start.wat")),
            Self::MemoryBomb => honest.decide(include_str!("../wat/memory-bomb.wat")),
            Self::ManyMemories => honest
                .decide(include_str!("../wat/many-memories.wat"))
                .extra("(memory $second 0) (memory $third 0) (memory $fourth 0)"),
            Self::DeepRecursion => honest
                .decide("(call $deeper (i32.const 1))")
                .extra(include_str!("../wat/deep-recursion.wat")),
            Self::HugeAnswer => honest.decide(include_str!("../wat/huge-answer.wat")),
            Self::OverlappingAnswer => honest.decide(include_str!("../wat/overlapping-answer.wat")),
            Self::Trap => honest.decide("unreachable"),
            Self::Panic => honest.decide(include_str!("../wat/panic.wat")),
            Self::LogFlood => honest.decide(include_str!("../wat/log-flood.wat")),
            Self::GrowLoop => honest.decide(include_str!("../wat/grow-loop.wat")),
            Self::FillLoop => honest.decide(include_str!("../wat/fill-loop.wat")),
            Self::WildPointer => honest.decide(include_str!("../wat/wild-pointer.wat")),
            Self::BadText => honest.decide(include_str!("../wat/bad-text.wat")),
            Self::InvalidDecision => honest.decide(include_str!("../wat/invalid-decision.wat")),
            Self::OutOfOrder => honest.decide(include_str!("../wat/out-of-order.wat")),
            Self::ReleasesOnHold => honest.decide(include_str!("../wat/releases-on-hold.wat")),
            Self::CompletesInFlight => {
                honest.decide(include_str!("../wat/completes-in-flight.wat"))
            }
            Self::InvalidPlan => honest.plan(include_str!("../wat/invalid-plan.wat")),
            Self::ImpossibleShare => honest.plan(include_str!("../wat/impossible-share.wat")),
        }
    }
}

/// A component that is valid except for its import of a clock.
pub fn forbidden_import() -> Result<Vec<u8>> {
    let text = r#"(component
        (import "wasi:clocks/monotonic-clock@0.2.3" (instance
            (export "now" (func (result u64))))))"#;
    Ok(wat::parse_str(text)?)
}

/// A component whose `decide` takes a number where the contract has a record.
pub fn wrong_signature() -> Result<Vec<u8>> {
    Hooks::default()
        .contract(
            "decide: func(observation: observation)",
            "decide: func(observation: u32)",
        )
        .component()
}

/// A core module that is not wrapped into a component.
pub fn core_module() -> Result<Vec<u8>> {
    Ok(wat::parse_str("(module (memory 1))")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_plugin_builds() -> Result<()> {
        for hostile in HostilePlugin::ALL {
            assert!(!hostile.component()?.is_empty(), "{hostile:?}");
        }
        forbidden_import()?;
        wrong_signature()?;
        core_module()?;
        compile_bomb(1, 10)?;
        Ok(())
    }
}
