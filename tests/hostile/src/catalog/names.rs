//! Names and versions of plugins.

use anyhow::Result;

use super::{HostileCase, TEXT, accepted, rejected, storing};
use crate::build::Function;

pub(super) fn cases() -> Result<Vec<HostileCase>> {
    let described = |at: u32, text: &str| {
        let words = [(at, TEXT), (at + 4, text.len() as u32)];
        storing(Function::Describe, &words, text).component()
    };
    let mut cases = Vec::new();
    let long = "x".repeat(65);
    for name in [
        "",
        "/",
        "acme/",
        "/hostile",
        "acme/hostile/2",
        "ACME/hostile",
        "acme/hostile plugin",
        "acme/hostilé",
        "acme/../../etc/passwd",
        "acme/%2e%2e",
        "acme/\u{202e}elitsoh",
        &format!("acme/{long}"),
        &format!("{long}/hostile"),
        &"a".repeat(60_000),
    ] {
        let shown: String = name.chars().take(40).collect();
        cases.push(rejected(
            format!("its name is {shown:?}"),
            described(260, name),
            "is invalid: a plugin's name must be",
        )?);
    }
    let long = format!("1.0.0-{}", "a".repeat(123));
    for version in [
        "",
        "1",
        "1.0",
        "1.0.0.0",
        "v1.0.0",
        "01.0.0",
        "1.0.0 ",
        "99999999999999999999.0.0",
        "1.0.0-\u{1b}[2J",
        "latest",
    ] {
        cases.push(rejected(
            format!("its version is {version:?}"),
            described(268, version),
            "is not a semantic version",
        )?);
    }
    cases.push(rejected(
        "its version has 129 bytes",
        described(268, &long),
        "the version is longer than 128 bytes",
    )?);
    // The vendor is reserved where a component is stored, not where it is inspected: the built-in plugins have it.
    for name in ["tidegate/canary", "canary"] {
        cases.push(accepted(
            format!("its name is that of a built-in plugin, {name}"),
            described(260, name),
        )?);
    }
    Ok(cases)
}
