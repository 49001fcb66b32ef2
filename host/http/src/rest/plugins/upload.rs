use axum::extract::{Request, State};
use bytes::Bytes;
use tidegate_engine::plugins;
use utoipa::ToSchema;

use super::shape::RevisionBody;
use crate::{
    AppState,
    problem::{Problem, Result},
    rest::{
        access::Publisher,
        created::{Created, segment},
        multipart::{Parts, next, parts, whole, wrong_part},
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
    let mut parts = parts(request, &state)?;
    let most = usize::try_from(state.settings.max_component_bytes).unwrap_or(usize::MAX);
    let component = component(&mut parts, most).await?;
    // A task of its own, so that it also comes to its end when the client is gone.
    let engine = state.engine.clone();
    let taken = tokio::spawn(async move { plugins::take_in(&engine, &actor, component).await });
    let revision = taken.await.map_err(|error| {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "take in component"
        );
        Problem::internal()
    })??;
    let (name, digest) = (
        segment(&revision.stored.description.name),
        revision.stored.digest,
    );
    let location = format!("/plugins/{name}/revisions/{digest}");
    Ok(Created {
        location,
        body: RevisionBody::new(revision)?,
    })
}

async fn component(parts: &mut Parts, most: usize) -> Result<Bytes> {
    let mut component = None;
    while let Some(field) = next(parts).await? {
        match field.name() {
            Some("component") if component.is_some() => {
                return Err(wrong_part("component", "came twice"));
            }
            Some("component") => component = Some(whole(field, most).await?),
            other => {
                let name = other.unwrap_or_default().to_owned();
                return Err(wrong_part(&name, "is not known; send `component`"));
            }
        }
    }
    component.ok_or_else(|| wrong_part("component", "is missing"))
}
