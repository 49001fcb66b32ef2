//! The main function of child processes.

use std::process::ExitCode;

use crate::{child_process::ChildRole, compile::compile_child, schema::check_child};

/// Does the work of a child process if the program's arguments name one; `None`: the program is not a child.
///
/// A binary that opens a [`crate::WasmSandbox`] with itself as the program of its [`crate::ChildCommand`] must call this
/// before it starts threads or reads anything.
pub fn run_child() -> Option<ExitCode> {
    let role = std::env::args_os().nth(1)?;
    match role.to_str()?.parse().ok()? {
        ChildRole::CompileComponent => Some(compile_child()),
        ChildRole::CheckConfigs => Some(check_child()),
    }
}
