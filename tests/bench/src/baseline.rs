//! The baseline for the server's responses: an axum server that sends the same bytes and does nothing else. It is a
//! process of its own, as the server is.

use std::{net::SocketAddr, path::Path, process::Command, sync::Arc};

use anyhow::{Context as _, Result};
use axum::{
    Router,
    response::IntoResponse,
    routing::{get, post},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};

use crate::{http1::HttpResponse, process::Process};

/// A recorded response of the server.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CannedResponse {
    headers: Vec<(String, String)>,
    body: String,
}

/// All recorded responses; the response to feedback is empty.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CannedResponses {
    pub(crate) poll: CannedResponse,
    pub(crate) deployment: CannedResponse,
}

impl CannedResponse {
    /// Records a response, without the fields that every server adds.
    pub(crate) fn of(response: &HttpResponse<'_>) -> Self {
        let headers = response.headers().into_iter();
        Self {
            headers: headers
                .filter(|(name, _)| name != "date" && name != "content-length")
                .collect(),
            body: String::from_utf8_lossy(response.body).into_owned(),
        }
    }
}

/// Starts this program as a baseline server.
pub(crate) fn start(folder: &Path, answers: &CannedResponses) -> Result<Process> {
    let file = folder.join("answers.json");
    std::fs::write(&file, serde_json::to_vec(answers)?).context("write the responses")?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("bare").arg(file);
    Process::start(&mut command, |line| line.parse().ok())
}

/// Runs a baseline server, with as many worker threads as the server has.
pub(crate) fn run(file: &Path) -> Result<()> {
    let answers: CannedResponses = serde_json::from_slice(&std::fs::read(file)?)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        crate::log(&listener.local_addr()?.to_string());
        let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
            let _ = stream.set_nodelay(true);
        });
        axum::serve(listener, router(&answers)?)
            .await
            .context("serve")
    })
}

fn router(answers: &CannedResponses) -> Result<Router> {
    let poll = handler(&answers.poll)?;
    let deployment = handler(&answers.deployment)?;
    Ok(Router::new()
        .route(
            "/{tenant}/controller/v1/{device}",
            get(move || std::future::ready(poll())),
        )
        .route(
            "/{tenant}/controller/v1/{device}/deploymentBase/{update}",
            get(move || std::future::ready(deployment())),
        )
        .route(
            "/{tenant}/controller/v1/{device}/deploymentBase/{update}/feedback",
            post(|_: bytes::Bytes| async { StatusCode::OK }),
        ))
}

fn handler(
    canned: &CannedResponse,
) -> Result<impl Fn() -> axum::response::Response + Clone + use<>> {
    let mut headers = HeaderMap::new();
    for (name, value) in &canned.headers {
        headers.append(
            HeaderName::try_from(name.as_str())?,
            HeaderValue::try_from(value.as_str())?,
        );
    }
    let (headers, body) = (Arc::new(headers), Arc::<[u8]>::from(canned.body.as_bytes()));
    let body = bytes::Bytes::from_owner(body);
    Ok(move || ((*headers).clone(), body.clone()).into_response())
}
