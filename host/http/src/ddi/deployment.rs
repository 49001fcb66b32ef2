use axum::{extract::State, response::Response};
use serde::Serialize;
use tidegate_core::{
    Named as _,
    firmware::{Artifact, Module, ModuleMetadata},
    settings::DdiLinks,
    time::Timestamp,
    update::HandlingType,
};
use tidegate_engine::devices::{self, Deployment};

use super::{
    device_auth::DeviceAuth,
    error::DdiError,
    history::ActionHistory,
    links::FileLink,
    params::DeploymentQuery,
    path::{ModuleParam, UpdateParam},
    representation::Representation,
};
use crate::AppState;

/// The update that the device has to install.
pub(super) async fn get(
    device: DeviceAuth,
    representation: Representation,
    State(state): State<AppState>,
    UpdateParam(update): UpdateParam,
    query: DeploymentQuery,
) -> Result<Response, DdiError> {
    let deployment = devices::deployment(&device.caller, &state.engine, update, query.history);
    let now = state.engine.now();
    representation.respond(&DeploymentBase::for_installation(
        &deployment.await?,
        &device,
        query.history,
        now,
    ))
}

/// The files of a module, in the same form as in a deployment.
pub(super) async fn list_artifacts(
    device: DeviceAuth,
    representation: Representation,
    State(state): State<AppState>,
    ModuleParam(module): ModuleParam,
) -> Result<Response, DdiError> {
    let module = devices::module(&device.caller, &state.engine, module).await?;
    let artifacts = module.artifacts.iter();
    let bodies: Vec<_> = artifacts
        .map(|artifact| ArtifactBody::new(artifact, &module, &device))
        .collect();
    representation.respond(&bodies)
}

/// The update that the device has installed.
pub(super) async fn get_installed(
    device: DeviceAuth,
    representation: Representation,
    State(state): State<AppState>,
    UpdateParam(update): UpdateParam,
    query: DeploymentQuery,
) -> Result<Response, DdiError> {
    let deployment =
        devices::installed_deployment(&device.caller, &state.engine, update, query.history);
    let now = state.engine.now();
    representation.respond(&DeploymentBase::for_installation(
        &deployment.await?,
        &device,
        query.history,
        now,
    ))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeploymentBase<'a> {
    id: String,
    /// Either `deployment` or `confirmation` is present.
    #[serde(skip_serializing_if = "Option::is_none")]
    deployment: Option<DeploymentBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    confirmation: Option<DeploymentBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    action_history: Option<ActionHistory<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DeploymentBody<'a> {
    download: &'static str,
    update: &'static str,
    /// Present if the update has a maintenance window.
    #[serde(skip_serializing_if = "Option::is_none")]
    maintenance_window: Option<&'static str>,
    chunks: Vec<Chunk<'a>>,
}

#[derive(Serialize)]
struct Chunk<'a> {
    part: &'a str,
    version: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "is_false")]
    encrypted: bool,
    artifacts: Vec<ArtifactBody<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    metadata: Vec<Metadata<'a>>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    key: &'a str,
    value: &'a str,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_false(flag: &bool) -> bool {
    !flag
}

#[derive(Serialize)]
struct ArtifactBody<'a> {
    filename: &'a str,
    hashes: Hashes,
    size: u64,
    #[serde(rename = "_links")]
    links: ArtifactLinks,
}

#[derive(Serialize)]
struct Hashes {
    sha1: String,
    md5: String,
    sha256: String,
}

/// hawkBit has the names without `-http` for HTTPS; here only the setting decides which names there are. Zephyr before 3.2
/// cannot skip a link that it does not know, and later versions have 1100 bytes for the whole response.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct ArtifactLinks {
    #[serde(skip_serializing_if = "Option::is_none")]
    download: Option<FileLink>,
    #[serde(skip_serializing_if = "Option::is_none")]
    md5sum: Option<FileLink>,
    #[serde(skip_serializing_if = "Option::is_none")]
    download_http: Option<FileLink>,
    #[serde(skip_serializing_if = "Option::is_none")]
    md5sum_http: Option<FileLink>,
}

impl ArtifactLinks {
    fn new(file: &FileLink, names: DdiLinks) -> Self {
        let (has_http, has_https) = (names.has_http(), names.has_https());
        Self {
            download: has_https.then(|| file.clone()),
            md5sum: has_https.then(|| file.md5sum()),
            download_http: has_http.then(|| file.clone()),
            md5sum_http: has_http.then(|| file.md5sum()),
        }
    }
}

impl<'a> DeploymentBase<'a> {
    /// The form in which the device installs the update.
    pub(super) fn for_installation(
        deployment: &'a Deployment,
        device: &DeviceAuth,
        history: u32,
        now: Timestamp,
    ) -> Self {
        Self {
            deployment: Some(DeploymentBody::new(deployment, device, now)),
            ..Self::without_body(deployment, history)
        }
    }

    /// The form in which the device confirms the update.
    pub(super) fn for_confirmation(
        deployment: &'a Deployment,
        device: &DeviceAuth,
        history: u32,
        now: Timestamp,
    ) -> Self {
        Self {
            confirmation: Some(DeploymentBody::new(deployment, device, now)),
            ..Self::without_body(deployment, history)
        }
    }

    fn without_body(deployment: &'a Deployment, history: u32) -> Self {
        let update = &deployment.update;
        Self {
            id: update.id.to_string(),
            deployment: None,
            confirmation: None,
            action_history: ActionHistory::new(update, &deployment.history, history as usize),
        }
    }
}

impl<'a> DeploymentBody<'a> {
    fn new(deployment: &'a Deployment, device: &DeviceAuth, now: Timestamp) -> Self {
        let update = &deployment.update;
        let update_type = update.update_type;
        // A closed update no longer waits for its window.
        let window = update.window.as_ref().filter(|_| update.status.is_open());
        let is_open = window.map(|window| window.is_open(now));
        let install = match is_open {
            Some(false) => HandlingType::Skip,
            _ => update_type.install(now),
        };
        let chunks = deployment.firmware.modules.iter();
        Self {
            download: update_type.download(now).as_str(),
            update: install.as_str(),
            maintenance_window: is_open.map(
                |is_open| {
                    if is_open { "available" } else { "unavailable" }
                },
            ),
            chunks: chunks.map(|module| Chunk::new(module, device)).collect(),
        }
    }
}

impl<'a> Chunk<'a> {
    fn new(module: &'a Module, device: &DeviceAuth) -> Self {
        let artifacts = module.artifacts.iter();
        Self {
            part: &module.part,
            version: &module.version,
            name: &module.name,
            encrypted: module.is_encrypted,
            artifacts: artifacts
                .map(|artifact| ArtifactBody::new(artifact, module, device))
                .collect(),
            metadata: module.metadata.iter().map(Metadata::new).collect(),
        }
    }
}

impl<'a> Metadata<'a> {
    fn new(entry: &'a ModuleMetadata) -> Self {
        Self {
            key: &entry.key,
            value: &entry.value,
        }
    }
}

impl<'a> ArtifactBody<'a> {
    fn new(artifact: &'a Artifact, module: &Module, device: &DeviceAuth) -> Self {
        let tenant = &device.tenant.name;
        let file = device.links.to_file(tenant, module.id, &artifact.filename);
        let hashes = &artifact.hashes;
        Self {
            filename: &artifact.filename,
            hashes: Hashes {
                sha1: hex::encode(hashes.sha1),
                md5: hex::encode(hashes.md5),
                sha256: hex::encode(hashes.sha256),
            },
            size: artifact.size,
            links: ArtifactLinks::new(&file, device.link_names),
        }
    }
}
