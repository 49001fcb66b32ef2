//! The imports of sibling modules: every path of a module, resolved to the module that defines what it names.

use std::path::PathBuf;

use super::modules::{Alias, Crate, ModuleId};
use super::paths::PathUse;

/// A use in one module of an item in a sibling module, each with all modules below it.
#[derive(Debug)]
pub(super) struct Import {
    /// The path of the parent of both.
    pub(super) parent: Vec<String>,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) file: PathBuf,
    pub(super) line: usize,
    pub(super) path: String,
}

pub(super) fn imports(krate: &Crate) -> Vec<Import> {
    let mut imports = Vec::new();
    for (id, module) in krate.modules.iter().enumerate() {
        for path in &module.paths {
            let targets = Resolver { krate, depth: 0 }.resolve(id, &path.segments);
            for target in targets {
                imports.extend(import(krate, id, target, path));
            }
        }
    }
    imports
}

/// The paths into this crate that lead to no known module: the imports through them would be missing.
pub(super) fn unresolved(krate: &Crate) -> Vec<String> {
    let mut unresolved = Vec::new();
    for (id, module) in krate.modules.iter().enumerate() {
        for path in &module.paths {
            let is_of_crate = ["crate", "self", "super"].contains(&&*path.segments[0]);
            let resolver = Resolver { krate, depth: 0 };
            let is_known = !resolver.resolve(id, &path.segments).is_empty()
                || resolver.leads_outside(id, &path.segments);
            if is_of_crate && !is_known {
                let (file, path, line) =
                    (module.file.display(), path.segments.join("::"), path.line);
                unresolved.push(format!("{file}:{line}: {path}"));
            }
        }
    }
    unresolved
}

/// The import from one module to another, unless one contains the other.
fn import(krate: &Crate, from: ModuleId, to: ModuleId, path: &PathUse) -> Option<Import> {
    let (from, to) = (&krate.modules[from], &krate.modules[to]);
    let shared = from.path.iter().zip(&to.path);
    let shared = shared.take_while(|(one, other)| one == other).count();
    Some(Import {
        parent: from.path[..shared].to_vec(),
        from: from.path.get(shared)?.clone(),
        to: to.path.get(shared)?.clone(),
        file: from.file.clone(),
        line: path.line,
        path: path.segments.join("::"),
    })
}

/// Resolves paths as the compiler does, without regard to visibility. One name may be a module and a function; then a
/// path that goes on means the module, and one that ends means both.
#[derive(Clone, Copy)]
struct Resolver<'a> {
    krate: &'a Crate,
    depth: usize,
}

/// More aliases than any path passes. Aliases of globs can refer to one another.
const MAX_DEPTH: usize = 16;

impl Resolver<'_> {
    /// The modules that define what a path names, seen from a module. None for another crate's items.
    fn resolve(mut self, from: ModuleId, path: &[String]) -> Vec<ModuleId> {
        self.depth += 1;
        let Some((first, rest)) = path.split_first() else {
            return vec![from];
        };
        match first.as_str() {
            _ if self.depth > MAX_DEPTH => Vec::new(),
            "crate" => self.resolve_in(0, rest),
            "self" => self.resolve_in(from, rest),
            "super" => {
                let parent = self.krate.modules[from].parent;
                parent.map_or(Vec::new(), |parent| self.resolve(parent, rest))
            }
            _ => self.resolve_in(from, path),
        }
    }

    /// Whether a path passes a re-export of another crate, or of a part of one.
    fn leads_outside(mut self, from: ModuleId, path: &[String]) -> bool {
        self.depth += 1;
        let Some((first, rest)) = path.split_first() else {
            return false;
        };
        let scope = &self.krate.modules[from];
        match first.as_str() {
            _ if self.depth > MAX_DEPTH => false,
            "crate" => self.leads_outside(0, rest),
            "self" => self.leads_outside(from, rest),
            "super" => scope
                .parent
                .is_some_and(|parent| self.leads_outside(parent, rest)),
            name => {
                let child = scope.children.get(name);
                let is_below = child.is_some_and(|child| self.leads_outside(*child, rest));
                is_below
                    || scope.aliases.iter().any(|alias| {
                        let is_named = alias.name.as_deref().is_none_or(|alias| alias == name);
                        is_named && self.alias_leads_outside(from, alias, rest)
                    })
            }
        }
    }

    fn alias_leads_outside(self, module: ModuleId, alias: &Alias, rest: &[String]) -> bool {
        if self.krate.modules[module].names_other_crate(alias) {
            return true;
        }
        let target: Vec<_> = alias.target.iter().chain(rest).cloned().collect();
        alias.name.is_some() && self.leads_outside(module, &target)
    }

    /// Resolves the names of a path below a module.
    fn resolve_in(self, module: ModuleId, path: &[String]) -> Vec<ModuleId> {
        let Some((name, rest)) = path.split_first() else {
            return vec![module];
        };
        if name == "super" || name == "self" {
            return self.resolve(module, path);
        }
        let scope = &self.krate.modules[module];
        let mut found = Vec::new();
        if scope.items.contains(name) {
            found.push(module);
        }
        if let Some(child) = scope.children.get(name) {
            let below = self.resolve_in(*child, rest);
            if !rest.is_empty() && !below.is_empty() {
                return below;
            }
            found.extend(below);
        }
        for alias in &scope.aliases {
            if alias.name.as_ref() == Some(name) {
                let target: Vec<_> = alias.target.iter().chain(rest).cloned().collect();
                // `use name::name` and `use http` name another crate, or the module of this name.
                if alias.target.len() > 1 || alias.target[0] != *name {
                    found.extend(self.resolve(module, &target));
                }
            }
        }
        if found.is_empty() {
            for alias in scope.aliases.iter().filter(|alias| alias.name.is_none()) {
                let target: Vec<_> = alias.target.iter().chain(path).cloned().collect();
                found.extend(self.resolve(module, &target));
            }
        }
        if found.is_empty() && scope.has_generated_items {
            found.push(module);
        }
        found
    }
}
