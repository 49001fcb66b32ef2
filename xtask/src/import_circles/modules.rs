//! The modules of a crate, from its sources.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use syn::{Attribute, Item, ItemUse, UseTree, Visibility};

use super::paths::{PathUse, is_test, paths_of_item};

/// The texts of source files by their paths.
pub(crate) type Sources = BTreeMap<PathBuf, String>;

/// All modules of a crate except tests. The first is the root.
#[derive(Debug)]
pub(super) struct Crate {
    pub(super) modules: Vec<Module>,
}

/// The number of a module in its crate.
pub(super) type ModuleId = usize;

#[derive(Debug)]
pub(super) struct Module {
    /// The names from the crate to this module.
    pub(super) path: Vec<String>,
    pub(super) file: PathBuf,
    pub(super) parent: Option<ModuleId>,
    pub(super) children: BTreeMap<String, ModuleId>,
    /// The names of the items that this module defines.
    pub(super) items: BTreeSet<String>,
    /// Whether a macro defines further items, whose names are not known.
    pub(super) has_generated_items: bool,
    /// The names that `use` brings into scope.
    pub(super) aliases: Vec<Alias>,
    /// The paths in its code, those of private `use` included.
    pub(super) paths: Vec<PathUse>,
}

/// A name in a module's scope for an item elsewhere, or for all names of a module.
#[derive(Debug)]
pub(super) struct Alias {
    /// `None` for `use path::*`.
    pub(super) name: Option<String>,
    pub(super) target: Vec<String>,
}

impl Crate {
    /// Parses a crate from its root file.
    pub(super) fn parse(root: &Path, sources: &Sources) -> Self {
        let name = root.components().rev().nth(2);
        let name = name.map_or("crate".into(), |name| name.as_os_str().to_string_lossy());
        let mut this = Self {
            modules: Vec::new(),
        };
        let folder = root.parent().expect("a root file is in a folder");
        this.parse_file(vec![name.into_owned()], None, root, folder, sources);
        this
    }

    fn parse_file(
        &mut self,
        path: Vec<String>,
        parent: Option<ModuleId>,
        file: &Path,
        folder: &Path,
        sources: &Sources,
    ) -> ModuleId {
        let text = &sources[file];
        let parsed = syn::parse_file(text).unwrap_or_else(|error| {
            panic!("{} is no Rust: {error}", file.display());
        });
        self.add_module(path, parent, file, folder, parsed.items, sources)
    }

    /// Adds a module with the modules below it. Their files are in `folder`.
    fn add_module(
        &mut self,
        path: Vec<String>,
        parent: Option<ModuleId>,
        file: &Path,
        folder: &Path,
        items: Vec<Item>,
        sources: &Sources,
    ) -> ModuleId {
        let id = self.modules.len();
        self.modules.push(Module {
            path,
            file: file.to_owned(),
            parent,
            children: BTreeMap::new(),
            items: BTreeSet::new(),
            has_generated_items: false,
            aliases: Vec::new(),
            paths: Vec::new(),
        });
        for item in items {
            let Item::Mod(child) = item else {
                self.modules[id].add_item(&item);
                self.add_exported_macro(id, &item);
                continue;
            };
            if is_test(&child.attrs) {
                continue;
            }
            let name = child.ident.to_string();
            let mut child_path = self.modules[id].path.clone();
            child_path.push(name.clone());
            let child_folder = folder.join(&name);
            let child = if let Some((_, items)) = child.content {
                self.add_module(child_path, Some(id), file, &child_folder, items, sources)
            } else {
                let candidates = [
                    folder.join(format!("{name}.rs")),
                    child_folder.join("mod.rs"),
                ];
                let file = candidates.iter().find(|file| sources.contains_key(*file));
                let file = file.unwrap_or_else(|| panic!("{candidates:?}: there is no such file"));
                self.parse_file(child_path, Some(id), file, &child_folder, sources)
            };
            self.modules[id].children.insert(name, child);
        }
        id
    }

    /// Adds the name that an exported macro has in the root.
    fn add_exported_macro(&mut self, module: ModuleId, item: &Item) {
        if let Item::Macro(item) = item
            && let Some(name) = item.ident.as_ref().map(ToString::to_string)
            && module != 0
            && item
                .attrs
                .iter()
                .any(|attr| attr.path().is_ident("macro_export"))
        {
            let path = &self.modules[module].path;
            let target = ["crate".to_owned()]
                .into_iter()
                .chain(path[1..].iter().cloned());
            let target = target.chain([name.clone()]).collect();
            let name = Some(name);
            self.modules[0].aliases.push(Alias { name, target });
        }
    }
}

impl Module {
    /// Whether an alias in this module begins with the name of another crate.
    pub(super) fn names_other_crate(&self, alias: &Alias) -> bool {
        let first = &alias.target[0];
        let is_alias =
            |alias: &Alias| alias.name.as_ref() == Some(first) && alias.target[0] != *first;
        !["crate", "self", "super"].contains(&first.as_str())
            && !self.children.contains_key(first)
            && !self.items.contains(first)
            && !self.aliases.iter().any(is_alias)
    }

    fn add_item(&mut self, item: &Item) {
        match item {
            Item::Use(item) if !is_test(&item.attrs) => {
                self.add_use(item);
                return;
            }
            Item::Const(item) => self.items.insert(item.ident.to_string()),
            Item::Enum(item) => {
                self.items.extend(discriminants(&item.attrs));
                self.items.insert(item.ident.to_string())
            }
            Item::Fn(item) => self.items.insert(item.sig.ident.to_string()),
            Item::Macro(item) => {
                self.has_generated_items |= item.ident.is_none();
                self.items
                    .extend(item.ident.as_ref().map(ToString::to_string));
                true
            }
            Item::Static(item) => self.items.insert(item.ident.to_string()),
            Item::Struct(item) => self.items.insert(item.ident.to_string()),
            Item::Trait(item) => self.items.insert(item.ident.to_string()),
            Item::Type(item) => self.items.insert(item.ident.to_string()),
            Item::Union(item) => self.items.insert(item.ident.to_string()),
            _ => false,
        };
        let found = paths_of_item(item);
        self.paths.extend(found.paths);
        // The names of a `use` in a function count for its whole module.
        for item in &found.local_uses {
            self.add_use(item);
        }
    }

    fn add_use(&mut self, item: &ItemUse) {
        if item.leading_colon.is_some() {
            return;
        }
        let is_private = matches!(item.vis, Visibility::Inherited);
        let mut leaves = Vec::new();
        flatten(&item.tree, &mut Vec::new(), &mut leaves);
        for (name, target, line) in leaves {
            if is_private {
                self.paths.push(PathUse {
                    segments: target.clone(),
                    line,
                });
            }
            self.aliases.push(Alias { name, target });
        }
    }
}

/// The name of the enum that strum derives from the variants of another.
fn discriminants(attributes: &[Attribute]) -> Option<String> {
    let mut found = None;
    for attribute in attributes {
        if attribute.path().is_ident("strum_discriminants") {
            // The other arguments have other grammars.
            let _ = attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("name") {
                    let content;
                    syn::parenthesized!(content in meta.input);
                    found = Some(content.parse::<syn::Ident>()?.to_string());
                }
                Ok(())
            });
        }
    }
    found
}

/// The single names of a tree of `use`: name in scope, path and line.
fn flatten(
    tree: &UseTree,
    prefix: &mut Vec<String>,
    leaves: &mut Vec<(Option<String>, Vec<String>, usize)>,
) {
    let mut leaf = |name: Option<String>, last: Option<String>, line| {
        leaves.push((name, prefix.iter().cloned().chain(last).collect(), line));
    };
    match tree {
        UseTree::Path(path) => {
            prefix.push(path.ident.to_string());
            flatten(&path.tree, prefix, leaves);
            prefix.pop();
        }
        UseTree::Name(name) => {
            let line = name.ident.span().start().line;
            if name.ident == "self" {
                leaf(prefix.last().cloned(), None, line);
            } else {
                let name = name.ident.to_string();
                leaf(Some(name.clone()), Some(name), line);
            }
        }
        UseTree::Rename(rename) => {
            let line = rename.ident.span().start().line;
            let last = (rename.ident != "self").then(|| rename.ident.to_string());
            leaf(Some(rename.rename.to_string()), last, line);
        }
        UseTree::Glob(glob) => leaf(None, None, glob.star_token.span.start().line),
        UseTree::Group(group) => {
            for tree in &group.items {
                flatten(tree, prefix, leaves);
            }
        }
    }
}

/// Reads all Rust files below a folder. Their paths are relative to the workspace.
pub(crate) fn read_sources(workspace: &Path, folder: &Path) -> Sources {
    let mut sources = Sources::new();
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources.extend(read_sources(workspace, &path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("source files are UTF-8");
            let path = path.strip_prefix(workspace).expect("below the workspace");
            sources.insert(path.to_owned(), text);
        }
    }
    sources
}
