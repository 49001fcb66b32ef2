//! Builds components from guests: compiled to Wasm, wrapped by wit-component, checked, and written
//! only if their bytes changed, so that programs that watch or include them are not triggered.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest as _, Sha256};
use wit_component::{ComponentEncoder, DecodedWasm};

use crate::guests::{self, Guest};
use crate::shell;
use crate::wasm_toolchain::{TARGET, WasmToolchain};
use crate::workspace::Workspace;

/// Cargo's profile for guests, in the root manifest.
const PROFILE: &str = "guest";
/// The list of the components with their digests, beside them.
pub(crate) const LIST: &str = "SHA256SUMS";

/// Builds the plugins and policies of the workspace into `target/components`. Returns that directory.
pub(crate) fn build(workspace: &Workspace) -> Result<PathBuf> {
    let folder = workspace.target.join("components");
    let toolchain = WasmToolchain::find(workspace)?;
    let guests = guests::find(&workspace.metadata()?)?;
    if guests.is_empty() {
        bail!("no crate of the workspace has `[package.metadata.tidegate] world = ...`");
    }
    build_into(workspace, &toolchain, Target::Libraries, &guests, &folder)?;
    remove_stale(&folder, &guests)?;
    write_list(&folder, &guests)?;
    Ok(folder)
}

/// Builds the same, and the guests that are examples into directories in it. These are for tests only.
pub(crate) fn build_with_examples(workspace: &Workspace) -> Result<()> {
    let folder = build(workspace)?;
    let toolchain = WasmToolchain::find(workspace)?;
    for examples in guests::find_examples(&workspace.metadata()?)? {
        let folder = folder.join(&examples.folder);
        let guests = &examples.guests;
        build_into(workspace, &toolchain, Target::Examples, guests, &folder)?;
        remove_stale(&folder, guests)?;
    }
    Ok(())
}

/// Builds the components with these names alone, those of examples too. The list of the built-in ones stays as it is.
pub(crate) fn build_named(workspace: &Workspace, names: &[String]) -> Result<()> {
    let folder = workspace.target.join("components");
    let toolchain = WasmToolchain::find(workspace)?;
    let metadata = workspace.metadata()?;
    let mut unknown: BTreeSet<_> = names.iter().map(String::as_str).collect();
    let mut select = |guests: Vec<Guest>| -> Vec<Guest> {
        let is_selected = |guest: &Guest| names.contains(&guest.component);
        let selected: Vec<_> = guests.into_iter().filter(is_selected).collect();
        for guest in &selected {
            unknown.remove(guest.component.as_str());
        }
        selected
    };
    let libraries = select(guests::find(&metadata)?);
    let mut builds = vec![(Target::Libraries, libraries, folder.clone())];
    for examples in guests::find_examples(&metadata)? {
        let folder = folder.join(&examples.folder);
        builds.push((Target::Examples, select(examples.guests), folder));
    }
    if let Some(unknown) = unknown.first() {
        bail!("no plugin of the workspace builds {unknown}.wasm");
    }
    for (target, guests, folder) in builds {
        if !guests.is_empty() {
            build_into(workspace, &toolchain, target, &guests, &folder)?;
        }
    }
    Ok(())
}

/// What cargo builds guests from.
#[derive(Clone, Copy)]
enum Target {
    Libraries,
    Examples,
}

impl Target {
    /// The arguments for cargo.
    fn args(self, guests: &[Guest]) -> Vec<String> {
        match self {
            Self::Libraries => vec!["--lib".to_owned()],
            Self::Examples => guests
                .iter()
                .flat_map(|guest| ["--example".to_owned(), guest.component.clone()])
                .collect(),
        }
    }
}

/// Builds guests with one cargo call, and writes the components into `folder`.
fn build_into(
    workspace: &Workspace,
    toolchain: &WasmToolchain,
    built_from: Target,
    guests: &[Guest],
    folder: &Path,
) -> Result<()> {
    let target = workspace.target.join("guests");
    let packages: BTreeSet<_> = guests.iter().map(|guest| &guest.package).collect();
    let mut cargo = toolchain.cargo_build(workspace, &target);
    cargo.args(built_from.args(guests));
    cargo.args(["--profile", PROFILE]);
    for package in packages {
        cargo.args(["--package", package]);
    }
    shell::run(&mut cargo).context("build the guests")?;

    fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    let modules = target.join(TARGET).join(PROFILE);
    let mut written = 0;
    let mut failures = Vec::new();
    for guest in guests {
        let path = folder.join(format!("{}.wasm", guest.component));
        match encode(guest, &modules.join(&guest.module)) {
            Ok(component) => written += usize::from(write_if_changed(&path, &component)?),
            Err(error) => failures.push(format!("{}: {error:#}", guest.package)),
        }
    }
    if !failures.is_empty() {
        bail!("build the component of {}", failures.join("; of "));
    }
    println!(
        "{} components in {}, {written} changed",
        guests.len(),
        folder.display()
    );
    Ok(())
}

fn encode(guest: &Guest, module: &Path) -> Result<Vec<u8>> {
    let bytes = fs::read(module).with_context(|| format!("read {}", module.display()))?;
    let component = ComponentEncoder::default()
        .validate(true)
        .module(&bytes)?
        .encode()?;
    check_world(guest, &component)?;
    Ok(component)
}

/// Checks that a guest exports the interface of the world in its manifest; otherwise the mistake
/// would be found only at upload.
fn check_world(guest: &Guest, component: &[u8]) -> Result<()> {
    let interface = match guest.world.as_str() {
        "strategy" => "rollout",
        "strategy-with-assign" => "assignment",
        "compatibility-policy" => "compatibility",
        "health-policy" => "health",
        _ => return Ok(()),
    };
    let DecodedWasm::Component(resolve, world) = wit_component::decode(component)? else {
        bail!("the component is a WIT package");
    };
    let exports = &resolve.worlds[world].exports;
    let exported = exports.keys().any(|key| {
        let name = resolve.name_world_key(key);
        name.strip_prefix("tidegate:plugin/")
            .and_then(|name| name.split('@').next())
            .is_some_and(|name| name == interface)
    });
    if !exported {
        bail!(
            "its world is `{}`, but it does not export `tidegate:plugin/{interface}`",
            guest.world
        );
    }
    Ok(())
}

/// Writes the digests of the components, in the format of `sha256sum`. The server is built with this list, and knows its
/// built-in plugins by it.
fn write_list(folder: &Path, guests: &[Guest]) -> Result<()> {
    let mut files: Vec<_> = guests
        .iter()
        .map(|guest| format!("{}.wasm", guest.component))
        .collect();
    files.sort_unstable();
    let lines = files.into_iter().map(|file| {
        let path = folder.join(&file);
        let bytes = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        let digest = hex::encode(Sha256::digest(&bytes));
        Ok(format!("{digest}  {file}\n"))
    });
    let list: String = lines.collect::<Result<_>>()?;
    write_if_changed(&folder.join(LIST), list.as_bytes())?;
    Ok(())
}

fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<bool> {
    match fs::read(path) {
        Ok(present) if present == bytes => return Ok(false),
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("read {}", path.display()));
        }
        _ => {}
    }
    // Renamed into place, so that a server that reads the directory never sees a partial component.
    let partial = path.with_extension("partial");
    fs::write(&partial, bytes).with_context(|| format!("write {}", partial.display()))?;
    fs::rename(&partial, path).with_context(|| format!("write {}", path.display()))?;
    Ok(true)
}

/// Removes components without a guest, which a server would still load.
fn remove_stale(folder: &Path, guests: &[Guest]) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        let path = entry?.path();
        let known = guests
            .iter()
            .any(|guest| path.file_stem() == Some(guest.component.as_ref()));
        if path.extension().is_some_and(|kind| kind == "wasm") && !known {
            fs::remove_file(&path).with_context(|| format!("remove {}", path.display()))?;
        }
    }
    Ok(())
}
