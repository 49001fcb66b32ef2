use axum::extract::State;
use serde::Deserialize;
use tidegate_engine::{access, ports::NewAuthority as Trusted};
use utoipa::ToSchema;

use super::shape::AuthorityBody;
use crate::{
    AppState,
    problem::{Problem, Result},
    rest::{access::Admin, created::Created, json::JsonBody},
    x509::AuthorityCertificate,
};

#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewDeviceAuthority)]
pub(crate) struct NewAuthority {
    /// 1 to 200 characters, once in the tenant.
    name: String,
    /// Its certificate, PEM. Certificates between it and a device's own are sent by the device.
    certificate: String,
}

/// Trusts an authority: whoever shows a certificate of it is the device that the certificate names, by its common name or
/// one of its alternative names, and is registered at its first poll.
#[utoipa::path(
    post, path = "/device-authorities", tag = "devices", request_body = NewAuthority,
    responses((status = 201, body = AuthorityBody)),
)]
pub(crate) async fn create_device_authority(
    Admin(actor): Admin,
    State(state): State<AppState>,
    JsonBody(wanted): JsonBody<NewAuthority>,
) -> Result<Created<AuthorityBody>> {
    let refused = |message: &str| Problem::field("invalid_authority", "/certificate", message);
    let read = AuthorityCertificate::read(&wanted.certificate).map_err(refused)?;
    let now = state.engine.now();
    if read.expires_at <= now {
        return Err(refused("has run out"));
    }
    let trusted = Trusted {
        name: wanted.name,
        certificate: read.certificate,
        sha256: read.sha256,
        subject: read.subject,
        expires_at: read.expires_at,
        created_at: now,
    };
    let made = access::create_authority(&state.engine, actor.tenant, trusted).await?;
    Ok(Created {
        location: format!("/device-authorities/{}", made.id),
        body: made.into(),
    })
}
