//! The tutorial for plugin authors, as it is written: its commands and its files make a strategy, which then decides on a
//! campaign.
//!
//! It needs `curl` and a compiler for plugins. `cargo xtask test --only projects` provides them.

use std::{
    env,
    ffi::OsString,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use tidegate_e2e::{Database, Fixture as _, ServerProcess, ServerStorage, run_standalone};
use tokio::{process::Command, time::timeout};

const TUTORIAL: &str = include_str!("../../../../docs/plugins/tutorial.md");

/// The variable with the folder that `cargo xtask test --only projects` prepares.
const PROJECTS: &str = "TIDEGATE_TEST_PLUGIN_PROJECTS";

/// The sections that are followed, by how they begin.
const SECTIONS: [&str; 6] = ["1. ", "2. ", "3. ", "4. ", "5. ", "6. "];
/// The block that is for another terminal.
const SERVE: &str = "tidegate serve --dev --data-dir server\n";
/// The URL of its server.
const URL: &str = "http://127.0.0.1:8080";

/// What an author's shell does not have. The libraries are those of the cargo that started this program.
const FOREIGN_VARIABLES: [&str; 4] = [
    "CARGO_TARGET_DIR",
    "RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "LD_LIBRARY_PATH",
];

/// Far more than the builds take.
const TIME_LIMIT: Duration = Duration::from_mins(10);

#[test]
fn plugin_projects_follow_the_tutorial_word_by_word() -> Result<()> {
    let Some(tools) = env::var_os(PROJECTS) else {
        // Not `eprintln!`: its output is captured.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: the tutorial for plugin authors (run `cargo xtask test --only projects`)"
        );
        return Ok(());
    };
    run_standalone(async || follow_tutorial(Path::new(&tools)).await)
}

async fn follow_tutorial(tools: &Path) -> Result<()> {
    let storage = ServerStorage::set_up(Database::Sqlite).await?;
    let server = ServerProcess::start(&storage)?;
    let author = tempfile::tempdir()?;
    let script = script(author.path(), tools)?
        .replace("curl -s ", "curl -sS --fail-with-body ")
        .replace(URL, &server.url);
    let mut shell = Command::new("bash");
    shell
        .args(["-euxo", "pipefail", "-c", &script])
        .current_dir(author.path())
        .env("PATH", path_with(&tools.join("bin"))?)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    for variable in FOREIGN_VARIABLES {
        shell.env_remove(variable);
    }
    // The program would take it for a setting.
    shell.env_remove(PROJECTS);
    let output = timeout(TIME_LIMIT, shell.output())
        .await
        .context("the tutorial takes too long")?
        .context("run the tutorial")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{text}\n{errors}");
    for part in [
        // The blessed golden has the new waves.
        "\"name\": \"all others\"",
        "the config is valid",
        "robot-3 is updated",
        // The journal has the sentences of the new strategy.
        "Wave 0 'pilot' opens with 1 of 1 devices.",
        "All others may follow in",
        "Wave 1 'all others' opens with 2 of 2 devices.",
    ] {
        ensure!(text.contains(part), "{part} is not in {text}\n{errors}");
    }
    Ok(())
}

/// The commands of the tutorial as one script, which also writes its files.
fn script(folder: &Path, tools: &Path) -> Result<String> {
    let mut script = String::new();
    let mut files = 0;
    let mut serves = 0;
    // An author uses Rust from rustup, or from Debian.
    let has_debian_rust = tools.join("bin/rustc").exists();
    for step in steps()? {
        match step {
            Step::Commands(SERVE) => serves += 1,
            Step::DebianCommands(commands) if has_debian_rust => script += commands,
            Step::DebianCommands(_) => {}
            Step::Commands(commands) => {
                script += commands;
                if commands.starts_with("tidegate plugin new ") {
                    script += &shared_build(tools);
                }
            }
            Step::File { path, text } => {
                let copy = folder.join(format!("file-{files}"));
                fs::write(&copy, text)?;
                // The tutorial replaces files of the project.
                let commands = format!("test -f {path} && cp {} {path}\n", copy.display());
                script += &commands;
                files += 1;
            }
        }
    }
    ensure!(files == 3 && serves == 1, "other steps: {script}");
    Ok(script)
}

/// Commands that share what was built before, and the versions of the crates, with this project.
fn shared_build(tools: &Path) -> String {
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.lock");
    format!(
        "cp {} Cargo.lock\nln -s {} target\n",
        lock.display(),
        tools.join("target").display()
    )
}

fn path_with(folder: &Path) -> Result<OsString> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(PathBuf::from(folder)).chain(env::split_paths(&path));
    Ok(env::join_paths(folders)?)
}

/// What a reader of the tutorial does.
enum Step<'a> {
    Commands(&'a str),
    /// Prepares the terminal for Debian's Rust.
    DebianCommands(&'a str),
    /// Writes a file of the project.
    File {
        path: &'a str,
        text: &'a str,
    },
}

/// The steps of the sections, in order. A block that is not for a shell is the file that the text before it names last.
fn steps() -> Result<Vec<Step<'static>>> {
    let mut steps = Vec::new();
    let mut sections = 0;
    for section in TUTORIAL.split("\n## ").skip(1) {
        if !SECTIONS.iter().any(|begin| section.starts_with(begin)) {
            continue;
        }
        sections += 1;
        let mut parts = section.split("```");
        while let (Some(before), Some(block)) = (parts.next(), parts.next()) {
            let (language, text) = block.split_once('\n').context("an empty block")?;
            steps.push(match language {
                "sh" => Step::Commands(text),
                "bash" => Step::DebianCommands(text),
                _ => {
                    let path = before.rsplit('`').nth(1).context("no name of a file")?;
                    Step::File { path, text }
                }
            });
        }
    }
    ensure!(sections == SECTIONS.len(), "{sections} sections");
    Ok(steps)
}
