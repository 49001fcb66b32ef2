use axum::extract::State;
use serde::{Deserialize, Serialize};
use tidegate_core::plugin::FieldError;
use tidegate_engine::{Admin, Authorized, access};
use utoipa::ToSchema;

use super::body::GatewayBody;
use crate::{
    AppState,
    field_names::to_request_fields,
    problem::Result,
    rest::{
        json::JsonBody,
        response::Created,
        rules::{Body, RuleContext},
    },
};

#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct NewGateway {
    /// 1 to 200 characters, unique in the tenant.
    name: String,
    /// The gateway authenticates only devices of this group. Devices that it registers join the group.
    group: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CreatedGateway {
    gateway: GatewayBody,
    /// For the gateway to send as `Authorization: GatewayToken <token>`. It is shown only in this response.
    token: String,
}

/// Creates a gateway and issues its token, which is shown only once.
#[utoipa::path(
    post, path = "/gateways", tag = "devices", request_body = NewGateway,
    responses((status = 201, body = CreatedGateway)),
)]
pub(crate) async fn create_gateway(
    ctx: Authorized<Admin>,
    State(state): State<AppState>,
    JsonBody(request): JsonBody<NewGateway>,
) -> Result<Created<CreatedGateway>> {
    let NewGateway { name, group } = request;
    let created = access::create_gateway(
        &ctx,
        state.engine.store(),
        state.engine.caches(),
        state.engine.entropy(),
        &name,
        group.as_deref(),
    )
    .await?;
    let location = format!("/gateways/{}", created.gateway.id);
    let body = CreatedGateway {
        gateway: created.gateway.into(),
        token: created.token,
    };
    Ok(Created { location, body })
}

impl Body for NewGateway {
    async fn broken_rules(self, _: &RuleContext<'_>) -> Result<Vec<FieldError>> {
        let errors = access::validate_gateway(&self.name, self.group.as_deref());
        Ok(to_request_fields(errors))
    }
}
