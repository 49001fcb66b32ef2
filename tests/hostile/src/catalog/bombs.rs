//! Components that are small but expensive to compile. They are to be compiled within a second of CPU time.

use anyhow::Result;
use wasm_encoder::{
    BlockType, CodeSection, Function as Code, FunctionSection, Instruction, Module, TypeSection,
    ValType,
};

use super::{HostileCase, leb128, rejected};
use crate::{bomb::compile_bomb, build::Hooks};

const TOO_LONG: &str = "compiling it took more than 1 s of CPU time";

pub(super) fn cases() -> Result<Vec<HostileCase>> {
    [
        rejected(
            "nested blocks with branches to all of them",
            compile_bomb(40, 3_000),
            TOO_LONG,
        ),
        rejected(
            "one huge function",
            with_functions(&[straight_line(1_000_000)]),
            TOO_LONG,
        ),
        rejected(
            "many locals, each changed in each loop",
            with_functions(&vec![many_locals(400, 400); 8]),
            TOO_LONG,
        ),
        rejected(
            "tables of branches",
            with_functions(&vec![branch_tables(1_000); 4]),
            TOO_LONG,
        ),
        rejected(
            "loops nested 10,000 levels deep",
            with_functions(&vec![deep_nesting(10_000); 20]),
            TOO_LONG,
        ),
        rejected(
            "many SIMD instructions",
            with_functions(&vec![simd(24_000); 8]),
            TOO_LONG,
        ),
    ]
    .into_iter()
    .collect()
}

/// An honest plugin with another core module, which has these functions from i32 to i32.
fn with_functions(functions: &[Code]) -> Result<Vec<u8>> {
    let mut types = TypeSection::new();
    types.ty().function([ValType::I32], [ValType::I32]);
    let (mut declared, mut code) = (FunctionSection::new(), CodeSection::new());
    for function in functions {
        declared.function(0);
        code.function(function);
    }
    let mut module = Module::new();
    module.section(&types).section(&declared).section(&code);
    let module = module.finish();
    let mut component = Hooks::default().component()?;
    component.push(1);
    component.extend(leb128(module.len()));
    component.extend(module);
    Ok(component)
}

/// Additions and multiplications, each of the result of the one before it.
fn straight_line(operations: u32) -> Code {
    let mut code = Code::new([]);
    code.instruction(&Instruction::LocalGet(0));
    for number in 0..operations {
        code.instruction(&Instruction::LocalGet(0))
            .instruction(if number % 2 == 0 {
                &Instruction::I32Mul
            } else {
                &Instruction::I32Add
            });
    }
    code.instruction(&Instruction::End);
    code
}

/// Loops within each other that all change all locals: each is a parameter of each block.
fn many_locals(locals: u32, loops: u32) -> Code {
    let mut code = Code::new([(locals, ValType::I32)]);
    for _ in 0..loops {
        code.instruction(&Instruction::Loop(BlockType::Empty));
    }
    for round in 0..loops {
        for local in (1..=locals).step_by(16) {
            code.instruction(&Instruction::LocalGet((local + round) % locals + 1))
                .instruction(&Instruction::LocalGet(0))
                .instruction(&Instruction::I32Add)
                .instruction(&Instruction::LocalSet(local));
        }
        code.instruction(&Instruction::LocalGet(1))
            .instruction(&Instruction::BrIf(0))
            .instruction(&Instruction::End);
    }
    code.instruction(&Instruction::LocalGet(1))
        .instruction(&Instruction::End);
    code
}

/// Blocks, each of which ends with a table of branches to all blocks around it.
fn branch_tables(blocks: u32) -> Code {
    let mut code = Code::new([(4, ValType::I32)]);
    for _ in 0..blocks {
        code.instruction(&Instruction::Block(BlockType::Empty));
    }
    for block in 0..blocks {
        let around = blocks - block;
        let targets: Vec<u32> = (0..around).collect();
        code.instruction(&Instruction::LocalGet(1 + block % 4))
            .instruction(&Instruction::LocalGet(0))
            .instruction(&Instruction::I32Add)
            .instruction(&Instruction::LocalSet(1 + (block + 1) % 4))
            .instruction(&Instruction::LocalGet(1 + block % 4))
            .instruction(&Instruction::BrTable(targets.into(), 0))
            .instruction(&Instruction::End);
    }
    code.instruction(&Instruction::LocalGet(1))
        .instruction(&Instruction::End);
    code
}

/// Loops within each other, with a condition in each.
fn deep_nesting(levels: u32) -> Code {
    let mut code = Code::new([(4, ValType::I32)]);
    for _ in 0..levels {
        code.instruction(&Instruction::Loop(BlockType::Empty));
    }
    for level in 0..levels {
        code.instruction(&Instruction::LocalGet(level % 4))
            .instruction(&Instruction::LocalGet(0))
            .instruction(&Instruction::I32Xor)
            .instruction(&Instruction::LocalTee(1 + level % 4))
            .instruction(&Instruction::BrIf(0))
            .instruction(&Instruction::End);
    }
    code.instruction(&Instruction::LocalGet(1))
        .instruction(&Instruction::End);
    code
}

/// Short instructions that each become many instructions of the processor.
fn simd(rounds: u32) -> Code {
    let mut code = Code::new([(1, ValType::V128)]);
    for _ in 0..rounds {
        code.instruction(&Instruction::LocalGet(1))
            .instruction(&Instruction::I8x16Popcnt)
            .instruction(&Instruction::I32x4TruncSatF64x2UZero)
            .instruction(&Instruction::F64x2ConvertLowI32x4U)
            .instruction(&Instruction::I8x16Popcnt)
            .instruction(&Instruction::I32x4TruncSatF32x4U)
            .instruction(&Instruction::F32x4ConvertI32x4U)
            .instruction(&Instruction::LocalSet(1));
    }
    code.instruction(&Instruction::LocalGet(0))
        .instruction(&Instruction::End);
    code
}
