//! The sections of a `sw-description`, with the links between them.

use std::cell::Cell;

use serde_json::Value;

use crate::error::{ImageError, Result};

/// Maximum chain of links.
const MAX_REF_DEPTH: usize = 8;
/// Maximum lookups of one image, so that links cannot multiply its sections.
const MAX_LOOKUPS: usize = 200_000;
/// Entries that install something.
const CONTENT: [&str; 6] = [
    "images",
    "files",
    "scripts",
    "partitions",
    "bootenv",
    "uboot",
];

/// The tree below `software`.
pub(super) struct Sections<'a> {
    root: &'a Value,
    lookups: Cell<usize>,
}

/// A value with its path, which the links below it are relative to.
#[derive(Clone)]
pub(super) struct Section<'a> {
    pub(super) value: &'a Value,
    path: Vec<&'a str>,
}

impl Section<'_> {
    /// The path of an entry, for errors.
    pub(super) fn path_of(&self, name: &str) -> String {
        let path = ["software"].iter().chain(&self.path).chain([&name]);
        path.copied().collect::<Vec<_>>().join(".")
    }
}

impl<'a> Sections<'a> {
    pub(super) fn new(root: &'a Value) -> Self {
        Self {
            root,
            lookups: Cell::new(0),
        }
    }

    pub(super) fn root(&self) -> Section<'a> {
        Section {
            value: self.root,
            path: Vec::new(),
        }
    }

    /// The entry of a section; links are followed.
    pub(super) fn entry(&self, section: &Section<'a>, name: &str) -> Option<Section<'a>> {
        self.entry_within(section, name, MAX_REF_DEPTH)
    }

    /// The sections in a section, with their names.
    pub(super) fn children(&self, section: &Section<'a>) -> Vec<(&'a str, Section<'a>)> {
        let entries = section.value.as_object().into_iter().flatten();
        entries
            .filter(|(_, value)| value.is_object())
            .filter_map(|(name, _)| Some((name.as_str(), self.entry(section, name)?)))
            .filter(|(_, child)| child.value.is_object())
            .collect()
    }

    /// True if a section itself installs something.
    pub(super) fn has_content(&self, section: &Section<'a>) -> bool {
        let lists = CONTENT.iter().filter_map(|name| self.entry(section, name));
        let mut lists = lists.filter_map(|list| list.value.as_array());
        lists.any(|list| !list.is_empty())
    }

    /// Fails if the image needed more lookups than allowed.
    pub(super) fn check(&self) -> Result<()> {
        if self.lookups.get() <= MAX_LOOKUPS {
            return Ok(());
        }
        let message = format!("reading it takes more than {MAX_LOOKUPS} lookups of sections");
        Err(ImageError::damaged(message))
    }

    fn entry_within(&self, section: &Section<'a>, name: &str, depth: usize) -> Option<Section<'a>> {
        self.lookups.set(self.lookups.get() + 1);
        if self.lookups.get() > MAX_LOOKUPS {
            return None;
        }
        let (name, value) = section.value.as_object()?.get_key_value(name)?;
        let mut path = section.path.clone();
        let link = value.get("ref").and_then(Value::as_str);
        let Some(link) = link.and_then(|link| link.strip_prefix('#')) else {
            path.push(name);
            return Some(Section { value, path });
        };
        // A link is relative to the section that contains the linked entry.
        for part in link.split('/') {
            match part {
                "" | "." => {}
                ".." => drop(path.pop()),
                name => path.push(name),
            }
        }
        let depth = depth.checked_sub(1)?;
        path.into_iter().try_fold(self.root(), |section, name| {
            self.entry_within(&section, name, depth)
        })
    }
}
