use axum::extract::{Request, State};
use bytes::Bytes;
use tidegate_engine::{Authorized, Publisher, chain, plugins};
use tracing::Instrument as _;
use utoipa::ToSchema;

use super::body::RevisionBody;
use crate::{
    AppState,
    problem::{Problem, Result},
    rest::{
        multipart::{MultipartReader, invalid_part, next_part, read_multipart, read_part},
        response::CreatedResponse,
        size_limit::SizeLimit,
    },
};

/// The parts of an upload.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documentation only")]
pub(crate) struct PluginUpload {
    /// A WebAssembly component.
    #[schema(value_type = String, format = Binary)]
    component: Vec<u8>,
}

/// Uploads a component. It is compiled, run under limits and stored as a revision of the plugin that it describes, in the
/// state `candidate`: an administrator enables it. A component that is not a valid plugin is 422 `plugin_rejected` with
/// the reason, which `/plugin-rejections` keeps; one with the vendor of the built-in plugins that is none of them is 409 `reserved_name`; one with the
/// version of a stored revision, and other bytes, is 409 `version_exists`. 429 `compile_queue_full` while too many
/// components wait for their inspection.
#[utoipa::path(
    post, path = "/plugins", tag = "plugins",
    request_body(content = PluginUpload, content_type = "multipart/form-data"),
    responses((status = 201, description = "The stored revision.", body = RevisionBody)),
)]
pub(crate) async fn upload_plugin(
    ctx: Authorized<Publisher>,
    State(state): State<AppState>,
    request: Request,
) -> Result<CreatedResponse<RevisionBody>> {
    let mut reader = read_multipart(request, &state)?;
    let limit = usize::try_from(state.settings.max_component_bytes).unwrap_or(usize::MAX);
    let limit = SizeLimit::configured(limit, "sandbox.component_bytes");
    let component = read_component(&mut reader, limit).await?;
    // Runs in its own task, so that it finishes even if the client disconnects.
    let engine = state.engine.clone();
    let upload = async move {
        plugins::upload(
            &ctx,
            engine.store(),
            engine.files(),
            engine.plugins(),
            component,
        )
        .await
    };
    let uploaded = tokio::spawn(upload.in_current_span());
    let revision = uploaded.await.map_err(|error| {
        tracing::error!(error = %chain(&error), "plugin upload failed");
        Problem::internal()
    })??;
    let (name, digest) = (&revision.stored.description.name, revision.stored.digest);
    let location = format!("/plugins/{name}/revisions/{digest}");
    Ok(CreatedResponse {
        location,
        body: RevisionBody::new(revision)?,
    })
}

async fn read_component(reader: &mut MultipartReader, limit: SizeLimit) -> Result<Bytes> {
    let mut component = None;
    while let Some(part) = next_part(reader).await? {
        match part.name.as_deref() {
            Some("component") if component.is_some() => {
                return Err(invalid_part("component", "must be sent only once"));
            }
            Some("component") => component = Some(read_part(part, limit).await?),
            other => {
                let name = other.unwrap_or_default().to_owned();
                return Err(invalid_part(&name, "is unknown; send `component`"));
            }
        }
    }
    component.ok_or_else(|| invalid_part("component", "is required"))
}
