//! Update types, as devices see them.

use std::time::Duration;

use serde_json::json;
use tidegate_core::{
    Named as _,
    time::Timestamp,
    update::{UpdateOptions, UpdateStatus, UpdateType},
};

use crate::{
    raw_http::{get, request},
    test_server::TestServer,
};

const BASE: &str = "/lab/controller/v1/dev-1";

fn options_of(update_type: UpdateType) -> UpdateOptions {
    UpdateOptions {
        update_type,
        ..UpdateOptions::forced(Duration::from_mins(30))
    }
}

async fn server() -> anyhow::Result<TestServer> {
    let server = TestServer::anonymous().await?;
    server.send(get(BASE)).await?;
    Ok(server)
}

#[tokio::test]
async fn the_handling_follows_the_update_type() -> anyhow::Result<()> {
    for (update_type, download, update) in [
        (UpdateType::Forced, "forced", "forced"),
        (UpdateType::Soft, "attempt", "attempt"),
        (UpdateType::DownloadOnly, "forced", "skip"),
    ] {
        let server = server().await?;
        let id = server
            .offer_with("dev-1", "1.1.0", options_of(update_type))
            .await?;
        let body = server
            .send(get(format!("{BASE}/deploymentBase/{id}")))
            .await?
            .json();
        let handling = (
            &body["deployment"]["download"],
            &body["deployment"]["update"],
        );
        assert_eq!(
            handling,
            (&json!(download), &json!(update)),
            "{update_type:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_time_forced_update_becomes_forced() -> anyhow::Result<()> {
    let server = server().await?;
    let noon = Timestamp(server.engine.now().0 + 60_000);
    let id = server
        .offer_with("dev-1", "1.1.0", options_of(UpdateType::TimeForced(noon)))
        .await?;
    let poll = async || {
        let response = server.send(get(BASE)).await?;
        let etag = response.header("etag").map(str::to_owned);
        let href = response.json()["_links"]["deploymentBase"]["href"].clone();
        anyhow::Ok((href, etag))
    };
    let handling = async || {
        let path = format!("{BASE}/confirmationBase");
        server.send(get(path)).await?;
        let row = server.engine.store().update(server.tenant, id).await?;
        let row = row.expect("the update");
        let now = server.engine.now();
        anyhow::Ok((
            row.revision,
            row.update.state.options.update_type.download(now).as_str(),
        ))
    };
    let (before, before_etag) = poll().await?;
    assert_eq!(handling().await?, (0, "attempt"));
    server.clock.advance(59);
    assert_eq!(
        poll().await?,
        (before.clone(), before_etag.clone()),
        "nothing changed yet"
    );
    server.clock.advance(1);
    let (after, after_etag) = poll().await?;
    assert_ne!(after, before);
    assert_ne!(after_etag, before_etag);
    assert_eq!(handling().await?, (0, "forced"), "no row was written");
    let href = after.as_str().expect("a link");
    let path = href
        .strip_prefix("http://gate.example:8080")
        .expect("a link to this server");
    let deployment = server.send(get(path)).await?.json();
    assert_eq!(deployment["deployment"]["update"], "forced");
    Ok(())
}

#[tokio::test]
async fn a_download_only_update_completes_when_downloaded() -> anyhow::Result<()> {
    let server = server().await?;
    let id = server
        .offer_with("dev-1", "1.1.0", options_of(UpdateType::DownloadOnly))
        .await?;
    let data = json!({ "data": { "hw_model": "edge" } });
    server
        .send(request("PUT", format!("{BASE}/configData")).json(&data))
        .await?;
    let send_feedback = async |execution: &str, finished: &str| {
        let body = json!({"status": {"execution": execution, "result": {"finished": finished}}});
        let feedback = request("POST", format!("{BASE}/deploymentBase/{id}/feedback")).json(&body);
        anyhow::Ok(server.send(feedback).await?.status)
    };
    assert_eq!(send_feedback("download", "none").await?, 200);
    assert_eq!(send_feedback("downloaded", "none").await?, 200);
    let row = server.engine.store().update(server.tenant, id).await?;
    let status = row.map(|row| row.update.state.status);
    assert_eq!(status, Some(UpdateStatus::Completed));
    let links = server.send(get(BASE)).await?.json()["_links"].clone();
    let names: Vec<_> = links
        .as_object()
        .into_iter()
        .flat_map(|links| links.keys())
        .collect();
    assert_eq!(
        names,
        ["configData"],
        "attributes are requested, and nothing is installed"
    );
    assert_eq!(send_feedback("closed", "success").await?, 410);
    assert_eq!(
        send_feedback("downloaded", "none").await?,
        200,
        "repeated feedback is accepted"
    );
    Ok(())
}
