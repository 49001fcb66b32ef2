use std::collections::BTreeMap;

/// Names that differ in every run. In a text, `{name}` is replaced by the value:
///
/// | name | stands for |
/// |---|---|
/// | `server` | the server's address, without a slash at its end |
/// | `tenant`, `lower` | the tenant in upper case, in lower case |
/// | `gateway` | the gateway's token |
/// | `device`, `base` | the device's id, the address of its root resource |
/// | `token` | the device's own token, where the case asks for a device that has one |
/// | `id` | the device's update |
/// | `next` | the update that the operator assigned during the case |
/// | `other` | an update of another device |
/// | `module`, `module-name` | the id and the name of the first module of the plain firmware |
/// | `file`, `md5`, `sha1`, `sha256` | the name and hashes of its only file |
/// | `etag`, `modified` | `ETag` and `Last-Modified` of the last response that had them |
/// | `n` | the number of the request, from 0, if it is sent several times |
///
/// A case may set more, see [`Case::capture`](crate::case::Case::capture).
#[derive(Debug, Clone, Default)]
pub(crate) struct Placeholders(BTreeMap<&'static str, String>);

impl Placeholders {
    pub(crate) fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.0.insert(name, value.into());
    }

    /// Replaces every known placeholder. Other braces are left alone, because JSON uses them.
    pub(crate) fn fill(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (name, value)| {
            text.replace(&format!("{{{name}}}"), value)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_are_replaced() {
        let mut placeholders = Placeholders::default();
        placeholders.set("id", "8");
        assert_eq!(
            placeholders.fill(r#"{"id":"{id}","x":{}}"#),
            r#"{"id":"8","x":{}}"#
        );
    }
}
