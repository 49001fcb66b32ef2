//! A log that cannot be written harms no request.

use std::fs::OpenOptions;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tidegate_e2e::{
    Database, Fixture as _, RestClient, ServerOutput, ServerProcess, ServerStorage, run_standalone,
    wait_until,
};

#[test]
fn a_closed_pipe_as_log_harms_no_request() -> Result<()> {
    run_standalone(|| lines_are_dropped(ServerOutput::ClosedPipe))
}

#[test]
fn a_full_disk_under_the_log_harms_no_request() -> Result<()> {
    let full = OpenOptions::new().write(true).open("/dev/full")?;
    run_standalone(|| lines_are_dropped(ServerOutput::File(full)))
}

/// The server works, counts the lines that it drops, and stops at SIGTERM with exit code 0.
async fn lines_are_dropped(output: ServerOutput) -> Result<()> {
    let (process, rest, _storage) = start(&output).await?;
    let dropped = async || Ok((dropped_lines(&rest).await? > 0).then_some(()));
    wait_until("lines are dropped", dropped).await?;
    let request = json!({ "tenant": "default", "user_id": "jo", "role": "admin" });
    let token = rest.post("auth/dev-token", &request).await?;
    let token = token.expect_status(200)?.json()?;
    let token = token["token"].as_str().context("a token")?;
    let rest = rest.with_token(token);
    rest.get("devices").await?.expect_status(200)?;
    let status = process.terminate()?;
    ensure!(status.success(), "the server ended with {status}");
    Ok(())
}

/// What a pipe holds on Linux.
const PIPE_BYTES: usize = 64 << 10;
/// More than the longest line of the log has, which is an SQL statement.
const LINE_BYTES: usize = 10 << 10;

#[test]
fn a_log_that_is_not_read_delays_no_request() -> Result<()> {
    run_standalone(async || {
        let (process, rest, _storage) = start(&ServerOutput::Pipe).await?;
        for _ in 0..1000 {
            rest.get("/no/such/resource").await?.expect_status(404)?;
        }
        let (status, unread) = process.terminate_and_read()?;
        ensure!(status.success(), "the server ended with {status}");
        let bytes = unread.len();
        ensure!(
            bytes > PIPE_BYTES - LINE_BYTES,
            "the pipe was not full: {bytes} bytes"
        );
        Ok(())
    })
}

/// Starts a server with this output and waits until it listens. Its storage must outlive it.
async fn start(output: &ServerOutput) -> Result<(ServerProcess, RestClient, ServerStorage)> {
    let storage = ServerStorage::set_up(Database::Sqlite).await?;
    let mut process = ServerProcess::start_unread(&storage, output, &[])?;
    let rest = RestClient::anonymous(reqwest::Client::new(), &process.url);
    wait_until("the server listens", async || {
        let ended = process.status()?;
        ensure!(ended.is_none(), "the server ended with {ended:?}");
        Ok(rest.get("/health").await.ok())
    })
    .await?
    .expect_status(200)?;
    Ok((process, rest, storage))
}

async fn dropped_lines(rest: &RestClient) -> Result<u64> {
    let metrics = rest.get("/metrics").await?.expect_status(200)?;
    let metrics = metrics.text();
    let count = metrics
        .lines()
        .find_map(|line| line.strip_prefix("tidegate_log_lines_dropped_total "));
    Ok(count.context("the metric is missing")?.parse()?)
}
