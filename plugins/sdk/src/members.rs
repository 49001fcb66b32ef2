use crate::rollout::Members;

impl Members {
    /// The devices of a group.
    pub fn group(name: &str) -> Self {
        Self::Selector(format!("group=={}", quoted(name)))
    }

    /// The devices that report this value of an attribute. Names of attributes consist of letters, digits and `_.-`.
    pub fn attribute(name: &str, value: &str) -> Self {
        Self::Selector(format!("attribute.{name}=={}", quoted(value)))
    }
}

/// A value in a selector, without wildcards.
fn quoted(value: &str) -> String {
    let mut quoted = String::from("\"");
    for c in value.chars() {
        if matches!(c, '"' | '\\' | '*') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted() {
        for (members, selector) in [
            (Members::group("north"), r#"group=="north""#),
            (Members::group(r#"a "b" *\"#), r#"group=="a \"b\" \*\\""#),
            (
                Members::attribute("site", "Rome, 2"),
                r#"attribute.site=="Rome, 2""#,
            ),
        ] {
            assert_eq!(members, Members::Selector(selector.to_owned()));
        }
    }
}
