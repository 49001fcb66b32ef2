use axum::extract::{Request, State};
use tidegate_engine::{
    firmware::{Claims, Upload},
    tenants::Actor,
};
use utoipa::ToSchema;

use super::{FirmwareBody, metadata::FirmwareMetadata};
use crate::{
    AppState,
    problem::{Problem, Result},
    rest::{
        access::Publisher,
        created::Created,
        json,
        multipart::{Parts, next, parts, stream, whole, wrong_part},
    },
};

/// Largest metadata, in bytes.
const MAX_METADATA: usize = 1 << 20;

/// The parts of an upload.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only described")]
pub(crate) struct FirmwareUpload {
    metadata: FirmwareMetadata,
    /// One or more parts of this name, each with a file name.
    #[schema(value_type = Vec<String>, format = Binary)]
    file: Vec<u8>,
}

/// Uploads a firmware. Checksums that are given must match what arrives. What the metadata leaves out is read from
/// update images (`.swu`, `.raucb`); one that is damaged is refused.
#[utoipa::path(
    post, path = "/firmware", tag = "firmware",
    request_body(content = FirmwareUpload, content_type = "multipart/form-data"),
    responses((status = 201, body = FirmwareBody)),
)]
pub(crate) async fn upload_firmware(
    Publisher(actor): Publisher,
    State(state): State<AppState>,
    request: Request,
) -> Result<Created<FirmwareBody>> {
    let parts = parts(request, &state)?;
    // A task of its own, so that it also comes to its end, and leaves nothing behind, when the client is gone.
    let received = tokio::spawn(async move { receive(&state, &actor, parts).await }).await;
    let firmware = received.map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "receive firmware");
        Problem::internal()
    })??;
    Ok(firmware)
}

async fn receive(
    state: &AppState,
    actor: &Actor,
    mut parts: Parts,
) -> Result<Created<FirmwareBody>> {
    let mut upload = Upload::begin(&state.engine, actor)?;
    let claims = match read(&mut upload, &mut parts).await {
        Ok(claims) => claims,
        Err(problem) => {
            upload.abandon().await;
            return Err(problem);
        }
    };
    let firmware = upload.finish(claims).await?;
    Ok(Created {
        location: format!("/firmware/{}", firmware.id),
        body: firmware.into(),
    })
}

async fn read(upload: &mut Upload<'_>, parts: &mut Parts) -> Result<Claims> {
    let mut metadata = None;
    while let Some(field) = next(parts).await? {
        match field.name() {
            Some("metadata") if metadata.is_some() => {
                return Err(wrong_part("metadata", "came twice"));
            }
            Some("metadata") => {
                let text = whole(field, MAX_METADATA).await?;
                metadata = Some(json::parse::<FirmwareMetadata>(&text)?);
            }
            Some("file") => {
                let Some(filename) = field.file_name().map(str::to_owned) else {
                    return Err(wrong_part("file", "has no file name"));
                };
                upload.add(filename, stream(field)).await?;
            }
            other => {
                let name = other.unwrap_or_default().to_owned();
                return Err(wrong_part(
                    &name,
                    "is not known; send `metadata` and `file`",
                ));
            }
        }
    }
    metadata
        .map(Claims::from)
        .ok_or_else(|| wrong_part("metadata", "is missing"))
}
