use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, Method, StatusCode, header::CONTENT_RANGE};
use serde::Deserialize;
use tidegate_core::firmware::{Artifact, Firmware};
use tidegate_engine::{Ctx, devices::ArtifactDownload, firmware};
use utoipa::IntoParams;

use crate::{
    AppState, file,
    problem::{Problem, Result},
    rest::{
        extract::{PathParams, parse_id},
        query::{Query, QueryParams},
    },
};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct DownloadQuery {
    /// Name of the file; may be left out when there is only one.
    file: Option<String>,
}

impl Query for DownloadQuery {
    type Params = Self;

    fn check(self) -> Result<Self> {
        Ok(self)
    }
}

/// Downloads a file of a firmware, with range (`Range`) and conditional requests (`ETag`).
#[utoipa::path(
    get, path = "/firmware/{firmware_id}/download", tag = "firmware",
    params(("firmware_id" = i64, Path), DownloadQuery),
    responses(
        (status = 200, content_type = "application/octet-stream", body = Vec<u8>),
        (status = 206, content_type = "application/octet-stream", body = Vec<u8>),
    ),
)]
pub(crate) async fn download_firmware(
    ctx: Ctx,
    State(state): State<AppState>,
    PathParams(firmware): PathParams<String>,
    QueryParams(query): QueryParams<DownloadQuery>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response> {
    let firmware = parse_id("firmware", &firmware)?;
    let firmware = firmware::get(&ctx, state.engine.store(), firmware).await?;
    let artifact = choose_file(&firmware, query.file.as_deref())?.clone();
    let file = ArtifactDownload::without_update(artifact, firmware.created_at);
    let (artifact, modified) = (file.artifact.clone(), file.created_at);
    let open = move |range| {
        let (engine, file) = (Arc::clone(&state.engine), file.clone());
        async move { file.open(&engine, range).await }
    };
    let response = file::respond(&method, &headers, &artifact, modified, open).await?;
    Ok(with_problem_body(response))
}

fn choose_file<'a>(firmware: &'a Firmware, filename: Option<&str>) -> Result<&'a Artifact> {
    let files: Vec<_> = firmware::files(firmware).collect();
    match (filename, &files[..]) {
        (None, [only]) => Ok(only),
        (None, []) => {
            let message = format!("firmware {} has no files", firmware.id);
            Err(Problem::new(StatusCode::NOT_FOUND, "not_found", message))
        }
        (None, _) => {
            let names: Vec<_> = files.iter().map(|file| &*file.filename).collect();
            let message = format!("is required: one of {}", names.join(", "));
            Err(Problem::field("file_needed", "file", message))
        }
        (Some(name), _) => {
            let found = files.iter().find(|file| file.filename == name);
            let absent = || tidegate_engine::Error::not_found("file", name);
            Ok(*found.ok_or_else(absent)?)
        }
    }
}

/// Adds a problem body to an error response of the file handler.
fn with_problem_body(response: Response) -> Response {
    let (code, detail) = match response.status() {
        StatusCode::PRECONDITION_FAILED => (
            "precondition_failed",
            "the file does not meet the conditions of the request",
        ),
        StatusCode::RANGE_NOT_SATISFIABLE => (
            "range_not_satisfiable",
            "the range is outside the file; Content-Range has its length",
        ),
        _ => return response,
    };
    let mut refusal = Problem::new(response.status(), code, detail).into_response();
    if let Some(length) = response.headers().get(CONTENT_RANGE) {
        refusal.headers_mut().insert(CONTENT_RANGE, length.clone());
    }
    refusal
}
