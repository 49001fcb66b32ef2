//! Nothing but the process that compiles, for tests and tools that are not the server themselves.

fn main() -> std::process::ExitCode {
    tidegate_sandbox::compile_child()
}
