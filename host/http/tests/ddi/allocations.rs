//! What requests of devices allocate, without the connection. An allocation costs more than most of the work between two of
//! them, and unlike processor time it can be counted without noise.

use anyhow::Context as _;
use axum::body::Body;
use http::{Request, header};
use serde_json::json;
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt as _;

use crate::test_server::{GATEWAY, TestServer};

const DEVICE: &str = "/LAB/controller/v1/dev-1";

/// A server whose requests are all handled by this thread; SQLite has its own.
struct CountedServer {
    runtime: Runtime,
    server: TestServer,
}

impl CountedServer {
    fn start() -> anyhow::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let server = runtime.block_on(TestServer::authenticated())?;
        runtime.block_on(server.put_device("dev-1", "secret"))?;
        Ok(Self { runtime, server })
    }

    /// The allocations of one of these requests: the least of several, because other tasks of the server may run during
    /// one of them.
    fn least(&self, request: impl Fn(u32) -> anyhow::Result<Request<Body>>) -> anyhow::Result<u64> {
        let counts = (0..8).map(|number| self.count(request(number)?));
        let counts = counts.collect::<anyhow::Result<Vec<_>>>()?;
        counts.into_iter().min().context("no request was sent")
    }

    fn count(&self, request: Request<Body>) -> anyhow::Result<u64> {
        let api = self.server.api.clone();
        let mut status = None;
        let allocations = allocation_counter::measure(|| {
            let Ok(response) = self.runtime.block_on(api.oneshot(request));
            status = Some(response.status());
        });
        anyhow::ensure!(
            status.is_some_and(|status| status.is_success()),
            "{status:?}"
        );
        Ok(allocations.count_total)
    }
}

fn request(method: &str, path: &str, body: String) -> anyhow::Result<Request<Body>> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "gate.example:8080")
        .header(header::AUTHORIZATION, GATEWAY)
        .header(header::CONTENT_TYPE, "application/json");
    Ok(request.body(body.into())?)
}

#[test]
fn a_poll_from_memory_makes_few_allocations() -> anyhow::Result<()> {
    let server = CountedServer::start()?;
    let allocations = server.least(|_| request("GET", DEVICE, String::new()))?;
    assert!(allocations <= 20, "{allocations}");
    Ok(())
}

#[test]
fn a_feedback_makes_few_allocations() -> anyhow::Result<()> {
    let server = CountedServer::start()?;
    let offered = server.server.offer("dev-1", "2.0.0");
    let update = server.runtime.block_on(offered)?;
    let path = format!("{DEVICE}/deploymentBase/{update}/feedback");
    let allocations = server.least(|cnt| {
        let progress = json!({ "cnt": cnt, "of": 100 });
        let result = json!({ "finished": "none", "progress": progress });
        let body = json!({ "status": { "execution": "proceeding", "result": result } });
        request("POST", &path, body.to_string())
    })?;
    assert!(allocations <= 280, "{allocations}");
    Ok(())
}
