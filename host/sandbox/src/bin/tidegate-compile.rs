//! The compiler process alone, for tests and tools that are not the server binary.

fn main() -> std::process::ExitCode {
    tidegate_sandbox::compile_child()
}
