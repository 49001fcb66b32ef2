//! Finds the guests of the workspace: the crates whose manifest names a world.
//!
//! ```toml
//! [package.metadata.tidegate]
//! world = "strategy"      # or compatibility-policy, health-policy, or a world of a test
//! component = "canary"    # the file's name; by default the name of the crate's directory
//! ```
//!
//! A crate can have several guests as examples, `[[example]]` with `crate-type = ["cdylib"]`. Their components are written
//! into a directory of their own, so that no server installs them:
//!
//! ```toml
//! [package.metadata.tidegate]
//! folder = "trials"       # in the directory of the components
//!
//! [package.metadata.tidegate.examples]
//! rings = "strategy"      # the example, and its world
//! ```

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// A crate that is built into a component.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Guest {
    /// The package name.
    pub(crate) package: String,
    /// The world that it exports.
    pub(crate) world: String,
    /// The component's file name without `.wasm`.
    pub(crate) component: String,
    /// The core module that cargo builds, relative to the directory of the profile.
    pub(crate) module: String,
}

/// The examples of a crate that are guests.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Examples {
    /// The directory of their components, in that of all components.
    pub(crate) folder: String,
    /// Sorted by component name.
    pub(crate) guests: Vec<Guest>,
}

/// The guests among the packages of `cargo metadata`, sorted by component name.
pub(crate) fn find(metadata: &Value) -> Result<Vec<Guest>> {
    let mut guests = Vec::new();
    for (name, package) in packages(metadata)? {
        guests.extend(guest(name, package).with_context(|| format!("read guest {name}"))?);
    }
    guests.sort_by(|left, right| left.component.cmp(&right.component));
    for pair in guests.windows(2) {
        if pair[0].component == pair[1].component {
            bail!(
                "{} and {} both build {}.wasm: give one of them another `component`",
                pair[0].package,
                pair[1].package,
                pair[0].component
            );
        }
    }
    Ok(guests)
}

/// The crates with examples that are guests.
pub(crate) fn find_examples(metadata: &Value) -> Result<Vec<Examples>> {
    let mut found = Vec::new();
    for (name, package) in packages(metadata)? {
        let examples = examples(name, package);
        found.extend(examples.with_context(|| format!("read the examples of {name}"))?);
    }
    Ok(found)
}

/// The packages by their names.
fn packages(metadata: &Value) -> Result<Vec<(&str, &Value)>> {
    let packages = metadata["packages"]
        .as_array()
        .context("cargo metadata has no packages")?;
    let named = packages.iter().map(|package| {
        let name = package["name"].as_str().context("a package has no name")?;
        Ok((name, package))
    });
    named.collect()
}

fn examples(name: &str, package: &Value) -> Result<Option<Examples>> {
    let ours = &package["metadata"]["tidegate"];
    let Some(worlds) = ours["examples"].as_object() else {
        return Ok(None);
    };
    let folder = ours["folder"]
        .as_str()
        .context("`examples` needs a `folder`")?;
    let guests = worlds.iter().map(|(example, world)| {
        Ok(Guest {
            package: name.to_owned(),
            world: world.as_str().context("a world is a text")?.to_owned(),
            component: example.clone(),
            module: format!("examples/{}.wasm", example.replace('-', "_")),
        })
    });
    let mut guests: Vec<_> = guests.collect::<Result<_>>()?;
    guests.sort_by(|left, right| left.component.cmp(&right.component));
    Ok(Some(Examples {
        folder: folder.to_owned(),
        guests,
    }))
}

fn guest(name: &str, package: &Value) -> Result<Option<Guest>> {
    let ours = &package["metadata"]["tidegate"];
    let Some(world) = ours["world"].as_str() else {
        return Ok(None);
    };
    let component = match ours["component"].as_str() {
        Some(component) => component.to_owned(),
        None => folder(package).context("the manifest path has no directory")?,
    };
    let targets = package["targets"]
        .as_array()
        .context("the package has no targets")?;
    let library = targets
        .iter()
        .find(|target| {
            target["crate_types"]
                .as_array()
                .is_some_and(|kinds| kinds.iter().any(|kind| kind == "cdylib"))
        })
        .and_then(|target| target["name"].as_str())
        .context("the crate needs `[lib] crate-type = [\"cdylib\", \"rlib\"]`")?;
    Ok(Some(Guest {
        package: name.to_owned(),
        world: world.to_owned(),
        component,
        module: format!("{}.wasm", library.replace('-', "_")),
    }))
}

fn folder(package: &Value) -> Option<String> {
    let manifest = Path::new(package["manifest_path"].as_str()?);
    Some(manifest.parent()?.file_name()?.to_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_crates_with_a_world_are_guests() {
        let metadata = json!({"packages": [
            {"name": "tidegate-core", "metadata": null, "targets": []},
            {
                "name": "tidegate-canary",
                "manifest_path": "/src/plugins/canary/Cargo.toml",
                "metadata": {"tidegate": {"world": "strategy"}},
                "targets": [{"name": "tidegate_canary", "crate_types": ["cdylib", "rlib"]}],
            },
        ]});
        let expected = Guest {
            package: "tidegate-canary".into(),
            world: "strategy".into(),
            component: "canary".into(),
            module: "tidegate_canary.wasm".into(),
        };
        assert_eq!(find(&metadata).expect("the metadata is sound"), [expected]);
    }

    #[test]
    fn examples_with_a_world_are_guests() {
        let metadata = json!({"packages": [
            {"name": "tidegate-core", "metadata": null, "targets": []},
            {
                "name": "tidegate-trials",
                "metadata": {"tidegate": {
                    "folder": "trials",
                    "examples": {"sprt": "health-policy", "ab-test": "strategy"},
                }},
                "targets": [],
            },
        ]});
        let guest = |component: &str, world: &str, module: &str| Guest {
            package: "tidegate-trials".into(),
            world: world.into(),
            component: component.into(),
            module: module.into(),
        };
        let expected = Examples {
            folder: "trials".into(),
            guests: vec![
                guest("ab-test", "strategy", "examples/ab_test.wasm"),
                guest("sprt", "health-policy", "examples/sprt.wasm"),
            ],
        };
        assert_eq!(find(&metadata).expect("the metadata is sound"), []);
        assert_eq!(
            find_examples(&metadata).expect("the metadata is sound"),
            [expected]
        );
    }

    #[test]
    fn two_guests_cannot_share_a_file() {
        let guest = |name: &str| {
            json!({
                "name": name,
                "manifest_path": "/src/plugins/canary/Cargo.toml",
                "metadata": {"tidegate": {"world": "strategy", "component": "same"}},
                "targets": [{"name": name, "crate_types": ["cdylib"]}],
            })
        };
        let error = find(&json!({"packages": [guest("one"), guest("two")]}))
            .expect_err("both make same.wasm");
        assert!(error.to_string().contains("same.wasm"), "{error}");
    }
}
