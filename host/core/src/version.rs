//! The order of versions, which the server shares with the built-in policies.

pub use tidegate_version::{is_ordered, is_pre_release, is_same, semver, sort_key};
