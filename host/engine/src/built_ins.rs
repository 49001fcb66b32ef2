use std::collections::BTreeMap;

use tidegate_core::id::Digest;

/// The built-in plugins of this server: the digest of each component, by the plugin's name. They are known when the
/// server is built, because the default policies decide which device gets which firmware: a component that only has the
/// name of such a policy must not decide that.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BuiltIns(BTreeMap<String, Digest>);

/// A list of built-in plugins that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("line {line} of the list of built-in plugins is not `SHA256  NAME.wasm`: `{text}`")]
pub struct InvalidBuiltIns {
    line: usize,
    text: String,
}

impl BuiltIns {
    /// Reads a list in the format of `sha256sum`: each line has the digest of a component in hexadecimal digits, two
    /// spaces, and its file, `NAME.wasm`.
    pub fn parse(list: &str) -> Result<Self, InvalidBuiltIns> {
        let plugin = |(at, text): (usize, &str)| {
            text.split_once("  ")
                .and_then(|(digest, file)| {
                    let digest = format!("sha256:{digest}").parse().ok()?;
                    Some((file.strip_suffix(".wasm")?.to_owned(), digest))
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
    pub(crate) fn digest(&self, plugin: &str) -> Option<Digest> {
        self.0.get(plugin).copied()
    }

    /// True if new campaigns and updates may use the revision: a name of a built-in plugin is reserved for it.
    pub(crate) fn allow(&self, plugin: &str, revision: Digest) -> bool {
        self.digest(plugin).is_none_or(|digest| digest == revision)
    }
}

impl<N: Into<String>> FromIterator<(N, Digest)> for BuiltIns {
    fn from_iter<I: IntoIterator<Item = (N, Digest)>>(plugins: I) -> Self {
        let plugins = plugins.into_iter();
        Self(
            plugins
                .map(|(name, digest)| (name.into(), digest))
                .collect(),
        )
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
        assert_eq!(built_ins.digest("hardware"), Some(one));
        assert_eq!(built_ins.digest("blue-green"), Some(other));
        assert!(built_ins.allow("hardware", one) && !built_ins.allow("hardware", other));
        assert!(built_ins.allow("of-a-vendor", one));
        assert!(BuiltIns::parse("").expect("an empty list").is_empty());

        for bad in ["hardware.wasm", "12  hardware.wasm", &line(one, "hardware")] {
            let error = BuiltIns::parse(bad).expect_err(bad).to_string();
            assert!(
                error.starts_with("line 1 of the list of built-in plugins"),
                "{error}"
            );
        }
    }
}
