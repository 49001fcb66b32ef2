use std::{collections::HashSet, sync::Arc};

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, Method, StatusCode, header::CONTENT_RANGE};
use serde::Deserialize;
use tidegate_core::firmware::{Artifact, Firmware, Module};
use tidegate_engine::{Ctx, devices::ArtifactDownload, firmware};
use utoipa::{IntoParams, ToSchema};

use crate::{
    AppState,
    file::{self, RangeRules},
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
    /// The module of the file, by its index from 0 or by its name; needed when several modules have a file of this name.
    module: Option<String>,
}

impl Query for DownloadQuery {
    type Params = Self;

    fn check(self) -> Result<Self> {
        Ok(self)
    }
}

/// The bytes of a file.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "documentation only")]
pub(crate) struct FileBytes(Vec<u8>);

/// Downloads a file of a firmware, with range (`Range`) and conditional requests (`ETag`).
#[utoipa::path(
    get, path = "/firmware/{firmware_id}/download", tag = "firmware",
    params(("firmware_id" = i64, Path), DownloadQuery),
    responses(
        (
            status = 200, description = "The file.",
            content_type = "application/octet-stream", body = inline(FileBytes),
        ),
        (
            status = 206, description = "The part of the file in `Content-Range`.",
            content_type = "application/octet-stream", body = inline(FileBytes),
        ),
        (status = 304, description = "The client has this file."),
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
    let artifact = choose_file(&firmware, &query)?.clone();
    let file = ArtifactDownload::without_update(artifact, firmware.created_at);
    let (artifact, modified) = (file.artifact.clone(), file.created_at);
    let open = move |range| {
        let (engine, file) = (Arc::clone(&state.engine), file.clone());
        async move { file.open(&engine, range).await }
    };
    let rules = RangeRules::Rfc9110;
    let response = file::respond(&method, &headers, &artifact, modified, rules, open).await?;
    Ok(with_problem_body(response))
}

fn choose_file<'a>(firmware: &'a Firmware, query: &DownloadQuery) -> Result<&'a Artifact> {
    let modules = choose_modules(firmware, query.module.as_deref())?;
    let files = modules.into_iter().flat_map(|(index, module)| {
        let artifacts = module.artifacts.iter();
        artifacts.map(move |file| (index, module, file))
    });
    let is_wanted = |file: &Artifact| {
        let name = query.file.as_ref();
        name.is_none_or(|name| file.filename == *name)
    };
    let files: Vec<_> = files.filter(|(_, _, file)| is_wanted(file)).collect();
    match (&query.file, &files[..]) {
        (_, [(_, _, only)]) => Ok(only),
        (Some(name), []) => Err(tidegate_engine::Error::not_found("file", name).into()),
        (Some(_), _) => {
            let modules = files
                .iter()
                .map(|(index, module, _)| format!("{index} ({})", module.name));
            let modules = modules.collect::<Vec<_>>().join(", ");
            let message =
                format!("is required, because several modules have this file: one of {modules}");
            Err(Problem::field("module_needed", "module", message))
        }
        (None, []) => {
            let message = format!("firmware {} has no files", firmware.id);
            Err(Problem::new(StatusCode::NOT_FOUND, "not_found", message))
        }
        (None, _) => {
            let mut names: Vec<_> = files.iter().map(|(_, _, file)| &*file.filename).collect();
            let mut seen = HashSet::new();
            names.retain(|name| seen.insert(*name));
            let message = format!("is required: one of {}", names.join(", "));
            Err(Problem::field("file_needed", "file", message))
        }
    }
}

/// The modules of a name, or else the one of an index; by default all. Each with its index.
fn choose_modules<'a>(
    firmware: &'a Firmware,
    wanted: Option<&str>,
) -> Result<Vec<(usize, &'a Module)>> {
    let modules = firmware.modules.iter().enumerate();
    let Some(wanted) = wanted else {
        return Ok(modules.collect());
    };
    let named: Vec<_> = modules
        .clone()
        .filter(|(_, module)| module.name == wanted)
        .collect();
    let numbered = || {
        modules
            .filter(|(index, _)| index.to_string() == wanted)
            .collect()
    };
    let found: Vec<_> = if named.is_empty() { numbered() } else { named };
    if found.is_empty() {
        return Err(tidegate_engine::Error::not_found("module", wanted).into());
    }
    Ok(found)
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
