//! Builds components from guests: compiled to Wasm, wrapped by wit-component, checked, and written
//! only if their bytes changed, so that programs that watch or include them are not triggered.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest as _, Sha256};
use wit_component::{ComponentEncoder, DecodedWasm};

use crate::guests::{self, Examples, Guest};
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

/// Builds the components with these names alone, those of examples too. The list of the built-in ones has those that are
/// in the folder then: a server that is built after this knows no others.
pub(crate) fn build_named(workspace: &Workspace, names: &[String]) -> Result<()> {
    let folder = workspace.target.join("components");
    let toolchain = WasmToolchain::find(workspace)?;
    let metadata = workspace.metadata()?;
    let libraries = guests::find(&metadata)?;
    let selected = select(&libraries, guests::find_examples(&metadata)?, names)?;
    for (target, guests, subfolder) in selected {
        let folder = folder.join(subfolder);
        build_into(workspace, &toolchain, target, &guests, &folder)?;
        if let Target::Libraries = target {
            write_list(&folder, &libraries)?;
        }
    }
    Ok(())
}

/// The guests with these names, by what they are built from and the directory of their components in that of all.
fn select(
    libraries: &[Guest],
    examples: Vec<Examples>,
    names: &[String],
) -> Result<Vec<(Target, Vec<Guest>, String)>> {
    let mut builds = vec![(Target::Libraries, libraries.to_vec(), String::new())];
    builds.extend(
        examples
            .into_iter()
            .map(|examples| (Target::Examples, examples.guests, examples.folder)),
    );
    let mut unknown: BTreeSet<_> = names.iter().collect();
    for (_, guests, _) in &mut builds {
        guests.retain(|guest| names.contains(&guest.component));
        for guest in guests {
            unknown.remove(&guest.component);
        }
    }
    if let Some(unknown) = unknown.first() {
        bail!("no plugin of the workspace builds {unknown}.wasm");
    }
    builds.retain(|(_, guests, _)| !guests.is_empty());
    Ok(builds)
}

/// What cargo builds guests from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
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

/// Writes the digests of the guests' components that are in the folder, in the format of `sha256sum`. The server is built
/// with this list, and knows its built-in plugins by it.
fn write_list(folder: &Path, guests: &[Guest]) -> Result<()> {
    let files = guests
        .iter()
        .map(|guest| format!("{}.wasm", guest.component));
    let mut files: Vec<_> = files.filter(|file| folder.join(file).is_file()).collect();
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

#[cfg(test)]
mod tests {
    use super::*;

    fn guest(component: &str) -> Guest {
        Guest {
            package: format!("tidegate-{component}"),
            world: "strategy".into(),
            component: component.into(),
            module: format!("tidegate_{component}.wasm"),
        }
    }

    #[test]
    fn only_the_named_guests_are_built() {
        let libraries = [guest("canary"), guest("staged")];
        let examples = || {
            vec![Examples {
                folder: "trials".into(),
                guests: vec![guest("rings"), guest("sprt")],
            }]
        };
        let selected = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            select(&libraries, examples(), &names).map_err(|error| error.to_string())
        };
        let of_libraries = (Target::Libraries, vec![guest("canary")], String::new());
        let of_examples = (Target::Examples, vec![guest("sprt")], "trials".to_owned());
        assert_eq!(selected(&["canary"]), Ok(vec![of_libraries.clone()]));
        assert_eq!(
            selected(&["sprt", "canary"]),
            Ok(vec![of_libraries, of_examples])
        );
        let unknown = "no plugin of the workspace builds absent.wasm";
        assert_eq!(selected(&["canary", "absent"]), Err(unknown.to_owned()));
    }

    #[test]
    fn the_list_has_the_components_that_are_there() {
        let folder = std::env::temp_dir().join(format!("components-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let guests = [guest("canary"), guest("staged")];
        let list = |component: &str| {
            fs::write(folder.join("staged.wasm"), component).expect("a component");
            write_list(&folder, &guests).expect("a list");
            fs::read_to_string(folder.join(LIST)).expect("the list")
        };
        let line = |component: &str| {
            let digest = hex::encode(Sha256::digest(component));
            format!("{digest}  staged.wasm\n")
        };
        // The first build, and one after a change.
        let lists = ["first", "changed"].map(|component| (list(component), line(component)));
        fs::remove_dir_all(&folder).expect("a folder");
        for (list, expected) in lists {
            assert_eq!(list, expected);
        }
    }
}
