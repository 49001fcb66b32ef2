use std::time::Duration;

use serde_json::{Value, json};
use tidegate_core::{
    feedback::{Execution, Feedback, Finished},
    id::UpdateId,
    update::UpdateStatus,
};
use tidegate_engine::{
    campaigns,
    devices::{self, Caller, DeviceWait},
    ports::Enrolment,
};
use tokio::time::timeout;

use crate::{
    raw_http::{Response, get, request},
    test_server::TestServer,
};

const BASE: &str = "/lab/controller/v1/dev-1";
/// Maximum wait for background work, which takes milliseconds.
const MAX_WAIT: Duration = Duration::from_secs(30);

fn feedback(execution: &str, finished: &str) -> Value {
    json!({"status": {"execution": execution, "result": {"finished": finished}, "details": ["said"]}})
}

/// A device with an offered update.
async fn offered() -> anyhow::Result<(TestServer, UpdateId)> {
    let server = TestServer::anonymous().await?;
    server.send(get(BASE)).await?;
    let update = server.offer("dev-1", "1.1.0").await?;
    Ok((server, update))
}

impl TestServer {
    async fn send_feedback(
        &self,
        resource: &str,
        update: UpdateId,
        body: &Value,
    ) -> anyhow::Result<Response> {
        let path = format!("{BASE}/{resource}/{update}/feedback");
        self.send(request("POST", path).json(body)).await
    }

    async fn status(&self, update: UpdateId) -> anyhow::Result<Option<UpdateStatus>> {
        let row = self.engine.store().update(self.tenant, update).await?;
        Ok(row.map(|row| row.update.state.status))
    }

    /// Waits until the update has this status: retrievals are recorded in the background.
    async fn wait_for_status(&self, update: UpdateId, status: UpdateStatus) -> anyhow::Result<()> {
        let waiting = async {
            while self.status(update).await? != Some(status) {
                tokio::task::yield_now().await;
            }
            Ok(())
        };
        timeout(MAX_WAIT, waiting).await?
    }

    async fn links(&self) -> anyhow::Result<Vec<(String, String)>> {
        let response = self.send(get(BASE)).await?.json();
        let links = response["_links"].as_object().cloned().unwrap_or_default();
        let links = links.into_iter();
        let links = links.filter(|(name, _)| name != "configData");
        Ok(links
            .map(|(name, link)| (name, link["href"].as_str().unwrap_or_default().to_owned()))
            .collect())
    }
}

#[tokio::test]
async fn an_update_is_installed() -> anyhow::Result<()> {
    let (server, update) = offered().await?;
    let links = server.links().await?;
    let [(name, href)] = &links[..] else {
        anyhow::bail!("one link: {links:?}");
    };
    assert_eq!(name, "deploymentBase");
    let path = href
        .strip_prefix("http://gate.example:8080")
        .expect("a link to this server");
    assert!(
        path.starts_with(&format!("{BASE}/deploymentBase/{update}?c=")),
        "{path}"
    );

    let response = server.send(get(path)).await?;
    assert_eq!(response.status, 200);
    let body = response.json();
    let file =
        "http://gate.example:8080/LAB/controller/v1/dev-1/softwaremodules/1/artifacts/edge%201.bin";
    assert_eq!(
        body,
        json!({
            "id": update.to_string(),
            "deployment": {"download": "forced", "update": "forced", "chunks": [{
                "part": "os", "version": "1.1.0", "name": "edge", "encrypted": true,
                "metadata": [{"key": "region", "value": "eu"}],
                "artifacts": [{
                    "filename": "edge 1.bin",
                    "size": 23,
                    "hashes": {
                        "sha1": "0c32587984326713dca45c6c3eb85b55d4ea1d9c",
                        "md5": "497654b400a8a028bfe0be55506b7c20",
                        "sha256": "63212cc06daf4b21eff708f872166e580bd6af4287f4a32e01c236f4078b65b8",
                    },
                    "_links": {
                        "download-http": {"href": file},
                        "md5sum-http": {"href": format!("{file}.MD5SUM")},
                    },
                }],
            }]},
        })
    );
    server
        .wait_for_status(update, UpdateStatus::Downloading)
        .await?;
    let list = |module: &str| get(format!("{BASE}/softwaremodules/{module}/artifacts"));
    let listed = server.send(list("1")).await?;
    assert_eq!(
        listed.json(),
        body["deployment"]["chunks"][0]["artifacts"],
        "a plain list of the same files"
    );
    assert!(listed.header("etag").is_some());
    let stranger = "/LAB/controller/v1/dev-2";
    server.send(get(stranger)).await?;
    let others = server.send(get(format!("{stranger}/softwaremodules/1/artifacts")));
    assert_eq!(others.await?.status, 404);
    for (module, status) in [("2", 404), ("99999999999999999999", 404), ("x", 400)] {
        assert_eq!(server.send(list(module)).await?.status, status, "{module}");
    }

    for execution in ["download", "proceeding", "downloaded"] {
        assert_eq!(
            server
                .send_feedback("deploymentBase", update, &feedback(execution, "none"))
                .await?
                .status,
            200
        );
    }
    assert_eq!(server.status(update).await?, Some(UpdateStatus::Installing));
    assert_eq!(
        server
            .send_feedback("deploymentBase", update, &feedback("closed", "success"))
            .await?
            .status,
        200
    );
    let links = server.links().await?;
    assert_eq!(
        links,
        [(
            "installedBase".to_owned(),
            format!("http://gate.example:8080{BASE}/installedBase/{update}")
        )]
    );
    for resource in ["installedBase", "deploymentBase"] {
        let response = server
            .send(get(format!("{BASE}/{resource}/{update}")))
            .await?;
        assert_eq!(
            (response.status, response.json()),
            (200, body.clone()),
            "{resource}"
        );
    }
    assert_eq!(
        server.status(update).await?,
        Some(UpdateStatus::Completed),
        "a GET does not reopen the update"
    );
    Ok(())
}

#[tokio::test]
async fn duplicate_feedback_is_stored_once_and_late_feedback_is_gone() -> anyhow::Result<()> {
    let (server, update) = offered().await?;
    let closed = feedback("closed", "success");
    for _ in 0..2 {
        let response = server
            .send_feedback("deploymentBase", update, &closed)
            .await?;
        assert_eq!(
            (response.status, response.header("content-length")),
            (200, Some("0"))
        );
    }
    let history = server
        .engine
        .store()
        .history(server.tenant, update, 100)
        .await?;
    assert_eq!(history.len(), 1);
    let late = server
        .send_feedback("deploymentBase", update, &feedback("proceeding", "none"))
        .await?;
    assert_eq!((late.status, late.text().as_str()), (410, ""));
    let cancel = server
        .send_feedback("cancelAction", update, &closed)
        .await?;
    assert_eq!(cancel.status, 405, "the update is not being cancelled");
    assert_eq!(
        cancel.json()["errorCode"],
        "hawkbit.server.error.action.notCancelable"
    );
    Ok(())
}

#[tokio::test]
async fn feedback_is_recorded_if_the_device_disconnects() -> anyhow::Result<()> {
    let (server, update) = offered().await?;
    server.links().await?;
    let caller = Caller {
        tenant: server.tenant,
        device_id: "dev-1".to_owned(),
        may_register: false,
        enrolment: Enrolment::default(),
        address: None,
        wait: DeviceWait::new(server.engine.settings().device_wait),
    };
    let success = Feedback::new(Execution::Closed, Finished::Success);
    // When a device disconnects, the server drops the request and the future that handles it.
    let mut handling = Box::pin(devices::record_feedback(
        &caller,
        &server.engine,
        update,
        success,
    ));
    assert!(futures::poll!(&mut handling).is_pending());
    drop(handling);
    server
        .wait_for_status(update, UpdateStatus::Completed)
        .await?;
    // The read model is updated although nothing awaits the request.
    let installed = |(name, _): &(String, String)| name == "installedBase";
    let waiting = async {
        while !server.links().await?.iter().all(installed) {
            tokio::task::yield_now().await;
        }
        Ok(())
    };
    timeout(MAX_WAIT, waiting).await?
}

#[tokio::test]
async fn a_cancelled_update_is_linked_as_a_cancel_action() -> anyhow::Result<()> {
    let (server, update) = offered().await?;
    server
        .send(get(format!("{BASE}/deploymentBase/{update}")))
        .await?;
    server
        .wait_for_status(update, UpdateStatus::Downloading)
        .await?;
    assert_eq!(
        server
            .send(get(format!("{BASE}/cancelAction/{update}")))
            .await?
            .status,
        404
    );
    server.cancel_campaign_of(update).await?;
    let cancel = format!("http://gate.example:8080{BASE}/cancelAction/{update}");
    assert_eq!(server.links().await?, [("cancelAction".to_owned(), cancel)]);
    assert_eq!(
        server
            .send(get(format!("{BASE}/deploymentBase/{update}")))
            .await?
            .status,
        404
    );
    let id = update.to_string();
    let response = server
        .send(get(format!("{BASE}/cancelAction/{update}")))
        .await?;
    assert_eq!(
        response.json(),
        json!({"id": id, "cancelAction": {"stopId": id}})
    );

    assert_eq!(
        server
            .send_feedback("cancelAction", update, &feedback("proceeding", "none"))
            .await?
            .status,
        200
    );
    assert_eq!(
        server
            .send_feedback("cancelAction", update, &feedback("closed", "success"))
            .await?
            .status,
        200
    );
    assert_eq!(server.status(update).await?, Some(UpdateStatus::Cancelled));
    assert_eq!(server.links().await?, []);
    let late = server
        .send_feedback("cancelAction", update, &feedback("rejected", "none"))
        .await?;
    assert_eq!(late.status, 410, "the cancellation is closed");
    assert_eq!(server.status(update).await?, Some(UpdateStatus::Cancelled));
    Ok(())
}

#[tokio::test]
async fn an_update_belongs_to_its_device() -> anyhow::Result<()> {
    let (server, update) = offered().await?;
    server.send(get("/lab/controller/v1/dev-2")).await?;
    let other = "/lab/controller/v1/dev-2";
    for path in ["deploymentBase", "installedBase", "cancelAction"] {
        let response = server.send(get(format!("{other}/{path}/{update}"))).await?;
        assert_eq!(response.status, 404, "{path}");
    }
    for path in ["deploymentBase", "cancelAction"] {
        let posted = request("POST", format!("{other}/{path}/{update}/feedback"));
        let posted = posted.json(&feedback("closed", "success"));
        assert_eq!(server.send(posted).await?.status, 404, "{path}");
    }
    assert_eq!(server.status(update).await?, Some(UpdateStatus::Offered));
    Ok(())
}

#[tokio::test]
async fn the_history_is_included_on_request() -> anyhow::Result<()> {
    let (server, update) = offered().await?;
    for message in ["first", "second", "third"] {
        let mut body = feedback("proceeding", "none");
        body["status"]["details"] = json!(message);
        server
            .send_feedback("deploymentBase", update, &body)
            .await?;
        server.clock.advance(1);
    }
    for (query, expected) in [
        ("", Value::Null),
        ("?actionHistory=0", Value::Null),
        (
            "?actionHistory=2",
            json!({"status": "RUNNING", "messages": ["third", "second"]}),
        ),
        (
            "?actionHistory=-1",
            json!({"status": "RUNNING", "messages": ["third", "second", "first"]}),
        ),
    ] {
        let response = server
            .send(get(format!("{BASE}/deploymentBase/{update}{query}")))
            .await?;
        assert_eq!(response.json()["actionHistory"], expected, "{query}");
    }
    Ok(())
}

#[tokio::test]
async fn unusual_texts_are_stored() -> anyhow::Result<()> {
    let (server, update) = offered().await?;
    let mut body = feedback("closed", "failure");
    body["status"]["details"] = json!(["a\u{0}b", "<script>", "x".repeat(10_000)]);
    body["timestamp"] = json!(i64::MAX);
    let response = server
        .send_feedback("deploymentBase", update, &body)
        .await?;
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(server.status(update).await?, Some(UpdateStatus::Failed));
    Ok(())
}

#[tokio::test]
async fn a_success_after_the_timeout_is_taken() -> anyhow::Result<()> {
    let (server, update) = offered().await?;
    server.clock.advance(31 * 60);
    assert_eq!(campaigns::expire_batch(&server.engine).await?, 1);
    for (execution, finished, status, expected) in [
        ("proceeding", "none", 410, UpdateStatus::TimedOut),
        ("closed", "failure", 410, UpdateStatus::TimedOut),
        ("closed", "success", 200, UpdateStatus::Completed),
        ("closed", "success", 200, UpdateStatus::Completed),
        ("closed", "failure", 410, UpdateStatus::Completed),
    ] {
        let body = feedback(execution, finished);
        let response = server
            .send_feedback("deploymentBase", update, &body)
            .await?;
        assert_eq!(response.status, status, "{execution} {finished}");
        assert_eq!(server.status(update).await?, Some(expected));
    }
    Ok(())
}

#[tokio::test]
async fn the_requests_of_the_file_tell_downloading_from_installing() -> anyhow::Result<()> {
    let (server, update) = offered().await?;
    server
        .send(get(format!("{BASE}/deploymentBase/{update}")))
        .await?;
    server
        .wait_for_status(update, UpdateStatus::Downloading)
        .await?;
    // SWUpdate reports this before it downloads.
    let mut report = feedback("proceeding", "none");
    let proceeding = server
        .send_feedback("deploymentBase", update, &report)
        .await?;
    assert_eq!(proceeding.status, 200);
    let links = server.links().await?;
    let file = format!("{BASE}/softwaremodules/1/artifacts/edge%201.bin");
    let begun = server.send(get(&file).header("Range", "bytes=0-9")).await?;
    assert_eq!(begun.status, 206);
    server
        .wait_for_status(update, UpdateStatus::Downloading)
        .await?;
    report["status"]["details"] = json!(["50 %"]);
    let proceeding = server
        .send_feedback("deploymentBase", update, &report)
        .await?;
    assert_eq!(proceeding.status, 200);
    assert_eq!(
        server.status(update).await?,
        Some(UpdateStatus::Downloading)
    );
    assert_eq!(server.links().await?, links, "`c` does not change");
    let rest = server.send(get(&file).header("Range", "bytes=10-")).await?;
    assert_eq!(rest.status, 206);
    server
        .wait_for_status(update, UpdateStatus::Installing)
        .await?;
    assert_eq!(server.links().await?, links, "`c` does not change");
    let done = feedback("closed", "success");
    let done = server
        .send_feedback("deploymentBase", update, &done)
        .await?;
    assert_eq!(done.status, 200);
    assert_eq!(server.status(update).await?, Some(UpdateStatus::Completed));
    Ok(())
}
