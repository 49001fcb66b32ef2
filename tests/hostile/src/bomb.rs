//! Components that are small but expensive to compile.

use std::fmt::Write as _;

use anyhow::Result;

use crate::build::{Hooks, strategy_with};

/// An honest strategy with additional functions, each with nested blocks that branch to all enclosing blocks.
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
            // Every block reads what every other block may have written, so the compiler cannot simplify them.
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

/// A strategy with little code but so many functions that the compiler's memory for each of them adds up.
pub fn many_functions(functions: u32) -> Result<Vec<u8>> {
    let functions = usize::try_from(functions)?;
    strategy_with(&Hooks::default().extra("(func)\n".repeat(functions)))
}
