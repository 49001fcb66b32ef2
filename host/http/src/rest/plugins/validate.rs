use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidegate_core::{id::Digest, plugin::FieldError};
use tidegate_engine::{Ctx, plugins};
use utoipa::ToSchema;

use super::path::PluginPath;
use crate::{
    AppState,
    problem::{BrokenRule, Problem, Result},
    rest::{
        extract::PathParams,
        json::JsonBody,
        rules::{BodyRules, RuleContext},
    },
};

#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct ConfigToValidate {
    /// The plugin config to validate.
    config: Value,
    /// A revision of the plugin; when left out, the one that a new campaign would use.
    revision: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Validated)]
pub(crate) struct ValidationResult {
    /// Whether the config is valid.
    ok: bool,
    /// What is invalid; fields are JSON pointers into the config.
    errors: Vec<BrokenRule>,
}

/// Validates a config of a plugin. Nothing is stored.
#[utoipa::path(
    post, path = "/plugins/{vendor}/{name}/validate", tag = "plugins", params(("vendor" = String, Path), ("name" = String, Path)),
    request_body = ConfigToValidate,
    responses((status = 200, description = "Whether the config is valid, and what is not.", body = ValidationResult)),
)]
pub(crate) async fn validate_config(
    ctx: Ctx,
    State(state): State<AppState>,
    PathParams(path): PathParams<PluginPath>,
    JsonBody(request): JsonBody<ConfigToValidate>,
) -> Result<Json<ValidationResult>> {
    let name = path.parse()?;
    let digest = parse_revision(request.revision.as_deref())
        .map_err(|error| Problem::invalid("wrong_type", vec![error]))?;
    let config = request.config.to_string();
    let engine = &state.engine;
    let errors = plugins::validate(
        &ctx,
        engine.store(),
        engine.plugins(),
        &name,
        digest,
        &config,
    )
    .await?;
    let errors: Vec<_> = errors.into_iter().map(BrokenRule::from).collect();
    Ok(Json(ValidationResult {
        ok: errors.is_empty(),
        errors,
    }))
}

fn parse_revision(revision: Option<&str>) -> Result<Option<Digest>, FieldError> {
    let digest = revision.map(str::parse::<Digest>).transpose();
    digest.map_err(|error| FieldError {
        path: "/revision".to_owned(),
        message: error.to_string(),
    })
}

impl BodyRules for ConfigToValidate {
    async fn broken_rules(self, _: &RuleContext<'_>) -> Result<Vec<FieldError>> {
        Ok(parse_revision(self.revision.as_deref())
            .err()
            .into_iter()
            .collect())
    }
}
