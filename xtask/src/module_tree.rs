//! Checks that every source file is compiled: the tests of a forgotten file would never run.

use std::path::{Path, PathBuf};

use syn::Item;

use crate::import_circles::{Sources, read_sources};

#[test]
fn every_file_is_compiled() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask is inside the workspace");
    let mut checked = 0;
    for folder in ["host", "plugins", "policies", "tests", "xtask"] {
        let sources = read_sources(workspace, &workspace.join(folder));
        let forgotten: Vec<_> = sources
            .keys()
            .filter(|file| !is_root(file) && !is_declared(file, &sources))
            .collect();
        assert!(
            forgotten.is_empty(),
            "these are never compiled: {forgotten:?}"
        );
        checked += sources.len();
    }
    assert!(checked > 300, "only {checked} files were found");
}

/// Whether Cargo finds the file itself.
fn is_root(file: &Path) -> bool {
    let folder = file.parent().and_then(Path::file_name);
    let is_target = folder.is_some_and(|folder| {
        ["bin", "benches", "examples"]
            .iter()
            .any(|kind| folder == *kind)
    });
    let is_crate_root = ["lib.rs", "main.rs", "build.rs"]
        .iter()
        .any(|name| file.ends_with(name));
    is_target || is_crate_root || is_test_root(file)
}

/// `CRATE/tests/NAME.rs`; the folders below `tests` in the root of the workspace are crates.
fn is_test_root(file: &Path) -> bool {
    let folder = file.parent().and_then(Path::file_name);
    folder.is_some_and(|folder| folder == "tests") && file.components().count() == 4
}

/// Whether the file above has `mod` for this one.
fn is_declared(file: &Path, sources: &Sources) -> bool {
    let (Some(stem), Some(folder)) = (file.file_stem(), file.parent()) else {
        return false;
    };
    let (name, folder) = match (stem == "mod", folder.file_name(), folder.parent()) {
        (true, Some(name), Some(above)) => (name, above),
        _ => (stem, folder),
    };
    let above = ["main.rs", "lib.rs", "mod.rs"].map(|name| folder.join(name));
    let above = above.into_iter().chain([folder.with_extension("rs")]);
    // A module that several tests have in common.
    let is_test_beside = |other: &&PathBuf| is_test_root(other) && other.parent() == Some(folder);
    let tests = sources.keys().filter(is_test_beside).cloned();
    above.chain(tests).any(|above| {
        let Some(text) = sources.get(&above) else {
            return false;
        };
        let parsed = syn::parse_file(text).expect("source files are Rust");
        parsed.items.iter().any(|item| {
            matches!(item, Item::Mod(module) if module.content.is_none() && name == &*module.ident.to_string())
        })
    })
}

#[test]
fn a_forgotten_file_is_found() {
    let files = [
        ("host/lab/src/lib.rs", "mod a; mod b; mod inline { mod c; }"),
        ("host/lab/src/a.rs", "mod below;"),
        ("host/lab/src/a/below.rs", ""),
        ("host/lab/src/b/mod.rs", "// mod forgotten;"),
        ("host/lab/src/b/forgotten.rs", ""),
        ("host/lab/src/c.rs", ""),
        ("host/lab/tests/it.rs", "mod common;"),
        ("host/lab/tests/other.rs", ""),
        ("host/lab/tests/common/mod.rs", ""),
        ("host/lab/tests/lost/mod.rs", ""),
    ];
    let sources: Sources = files
        .iter()
        .map(|(file, text)| (file.into(), (*text).to_owned()))
        .collect();
    let forgotten = sources
        .keys()
        .filter(|file| !is_root(file) && !is_declared(file, &sources));
    let forgotten: Vec<_> = forgotten.map(|file| file.display().to_string()).collect();
    assert_eq!(
        forgotten,
        [
            "host/lab/src/b/forgotten.rs",
            "host/lab/src/c.rs",
            "host/lab/tests/lost/mod.rs"
        ]
    );
}
