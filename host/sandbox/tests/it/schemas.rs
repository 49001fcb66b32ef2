//! Configs are checked against the plugin's schema, then by the plugin.

use anyhow::Result;
use tidegate_engine::ports::Sandbox as _;
use tidegate_hostile::{Hooks, strategy_with};

use crate::support::SandboxFixture;

#[tokio::test]
async fn errors_name_the_field_by_pointer() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    let schema =
        r#"{"properties": {"waves": {"items": {"properties": {"percent": {"maximum": 100}}}}}}"#;
    let digest = fixture
        .upload(strategy_with(&Hooks::default().schema(schema))?)
        .await?
        .digest;
    let good = fixture
        .sandbox
        .validate(digest, r#"{"waves": [{"percent": 100}]}"#)
        .await;
    assert_eq!(good.outcome?, []);
    assert!(good.cost.is_some_and(|(fuel, _)| fuel > 0));
    for (config, path) in [
        (
            r#"{"waves": [{"percent": 1}, {"percent": 101}]}"#,
            "/waves/1/percent",
        ),
        ("[]", ""),
        ("{", ""),
        ("", ""),
    ] {
        let refused = fixture.sandbox.validate(digest, config).await;
        assert_eq!(
            refused.cost, None,
            "the plugin is not called if the schema finds errors"
        );
        let errors = refused.outcome?;
        assert_eq!(errors.len(), 1, "{config}: {errors:?}");
        assert_eq!(errors[0].path, path, "{config}: {errors:?}");
    }
    Ok(())
}

#[tokio::test]
async fn bad_schemas_are_refused_at_upload() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    for (schema, message) in [
        (
            r#"{"$ref": "http://127.0.0.1:1/schema"}"#,
            "may refer only to its own parts",
        ),
        (
            r#"{"$schema": "http://json-schema.org/draft-07/schema#"}"#,
            "draft/2020-12",
        ),
        (r##"{"items": {"$ref": "#"}}"##, "is recursive"),
        (r#"{"type": 7}"#, "not a JSON Schema"),
        ("", "not JSON"),
    ] {
        let why = fixture
            .refusal(strategy_with(&Hooks::default().schema(schema))?)
            .await?;
        assert!(why.contains(message), "{schema}: {why}");
    }
    Ok(())
}
