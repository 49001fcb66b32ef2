//! The SDK is complete without the workspace: authors get its folder. What it repeats from the
//! workspace is the same there.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::workspace::Workspace;

const SDK: &str = "tidegate-plugin-sdk";
const FOLDER: &str = "plugins/sdk";

fn root() -> PathBuf {
    Workspace::find().expect("a checkout").root
}

fn read(path: &str) -> String {
    let file = root().join(path);
    fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

#[test]
fn its_files_are_copies_of_the_originals() {
    for (copy, original) in [
        ("wit/package.wit", "wit/since-1.0/package.wit"),
        ("LICENSE-MIT", "LICENSE-MIT"),
        ("LICENSE-APACHE", "LICENSE-APACHE"),
    ] {
        let copy = format!("{FOLDER}/{copy}");
        assert!(
            read(&copy) == read(original),
            "{copy} differs: run `cp {original} {copy}`"
        );
    }
}

#[test]
fn its_sources_name_no_file_outside_of_it() {
    let mut folders = vec![root().join(FOLDER).join("src")];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of sources") {
            let path = entry.expect("a folder of sources").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            files += 1;
            let text = fs::read_to_string(&path).expect("source files are UTF-8");
            let outside = text.lines().find(|line| line.contains("\"../../"));
            assert_eq!(outside, None, "{}", path.display());
        }
    }
    assert!(files > 20, "the sources were found: {files}");
}

#[test]
fn its_manifest_repeats_the_workspace() {
    let manifest = read(&format!("{FOLDER}/Cargo.toml"));
    assert!(
        !manifest.contains("workspace = true"),
        "it inherits nothing from the workspace, which authors do not have"
    );
    let metadata = Workspace::find().expect("a checkout").metadata();
    let metadata = metadata.expect("cargo metadata");
    let packages = metadata["packages"].as_array().expect("packages");
    let sdk = package(packages, SDK);
    let server = package(packages, "tidegate");
    for key in ["version", "edition", "rust_version", "license"] {
        assert_eq!(sdk[key], server[key], "{key}");
    }
    assert_eq!(sdk["publish"], Value::Null, "it is published");
    assert!(sdk["description"].is_string());
    assert_eq!(
        section(&manifest, "[lints."),
        section(&read("Cargo.toml"), "[workspace.lints.")
    );
    for dependency in sdk["dependencies"].as_array().expect("dependencies") {
        let name = dependency["name"].as_str().expect("a name");
        assert_eq!(
            dependency["req"].as_str().expect("a requirement"),
            workspace_requirement(name),
            "{name}"
        );
    }
}

fn package<'a>(packages: &'a [Value], name: &str) -> &'a Value {
    let found = packages.iter().find(|package| package["name"] == name);
    found.unwrap_or_else(|| panic!("no package {name}"))
}

/// The settings in the tables whose header begins so, without comments.
fn section(manifest: &str, header: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut is_inside = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            is_inside = line.starts_with(header);
        } else if is_inside && !line.is_empty() && !line.starts_with('#') {
            lines.push(line.to_owned());
        }
    }
    assert!(!lines.is_empty(), "no table {header}");
    lines
}

/// The version that the workspace requires of a crate, as cargo writes it.
fn workspace_requirement(name: &str) -> String {
    let manifest = read("Cargo.toml");
    let prefix = format!("{name} = ");
    let line = manifest
        .lines()
        .find_map(|line| line.strip_prefix(&prefix))
        .unwrap_or_else(|| panic!("the workspace does not declare {name}"));
    let version = line.split_once("version = ").map_or(line, |(_, rest)| rest);
    let version = version.split('"').nth(1).expect("a quoted version");
    format!("^{version}")
}
