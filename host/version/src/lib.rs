//! Versions as devices and firmware report them: `SemVer`, or dotted numbers.
//!
//! The server and the built-in policies order versions by this crate, so that they agree.

/// A text whose byte order is the order of versions, so that memory and SQL compare alike.
///
/// Up to eight numeric parts are significant (`1.2` equals `1.2.0`). A pre-release comes before its release, and its
/// parts compare as in `SemVer`. Build metadata is ignored. A version that does not start with a number sorts after
/// all others, as text.
pub fn sort_key(version: &str) -> String {
    let (trimmed, numbers, pre_release) = split(version);
    let mut key = String::with_capacity(RELEASE_KEY_BYTES + version.len() + 1);
    if push_release(&mut key, numbers).is_none() {
        return format!("~{trimmed}");
    }
    let Some(pre_release) = pre_release else {
        key.push('~');
        return key;
    };
    for (index, part) in pre_release.split('.').enumerate() {
        key.push(if index == 0 { '-' } else { ' ' });
        push_part(&mut key, part);
    }
    key
}

/// True if [`sort_key`] orders the version by its numbers. All others sort after these, as text.
pub fn is_ordered(version: &str) -> bool {
    !sort_key(version).starts_with('~')
}

/// True if the version is ordered before its release, such as `2.0.0-rc.1` or `2026.05-1`.
pub fn is_pre_release(version: &str) -> bool {
    is_ordered(version) && split(version).2.is_some()
}

/// True if two spellings (`v1.2`, `1.2.0+build7`) denote the same version.
pub fn is_same(one: &str, other: &str) -> bool {
    one == other || sort_key(one) == sort_key(other)
}

/// The version as `SemVer` if that does not change its meaning: `v1.2` becomes `1.2.0`.
pub fn semver(version: &str) -> Option<String> {
    let trimmed = version.trim();
    let trimmed = trimmed.strip_prefix(['v', 'V']).unwrap_or(trimmed);
    let (numbers, rest) = trimmed.split_at(trimmed.find(['-', '+']).unwrap_or(trimmed.len()));
    let missing = 3_usize.checked_sub(numbers.split('.').count())?;
    let whole = format!("{numbers}{}{rest}", ".0".repeat(missing));
    semver::Version::parse(&whole).is_ok().then_some(whole)
}

/// The version without spaces and `v`, its numbers, and its pre-release.
fn split(version: &str) -> (&str, &str, Option<&str>) {
    let trimmed = version.trim();
    let trimmed = trimmed.strip_prefix(['v', 'V']).unwrap_or(trimmed);
    let without_build = trimmed.split('+').next().unwrap_or_default();
    match without_build.split_once('-') {
        Some((numbers, pre)) => (trimmed, numbers, Some(pre)),
        None => (trimmed, without_build, None),
    }
}

const PARTS: usize = 8;
const DIGITS: usize = 10;
const ZEROS: &str = "0000000000";
const RELEASE_KEY_BYTES: usize = PARTS * (DIGITS + 1);

/// Appends the key of a release; `None` if it has none.
fn push_release(key: &mut String, numbers: &str) -> Option<()> {
    let mut parts = 0;
    for part in numbers.split('.') {
        if parts == PARTS {
            return None;
        }
        if parts > 0 {
            key.push('.');
        }
        push_number(key, part)?;
        parts += 1;
    }
    for _ in parts..PARTS {
        key.push('.');
        key.push_str(ZEROS);
    }
    Some(())
}

/// Appends a number with leading zeros. Appends nothing and returns `None` if the part is none, or too large.
fn push_number(key: &mut String, part: &str) -> Option<()> {
    let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let significant = part.trim_start_matches('0');
    let zeros = DIGITS.checked_sub(significant.len()).filter(|_| digits)?;
    key.push_str(&ZEROS[..zeros]);
    key.push_str(significant);
    Some(())
}

/// Appends a part of a pre-release. A numeric part sorts before a text: '!' precedes '"'.
fn push_part(key: &mut String, part: &str) {
    let start = key.len();
    key.push('!');
    if push_number(key, part).is_none() {
        key.truncate(start);
        key.push('"');
        key.push_str(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_as_versions_do() {
        let ascending = [
            "0.9",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.2",
            "1.10.0",
            "v2.0.0",
            "10",
            "10.0.0.1",
            "Rev B",
        ];
        for pair in ascending.windows(2) {
            assert!(sort_key(pair[0]) < sort_key(pair[1]), "{pair:?}");
        }
        assert!(ascending[..13].iter().all(|version| is_ordered(version)));
        assert!(
            !["Rev B", "2.O.0", "", "~", "1.*", "v"]
                .into_iter()
                .any(is_ordered)
        );
        assert!(
            ["2.0.0-rc.1", "v2026.05-1", "1-x+b"]
                .into_iter()
                .all(is_pre_release)
        );
        assert!(
            !["2.0.0", "1.0+a-b", "Rev-B", ""]
                .into_iter()
                .any(is_pre_release)
        );
        assert_eq!(sort_key("1.2"), sort_key("1.2.0+build7"));
        assert_eq!(sort_key("007"), sort_key("7"));
        assert!(is_same("5.0.0", "v5.0.0") && is_same("rev B", " rev B"));
        assert!(!is_same("5.0.0", "5.0.0-rc.1"));
    }

    #[test]
    fn semver_is_filled_up_but_not_made_up() {
        for (version, expected) in [
            ("1.2.3", Some("1.2.3")),
            (" v1.2-rc.1+b7 ", Some("1.2.0-rc.1+b7")),
            ("7", Some("7.0.0")),
            ("2026.05", None),
            ("1.2.3.4", None),
            ("rev B", None),
            ("1..2", None),
            ("", None),
        ] {
            assert_eq!(semver(version).as_deref(), expected, "{version}");
        }
    }
}
