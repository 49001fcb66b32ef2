use axum::extract::State;
use serde::Deserialize;
use tidegate_core::{plugin::FieldError, time::Timestamp};
use tidegate_engine::{Admin, Authorized, access, ports};
use utoipa::ToSchema;

use super::body::AuthorityBody;
use crate::{
    AppState,
    field_names::to_request_fields,
    problem::{Problem, Result},
    rest::{
        json::JsonBody,
        response::CreatedResponse,
        rules::{BodyRules, RuleContext},
    },
    x509::AuthorityCertificate,
};

#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewDeviceAuthority)]
pub(crate) struct NewAuthorityRequest {
    /// 1 to 200 characters, unique in the tenant.
    name: String,
    /// Its certificate, PEM. Devices send the intermediate certificates themselves.
    certificate: String,
}

/// Trusts a certificate authority: a client with a certificate of it is authenticated as the device that the
/// certificate names, by its common name or one of its alternative names. The device is registered at its first poll.
#[utoipa::path(
    post, path = "/device-authorities", tag = "devices", request_body = NewAuthorityRequest,
    responses((status = 201, description = "The certificate authority.", body = AuthorityBody)),
)]
pub(crate) async fn create_device_authority(
    ctx: Authorized<Admin>,
    State(state): State<AppState>,
    JsonBody(request): JsonBody<NewAuthorityRequest>,
) -> Result<CreatedResponse<AuthorityBody>> {
    let now = ctx.now;
    let Ok(parsed) = parse_certificate(&request.certificate, now) else {
        return Err(Problem::invalid("invalid_authority", request.errors(now)));
    };
    let authority = ports::NewAuthority {
        name: request.name,
        certificate: parsed.certificate,
        sha256: parsed.sha256,
        subject: parsed.subject,
        expires_at: parsed.expires_at,
        created_at: now,
    };
    let created =
        access::create_authority(&ctx, state.engine.store(), state.engine.caches(), authority)
            .await?;
    Ok(CreatedResponse {
        location: format!("/device-authorities/{}", created.id),
        body: created.into(),
    })
}

fn parse_certificate(pem: &str, now: Timestamp) -> Result<AuthorityCertificate, FieldError> {
    let invalid = |message: &str| FieldError {
        path: "/certificate".to_owned(),
        message: message.to_owned(),
    };
    let parsed = AuthorityCertificate::from_pem(pem).map_err(invalid)?;
    if parsed.expires_at <= now {
        return Err(invalid("has expired"));
    }
    Ok(parsed)
}

impl NewAuthorityRequest {
    /// The rules that it breaks.
    fn errors(&self, now: Timestamp) -> Vec<FieldError> {
        let certificate = parse_certificate(&self.certificate, now).err();
        let name = access::validate_name(&self.name).into_iter().collect();
        certificate
            .into_iter()
            .chain(to_request_fields(name))
            .collect()
    }
}

impl BodyRules for NewAuthorityRequest {
    async fn broken_rules(self, context: &RuleContext<'_>) -> Result<Vec<FieldError>> {
        Ok(self.errors(context.engine.now()))
    }
}
