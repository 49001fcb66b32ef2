//! Every dependency that the workspace declares has its reason in `docs/dependencies.md`.

use std::collections::BTreeSet;

use crate::workspace::Workspace;

#[test]
fn every_dependency_has_a_reason() {
    let workspace = Workspace::find().expect("a checkout");
    let metadata = workspace.metadata().expect("the packages");
    let packages = metadata["packages"].as_array().expect("an array");
    let dependencies = packages
        .iter()
        .flat_map(|package| package["dependencies"].as_array().expect("an array"));
    let declared: BTreeSet<&str> = dependencies
        // Our own crates have no source.
        .filter(|dependency| !dependency["source"].is_null())
        .map(|dependency| dependency["name"].as_str().expect("a name"))
        .collect();
    assert!(declared.len() > 50, "{declared:?}");
    let page = std::fs::read_to_string(workspace.root.join("docs/dependencies.md"));
    let page = page.expect("the page");
    let is_part_of_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let named: BTreeSet<&str> = page.split(|c| !is_part_of_name(c)).collect();
    let missing: Vec<_> = declared.difference(&named).collect();
    assert!(
        missing.is_empty(),
        "docs/dependencies.md does not say what these are for: {missing:?}"
    );
}
