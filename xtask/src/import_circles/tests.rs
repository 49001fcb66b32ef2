use std::path::{Path, PathBuf};

use super::circles;
use super::imports::{imports, unresolved};
use super::modules::{Crate, Sources};

fn parse(files: &[(&str, &str)]) -> Crate {
    let path = |file: &str| PathBuf::from("host/lab/src").join(file);
    let sources: Sources = files
        .iter()
        .map(|(file, text)| (path(file), (*text).to_owned()))
        .collect();
    Crate::parse(Path::new("host/lab/src/lib.rs"), &sources)
}

/// The circles of a crate with these files below `host/lab/src`, described.
fn found(files: &[(&str, &str)]) -> Vec<String> {
    let imports = imports(&parse(files));
    let circles = circles(&imports);
    circles.iter().map(super::Circle::describe).collect()
}

#[test]
fn a_circle_is_named_with_its_uses() {
    let files = [
        ("lib.rs", "mod a; mod b; mod c;"),
        ("a.rs", "use crate::b::B;\npub struct A;"),
        ("b/mod.rs", "mod inner;\npub struct B;"),
        ("b/inner.rs", "fn f() -> Vec<crate::c::C> { vec![] }"),
        ("c.rs", "pub struct C;\nfn f() { g!(super::a::A) }"),
    ];
    let expected = "lab: a, b, c\n  \
        a -> b: host/lab/src/a.rs:1: crate::b::B\n  \
        b -> c: host/lab/src/b/inner.rs:1: crate::c::C\n  \
        c -> a: host/lab/src/c.rs:2: super::a::A\n";
    assert_eq!(found(&files), [expected]);
}

#[test]
fn one_direction_and_uses_of_the_parent_are_no_circle() {
    let files = [
        ("lib.rs", "mod a; mod b; pub struct Shared; use a::A;"),
        ("a.rs", "use crate::{Shared, b::{self, B}}; pub struct A;"),
        ("b.rs", "use super::Shared; pub struct B;"),
    ];
    assert!(found(&files).is_empty());
}

#[test]
fn a_facade_neither_hides_an_import_nor_makes_one() {
    let hidden = [
        ("lib.rs", "mod a; mod b; pub use a::A; pub use b::*;"),
        ("a.rs", "use crate::B; pub struct A;"),
        ("b.rs", "use crate::A; pub struct B;"),
    ];
    assert_eq!(found(&hidden).len(), 1);
    let through = [
        ("lib.rs", "mod a; mod b; mod c;"),
        ("a.rs", "use crate::b::C; pub struct A;"),
        ("b.rs", "pub use crate::c::C; use crate::a::A;"),
        ("c.rs", "pub struct C;"),
    ];
    assert!(found(&through).is_empty());
}

#[test]
fn an_exported_macro_belongs_to_the_module_that_defines_it() {
    let files = [
        ("lib.rs", "mod a; mod b;"),
        (
            "a.rs",
            "#[macro_export] macro_rules! make { () => {} } use crate::b::B;",
        ),
        ("b.rs", "pub struct B; fn f() { crate::make!(); }"),
    ];
    assert_eq!(found(&files).len(), 1);
}

#[test]
fn tests_do_not_count() {
    let files = [
        ("lib.rs", "mod a; mod b; #[cfg(test)] mod c;"),
        ("a.rs", "use crate::b::B; pub struct A;"),
        (
            "b.rs",
            "pub struct B; #[cfg(test)] mod tests { use crate::a::A; } #[cfg(any(test, x))] use crate::a::A;",
        ),
    ];
    assert!(found(&files).is_empty());
}

#[test]
fn a_path_through_a_re_export_of_another_crate_is_followed() {
    let files = [
        (
            "lib.rs",
            "mod a; pub use other_lab as b; pub use lab_types::{Kind, c};",
        ),
        (
            "a.rs",
            "use crate::{b::B, c::C, Kind}; fn f() { crate::d::missing(); }",
        ),
    ];
    let expected = "host/lab/src/a.rs:1: crate::d::missing";
    assert_eq!(unresolved(&parse(&files)), [expected]);
}

#[test]
fn a_path_that_cannot_be_followed_is_reported() {
    let files = [
        ("lib.rs", "mod a; mod b; mod generated; use self::a::A;"),
        (
            "a.rs",
            "pub struct A; fn f() { crate::b::missing(); super::b::B::new(super::b::Kind); }",
        ),
        (
            "b.rs",
            "#[strum_discriminants(name(Kind))] pub enum B {} use super::generated::any::Name;",
        ),
        ("generated.rs", "bindgen!({});"),
    ];
    let expected = "host/lab/src/a.rs:1: crate::b::missing";
    assert_eq!(unresolved(&parse(&files)), [expected]);
}
