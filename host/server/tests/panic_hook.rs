//! A panic with foreign text is one line of the log, or of a command's errors, without characters that act on a terminal.
//!
//! The test starts itself as the program, in which one more thread panics; so it has no test harness.

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    net::TcpListener,
    process::{Child, ChildStdin, Command, ExitCode, Stdio},
    thread,
};

use anyhow::{Context as _, Result};
use serde_json::Value;
use tidegate_core::visible_text::is_harmful;

/// Set in the environment of the program: arguments of the test can be a filter.
const PROGRAM_VAR: &str = "PANIC_HOOK_PROGRAM";
/// What a device may have sent.
const FOREIGN: &str =
    "a\r\n{\"level\":\"INFO\",\"message\":\"forged\"}\u{1b}[2J\u{7}\u{9b}31m\u{202e}é";

fn main() -> ExitCode {
    if let Some(code) = tidegate_sandbox::run_child() {
        return code;
    }
    if std::env::var_os(PROGRAM_VAR).is_some() {
        thread::spawn(panic_after_a_line);
        return tidegate::main();
    }
    let tested = a_panic_of_the_server_is_one_event_of_the_log();
    match tested.and_then(|()| a_panic_of_a_command_is_one_visible_line()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error:?}");
            ExitCode::FAILURE
        }
    }
}

/// Cuts the foreign text within its last character, after a line of standard input.
fn panic_after_a_line() {
    let line = io::stdin().lines().next();
    let cut = FOREIGN.len() - 1;
    drop(line.map(|_| FOREIGN[..cut].to_owned()));
}

fn a_panic_of_the_server_is_one_event_of_the_log() -> Result<()> {
    for format in ["json", "human"] {
        let folder = tempfile::tempdir()?;
        let mut program = Program::start(|command| {
            command.args(["serve", "--listen", "127.0.0.1:0"]);
            command.arg("--data-dir").arg(folder.path().join("data"));
            command.arg("--components").arg(folder.path());
            command.env("TIDEGATE_LOG__FORMAT", format);
        })?;
        program.line_with("listening")?;
        program.panic()?;
        let line = program.line_with("is not a char boundary")?;
        assert!(line.contains("tests/panic_hook.rs:"), "{line}");
        if format == "json" {
            let event: Value = serde_json::from_str(&line).context("the panic is not JSON")?;
            assert_eq!(event["level"], "ERROR", "{line}");
            assert_eq!(event["message"], "thread panicked", "{line}");
            let panic = event["panic"].as_str().context("the panic's message")?;
            assert!(panic.contains(FOREIGN), "{line}");
        } else {
            assert!(line.contains("ERROR"), "{line}");
            assert!(line.contains(r"a\r\n{"), "{line}");
        }
    }
    Ok(())
}

fn a_panic_of_a_command_is_one_visible_line() -> Result<()> {
    let server = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", server.local_addr()?);
    let mut program = Program::start(|command| {
        command.args(["campaign", "list", "--url", &url]);
    })?;
    // The command runs when it has connected.
    let _connection = server.accept()?;
    program.panic()?;
    let line = program.line_with("is not a char boundary")?;
    assert!(
        line.starts_with("error: panicked at ") && line.contains("tests/panic_hook.rs:"),
        "{line}"
    );
    assert!(line.contains(r"\u{1b}[2J\u{7}\u{9b}31m\u{202e}é"), "{line}");
    Ok(())
}

/// The program in a process of its own. It is killed on drop.
struct Program {
    process: Child,
    stdin: ChildStdin,
    lines: io::Lines<BufReader<std::process::ChildStderr>>,
}

impl Program {
    fn start(arguments: impl FnOnce(&mut Command)) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TIDEGATE_")) {
            command.env_remove(name);
        }
        command.env_remove("RUST_BACKTRACE").env_remove("RUST_LOG");
        arguments(&mut command);
        let mut process = command
            .env(PROGRAM_VAR, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        Ok(Self {
            stdin: process.stdin.take().context("its input")?,
            lines: BufReader::new(process.stderr.take().context("its errors")?).lines(),
            process,
        })
    }

    fn panic(&mut self) -> Result<()> {
        Ok(self.stdin.write_all(b"\n")?)
    }

    /// The next line of stderr with this text. No line before it, nor itself, has a harmful character.
    fn line_with(&mut self, text: &str) -> Result<String> {
        for line in &mut self.lines {
            let line = line?;
            assert!(!line.contains(is_harmful), "{line:?}");
            assert!(
                !line.starts_with('{') || line.contains("timestamp"),
                "forged: {line}"
            );
            if line.contains(text) {
                return Ok(line);
            }
        }
        anyhow::bail!("the program ended without `{text}`")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
