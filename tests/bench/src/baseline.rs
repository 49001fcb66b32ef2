//! What Tidegate's answers are compared with: axum that answers the same bytes and does nothing else. It is a process of
//! its own, as the server is.

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

/// What is answered, as the server once did.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CannedResponse {
    headers: Vec<(String, String)>,
    body: String,
}

/// Everything that a bare server answers; feedback with nothing.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CannedResponses {
    pub(crate) poll: CannedResponse,
    pub(crate) deployment: CannedResponse,
}

impl CannedResponse {
    /// What was answered, without what every server adds by itself.
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

/// Starts this very program as such a server.
pub(crate) fn start(folder: &Path, answers: &CannedResponses) -> Result<Process> {
    let file = folder.join("answers.json");
    std::fs::write(&file, serde_json::to_vec(answers)?).context("write what to answer")?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("bare").arg(file);
    Process::start(&mut command, |line| line.parse().ok())
}

/// Such a server: two worker threads or what the machine has, as the server has them.
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
