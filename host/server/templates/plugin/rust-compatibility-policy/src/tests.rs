use tidegate_plugin_sdk::testing::{
    check_input, check_schema, check_schema_refuses, class, compatibility_goldens,
};

use super::*;

#[test]
fn a_release_is_for_every_site() {
    let input = check_input("{}", vec![class()]);
    let verdict = BetaSites::check_class(&input, &input.classes[0], &Config::default());
    assert_eq!(verdict, Verdict::Compatible);
}

#[test]
fn the_schema_matches_the_config() {
    check_schema::<BetaSites>();
    check_schema_refuses::<BetaSites>(&[r#"{"sites": [""]}"#, r#"{"site": "lab"}"#]);
}

#[test]
fn goldens() {
    compatibility_goldens::<BetaSites>(concat!(env!("CARGO_MANIFEST_DIR"), "/golden"));
}
