use axum::{extract::State, response::Response};
use serde::Serialize;
use tidegate_core::{
    firmware::{Artifact, Module, hex},
    update::UpdateStatus,
};
use tidegate_engine::{
    devices::{self, Deployment},
    ports::FeedbackRow,
};

use super::{
    door::Door,
    links::FileLink,
    params::{Params, Update},
    refusal::Refusal,
    representation::Representation,
};
use crate::AppState;

/// What the device is to install.
pub(super) async fn get(
    door: Door,
    representation: Representation,
    State(state): State<AppState>,
    Update(update): Update,
    params: Params,
) -> Result<Response, Refusal> {
    let described = devices::deployment(&state.engine, &door.caller, update, params.history);
    representation.of(&Answer::new(&described.await?, &door, params.history))
}

/// What the device has installed.
pub(super) async fn get_installed(
    door: Door,
    representation: Representation,
    State(state): State<AppState>,
    Update(update): Update,
    params: Params,
) -> Result<Response, Refusal> {
    let described = devices::installed(&state.engine, &door.caller, update, params.history);
    representation.of(&Answer::new(&described.await?, &door, params.history))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    id: String,
    deployment: DeploymentBody<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    action_history: Option<History<'a>>,
}

#[derive(Serialize)]
struct DeploymentBody<'a> {
    download: &'static str,
    update: &'static str,
    chunks: Vec<Chunk<'a>>,
}

#[derive(Serialize)]
struct Chunk<'a> {
    part: &'a str,
    version: &'a str,
    name: &'a str,
    artifacts: Vec<ArtifactBody<'a>>,
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

/// Clients that were built without TLS know only the second pair.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct ArtifactLinks {
    download: FileLink,
    md5sum: FileLink,
    download_http: FileLink,
    md5sum_http: FileLink,
}

#[derive(Serialize)]
struct History<'a> {
    status: &'static str,
    messages: Vec<&'a str>,
}

impl<'a> Answer<'a> {
    fn new(deployment: &'a Deployment, door: &Door, history: u32) -> Self {
        let Deployment {
            update, firmware, ..
        } = deployment;
        let chunks = firmware.modules.iter();
        Self {
            id: update.update.id.to_string(),
            deployment: DeploymentBody {
                download: "forced",
                update: "forced",
                chunks: chunks.map(|module| Chunk::new(module, door)).collect(),
            },
            action_history: History::new(
                update.update.progress.status,
                &deployment.history,
                history as usize,
            ),
        }
    }
}

impl<'a> Chunk<'a> {
    fn new(module: &'a Module, door: &Door) -> Self {
        let artifacts = module.artifacts.iter();
        Self {
            part: &module.part,
            version: &module.version,
            name: &module.name,
            artifacts: artifacts
                .map(|artifact| ArtifactBody::new(artifact, module, door))
                .collect(),
        }
    }
}

impl<'a> ArtifactBody<'a> {
    fn new(artifact: &'a Artifact, module: &Module, door: &Door) -> Self {
        let tenant = &door.tenant.name;
        let file = door.links.to_file(tenant, module.id, &artifact.filename);
        let hashes = &artifact.hashes;
        Self {
            filename: &artifact.filename,
            hashes: Hashes {
                sha1: hex(&hashes.sha1),
                md5: hex(&hashes.md5),
                sha256: hex(&hashes.sha256),
            },
            size: artifact.size,
            links: ArtifactLinks {
                md5sum: file.md5sum(),
                md5sum_http: file.md5sum(),
                download: file.clone(),
                download_http: file,
            },
        }
    }
}

impl<'a> History<'a> {
    /// The newest messages by the device's own time. None where there are none.
    fn new(status: UpdateStatus, rows: &'a [FeedbackRow], limit: usize) -> Option<Self> {
        let mut rows: Vec<_> = rows.iter().collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.feedback.device_time.unwrap_or(row.at)));
        let messages = rows.iter().flat_map(|row| &row.feedback.messages);
        let messages: Vec<_> = messages.map(String::as_str).take(limit).collect();
        (!messages.is_empty()).then_some(Self {
            status: word(status),
            messages,
        })
    }
}

/// The status by the name that clients of hawkBit know.
fn word(status: UpdateStatus) -> &'static str {
    match status {
        UpdateStatus::Downloading => "RETRIEVED",
        UpdateStatus::Offered | UpdateStatus::Installing | UpdateStatus::Verifying => "RUNNING",
        UpdateStatus::Cancelling => "CANCELING",
        UpdateStatus::Completed => "FINISHED",
        UpdateStatus::Failed | UpdateStatus::TimedOut => "ERROR",
        UpdateStatus::Cancelled => "CANCELED",
    }
}

#[cfg(test)]
mod tests {
    use tidegate_core::{
        feedback::{Execution, Feedback, Finished},
        time::Timestamp,
    };

    use super::*;

    fn row(at: i64, device_time: Option<i64>, messages: &[&str]) -> FeedbackRow {
        FeedbackRow {
            at: Timestamp(at),
            feedback: Feedback {
                device_time: device_time.map(Timestamp),
                execution: Execution::Proceeding,
                finished: Finished::None,
                progress: None,
                code: None,
                messages: messages.iter().map(|&message| message.to_owned()).collect(),
                cut: false,
            },
            on_cancel: false,
        }
    }

    #[test]
    fn history_has_the_newest_messages_first() {
        let rows = [
            row(40, None, &["d"]),
            row(30, Some(5), &["a1", "a2"]),
            row(20, None, &[]),
            row(10, Some(35), &["c"]),
        ];
        for (limit, expected) in [
            (100, &["d", "c", "a1", "a2"][..]),
            (3, &["d", "c", "a1"]),
            (0, &[]),
        ] {
            let history = History::new(UpdateStatus::Installing, &rows, limit);
            let messages = history.map(|history| history.messages);
            assert_eq!(messages.as_deref().unwrap_or_default(), expected, "{limit}");
        }
        assert!(History::new(UpdateStatus::Installing, &[], 100).is_none());
    }
}
