use axum::extract::State;
use serde::Deserialize;
use tidegate_engine::{Admin, Authorized, access, ports};
use utoipa::ToSchema;

use super::body::AuthorityBody;
use crate::{
    AppState,
    problem::{Problem, Result},
    rest::{json::JsonBody, response::Created},
    x509::AuthorityCertificate,
};

#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewDeviceAuthority)]
pub(crate) struct NewAuthority {
    /// 1 to 200 characters, unique in the tenant.
    name: String,
    /// Its certificate, PEM. Devices send the intermediate certificates themselves.
    certificate: String,
}

/// Trusts a certificate authority: a client with a certificate of it is authenticated as the device that the
/// certificate names, by its common name or one of its alternative names. The device is registered at its first poll.
#[utoipa::path(
    post, path = "/device-authorities", tag = "devices", request_body = NewAuthority,
    responses((status = 201, body = AuthorityBody)),
)]
pub(crate) async fn create_device_authority(
    ctx: Authorized<Admin>,
    State(state): State<AppState>,
    JsonBody(request): JsonBody<NewAuthority>,
) -> Result<Created<AuthorityBody>> {
    let invalid = |message: &str| Problem::field("invalid_authority", "/certificate", message);
    let parsed = AuthorityCertificate::from_pem(&request.certificate).map_err(invalid)?;
    let now = ctx.now;
    if parsed.expires_at <= now {
        return Err(invalid("has expired"));
    }
    let authority = ports::NewAuthority {
        name: request.name,
        certificate: parsed.certificate,
        sha256: parsed.sha256,
        subject: parsed.subject,
        expires_at: parsed.expires_at,
        created_at: now,
    };
    let created = access::create_authority(&ctx, &state.engine, authority).await?;
    Ok(Created {
        location: format!("/device-authorities/{}", created.id),
        body: created.into(),
    })
}
