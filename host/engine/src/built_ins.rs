use std::collections::BTreeMap;

use tidegate_core::{id::Digest, plugin::PluginName};

/// The built-in plugins of this server: the digest of each component, by the plugin's name. They are known when the
/// server is built, because the default policies decide which device gets which firmware: a component that only has the
/// name of such a policy must not decide that.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BuiltIns(BTreeMap<PluginName, Digest>);

/// A list of built-in plugins that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("line {line} of the list of built-in plugins is not `SHA256  NAME.wasm`: `{text}`")]
pub struct InvalidBuiltIns {
    line: usize,
    text: String,
}

/// A component has the vendor of the built-in plugins and is none of them.
#[derive(Debug, thiserror::Error)]
#[error(
    "the name {plugin} is reserved for a built-in plugin, and this component is none of this server: name it \
     `your-vendor/{name}` in its description, or build the server again with it",
    name = .plugin.name()
)]
pub struct ReservedName {
    plugin: PluginName,
}

impl BuiltIns {
    /// Reads a list in the format of `sha256sum`: each line has the digest of a component in hexadecimal digits, two
    /// spaces, and its file, `NAME.wasm`.
    pub fn parse(list: &str) -> Result<Self, InvalidBuiltIns> {
        let plugin = |(at, text): (usize, &str)| {
            text.split_once("  ")
                .and_then(|(digest, file)| {
                    let digest = format!("sha256:{digest}").parse().ok()?;
                    let name = file.strip_suffix(".wasm")?;
                    Some((name.parse().ok()?, digest))
                })
                .ok_or_else(|| InvalidBuiltIns {
                    line: at + 1,
                    text: text.to_owned(),
                })
        };
        let plugins = list.lines().enumerate().map(plugin);
        plugins.collect::<Result<_, _>>().map(Self)
    }

    /// True if the server was built without plugins.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The digest of the built-in plugin of this name.
    pub(crate) fn digest(&self, plugin: &PluginName) -> Option<Digest> {
        self.0.get(plugin).copied()
    }

    /// Refuses a component whose name is reserved for a built-in plugin.
    pub fn check_name(&self, plugin: &PluginName, component: Digest) -> Result<(), ReservedName> {
        if self.allow(plugin, component) {
            return Ok(());
        }
        let plugin = plugin.clone();
        Err(ReservedName { plugin })
    }

    /// True if new campaigns and updates may use the revision: the vendor of the built-in plugins is reserved for them.
    pub(crate) fn allow(&self, plugin: &PluginName, revision: Digest) -> bool {
        !plugin.is_built_in() || self.digest(plugin) == Some(revision)
    }
}

impl FromIterator<(&'static str, Digest)> for BuiltIns {
    fn from_iter<I: IntoIterator<Item = (&'static str, Digest)>>(plugins: I) -> Self {
        let plugins = plugins.into_iter();
        let named = |(name, digest)| (PluginName::built_in(name), digest);
        Self(plugins.map(named).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_sha256sum_is_read() {
        let (one, other) = (Digest::of(b"one"), Digest::of(b"other"));
        let line = |digest: Digest, file: &str| {
            format!(
                "{}  {file}\n",
                digest.to_string().trim_start_matches("sha256:")
            )
        };
        let list = line(one, "hardware.wasm") + &line(other, "blue-green.wasm");
        let built_ins = BuiltIns::parse(&list).expect("a list");
        let [hardware, blue_green] = ["hardware", "blue-green"].map(PluginName::built_in);
        assert_eq!(built_ins.digest(&hardware), Some(one));
        assert_eq!(built_ins.digest(&blue_green), Some(other));
        assert!(built_ins.allow(&hardware, one) && !built_ins.allow(&hardware, other));
        let vendors = "acme/hardware".parse().expect("a name");
        assert!(built_ins.allow(&vendors, other));
        assert_eq!(built_ins.digest(&vendors), None);
        assert!(!built_ins.allow(&PluginName::built_in("unknown"), one));
        assert!(BuiltIns::parse("").expect("an empty list").is_empty());

        for bad in [
            "hardware.wasm",
            "12  hardware.wasm",
            &line(one, "hardware"),
            &line(one, "Hardware.wasm"),
        ] {
            let error = BuiltIns::parse(bad).expect_err(bad).to_string();
            assert!(
                error.starts_with("line 1 of the list of built-in plugins"),
                "{error}"
            );
        }
    }
}
