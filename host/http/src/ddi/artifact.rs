use std::sync::Arc;

use axum::{extract::State, response::Response};
use http::{HeaderMap, Method, header::CONTENT_DISPOSITION};
use tidegate_core::{firmware::CHECKSUM_SUFFIX, id::ModuleId};
use tidegate_engine::devices;

use super::{
    device_auth::DeviceAuth,
    error::DdiError,
    path::{FilenameParam, ModuleParam},
    representation::conditional_response,
};
use crate::{
    AppState,
    file::{self, RangeRules},
};

/// A file of a module, or its MD5 checksum.
pub(super) async fn get(
    device: DeviceAuth,
    State(state): State<AppState>,
    ModuleParam(module): ModuleParam,
    FilenameParam(filename): FilenameParam,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, DdiError> {
    let found = devices::artifact(&device.caller, &state.engine, module, &filename).await;
    let found = match (found, filename.strip_suffix(CHECKSUM_SUFFIX)) {
        (Err(tidegate_engine::Error::NotFound { .. }), Some(filename)) => {
            return md5sum(&state, &device, module, filename, &headers).await;
        }
        (found, _) => found?,
    };
    let (artifact, modified) = (found.artifact.clone(), found.created_at);
    let open = move |part| {
        let (engine, found) = (Arc::clone(&state.engine), found.clone());
        async move { Ok::<_, DdiError>(found.open(&engine, part).await?) }
    };
    // Its clients are hawkBit's.
    let rules = RangeRules::HawkBit;
    file::respond(&method, &headers, &artifact, modified, rules, open).await
}

/// The checksum and the name in the format of `md5sum`, without the line feed.
async fn md5sum(
    state: &AppState,
    device: &DeviceAuth,
    module: ModuleId,
    filename: &str,
    headers: &HeaderMap,
) -> Result<Response, DdiError> {
    let found = devices::artifact(&device.caller, &state.engine, module, filename).await?;
    let ascii: String = filename
        .chars()
        .map(|c| if c.is_ascii() { c } else { '?' })
        .collect();
    let text = format!("{}  {ascii}", hex::encode(found.artifact.hashes.md5));
    let mut response =
        conditional_response("text/plain;charset=US-ASCII", text.into_bytes(), headers);
    let attachment = file::attachment(&format!("{filename}{CHECKSUM_SUFFIX}"));
    response
        .headers_mut()
        .insert(CONTENT_DISPOSITION, attachment);
    Ok(response)
}
