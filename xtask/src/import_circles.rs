//! Sibling modules of a crate do not import one another in a circle: of two modules next to each other, at most one
//! knows the other. What both need has a place of its own, next to them or below them.
//!
//! Every folder below a crate's `src` is checked by itself. Its modules, files and folders alike, are the nodes. Module
//! `a` imports module `b` if code in `a` or below it names an item that is defined in `b` or below it, whatever the way
//! there: a re-export is followed to the definition. `mod` declarations, public re-exports and tests do not count.
//! A path into the crate that leads to no known module is an error.
//!
//! `modules` reads the sources with syn, `paths` finds the names that they use, `imports` resolves these to modules.

mod imports;
mod modules;
mod paths;
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use petgraph::algo::tarjan_scc;
use petgraph::graphmap::DiGraphMap;

use imports::{Import, imports, unresolved};
use modules::Crate;
pub(crate) use modules::{Sources, read_sources};

/// Sibling modules that import one another, directly or through further siblings.
#[derive(Debug)]
struct Circle<'a> {
    /// The path of the modules' parent.
    parent: &'a [String],
    modules: BTreeSet<&'a str>,
    imports: Vec<&'a Import>,
}

fn circles(imports: &[Import]) -> Vec<Circle<'_>> {
    let mut by_parent = BTreeMap::<&[String], Vec<&Import>>::new();
    for import in imports {
        by_parent.entry(&import.parent).or_default().push(import);
    }
    let mut circles = Vec::new();
    for (parent, imports) in by_parent {
        let edges = imports
            .iter()
            .map(|import| (&*import.from, &*import.to, ()));
        let graph: DiGraphMap<&str, ()> = edges.collect();
        for modules in tarjan_scc(&graph) {
            let modules: BTreeSet<&str> = modules.into_iter().collect();
            if modules.len() > 1 {
                let mut imports = imports.clone();
                imports.retain(|import| {
                    [&import.from, &import.to]
                        .iter()
                        .all(|module| modules.contains(module.as_str()))
                });
                circles.push(Circle {
                    parent,
                    modules,
                    imports,
                });
            }
        }
    }
    circles
}

impl Circle<'_> {
    fn name(&self) -> String {
        let modules: Vec<_> = self.modules.iter().copied().collect();
        format!("{}: {}", self.parent.join("::"), modules.join(", "))
    }

    /// The name, and every import.
    fn describe(&self) -> String {
        let mut text = self.name();
        text.push('\n');
        for import in &self.imports {
            writeln!(
                text,
                "  {} -> {}: {}:{}: {}",
                import.from,
                import.to,
                import.file.display(),
                import.line,
                import.path
            )
            .expect("a string can be written");
        }
        text
    }
}

/// Folders of crates that are checked.
const FOLDERS: [&str; 4] = ["host", "plugins", "policies", "tests"];

/// Crates in [`FOLDERS`] that are not checked yet, because they have circles.
const UNCHECKED: [&str; 2] = ["tests/ddi-client", "tests/fleet"];

/// The roots of all libraries and programs that are checked: those in [`FOLDERS`], and this one.
fn crate_roots(workspace: &Path) -> Vec<PathBuf> {
    let crates = FOLDERS
        .iter()
        .flat_map(|folder| entries(&workspace.join(folder)));
    let mut roots = Vec::new();
    for folder in crates.chain([workspace.join("xtask")]) {
        if UNCHECKED.iter().any(|path| folder.ends_with(path)) {
            continue;
        }
        let src = folder.join("src");
        let programs = entries(&src.join("bin"))
            .into_iter()
            .map(|program| program.join("main.rs"));
        let files = ["lib.rs", "main.rs"].map(|file| src.join(file));
        roots.extend(
            files
                .into_iter()
                .chain(programs)
                .filter(|file| file.exists()),
        );
    }
    roots
}

/// The entries of a folder, sorted. None if there is no such folder.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut entries: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    entries.sort();
    entries
}

#[test]
fn sibling_modules_do_not_import_one_another_in_a_circle() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask is inside the workspace");
    let mut report = String::new();
    let mut found = 0;
    let roots = crate_roots(workspace);
    for root in ["host/store", "plugins/sdk", "tests/e2e"] {
        let root = workspace.join(root);
        assert!(roots.iter().any(|file| file.starts_with(&root)), "{root:?}");
    }
    for root in roots {
        let sources = read_sources(workspace, root.parent().expect("a folder"));
        let root = root.strip_prefix(workspace).expect("it is below the root");
        let krate = Crate::parse(root, &sources);
        let unresolved = unresolved(&krate);
        assert!(unresolved.is_empty(), "cannot be followed: {unresolved:#?}");
        let imports = imports(&krate);
        found += imports.len();
        for circle in circles(&imports) {
            report.push_str(&circle.describe());
        }
    }
    assert!(
        report.is_empty(),
        "move what both modules need to a place of its own:\n{report}"
    );
    assert!(found > 1000, "only {found} imports were found");
}
