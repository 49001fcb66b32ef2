use axum::{Json, extract::State};
use serde::Serialize;
use tidegate_engine::{Ctx, plugins, ports::RejectedUpload};
use utoipa::ToSchema;

use crate::{
    AppState,
    problem::Result,
    rest::{
        query::{PageQuery, QueryParams},
        response::{List, Time},
    },
};

/// An upload of a component that was rejected. The component is not stored.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PluginRejection)]
pub(super) struct RejectionBody {
    /// `sha256:` and the digest of its bytes.
    revision: String,
    /// Why it was rejected.
    reason: String,
    /// Name of the user who uploaded it.
    uploaded_by: String,
    rejected_at: Time,
}

impl From<RejectedUpload> for RejectionBody {
    fn from(rejected: RejectedUpload) -> Self {
        Self {
            revision: rejected.digest.to_string(),
            reason: rejected.reason,
            uploaded_by: rejected.by,
            rejected_at: rejected.at.into(),
        }
    }
}

/// Lists the uploads of components that were rejected (422 `plugin_rejected`), newest first.
#[utoipa::path(
    get, path = "/plugin-rejections", tag = "plugins", params(PageQuery),
    responses((status = 200, description = "A page of rejected uploads, newest first.", body = List<RejectionBody>)),
)]
pub(crate) async fn list_plugin_rejections(
    ctx: Ctx,
    State(state): State<AppState>,
    QueryParams(page): QueryParams<PageQuery>,
) -> Result<Json<List<RejectionBody>>> {
    let rejected = plugins::rejections(&ctx, state.engine.store(), page).await?;
    let items = rejected.items.into_iter().map(RejectionBody::from);
    Ok(Json(List::new(items.collect(), rejected.total, page)))
}
