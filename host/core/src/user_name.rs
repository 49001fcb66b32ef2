//! Names of users, as API keys and tokens state them.

use crate::visible_text::is_harmful;

/// What [`is_user_name`] requires.
pub const USER_NAME_RULE: &str =
    "must have 1 to 200 characters, none of them a control or bidirectional character";

/// True for a name that a user can have. Names are compared to decide who may approve, so every name is stored and shown
/// as it is.
pub fn is_user_name(text: &str) -> bool {
    (1..=200).contains(&text.chars().count()) && !text.chars().any(is_harmful)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_no_character_that_is_stored_or_shown_as_another() {
        for good in [
            "ada",
            "Ada Lovelace",
            "Zoë",
            "ada@example.com",
            &"a".repeat(200),
        ] {
            assert!(is_user_name(good), "{good}");
        }
        for bad in ["", "a\0", "a\nb", "a\u{202e}b", "\u{9b}a", &"a".repeat(201)] {
            assert!(!is_user_name(bad), "{bad:?}");
        }
    }
}
