use serde::Serialize;
use tidegate_engine::ports::Gateway;
use utoipa::ToSchema;

use crate::rest::response::Time;

/// A gateway, without its token.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Gateway)]
pub(super) struct GatewayBody {
    gateway_id: i64,
    name: String,
    /// It authenticates only devices of this group; null: every device.
    group: Option<String>,
    created_at: Time,
    /// Accurate to a few seconds.
    last_used: Option<Time>,
}

impl From<Gateway> for GatewayBody {
    fn from(gateway: Gateway) -> Self {
        Self {
            gateway_id: gateway.id.0,
            name: gateway.name,
            group: gateway.group.map(|group| group.to_string()),
            created_at: gateway.created_at.into(),
            last_used: gateway.last_used.map(Time::from),
        }
    }
}
