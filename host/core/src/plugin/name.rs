use std::{borrow::Cow, fmt, str::FromStr};

/// Maximum length of a vendor, and of a name within a vendor.
const MAX_PART_BYTES: usize = 64;

/// Name of a plugin: `vendor/name`. Each part has 1 to 64 characters of `[a-z0-9-]`. A name without a vendor is that of a
/// built-in plugin.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PluginName {
    vendor: Cow<'static, str>,
    name: Cow<'static, str>,
}

/// A text that is no name of a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a plugin's name must be `vendor/name`, each of 1 to 64 characters of a-z, 0-9 and -; without a vendor it is a built-in \
     plugin"
)]
pub struct InvalidPluginName;

impl PluginName {
    /// The vendor of the built-in plugins. It is reserved for them.
    pub const BUILT_IN_VENDOR: &'static str = "tidegate";

    /// Name of a built-in plugin.
    pub const fn built_in(name: &'static str) -> Self {
        Self {
            vendor: Cow::Borrowed(Self::BUILT_IN_VENDOR),
            name: Cow::Borrowed(name),
        }
    }

    /// The vendor.
    pub fn vendor(&self) -> &str {
        &self.vendor
    }

    /// The name within the vendor.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the name is reserved for a built-in plugin.
    pub fn is_built_in(&self) -> bool {
        self.vendor == Self::BUILT_IN_VENDOR
    }
}

impl fmt::Display for PluginName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.vendor, self.name)
    }
}

impl FromStr for PluginName {
    type Err = InvalidPluginName;

    fn from_str(text: &str) -> Result<Self, InvalidPluginName> {
        let (vendor, name) = text
            .split_once('/')
            .unwrap_or((Self::BUILT_IN_VENDOR, text));
        if !is_part(vendor) || !is_part(name) {
            return Err(InvalidPluginName);
        }
        Ok(Self {
            vendor: vendor.to_owned().into(),
            name: name.to_owned().into(),
        })
    }
}

fn is_part(text: &str) -> bool {
    let is_allowed = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    (1..=MAX_PART_BYTES).contains(&text.len()) && text.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_a_vendor_and_a_bare_one_is_built_in() {
        let name = |text: &str| text.parse::<PluginName>().map(|name| name.to_string());
        let longest = "x".repeat(MAX_PART_BYTES);
        for (text, shown) in [
            ("canary", "tidegate/canary"),
            ("tidegate/canary", "tidegate/canary"),
            ("acme/rings-2", "acme/rings-2"),
            (&longest, &format!("tidegate/{longest}")),
            (&format!("{longest}/-"), &format!("{longest}/-")),
        ] {
            assert_eq!(name(text).as_deref(), Ok(shown), "{text}");
        }
        let vendors = "acme/canary".parse::<PluginName>().expect("a name");
        assert_eq!((vendors.vendor(), vendors.name()), ("acme", "canary"));
        assert!(!vendors.is_built_in());
        let bare = "canary".parse::<PluginName>().expect("a name");
        assert_eq!(bare, PluginName::built_in("canary"));
        assert!(bare.is_built_in());
    }

    #[test]
    fn other_texts_are_no_names() {
        let longer = "x".repeat(MAX_PART_BYTES + 1);
        for text in [
            "",
            "/",
            "acme/",
            "/canary",
            "acme/a/b",
            "Canary",
            "a b",
            "a_b",
            "ä",
            "a.b",
            "a\0",
            &longer,
            &format!("{longer}/a"),
            &format!("a/{longer}"),
        ] {
            assert_eq!(text.parse::<PluginName>(), Err(InvalidPluginName), "{text}");
        }
    }
}
