use axum::extract::{Request, State};
use bytes::Bytes;
use tidegate_engine::plugins;
use utoipa::ToSchema;

use super::body::RevisionBody;
use crate::{
    AppState,
    problem::{Problem, Result},
    rest::{
        access::Publisher,
        multipart::{MultipartReader, invalid_part, next_part, read_multipart, read_part},
        response::{Created, encode_segment},
    },
};

/// The parts of an upload.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only described")]
pub(crate) struct PluginUpload {
    /// A WebAssembly component.
    #[schema(value_type = String, format = Binary)]
    component: Vec<u8>,
}

/// Uploads a component. It is compiled, tried under limits and stored as a revision of the plugin that it says it is;
/// what is no plugin is 422 `plugin_rejected`, and the detail says why.
#[utoipa::path(
    post, path = "/plugins", tag = "plugins",
    request_body(content = PluginUpload, content_type = "multipart/form-data"),
    responses((status = 201, body = RevisionBody)),
)]
pub(crate) async fn upload_plugin(
    Publisher(actor): Publisher,
    State(state): State<AppState>,
    request: Request,
) -> Result<Created<RevisionBody>> {
    let mut reader = read_multipart(request, &state)?;
    let limit = usize::try_from(state.settings.max_component_bytes).unwrap_or(usize::MAX);
    let component = read_component(&mut reader, limit).await?;
    // A task of its own, so that it also comes to its end when the client is gone.
    let engine = state.engine.clone();
    let uploaded = tokio::spawn(async move { plugins::upload(&engine, &actor, component).await });
    let revision = uploaded.await.map_err(|error| {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "take in component"
        );
        Problem::internal()
    })??;
    let (name, digest) = (
        encode_segment(&revision.stored.description.name),
        revision.stored.digest,
    );
    let location = format!("/plugins/{name}/revisions/{digest}");
    Ok(Created {
        location,
        body: RevisionBody::new(revision)?,
    })
}

async fn read_component(reader: &mut MultipartReader, limit: usize) -> Result<Bytes> {
    let mut component = None;
    while let Some(field) = next_part(reader).await? {
        match field.name() {
            Some("component") if component.is_some() => {
                return Err(invalid_part("component", "came twice"));
            }
            Some("component") => component = Some(read_part(field, limit).await?),
            other => {
                let name = other.unwrap_or_default().to_owned();
                return Err(invalid_part(&name, "is not known; send `component`"));
            }
        }
    }
    component.ok_or_else(|| invalid_part("component", "is missing"))
}
