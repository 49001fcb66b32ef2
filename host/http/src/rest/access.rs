//! Authentication of callers.

use std::sync::Arc;

use axum::{
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use http::{Extensions, HeaderMap, request::Parts};
use tidegate_engine::{
    Actor, ActorKind, Authorized, Ctx, RequiredRole, fingerprint,
    tenants::{self, ActorCredential, AuthenticatedActor},
};

use crate::{
    AppState,
    bearer::bearer_token,
    caller::record_caller,
    client::Client,
    metrics::LoginKind,
    problem::{Problem, Result},
    refused_logins::{RefusedLogin, too_many_refused},
    request_id::{self, RequestId},
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
impl FromRequestParts<AppState> for ActorCredential {
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

async fn caller(parts: &mut Parts, state: &AppState) -> Result<AuthenticatedActor> {
    if let Some(RequestCaller(caller)) = parts.extensions.get() {
        return Ok(caller.clone());
    }
    let caller = authenticate_and_limit(parts, state).await?;
    parts.extensions.insert(RequestCaller(caller.clone()));
    Ok(caller)
}

/// The caller of a request that is already authenticated.
#[derive(Clone)]
struct RequestCaller(AuthenticatedActor);

/// The context, if the request is already authenticated.
pub(super) fn authenticated(extensions: &Extensions) -> Option<Ctx> {
    let RequestCaller(caller) = extensions.get()?;
    Some(caller.ctx.clone())
}

/// Authenticates a request. Middlewares and extractors that follow reuse the result.
pub(super) async fn pre_authenticate(parts: &mut Parts, state: &AppState) -> Result<Ctx> {
    context(parts, state).await
}

async fn authenticate_and_limit(parts: &Parts, state: &AppState) -> Result<AuthenticatedActor> {
    let caller = authenticate(parts, state).await?;
    let ctx = &caller.ctx;
    record_caller(&parts.extensions, ctx.tenant, &ctx.actor.name);
    if !state.limits.allow_tenant(ctx.tenant, &parts.method) {
        return Err(Problem::rate_limited());
    }
    Ok(caller)
}

async fn authenticate(parts: &Parts, state: &AppState) -> Result<AuthenticatedActor> {
    let presented = PresentedCredential::of(&parts.headers);
    let sha256 = presented.text().map(fingerprint);
    let refused_logins = &state.refused_logins;
    if let Some(wait) = sha256.and_then(|sha256| refused_logins.wait_of(&sha256)) {
        state.metrics.login_refused(presented.kind());
        return Err(too_many_refused(wait));
    }
    let engine = &state.engine;
    let caller = match presented {
        PresentedCredential::ApiKey(Some(key)) => {
            let (store, caches) = (engine.store(), engine.caches());
            tenants::authenticate(store, caches, key, request_id(parts, state), engine.now())
                .await?
        }
        PresentedCredential::BearerToken(token) => caller_of_token(token, parts, state).await?,
        PresentedCredential::ApiKey(None) | PresentedCredential::None => None,
    };
    if let Some(caller) = caller {
        return Ok(caller);
    }
    let client: Option<&Client> = parts.extensions.get();
    let address = client.and_then(|client| client.address);
    let login = RefusedLogin {
        credential: sha256,
        key_id: match presented {
            PresentedCredential::ApiKey(Some(key)) => tenants::generated_key_id(key),
            _ => None,
        },
        ..RefusedLogin::new(presented.kind(), presented.refusal_reason())
    };
    let wait = refused_logins.record(&state.metrics, address, &login);
    // A request without a credential guesses nothing.
    let wait = wait.filter(|_| presented.kind() != LoginKind::None);
    Err(wait.map_or_else(Problem::unauthenticated, too_many_refused))
}

/// The credential of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PresentedCredential<'a> {
    /// `None`: the header is not ASCII, so it is no key.
    ApiKey(Option<&'a str>),
    BearerToken(&'a str),
    None,
}

impl<'a> PresentedCredential<'a> {
    fn of(headers: &'a HeaderMap) -> Self {
        if let Some(key) = headers.get("x-api-key") {
            return Self::ApiKey(key.to_str().ok());
        }
        bearer_token(headers).map_or(Self::None, Self::BearerToken)
    }

    fn kind(self) -> LoginKind {
        match self {
            Self::ApiKey(_) => LoginKind::ApiKey,
            Self::BearerToken(_) => LoginKind::BearerToken,
            Self::None => LoginKind::None,
        }
    }

    fn text(self) -> Option<&'a str> {
        match self {
            Self::ApiKey(key) => key,
            Self::BearerToken(token) => Some(token),
            Self::None => None,
        }
    }

    fn refusal_reason(self) -> &'static str {
        match self {
            Self::ApiKey(_) => "unknown or expired API key",
            Self::BearerToken(_) => "invalid or expired token",
            Self::None => "no API key and no bearer token",
        }
    }
}

async fn caller_of_token(
    token: &str,
    parts: &Parts,
    state: &AppState,
) -> Result<Option<AuthenticatedActor>> {
    let now = state.engine.now();
    let Some((identity, expires_at)) = state.tokens.verify(token, now) else {
        return Ok(None);
    };
    let tenant = tenants::by_name(state.engine.store(), &identity.tenant).await?;
    Ok(tenant.map(|tenant| AuthenticatedActor {
        credential: ActorCredential {
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
    match parts.extensions.get() {
        Some(RequestId(id)) => request_id::as_str(id).into(),
        None => state.engine.draw_request_id(),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, header::AUTHORIZATION};

    use super::*;

    #[test]
    fn a_request_presents_one_credential() {
        let headers = |key: Option<&'static [u8]>, authorization: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            if let Some(key) = key {
                headers.insert("x-api-key", HeaderValue::from_bytes(key).expect("a value"));
            }
            if let Some(authorization) = authorization {
                headers.insert(AUTHORIZATION, HeaderValue::from_static(authorization));
            }
            headers
        };
        for (key, authorization, expected) in [
            (None, None, PresentedCredential::None),
            (None, Some("Basic abc"), PresentedCredential::None),
            (
                None,
                Some("Bearer abc"),
                PresentedCredential::BearerToken("abc"),
            ),
            (
                Some(&b"key"[..]),
                Some("Bearer abc"),
                PresentedCredential::ApiKey(Some("key")),
            ),
            (
                Some(b"k\xff"),
                Some("Bearer abc"),
                PresentedCredential::ApiKey(None),
            ),
        ] {
            let headers = headers(key, authorization);
            assert_eq!(PresentedCredential::of(&headers), expected);
        }
    }
}
