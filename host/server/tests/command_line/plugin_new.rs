//! `tidegate plugin new`: what it writes and what it refuses. It runs without a server.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::{check, tidegate};

/// Runs the command in a folder, with a server that does not exist; checks its exit code and errors, and returns its
/// output.
fn new(folder: &Path, args: &[&str], code: i32, error: &str) -> Result<String> {
    let output = tidegate()
        .args(["plugin", "new", "--url", "http://127.0.0.1:1"])
        .args(args)
        .current_dir(folder)
        .output()?;
    check(&output, code, error);
    Ok(String::from_utf8(output.stdout)?)
}

/// All files below a folder.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files.append(&mut self::files(&path)?);
        } else {
            files.push(path);
        }
    }
    Ok(files)
}

#[test]
fn every_template_is_complete() -> Result<()> {
    let folder = TempDir::new()?;
    let contract = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit/since-1.0/package.wit");
    let contract = fs::read(contract)?;
    for (language, kind, sources) in [
        ("rust", "strategy", &RUST[..]),
        ("rust", "compatibility-policy", &RUST),
        ("rust", "health-policy", &RUST),
        ("c", "strategy", &C),
        ("javascript", "strategy", &JAVASCRIPT),
        ("python", "strategy", &PYTHON),
    ] {
        let name = format!("acme/{language}-{kind}");
        let options = ["--language", language, "--kind", kind];
        let printed = new(folder.path(), &[&[&name[..]][..], &options].concat(), 0, "")?;
        let project = folder.path().join(format!("{language}-{kind}"));
        for file in sources.iter().chain(&EVERY_PROJECT) {
            ensure!(project.join(file).is_file(), "{name} has no {file}");
        }
        let goldens = files(&project.join("golden"))?;
        ensure!(goldens.len() > 1, "{name} has no goldens");
        let mut contracts = 0;
        for file in files(&project)? {
            let text = fs::read_to_string(&file)?;
            ensure!(!text.contains("{{name"), "{}: {text}", file.display());
            if file.ends_with("wit/package.wit") {
                ensure!(text.as_bytes() == contract, "{name} has another contract");
                contracts += 1;
            }
        }
        ensure!(contracts == 1, "{name} has {contracts} contracts");
        // The next steps are the commands of the README.
        let readme = fs::read_to_string(project.join("README.md"))?;
        ensure!(readme.starts_with(&format!("# {name}\n")), "{readme}");
        let commands = readme
            .lines()
            .filter(|line| line.contains("tidegate plugin "));
        for command in commands {
            ensure!(printed.contains(command), "{command} is not in {printed}");
        }
        ensure!(
            printed.contains(&format!("cd {language}-{kind}\n")),
            "{printed}"
        );
    }
    Ok(())
}

#[test]
fn python_names_the_setting_of_the_example_configuration() -> Result<()> {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/tidegate.example.toml");
    let example = fs::read_to_string(example)?;
    let (_, about) = example.split_once("those of Python").context("Python")?;
    let setting = about.lines().find_map(|line| line.strip_prefix("#   "));
    let setting = setting.context("no setting")?.replace(" = ", "=");
    let variable = setting.to_uppercase().replace('_', "");
    let folder = TempDir::new()?;
    new(
        folder.path(),
        &["acme/rings", "--language", "python"],
        0,
        "",
    )?;
    let readme = fs::read_to_string(folder.path().join("rings/README.md"))?;
    let named = readme
        .lines()
        .find_map(|line| line.strip_prefix("export TIDEGATE_SANDBOX__"));
    let named = named.context("no variable")?.replace('_', "");
    ensure!(named.starts_with(&variable), "{named}, {variable}");
    Ok(())
}

/// Files of every project.
const EVERY_PROJECT: [&str; 2] = ["README.md", ".gitignore"];
const RUST: [&str; 6] = [
    "Cargo.toml",
    ".cargo/config.toml",
    "schema.json",
    "src/lib.rs",
    "src/tests.rs",
    "sdk/Cargo.toml",
];
const C: [&str; 6] = [
    "Makefile",
    "requirements.txt",
    "schema.json",
    "plugin.c",
    "bindings/strategy.c",
    "bindings/strategy.h",
];
const JAVASCRIPT: [&str; 2] = ["package.json", "src/strategy.js"];
const PYTHON: [&str; 4] = ["requirements.txt", "Makefile", "app.py", "test_goldens.py"];

#[test]
fn the_name_is_that_of_the_plugin_and_of_its_package() -> Result<()> {
    for (name, package) in [("acme/rings", "acme-rings"), ("3d/-", "plugin-3d--")] {
        let folder = TempDir::new()?;
        new(folder.path(), &[name, "here/project"], 0, "")?;
        let read = |file: &str| fs::read_to_string(folder.path().join("here/project").join(file));
        let source = read("src/lib.rs")?;
        let constant = format!("const NAME: &'static str = \"{name}\";");
        ensure!(source.contains(&constant), "{source}");
        let manifest = read("Cargo.toml")?;
        ensure!(
            manifest.contains(&format!("\nname = \"{package}\"\n")),
            "{manifest}"
        );
        let component = format!("/{}.wasm", package.replace('-', "_"));
        ensure!(read("README.md")?.contains(&component), "no {component}");
    }
    Ok(())
}

#[test]
fn a_bad_name_is_refused() -> Result<()> {
    let folder = TempDir::new()?;
    for name in ["Acme/rings", "acme/", "acme/a/b", "../rings", ""] {
        new(
            folder.path(),
            &["--", name],
            2,
            "a plugin's name must be `vendor/name`",
        )?;
    }
    for name in ["rings", "tidegate/rings"] {
        let error = "name the plugin VENDOR/NAME, such as acme/rings";
        new(folder.path(), &[name], 1, error)?;
    }
    ensure!(files(folder.path())?.is_empty(), "it has written a file");
    Ok(())
}

#[test]
fn a_folder_with_files_is_left_alone() -> Result<()> {
    let folder = TempDir::new()?;
    let project = folder.path().join("rings");
    fs::create_dir(&project)?;
    new(folder.path(), &["acme/rings"], 0, "")?;
    let manifest = project.join("Cargo.toml");
    fs::write(&manifest, "mine").context("change a file")?;
    new(
        folder.path(),
        &["acme/rings"],
        1,
        "the folder rings is not empty",
    )?;
    ensure!(fs::read_to_string(&manifest)? == "mine");
    new(
        folder.path(),
        &["acme/rings", "rings/Cargo.toml"],
        1,
        "read the folder rings/Cargo.toml",
    )?;
    Ok(())
}

#[test]
fn what_has_no_template_is_refused() -> Result<()> {
    let folder = TempDir::new()?;
    let health = [
        "acme/rings",
        "--language",
        "javascript",
        "--kind",
        "health-policy",
    ];
    let error = "there is no template of a health policy in javascript";
    new(folder.path(), &health, 1, error)?;
    new(
        folder.path(),
        &["acme/rings", "--language", "cobol"],
        2,
        "possible values: rust, c, javascript, python",
    )?;
    ensure!(files(folder.path())?.is_empty(), "it has written a file");
    Ok(())
}
