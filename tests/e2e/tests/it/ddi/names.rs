//! What cases call things by that have another name on every run.

use std::collections::BTreeMap;

/// Values by name. In a text, `{name}` stands for the value:
///
/// `base` the device's own address, `device` its id, `server` the server's address, `tenant` in upper and `lower` in lower case, `id` the
/// update's id, `other` an update of another device, `module` the module's id, `file` the file's name, `md5` `sha1`
/// `sha256` its hashes, `etag` and `modified` what the last answer with one had, `gateway` the gateway's token.
#[derive(Debug, Clone, Default)]
pub(super) struct Names(BTreeMap<&'static str, String>);

impl Names {
    pub(super) fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.0.insert(name, value.into());
    }

    /// The text with every name replaced. Braces around what is no name stay, for JSON is full of them.
    pub(super) fn fill(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (name, value)| {
            text.replace(&format!("{{{name}}}"), value)
        })
    }
}
