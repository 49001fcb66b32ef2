use std::cmp::Ordering;

/// A hardware revision: dotted numbers, such as `1.2` or `v3.0.1-rc.1`, or a text, such as `B`.
///
/// - A leading `v` and a suffix after `+` are ignored. Missing parts are zero: `1.2` equals `1.2.0`.
/// - A revision with a suffix after `-` sorts before the same one without; suffixes compare as in `SemVer`.
/// - Texts compare without regard to case.
/// - A number and a text are not comparable.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Revision<'a> {
    Numbers {
        numbers: Vec<u64>,
        pre_release: Option<&'a str>,
    },
    Text(&'a str),
}

impl<'a> Revision<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let text = text.trim();
        let bare = text.strip_prefix(['v', 'V']).unwrap_or(text);
        let without_build = bare.split('+').next().unwrap_or_default();
        let (release, pre_release) = match without_build.split_once('-') {
            Some((release, pre_release)) => (release, Some(pre_release)),
            None => (without_build, None),
        };
        let numbers: Result<Vec<u64>, _> = release.split('.').map(str::parse).collect();
        match numbers {
            Ok(numbers) => Self::Numbers {
                numbers,
                pre_release,
            },
            Err(_) => Self::Text(text),
        }
    }

    /// `None` if they are not comparable.
    pub(crate) fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (
                Self::Numbers {
                    numbers,
                    pre_release,
                },
                Self::Numbers {
                    numbers: other_numbers,
                    pre_release: other_pre_release,
                },
            ) => Some(
                compare_numbers(numbers, other_numbers)
                    .then_with(|| compare_pre_release(*pre_release, *other_pre_release)),
            ),
            (Self::Text(text), Self::Text(other)) if !text.is_empty() && !other.is_empty() => {
                Some(text.to_ascii_lowercase().cmp(&other.to_ascii_lowercase()))
            }
            _ => None,
        }
    }
}

fn compare_numbers(numbers: &[u64], other: &[u64]) -> Ordering {
    (0..numbers.len().max(other.len()))
        .map(|part| {
            let number = |numbers: &[u64]| numbers.get(part).copied().unwrap_or(0);
            number(numbers).cmp(&number(other))
        })
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

fn compare_pre_release(pre_release: Option<&str>, other: Option<&str>) -> Ordering {
    match (pre_release, other) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(pre_release), Some(other)) => {
            let key = |text: &'_ str| -> Vec<(bool, u64, String)> {
                let parts = text.split('.');
                parts
                    .map(|part| match part.parse() {
                        Ok(number) => (false, number, String::new()),
                        Err(_) => (true, 0, part.to_owned()),
                    })
                    .collect()
            };
            key(pre_release).cmp(&key(other))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_are_ordered() {
        use Ordering::{Equal, Greater, Less};
        for (left, right, expect) in [
            ("1.2", "1.10", Some(Less)),
            ("1.2", "1.2.0", Some(Equal)),
            ("v2", "1.9", Some(Greater)),
            (" 1.0 ", "1", Some(Equal)),
            ("1.0-rc.2", "1.0-rc.10", Some(Less)),
            ("1.0-rc.1", "1.0", Some(Less)),
            ("1.0-1", "1.0-alpha", Some(Less)),
            ("1.0+a", "1.0+b", Some(Equal)),
            ("B", "C", Some(Less)),
            ("b", "B", Some(Equal)),
            ("B", "1.0", None),
            ("", "", None),
            ("", "1.0", None),
            ("1..2", "1.2", None),
            ("99999999999999999999", "1", None),
        ] {
            let order = Revision::new(left).compare(&Revision::new(right));
            assert_eq!(order, expect, "{left} {right}");
        }
    }
}
