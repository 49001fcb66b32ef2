//! Checks of the Dockerfile without Docker, which is not available wherever tests run: the copied
//! files must exist, and the server must be built with its plugins.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::components;

/// A `COPY` instruction: its stage, or `None` for the checkout, and its sources.
struct CopyInstruction<'a> {
    stage: Option<&'a str>,
    sources: Vec<&'a str>,
}

fn instructions(text: &str) -> Vec<String> {
    let joined = text.replace("\\\n", " ");
    joined
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

fn copy(instruction: &str) -> Option<CopyInstruction<'_>> {
    let mut words: Vec<&str> = instruction
        .strip_prefix("COPY ")?
        .split_whitespace()
        .collect();
    let stage = words.iter().find_map(|word| word.strip_prefix("--from="));
    words.retain(|word| !word.starts_with("--"));
    words.pop();
    Some(CopyInstruction {
        stage,
        sources: words,
    })
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn dockerfile() -> Vec<String> {
    instructions(&fs::read_to_string(root().join("Dockerfile")).expect("the Dockerfile exists"))
}

#[test]
fn every_copied_file_is_there_and_not_ignored() {
    let ignored = fs::read_to_string(root().join(".dockerignore")).expect(".dockerignore exists");
    for instruction in dockerfile() {
        let Some(CopyInstruction {
            stage: None,
            sources,
        }) = copy(&instruction)
        else {
            continue;
        };
        for source in sources {
            assert!(
                root().join(source).exists(),
                "{instruction}: {source} does not exist"
            );
            let is_ignored = ignored.lines().any(|line| line == source);
            assert!(
                !is_ignored,
                "{instruction}: .dockerignore excludes {source}"
            );
        }
    }
}

#[test]
fn copied_files_exist_in_their_stage() {
    let mut stages: HashMap<String, String> = HashMap::new();
    let mut current = String::new();
    for instruction in dockerfile() {
        if instruction.starts_with("FROM ") {
            current = instruction
                .split(" AS ")
                .nth(1)
                .unwrap_or_default()
                .to_owned();
        }
        if let Some(CopyInstruction {
            stage: Some(stage),
            sources,
        }) = copy(&instruction)
        {
            let made = stages
                .get(stage)
                .unwrap_or_else(|| panic!("unknown stage {stage}"));
            for source in sources {
                let is_made = made.split_whitespace().any(|word| word == source);
                assert!(
                    is_made,
                    "{instruction}: stage {stage} does not create {source}"
                );
            }
        }
        let stage = stages.entry(current.clone()).or_default();
        stage.push(' ');
        stage.push_str(&instruction);
    }
}

/// Cargo reads the manifests of all members, so the build context must contain them.
#[test]
fn every_member_of_the_workspace_is_copied() {
    let copied: Vec<String> = dockerfile()
        .iter()
        .filter_map(|instruction| copy(instruction))
        .filter(|copy| copy.stage.is_none())
        .flat_map(|copy| {
            copy.sources
                .into_iter()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect();
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("the root manifest exists");
    let members = manifest
        .split("members = [")
        .nth(1)
        .and_then(|rest| rest.split(']').next());
    for member in members.expect("the workspace has members").split(',') {
        let member = member.trim().trim_matches('"');
        let folder = member.split('/').next().unwrap_or_default();
        let is_copied = folder.is_empty() || copied.iter().any(|source| source == folder);
        assert!(
            is_copied,
            "the Dockerfile does not copy {folder}, which contains {member}"
        );
    }
}

/// The instructions of a stage.
fn stage<'a>(instructions: &'a [String], name: &str) -> &'a [String] {
    let is_start = |instruction: &String| instruction.starts_with("FROM ");
    let suffix = format!(" AS {name}");
    let start = instructions.iter().position(|it| it.ends_with(&suffix));
    let rest = &instructions[start.expect("the stage exists") + 1..];
    &rest[..rest.iter().position(is_start).unwrap_or(rest.len())]
}

/// As `cargo xtask dist` does: a server built without the list has no built-in plugins.
#[test]
fn the_server_is_built_with_the_list_of_its_components() {
    let dockerfile = dockerfile();
    let plugins = stage(&dockerfile, "components").concat();
    assert!(plugins.contains(
        "cargo --locked xtask components --shipped && cp -r target/components /components"
    ));
    let host = stage(&dockerfile, "host");
    let position = |part: &str| host.iter().position(|it| it.contains(part));
    let list = format!(
        "TIDEGATE_BUILT_INS=/components/{} cargo build",
        components::LIST
    );
    let built = position(&list).expect("the server is built with the list");
    let copied = position("COPY --from=components /components /components");
    assert!(copied.is_some_and(|copied| copied < built));
    assert_eq!(position("cargo build"), Some(built), "the only build");
}
