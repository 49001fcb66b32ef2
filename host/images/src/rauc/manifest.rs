use std::collections::BTreeMap;

use crate::error::{ImageError, Result};

/// Metadata in a RAUC manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// `[update] compatible`: the system that the bundle is for.
    pub compatible: String,
    /// `[update] version`, unparsed.
    pub version: Option<String>,
    /// `[update] description`.
    pub description: Option<String>,
    /// `[update] build`.
    pub build: Option<String>,
    /// `[bundle] format`.
    pub format: BundleFormat,
}

/// Layout of a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BundleFormat {
    /// The manifest is a file in the squashfs.
    Plain,
    /// The manifest is signed and contains the root hash of the squashfs.
    Verity,
    /// As [`Self::Verity`], with an encrypted squashfs.
    Crypt,
}

/// Maximum length of a value, in characters.
const MAX_TEXT_CHARS: usize = 1000;

/// Parses a manifest, a `GLib` key file.
pub(super) fn read(bytes: &[u8]) -> Result<Manifest> {
    let text =
        str::from_utf8(bytes).map_err(|_| ImageError::damaged("its manifest is not UTF-8"))?;
    let mut parse_key_file = parse_key_file(text)?;
    let mut take = |group: &'static str, key: &'static str| {
        let value = parse_key_file
            .remove(&(group, key))
            .filter(|value| !value.is_empty());
        match value {
            Some(value) if value.chars().count() > MAX_TEXT_CHARS => {
                let message =
                    format!("{key} in its manifest is longer than {MAX_TEXT_CHARS} characters");
                Err(ImageError::damaged(message))
            }
            value => Ok(value),
        }
    };
    let format = match take("bundle", "format")?.as_deref() {
        None | Some("plain") => BundleFormat::Plain,
        Some("verity") => BundleFormat::Verity,
        Some("crypt") => BundleFormat::Crypt,
        Some(other) => {
            let message = format!("its manifest has the unknown bundle format {other:?}");
            return Err(ImageError::damaged(message));
        }
    };
    let compatible = take("update", "compatible")?;
    Ok(Manifest {
        compatible: compatible.ok_or_else(|| {
            ImageError::damaged("its manifest has no `compatible` in the group `update`")
        })?,
        version: take("update", "version")?,
        description: take("update", "description")?,
        build: take("update", "build")?,
        format,
    })
}

type KeyFileValues<'a> = BTreeMap<(&'a str, &'a str), String>;

/// Parses a key file into values by group and key; the last of repeated keys counts.
fn parse_key_file(text: &str) -> Result<KeyFileValues<'_>> {
    let mut parse_key_file = KeyFileValues::new();
    let mut group = None;
    for (index, line) in text.lines().enumerate() {
        let line_error =
            |what: &str| ImageError::damaged(format!("line {} of its manifest {what}", index + 1));
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix('[') {
            let name = name
                .strip_suffix(']')
                .ok_or_else(|| line_error("has an unclosed group name"))?;
            group = Some(name);
            continue;
        }
        let (key, value) = line
            .split_once('=')
            .ok_or_else(|| line_error("is not `key=value`"))?;
        let group = group.ok_or_else(|| line_error("is outside of a group"))?;
        let value = unescape(value.trim_start())
            .ok_or_else(|| line_error("has an invalid escape sequence"))?;
        parse_key_file.insert((group, key.trim_end()), value);
    }
    Ok(parse_key_file)
}

fn unescape(value: &str) -> Option<String> {
    let mut text = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(next) = chars.next() {
        let next = match next {
            '\\' => match chars.next()? {
                's' => ' ',
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                '\\' => '\\',
                // Separator in lists; kept as part of the value.
                ';' => ';',
                _ => return None,
            },
            other => other,
        };
        text.push(next);
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_read() {
        let text = "# made by a build system\n[update]\ncompatible = Tide Dock  \nversion=2026.05-1\n\
            description=first\\sof\\nmay\nbuild=20260501\n\n[bundle]\nformat=verity\n[image.rootfs]\nfilename=rootfs.img\n";
        let expected = Manifest {
            compatible: "Tide Dock".to_owned(),
            version: Some("2026.05-1".to_owned()),
            description: Some("first of\nmay".to_owned()),
            build: Some("20260501".to_owned()),
            format: BundleFormat::Verity,
        };
        assert_eq!(read(text.as_bytes()).expect("a manifest"), expected);
        let least = read(b"[update]\ncompatible=x\nversion=\n").expect("a manifest");
        assert_eq!((least.version, least.format), (None, BundleFormat::Plain));
    }

    #[test]
    fn invalid_descriptions_are_refused() {
        let long = format!("[update]\ncompatible={}", "x".repeat(1001));
        for (text, expected) in [
            ("", "compatible"),
            ("[update]\nversion=1", "compatible"),
            ("compatible=x", "line 1 of its manifest is outside"),
            (
                "[update\ncompatible=x",
                "line 1 of its manifest has an unclosed",
            ),
            ("[update]\ncompatible", "line 2 of its manifest is not"),
            (
                "[update]\ncompatible=\\x",
                "line 2 of its manifest has an invalid escape",
            ),
            ("[update]\ncompatible=x\n[bundle]\nformat=tar", "\"tar\""),
            (&long, "longer than 1000"),
        ] {
            let reason = read(text.as_bytes()).expect_err(text).to_string();
            assert!(reason.contains(expected), "{text:.40}: {reason}");
        }
        assert!(read(b"[update]\ncompatible=\xff").is_err());
    }

    #[test]
    fn fuzz_rauc_manifest() {
        bolero::check!(name = "rauc_manifest").for_each(|bytes: &[u8]| {
            if let Ok(manifest) = read(bytes) {
                assert!(!manifest.compatible.is_empty());
            }
        });
    }
}
