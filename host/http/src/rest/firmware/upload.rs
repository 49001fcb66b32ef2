use axum::extract::{Request, State};
use tidegate_engine::{
    Authorized, Publisher, chain,
    firmware::{FirmwareSpec, Upload},
};
use tracing::Instrument as _;
use utoipa::ToSchema;

use super::{FirmwareBody, metadata::FirmwareMetadata};
use crate::{
    AppState,
    problem::{Problem, Result},
    rest::{
        json,
        multipart::{
            MultipartReader, invalid_part, next_part, part_stream, read_multipart, read_part,
        },
        response::CreatedResponse,
        rules::RuleContext,
        size_limit::SizeLimit,
    },
};

/// Maximum size of the metadata.
const MAX_METADATA_BYTES: usize = 1 << 20;

/// The parts of an upload.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documentation only")]
pub(crate) struct FirmwareUpload {
    metadata: FirmwareMetadata,
    /// Parts of this name, each with a file name; none if `modules` lists modules without files.
    #[schema(value_type = Vec<String>, format = Binary)]
    file: Vec<u8>,
}

/// Uploads a firmware. Checksums, if given, must match the files. Metadata that is left out is read from update images
/// (`.swu`, `.raucb`); a damaged image is rejected.
#[utoipa::path(
    post, path = "/firmware", tag = "firmware",
    request_body(content = FirmwareUpload, content_type = "multipart/form-data"),
    responses((status = 201, description = "The stored firmware.", body = FirmwareBody)),
)]
pub(crate) async fn upload_firmware(
    ctx: Authorized<Publisher>,
    State(state): State<AppState>,
    request: Request,
) -> Result<CreatedResponse<FirmwareBody>> {
    let reader = read_multipart(request, &state)?;
    // Runs in its own task, so that it finishes and cleans up even if the client disconnects.
    let received = async move { receive_upload(&state, &ctx, reader).await };
    let received = tokio::spawn(received.in_current_span()).await;
    let firmware = received.map_err(|error| {
        tracing::error!(error = %chain(&error), "firmware upload failed");
        Problem::internal()
    })??;
    Ok(firmware)
}

async fn receive_upload(
    state: &AppState,
    ctx: &Authorized<Publisher>,
    mut reader: MultipartReader,
) -> Result<CreatedResponse<FirmwareBody>> {
    let context = RuleContext {
        engine: &state.engine,
        ctx: Some(ctx),
    };
    let mut upload = Upload::begin(ctx, state.engine.store(), state.engine.files());
    let spec = match read_parts(&mut upload, &mut reader, &context).await {
        Ok(spec) => spec,
        Err(problem) => {
            upload.abandon().await;
            return Err(problem);
        }
    };
    let firmware = upload.finish(spec).await?;
    Ok(CreatedResponse {
        location: format!("/firmware/{}", firmware.id),
        body: firmware.into(),
    })
}

async fn read_parts(
    upload: &mut Upload<'_>,
    reader: &mut MultipartReader,
    context: &RuleContext<'_>,
) -> Result<FirmwareSpec> {
    let mut metadata = None;
    while let Some(part) = next_part(reader).await? {
        match part.name.as_deref() {
            Some("metadata") if metadata.is_some() => {
                return Err(invalid_part("metadata", "must be sent only once"));
            }
            Some("metadata") => {
                let text = read_part(part, SizeLimit::fixed(MAX_METADATA_BYTES)).await?;
                metadata = Some(json::parse::<FirmwareMetadata>(&text, context).await?);
            }
            Some("file") => {
                let Some(filename) = part.filename.clone() else {
                    return Err(invalid_part("file", "must have a file name"));
                };
                upload.add(filename, part_stream(part)).await?;
            }
            other => {
                let name = other.unwrap_or_default().to_owned();
                return Err(invalid_part(
                    &name,
                    "is unknown; send `metadata` and `file`",
                ));
            }
        }
    }
    metadata
        .map(FirmwareSpec::from)
        .ok_or_else(|| invalid_part("metadata", "is required"))
}
