//! A component that is small to send and long to compile.

use std::fmt::Write as _;

use anyhow::Result;

use crate::build::{Hooks, strategy_with};

/// An honest strategy with so many functions beside it, each with so many nested blocks that all branch to one another.
pub fn compile_bomb(functions: u32, blocks: u32) -> Result<Vec<u8>> {
    let mut text = String::new();
    for function in 0..functions {
        write!(
            text,
            "(func (export \"bomb-{function}\") (param i32) (result i32) (local i64 i64 i64 i64)"
        )?;
        for _ in 0..blocks {
            text.push_str("(block ");
        }
        for block in 0..blocks {
            // Every block reads what every other may have written, so nothing can be told apart.
            write!(
                text,
                "(br_if {} (i32.eqz (local.get 0)))
                 (local.set {} (i64.add (local.get {}) (i64.extend_i32_u (local.get 0)))))",
                blocks - block - 1,
                1 + block % 4,
                1 + (block + 1) % 4,
            )?;
        }
        text.push_str("(i32.wrap_i64 (i64.xor (local.get 1) (local.get 2))))\n");
    }
    strategy_with(&Hooks::default().extra(&text))
}

/// A strategy whose code is small, but has so many functions that what a compiler keeps of each adds up.
pub fn many_functions(functions: u32) -> Result<Vec<u8>> {
    let functions = usize::try_from(functions)?;
    strategy_with(&Hooks::default().extra(&"(func)\n".repeat(functions)))
}
