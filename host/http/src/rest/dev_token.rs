//! Tokens for development.

use std::time::Duration;

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use tidegate_core::{
    plugin::FieldError,
    user_name::{USER_NAME_RULE, is_user_name},
};
use tidegate_engine::{
    Error, Role,
    tenants::{self, DEFAULT_TENANT},
};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    AppState,
    problem::{Problem, Result},
    rest::{
        enum_field::{EnumField, RoleField},
        json::JsonBody,
        response::Time,
        rules::{BodyRules, RuleContext},
    },
    tokens::TokenIdentity,
};

/// Mounted only in development mode.
pub(super) fn dev_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(make_dev_token))
}

/// Default lifetime of a token: an hour, in seconds.
const DEFAULT_TOKEN_SECONDS: u64 = 3600;
/// Maximum lifetime of a token: 30 days, in seconds.
const MAX_TOKEN_SECONDS: u64 = 30 * 24 * 3600;

#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct DevTokenRequest {
    /// The user that the token stands for, 1 to 200 characters.
    user_id: String,
    /// Included in the token as information.
    email: Option<String>,
    /// The user's role; `admin` when left out.
    role: Option<RoleField>,
    /// The user's tenant; `DEFAULT` when left out.
    tenant: Option<String>,
    /// Lifetime in seconds, at most 30 days; an hour when left out.
    expires_in: Option<u64>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DevToken {
    /// To be sent as `Authorization: Bearer <token>`.
    token: String,
    expires_at: Time,
}

/// Issues a token without authentication, for development.
#[utoipa::path(
    post, path = "/auth/dev-token", tag = "auth", security(()),
    request_body = DevTokenRequest,
    responses((status = 200, description = "The token.", body = DevToken)),
)]
pub(crate) async fn make_dev_token(
    State(state): State<AppState>,
    JsonBody(request): JsonBody<DevTokenRequest>,
) -> Result<Json<DevToken>> {
    let max_lifetime = state.settings.tokens.max_lifetime.as_secs();
    let errors = request.errors(MAX_TOKEN_SECONDS.min(max_lifetime));
    if !errors.is_empty() {
        return Err(Problem::invalid("invalid_token", errors));
    }
    let seconds = request
        .expires_in
        .unwrap_or(DEFAULT_TOKEN_SECONDS.min(max_lifetime));
    let name = request.tenant.as_deref().unwrap_or(DEFAULT_TENANT);
    let Some(tenant) = tenants::by_name(state.engine.store(), name).await? else {
        let message = format!("there is no tenant {name}");
        return Err(Problem::field("invalid_token", "/tenant", message));
    };
    let now = state.engine.now();
    let until = now.plus(Duration::from_secs(seconds));
    let identity = TokenIdentity {
        tenant: tenant.name,
        user: request.user_id,
        role: request.role.map_or(Role::Admin, |EnumField(role)| role),
    };
    let token = state.tokens.sign(&identity, request.email, now, until);
    let token = token.map_err(|error| Error::internal("sign token", error))?;
    Ok(Json(DevToken {
        token,
        expires_at: until.into(),
    }))
}

impl DevTokenRequest {
    fn errors(&self, max_seconds: u64) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let mut rule = |fits: bool, path: &str, message: String| {
            if !fits {
                let path = path.to_owned();
                errors.push(FieldError { path, message });
            }
        };
        rule(
            is_user_name(&self.user_id),
            "/user_id",
            USER_NAME_RULE.to_owned(),
        );
        let fits = self
            .expires_in
            .is_none_or(|seconds| (1..=max_seconds).contains(&seconds));
        let message = format!("must be between 1 and {max_seconds}");
        rule(fits, "/expires_in", message);
        errors
    }
}

impl BodyRules for DevTokenRequest {
    async fn broken_rules(self, _: &RuleContext<'_>) -> Result<Vec<FieldError>> {
        Ok(self.errors(MAX_TOKEN_SECONDS))
    }
}
