use semver::{BuildMetadata, Prerelease, Version, VersionReq};

/// Parses a reported version: `SemVer`, with or without a leading `v`, minor and patch.
pub(crate) fn parse(text: &str) -> Option<Version> {
    let text = text.trim();
    let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
    if let Ok(version) = Version::parse(text) {
        return Some(version);
    }
    let end = text.find(['-', '+']).unwrap_or(text.len());
    let (numbers, rest) = text.split_at(end);
    let missing = 2_usize.checked_sub(numbers.matches('.').count())?;
    Version::parse(&format!("{numbers}{}{rest}", ".0".repeat(missing))).ok()
}

/// The version as `SemVer` if it is one, or else as it stands.
pub(crate) fn shown(text: &str) -> String {
    parse(text).map_or_else(|| text.to_owned(), |version| version.to_string())
}

/// A range of versions.
pub(crate) struct Range(VersionReq);

impl Range {
    pub(crate) fn new(text: &str) -> Option<Self> {
        VersionReq::parse(text).ok().map(Self)
    }

    /// A pre-release matches if its release does. `SemVer` excludes pre-releases from ranges that name none, so that
    /// a device on 1.9.0-rc.1 could skip a version that 1.9.0 must install.
    pub(crate) fn contains(&self, version: &Version) -> bool {
        let release = Version {
            pre: Prerelease::EMPTY,
            build: BuildMetadata::EMPTY,
            ..version.clone()
        };
        self.0.matches(version) || self.0.matches(&release)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reported_versions_are_parsed() {
        for (text, expect) in [
            ("1.2.3", Some("1.2.3")),
            (" v1.2 ", Some("1.2.0")),
            ("2", Some("2.0.0")),
            ("2-rc.1+b7", Some("2.0.0-rc.1+b7")),
            ("1.2.3.4", None),
            ("", None),
            ("unknown", None),
            ("1.x", None),
        ] {
            let version = parse(text).map(|version| version.to_string());
            assert_eq!(version.as_deref(), expect, "{text}");
        }
    }

    #[test]
    fn a_pre_release_counts_as_its_release() {
        for (range, version, expect) in [
            ("<2.0.0", "1.9.0-rc.1", true),
            ("<2.0.0", "2.0.0-rc.1", false),
            (">=3.0.0", "3.0.0-rc.1", true),
            (">=1, <2", "1.5.0", true),
        ] {
            let holds = Range::new(range)
                .zip(parse(version))
                .map(|(r, v)| r.contains(&v));
            assert_eq!(holds, Some(expect), "{range} {version}");
        }
    }
}
