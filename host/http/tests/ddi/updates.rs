use std::time::Duration;

use serde_json::{Value, json};
use tidegate_core::{
    feedback::{Execution, Feedback, Finished},
    id::UpdateId,
    update::UpdateStatus,
};
use tidegate_engine::{
    devices::{self, Caller},
    ports::Enrolment,
};
use tokio::time::timeout;

use crate::{
    wire::{Answer, get, request},
    world::World,
};

const BASE: &str = "/lab/controller/v1/dev-1";
/// Longest wait for what happens aside; it takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(30);

fn feedback(execution: &str, finished: &str) -> Value {
    json!({"status": {"execution": execution, "result": {"finished": finished}, "details": ["said"]}})
}

/// A device that has been offered an update.
async fn offered() -> anyhow::Result<(World, UpdateId)> {
    let world = World::open().await?;
    world.send(get(BASE)).await?;
    let update = world.offer("dev-1", "1.1.0").await?;
    Ok((world, update))
}

impl World {
    async fn tell(&self, resource: &str, update: UpdateId, body: &Value) -> anyhow::Result<Answer> {
        let path = format!("{BASE}/{resource}/{update}/feedback");
        self.send(request("POST", path).json(body)).await
    }

    async fn status(&self, update: UpdateId) -> anyhow::Result<Option<UpdateStatus>> {
        let row = self.engine.store().update(self.tenant, update).await?;
        Ok(row.map(|row| row.update.progress.status))
    }

    /// Waits until the update stands there: that a device took it up is noted aside.
    async fn reaches(&self, update: UpdateId, status: UpdateStatus) -> anyhow::Result<()> {
        let waiting = async {
            while self.status(update).await? != Some(status) {
                tokio::task::yield_now().await;
            }
            Ok(())
        };
        timeout(PATIENCE, waiting).await?
    }

    async fn links(&self) -> anyhow::Result<Vec<(String, String)>> {
        let answer = self.send(get(BASE)).await?.json();
        let links = answer["_links"].as_object().cloned().unwrap_or_default();
        let links = links.into_iter();
        let links = links.filter(|(name, _)| name != "configData");
        Ok(links
            .map(|(name, link)| (name, link["href"].as_str().unwrap_or_default().to_owned()))
            .collect())
    }
}

#[tokio::test]
async fn an_update_goes_its_way() -> anyhow::Result<()> {
    let (world, update) = offered().await?;
    let links = world.links().await?;
    let [(name, href)] = &links[..] else {
        anyhow::bail!("one link: {links:?}");
    };
    assert_eq!(name, "deploymentBase");
    let path = href
        .strip_prefix("http://gate.example:8080")
        .expect("our host");
    assert!(
        path.starts_with(&format!("{BASE}/deploymentBase/{update}?c=")),
        "{path}"
    );

    let answer = world.send(get(path)).await?;
    assert_eq!(answer.status, 200);
    let body = answer.json();
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
                        "download": {"href": file}, "download-http": {"href": file},
                        "md5sum": {"href": format!("{file}.MD5SUM")},
                        "md5sum-http": {"href": format!("{file}.MD5SUM")},
                    },
                }],
            }]},
        })
    );
    world.reaches(update, UpdateStatus::Downloading).await?;
    let list = |module: &str| get(format!("{BASE}/softwaremodules/{module}/artifacts"));
    let listed = world.send(list("1")).await?;
    assert_eq!(
        listed.json(),
        body["deployment"]["chunks"][0]["artifacts"],
        "a bare list of the same files"
    );
    assert!(listed.header("etag").is_some());
    let stranger = "/LAB/controller/v1/dev-2";
    world.send(get(stranger)).await?;
    let others = world.send(get(format!("{stranger}/softwaremodules/1/artifacts")));
    assert_eq!(others.await?.status, 404);
    for (module, status) in [("2", 404), ("99999999999999999999", 404), ("x", 400)] {
        assert_eq!(world.send(list(module)).await?.status, status, "{module}");
    }

    for execution in ["download", "proceeding", "downloaded"] {
        assert_eq!(
            world
                .tell("deploymentBase", update, &feedback(execution, "none"))
                .await?
                .status,
            200
        );
    }
    assert_eq!(world.status(update).await?, Some(UpdateStatus::Installing));
    assert_eq!(
        world
            .tell("deploymentBase", update, &feedback("closed", "success"))
            .await?
            .status,
        200
    );
    let links = world.links().await?;
    assert_eq!(
        links,
        [(
            "installedBase".to_owned(),
            format!("http://gate.example:8080{BASE}/installedBase/{update}")
        )]
    );
    for resource in ["installedBase", "deploymentBase"] {
        let shown = world
            .send(get(format!("{BASE}/{resource}/{update}")))
            .await?;
        assert_eq!(
            (shown.status, shown.json()),
            (200, body.clone()),
            "{resource}"
        );
    }
    assert_eq!(
        world.status(update).await?,
        Some(UpdateStatus::Completed),
        "a GET reopens nothing"
    );
    Ok(())
}

#[tokio::test]
async fn the_same_feedback_twice_is_one_and_late_feedback_is_gone() -> anyhow::Result<()> {
    let (world, update) = offered().await?;
    let closed = feedback("closed", "success");
    for _ in 0..2 {
        let answer = world.tell("deploymentBase", update, &closed).await?;
        assert_eq!(
            (answer.status, answer.header("content-length")),
            (200, Some("0"))
        );
    }
    let history = world
        .engine
        .store()
        .history(world.tenant, update, 100)
        .await?;
    assert_eq!(history.len(), 1);
    let late = world
        .tell("deploymentBase", update, &feedback("proceeding", "none"))
        .await?;
    assert_eq!((late.status, late.text().as_str()), (410, ""));
    let cancel = world.tell("cancelAction", update, &closed).await?;
    assert_eq!(cancel.status, 405, "nobody calls it back");
    assert_eq!(
        cancel.json()["errorCode"],
        "hawkbit.server.error.action.notCancelable"
    );
    Ok(())
}

#[tokio::test]
async fn a_device_that_hangs_up_is_still_heard() -> anyhow::Result<()> {
    let (world, update) = offered().await?;
    world.links().await?;
    let caller = Caller {
        tenant: world.tenant,
        device_id: "dev-1".to_owned(),
        may_register: false,
        enrolment: Enrolment::default(),
        address: None,
    };
    let said = Feedback::new(Execution::Closed, Finished::Success);
    // The server drops the request of a device that hangs up, and with it what handles it.
    let mut handling = Box::pin(devices::feedback(&world.engine, &caller, update, said));
    assert!(futures::poll!(&mut handling).is_pending());
    drop(handling);
    world.reaches(update, UpdateStatus::Completed).await?;
    // What is remembered follows, although nobody waited for it.
    let installed = |(name, _): &(String, String)| name == "installedBase";
    let waiting = async {
        while !world.links().await?.iter().all(installed) {
            tokio::task::yield_now().await;
        }
        Ok(())
    };
    timeout(PATIENCE, waiting).await?
}

#[tokio::test]
async fn an_update_that_is_called_back_is_offered_as_a_cancel() -> anyhow::Result<()> {
    let (world, update) = offered().await?;
    world
        .send(get(format!("{BASE}/deploymentBase/{update}")))
        .await?;
    world.reaches(update, UpdateStatus::Downloading).await?;
    assert_eq!(
        world
            .send(get(format!("{BASE}/cancelAction/{update}")))
            .await?
            .status,
        404
    );
    world.call_back(update).await?;
    let cancel = format!("http://gate.example:8080{BASE}/cancelAction/{update}");
    assert_eq!(world.links().await?, [("cancelAction".to_owned(), cancel)]);
    assert_eq!(
        world
            .send(get(format!("{BASE}/deploymentBase/{update}")))
            .await?
            .status,
        404
    );
    let id = update.to_string();
    let answer = world
        .send(get(format!("{BASE}/cancelAction/{update}")))
        .await?;
    assert_eq!(
        answer.json(),
        json!({"id": id, "cancelAction": {"stopId": id}})
    );

    assert_eq!(
        world
            .tell("cancelAction", update, &feedback("proceeding", "none"))
            .await?
            .status,
        200
    );
    assert_eq!(
        world
            .tell("cancelAction", update, &feedback("closed", "success"))
            .await?
            .status,
        200
    );
    assert_eq!(world.status(update).await?, Some(UpdateStatus::Cancelled));
    assert_eq!(world.links().await?, []);
    let late = world
        .tell("cancelAction", update, &feedback("rejected", "none"))
        .await?;
    assert_eq!(late.status, 410, "settled is settled");
    assert_eq!(world.status(update).await?, Some(UpdateStatus::Cancelled));
    Ok(())
}

#[tokio::test]
async fn an_update_is_for_its_own_device() -> anyhow::Result<()> {
    let (world, update) = offered().await?;
    world.send(get("/lab/controller/v1/dev-2")).await?;
    let other = "/lab/controller/v1/dev-2";
    for path in ["deploymentBase", "installedBase", "cancelAction"] {
        let answer = world.send(get(format!("{other}/{path}/{update}"))).await?;
        assert_eq!(answer.status, 404, "{path}");
    }
    for path in ["deploymentBase", "cancelAction"] {
        let told = request("POST", format!("{other}/{path}/{update}/feedback"));
        let told = told.json(&feedback("closed", "success"));
        assert_eq!(world.send(told).await?.status, 404, "{path}");
    }
    assert_eq!(world.status(update).await?, Some(UpdateStatus::Offered));
    Ok(())
}

#[tokio::test]
async fn history_is_shown_when_it_is_wanted() -> anyhow::Result<()> {
    let (world, update) = offered().await?;
    for message in ["first", "second", "third"] {
        let mut body = feedback("proceeding", "none");
        body["status"]["details"] = json!(message);
        world.tell("deploymentBase", update, &body).await?;
        world.clock.pass(1);
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
        let answer = world
            .send(get(format!("{BASE}/deploymentBase/{update}{query}")))
            .await?;
        assert_eq!(answer.json()["actionHistory"], expected, "{query}");
    }
    Ok(())
}

#[tokio::test]
async fn texts_that_databases_do_not_take_are_taken() -> anyhow::Result<()> {
    let (world, update) = offered().await?;
    let mut body = feedback("closed", "failure");
    body["status"]["details"] = json!(["a\u{0}b", "<script>", "x".repeat(10_000)]);
    body["timestamp"] = json!(i64::MAX);
    let answer = world.tell("deploymentBase", update, &body).await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(world.status(update).await?, Some(UpdateStatus::Failed));
    Ok(())
}
