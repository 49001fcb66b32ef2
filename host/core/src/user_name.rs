//! Names of users, as API keys and tokens state them.

use icu_normalizer::ComposingNormalizerBorrowed;

use crate::visible_text::{is_harmful, is_invisible};

/// What [`is_user_name`] requires.
pub const USER_NAME_RULE: &str = "must have 1 to 200 characters in Unicode's normal form NFC, no white space at its start \
     or end, no other white space than single spaces, and no control, invisible or bidirectional character";

/// True for a name that a user can have. Names are compared to decide who may approve, so every name is stored and shown
/// as it is, and different names look different, except for letters that are similar.
pub fn is_user_name(text: &str) -> bool {
    (1..=200).contains(&text.chars().count())
        && text
            .split(' ')
            .all(|word| !word.is_empty() && !word.chars().any(|c| is_harmful(c) || is_invisible(c)))
        && ComposingNormalizerBorrowed::new_nfc().is_normalized(text)
}

/// True for names of the same user: they differ at most in case, in white space, in invisible characters and in their
/// normal form. Keys from before [`is_user_name`] was as strict have such names.
pub fn is_same_user(one: &str, other: &str) -> bool {
    one == other || comparable(one) == comparable(other)
}

fn comparable(name: &str) -> String {
    let visible = name.chars().filter(|&c| !is_invisible(c));
    // Both directions: some letters have the other case in common only.
    let folded = visible.collect::<String>().to_lowercase().to_uppercase();
    ComposingNormalizerBorrowed::new_nfc()
        .normalize(&folded)
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_no_character_that_is_stored_or_shown_as_another() {
        for good in [
            "ada",
            "Ada Lovelace",
            "Zo\u{eb}",
            "ada@example.com",
            &"a".repeat(200),
        ] {
            assert!(is_user_name(good), "{good}");
        }
        for bad in [
            "",
            " ",
            "a\0",
            "a\nb",
            "a\u{202e}b",
            "\u{9b}a",
            "ada ",
            " ada",
            "ada\t",
            "ada\u{a0}",
            "ada\u{200b}",
            "a\u{ad}da",
            "Ada\u{a0}Lovelace",
            "Ada  Lovelace",
            "Zoe\u{308}",
            &"a".repeat(201),
        ] {
            assert!(!is_user_name(bad), "{bad:?}");
        }
    }

    #[test]
    fn names_that_look_alike_are_of_one_user() {
        for same in [
            "olga",
            "OLGA",
            "Olga",
            "olga ",
            " olga",
            "olga\u{200b}",
            "o\u{ad}lga",
        ] {
            assert!(is_same_user("olga", same), "{same:?}");
            assert!(is_same_user(same, "olga"), "{same:?}");
        }
        for (one, other) in [
            ("Zo\u{eb}", "ZOE\u{308}"),
            ("stra\u{df}e", "STRASSE"),
            ("stra\u{df}e", "STRA\u{1e9e}E"),
            (
                "\u{3bf}\u{3b4}\u{3cc}\u{3c2}",
                "\u{39f}\u{394}\u{38c}\u{3a3}",
            ),
        ] {
            assert!(is_same_user(one, other), "{one} {other}");
        }
        for other in ["olg", "olgaa", "olga1", "Zo\u{eb}", ""] {
            assert!(!is_same_user("olga", other), "{other}");
        }
        assert!(!is_same_user("Zoe", "Zo\u{eb}"));
    }
}
