//! The paths in the code of an item, without its tests.

use proc_macro2::{TokenStream, TokenTree};
use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::{Attribute, Field, ImplItem, Item, ItemUse, Macro, Meta, Path, Token, TraitItem};

/// A path that code names.
#[derive(Debug)]
pub(super) struct PathUse {
    pub(super) segments: Vec<String>,
    pub(super) line: usize,
}

#[derive(Default)]
pub(super) struct PathsOfItem {
    pub(super) paths: Vec<PathUse>,
    /// `use` inside functions.
    pub(super) local_uses: Vec<ItemUse>,
}

pub(super) fn paths_of_item(item: &Item) -> PathsOfItem {
    let mut found = PathsOfItem::default();
    found.visit_item(item);
    found
}

/// True for code that is compiled for tests only, or for the tests of another crate.
pub(super) fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || attribute.path().is_ident("cfg")
                && attribute
                    .parse_args::<Meta>()
                    .is_ok_and(|condition| requires_test(&condition))
    })
}

fn requires_test(condition: &Meta) -> bool {
    match condition {
        Meta::Path(path) => path.is_ident("test"),
        Meta::List(list) if !list.path.is_ident("not") => list
            .parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)
            .is_ok_and(|conditions| conditions.iter().any(requires_test)),
        _ => false,
    }
}

impl Visit<'_> for PathsOfItem {
    fn visit_item(&mut self, item: &Item) {
        let attributes = match item {
            Item::Const(item) => &item.attrs,
            Item::Enum(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            Item::Macro(item) => &item.attrs,
            Item::Mod(item) => &item.attrs,
            Item::Static(item) => &item.attrs,
            Item::Struct(item) => &item.attrs,
            Item::Trait(item) => &item.attrs,
            Item::Type(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            _ => return visit::visit_item(self, item),
        };
        if !is_test(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item(&mut self, item: &ImplItem) {
        let attributes = match item {
            ImplItem::Const(item) => &item.attrs,
            ImplItem::Fn(item) => &item.attrs,
            ImplItem::Type(item) => &item.attrs,
            _ => return visit::visit_impl_item(self, item),
        };
        if !is_test(attributes) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_trait_item(&mut self, item: &TraitItem) {
        if !matches!(item, TraitItem::Fn(function) if is_test(&function.attrs)) {
            visit::visit_trait_item(self, item);
        }
    }

    fn visit_field(&mut self, field: &Field) {
        if !is_test(&field.attrs) {
            visit::visit_field(self, field);
        }
    }

    fn visit_item_use(&mut self, item: &ItemUse) {
        self.local_uses.push(item.clone());
    }

    fn visit_path(&mut self, path: &Path) {
        if let (None, Some(first)) = (path.leading_colon, path.segments.first()) {
            self.paths.push(PathUse {
                segments: path
                    .segments
                    .iter()
                    .map(|segment| segment.ident.to_string())
                    .collect(),
                line: first.ident.span().start().line,
            });
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, invocation: &Macro) {
        self.add_tokens(invocation.tokens.clone());
        visit::visit_macro(self, invocation);
    }

    fn visit_attribute(&mut self, attribute: &Attribute) {
        if let Meta::List(list) = &attribute.meta {
            self.add_tokens(list.tokens.clone());
        }
        visit::visit_attribute(self, attribute);
    }
}

impl PathsOfItem {
    /// Adds the paths among the tokens of a macro, whose grammar is not known, and in its strings: attributes of serde
    /// name functions so.
    fn add_tokens(&mut self, tokens: TokenStream) {
        let mut path = Vec::new();
        let mut line = 0;
        let mut separator = String::new();
        for token in tokens {
            if let TokenTree::Ident(name) = &token {
                if separator != "::" {
                    self.add_path(&mut path, line);
                    line = name.span().start().line;
                }
                path.push(name.to_string());
                separator.clear();
                continue;
            }
            if let TokenTree::Punct(punctuation) = &token {
                separator.push(punctuation.as_char());
                if separator == ":" || separator == "::" && !path.is_empty() {
                    continue;
                }
            }
            self.add_path(&mut path, line);
            match token {
                TokenTree::Group(group) => self.add_tokens(group.stream()),
                TokenTree::Literal(literal) => {
                    let text = literal.to_string();
                    let text = text.trim_matches('"');
                    if let (true, Ok(path)) = (text.contains("::"), syn::parse_str::<Path>(text)) {
                        self.visit_path(&path);
                    }
                }
                _ => {}
            }
        }
        self.add_path(&mut path, line);
    }

    fn add_path(&mut self, path: &mut Vec<String>, line: usize) {
        if !path.is_empty() {
            self.paths.push(PathUse {
                segments: std::mem::take(path),
                line,
            });
        }
    }
}
