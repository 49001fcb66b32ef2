//! Authentication of callers.

use std::sync::Arc;

use axum::{
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use http::{Extensions, header::AUTHORIZATION, request::Parts};
use tidegate_engine::{
    Actor, ActorKind, Authorized, Ctx, RequiredRole,
    tenants::{self, Authenticated, Credential},
};
use tower_http::request_id::RequestId;

use crate::{
    AppState,
    caller::record_caller,
    problem::{Problem, Result},
};

/// The context of an authenticated request. It is the first argument of a handler, so that the rest of the request is
/// read only afterwards. The rejection is a response because a private type cannot be one of a public implementation.
impl FromRequestParts<AppState> for Ctx {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Response> {
        let ctx = context(parts, state).await;
        ctx.map_err(IntoResponse::into_response)
    }
}

/// The same for a use case that requires a role.
impl<R: RequiredRole> FromRequestParts<AppState> for Authorized<R> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Response> {
        let ctx = authorize(parts, state).await;
        ctx.map_err(IntoResponse::into_response)
    }
}

/// What authenticated the request, for responses that outlast it.
impl FromRequestParts<AppState> for Credential {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Response> {
        match caller(parts, state).await {
            Ok(caller) => Ok(caller.credential),
            Err(problem) => Err(problem.into_response()),
        }
    }
}

/// Authenticates a request; the engine decides whether the actor has the role.
pub(super) async fn authorize<R: RequiredRole>(
    parts: &mut Parts,
    state: &AppState,
) -> Result<Authorized<R>> {
    let ctx = context(parts, state).await?;
    Ok(Authorized::new(ctx)?)
}

async fn context(parts: &mut Parts, state: &AppState) -> Result<Ctx> {
    Ok(caller(parts, state).await?.ctx)
}

async fn caller(parts: &mut Parts, state: &AppState) -> Result<Authenticated> {
    if let Some(RequestCaller(caller)) = parts.extensions.get() {
        return Ok(caller.clone());
    }
    let caller = authenticate_and_limit(parts, state).await?;
    parts.extensions.insert(RequestCaller(caller.clone()));
    Ok(caller)
}

/// The caller of a request that is already authenticated.
#[derive(Clone)]
struct RequestCaller(Authenticated);

/// The context, if the request is already authenticated.
pub(super) fn authenticated(extensions: &Extensions) -> Option<Ctx> {
    let RequestCaller(caller) = extensions.get()?;
    Some(caller.ctx.clone())
}

/// Authenticates a request. Middlewares and extractors that follow reuse the result.
pub(super) async fn pre_authenticate(parts: &mut Parts, state: &AppState) -> Result<Ctx> {
    context(parts, state).await
}

async fn authenticate_and_limit(parts: &Parts, state: &AppState) -> Result<Authenticated> {
    let caller = authenticate(parts, state).await?;
    let ctx = &caller.ctx;
    record_caller(&parts.extensions, ctx.tenant, &ctx.actor.name);
    if !state.limits.allow_tenant(ctx.tenant, &parts.method) {
        return Err(Problem::rate_limited());
    }
    Ok(caller)
}

async fn authenticate(parts: &Parts, state: &AppState) -> Result<Authenticated> {
    let (headers, engine) = (&parts.headers, &state.engine);
    let caller = match (headers.get("x-api-key"), headers.get(AUTHORIZATION)) {
        (Some(key), _) => match key.to_str() {
            Ok(key) => {
                let (store, caches) = (engine.store(), engine.caches());
                tenants::authenticate(store, caches, key, request_id(parts, state), engine.now())
                    .await?
            }
            Err(_) => None,
        },
        (None, Some(authorization)) => match authorization.to_str().ok().and_then(bearer_token) {
            Some(token) => caller_of_token(token, parts, state).await?,
            None => None,
        },
        (None, None) => None,
    };
    caller.ok_or_else(Problem::unauthenticated)
}

/// The token of `Bearer <token>`. The scheme is case-insensitive.
fn bearer_token(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

async fn caller_of_token(
    token: &str,
    parts: &Parts,
    state: &AppState,
) -> Result<Option<Authenticated>> {
    let now = state.engine.now();
    let Some((identity, expires_at)) = state.tokens.verify(token, now) else {
        return Ok(None);
    };
    let tenant = tenants::by_name(state.engine.store(), &identity.tenant).await?;
    Ok(tenant.map(|tenant| Authenticated {
        credential: Credential {
            tenant: tenant.id,
            key: None,
            expires_at: Some(expires_at),
        },
        ctx: Ctx {
            tenant: tenant.id,
            actor: Actor::new(ActorKind::Token, identity.user),
            role: identity.role,
            request_id: request_id(parts, state),
            now,
        },
    }))
}

/// The id that a middleware gave the request.
fn request_id(parts: &Parts, state: &AppState) -> Arc<str> {
    let id: Option<&RequestId> = parts.extensions.get();
    match id.and_then(|id| id.header_value().to_str().ok()) {
        Some(id) => id.into(),
        None => state.engine.draw_request_id(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_bearer_scheme_is_read() {
        assert_eq!(bearer_token("Bearer abc"), Some("abc"));
        assert_eq!(bearer_token("bearer  abc "), Some("abc"));
        assert_eq!(bearer_token("Basic abc"), None);
        assert_eq!(bearer_token("Bearer"), None);
    }
}
