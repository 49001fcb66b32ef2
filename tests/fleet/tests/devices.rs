//! The behavior of simulated devices, against a fake server.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{get, post, put},
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tidegate_ddi_client::{Execution, Finished};
use tidegate_fleet::{DeviceRecord, Fleet, FleetOptions, Pace, Profiles};
use tokio::net::TcpListener;

const FILE: &[u8] = b"not much of a firmware";

/// A server with one update for every device.
#[derive(Clone)]
struct FakeServer {
    url: String,
    /// The sha256 in the description of the file.
    sha256: String,
    script: Arc<Mutex<ServerScript>>,
}

#[derive(Default)]
struct ServerScript {
    /// The received executions and results, in order.
    received: Vec<String>,
    /// Statuses of the next responses to feedback, the last one first; then 200.
    refusals: Vec<StatusCode>,
    /// Cancels the update once the device has downloaded it.
    cancels: bool,
    requires_confirmation: bool,
    attributes: Value,
}

impl FakeServer {
    async fn new(prepare: impl FnOnce(&mut FakeServer)) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let mut server = Self {
            url: format!("http://{}", listener.local_addr()?),
            sha256: hex::encode(Sha256::digest(FILE)),
            script: Arc::default(),
        };
        prepare(&mut server);
        let device = Router::new()
            .route("/", get(poll))
            .route("/configData", put(config_data))
            .route("/deploymentBase/7", get(offer))
            .route("/deploymentBase/7/feedback", post(feedback))
            .route("/confirmationBase/7", get(confirmation))
            .route("/confirmationBase/7/feedback", post(confirmation_feedback))
            .route(
                "/confirmationBase/activateAutoConfirm",
                post(activate_auto_confirm),
            )
            .route("/cancelAction/7", get(cancel))
            .route("/cancelAction/7/feedback", post(cancel_feedback))
            .route("/file", get(|| async { FILE }));
        let router = Router::new()
            .nest("/DEFAULT/controller/v1/{device}", device)
            .with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(server)
    }

    fn with_script<T>(&self, change: impl FnOnce(&mut ServerScript) -> T) -> T {
        change(&mut self.script.lock())
    }

    /// Runs one device until its record meets a condition.
    async fn device(
        &self,
        profiles: Profiles,
        condition: impl Fn(&DeviceRecord) -> bool,
    ) -> Result<DeviceRecord> {
        self.fleet(|options| options.profiles = profiles, condition)
            .await
    }

    /// The same with other options.
    async fn fleet(
        &self,
        change: impl FnOnce(&mut FleetOptions),
        condition: impl Fn(&DeviceRecord) -> bool,
    ) -> Result<DeviceRecord> {
        let mut options = FleetOptions::new(&self.url, 1);
        let pause = Duration::from_millis(5);
        options.pace = Pace {
            poll: (pause, pause * 2),
            step: pause,
        };
        change(&mut options);
        let fleet = Fleet::start(options)?;
        tokio::time::timeout(
            Duration::from_secs(20),
            fleet.wait_until(|records| condition(&records[0])),
        )
        .await?;
        let record = fleet.records().remove(0);
        fleet.stop().await;
        Ok(record)
    }

    fn base(&self, device: &str) -> String {
        format!("{}/DEFAULT/controller/v1/{device}", self.url)
    }
}

async fn poll(State(server): State<FakeServer>, Path(device): Path<String>) -> Json<Value> {
    let base = server.base(&device);
    let links = server.with_script(|script| {
        let ended = script.received.iter().any(|line| line.contains("closed"));
        let is_at_it = script.received.iter().any(|line| line == "downloaded none");
        let rejected = script.received.iter().any(|line| line.contains("rejected"));
        if script.requires_confirmation
            && !script
                .received
                .iter()
                .any(|line| line.contains("confirmed"))
        {
            json!({ "confirmationBase": { "href": format!("{base}/confirmationBase/7?c=1") } })
        } else if ended {
            json!({})
        } else if script.cancels && is_at_it && !rejected {
            json!({ "cancelAction": { "href": format!("{base}/cancelAction/7") } })
        } else {
            json!({ "deploymentBase": { "href": format!("{base}/deploymentBase/7?c=1") } })
        }
    });
    Json(json!({ "config": { "polling": { "sleep": "00:05:00" } }, "_links": links }))
}

async fn config_data(State(server): State<FakeServer>, Json(body): Json<Value>) {
    server.with_script(|script| script.attributes = body["data"].clone());
}

async fn confirmation(state: State<FakeServer>, device: Path<String>) -> Json<Value> {
    let Json(mut body) = offer(state, device).await;
    let asked = body["deployment"].take();
    Json(json!({ "id": body["id"], "confirmation": asked }))
}

async fn confirmation_feedback(State(server): State<FakeServer>, Json(body): Json<Value>) {
    let word = body["confirmation"].as_str().unwrap_or("?").to_owned();
    server.with_script(|script| script.received.push(word));
}

async fn activate_auto_confirm(State(server): State<FakeServer>) -> StatusCode {
    server.with_script(|script| script.received.push("confirmed all".to_owned()));
    StatusCode::CONFLICT
}

async fn offer(State(server): State<FakeServer>, Path(device): Path<String>) -> Json<Value> {
    let href = format!("{}/file", server.base(&device));
    let file = json!({
        "filename": "os.img", "size": FILE.len(),
        "hashes": { "sha1": "", "md5": "", "sha256": server.sha256 },
        "_links": { "download-http": { "href": href } },
    });
    let chunk = json!({ "part": "os", "name": "os", "version": "1.1.0", "artifacts": [file] });
    Json(json!({
        "id": "7",
        "deployment": { "download": "forced", "update": "forced", "chunks": [chunk] },
    }))
}

async fn feedback(State(server): State<FakeServer>, Json(body): Json<Value>) -> StatusCode {
    server.with_script(|script| match script.refusals.pop() {
        Some(refusal) => refusal,
        None => record_feedback(script, "", &body),
    })
}

async fn cancel() -> Json<Value> {
    Json(json!({ "id": "7", "cancelAction": { "stopId": "7" } }))
}

async fn cancel_feedback(State(server): State<FakeServer>, Json(body): Json<Value>) -> StatusCode {
    server.with_script(|script| record_feedback(script, "cancel: ", &body))
}

fn record_feedback(script: &mut ServerScript, about: &str, body: &Value) -> StatusCode {
    let word = |pointer: &str| {
        body.pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or("?")
            .to_owned()
    };
    let (execution, finished) = (word("/status/execution"), word("/status/result/finished"));
    script
        .received
        .push(format!("{about}{execution} {finished}"));
    StatusCode::OK
}

const INSTALL: [&str; 5] = [
    "download none",
    "downloaded none",
    "proceeding none",
    "proceeding none",
    "proceeding none",
];

#[tokio::test]
async fn a_good_update_is_installed_and_the_new_version_reported() -> Result<()> {
    let server = FakeServer::new(|_| {}).await?;
    let record = server
        .device(Profiles::default(), |record| {
            record.version == "1.1.0" && record.polls > 6
        })
        .await?;
    assert_eq!(
        server.with_script(|script| script.received.clone()),
        [&INSTALL[..], &["closed success"]].concat()
    );
    assert_eq!(
        server.with_script(|script| script.attributes["sw_version"].clone()),
        "1.1.0"
    );
    assert_eq!((record.succeeded, record.failed, record.errors), (1, 0, 0));
    assert!(record.offered.iter().eq(["1.1.0"]));
    assert_eq!(record.acknowledged.len(), 6);
    let last = record
        .acknowledged
        .last()
        .map(|last| (last.execution, last.finished));
    assert_eq!(last, Some((Execution::Closed, Finished::Success)));
    Ok(())
}

#[tokio::test]
async fn confirmation_requests_are_answered() -> Result<()> {
    let requires_confirmation = || {
        FakeServer::new(|server| {
            server.with_script(|script| script.requires_confirmation = true);
        })
    };
    let server = requires_confirmation().await?;
    let record = server
        .device(Profiles::default(), |record| record.succeeded == 1)
        .await?;
    assert_eq!((record.confirmed, record.denied, record.errors), (1, 0, 0));
    assert_eq!(
        server.with_script(|script| script.received[0].clone()),
        "confirmed"
    );

    let server = requires_confirmation().await?;
    let profiles = Profiles::default().with("1.1.0", |profile| profile.denies = 1.0);
    let record = server.device(profiles, |record| record.denied > 1).await?;
    assert_eq!((record.confirmed, record.succeeded), (0, 0));
    assert!(server.with_script(|script| script.received.iter().all(|line| line == "denied")));
    Ok(())
}

#[tokio::test]
async fn auto_confirm_is_activated_once() -> Result<()> {
    let server = FakeServer::new(|_| {}).await?;
    let record = server
        .fleet(
            |options| options.auto_confirm = true,
            |record| record.succeeded == 1,
        )
        .await?;
    let lines = server.with_script(|script| script.received.clone());
    assert_eq!(
        lines.iter().filter(|line| *line == "confirmed all").count(),
        1
    );
    assert_eq!(record.errors, 0, "the conflict must not count as an error");
    Ok(())
}

#[tokio::test]
async fn a_failed_install_leaves_the_old_version() -> Result<()> {
    let server = FakeServer::new(|_| {}).await?;
    let profiles = Profiles::default().with("1.1.0", |profile| profile.fails = 1.0);
    let record = server.device(profiles, |record| record.failed == 1).await?;
    assert_eq!(
        server.with_script(|script| script.received.clone()),
        [&INSTALL[..], &["closed failure"]].concat()
    );
    assert_eq!(record.version, "1.0.0");
    Ok(())
}

#[tokio::test]
async fn files_with_a_wrong_checksum_are_not_installed() -> Result<()> {
    let server = FakeServer::new(|server| server.sha256 = "00".repeat(32)).await?;
    let record = server
        .device(Profiles::default(), |record| record.failed == 1)
        .await?;
    assert_eq!(
        server.with_script(|script| script.received.clone()),
        ["download none", "closed failure"]
    );
    assert_eq!((record.version.as_str(), record.corrupt), ("1.0.0", 1));
    Ok(())
}

#[tokio::test]
async fn cancellations_are_confirmed_or_rejected() -> Result<()> {
    for (rejects, feedback, version) in [
        (0.0, "cancel: closed success", "1.0.0"),
        (1.0, "cancel: rejected none", "1.1.0"),
    ] {
        let server =
            FakeServer::new(|server| server.with_script(|script| script.cancels = true)).await?;
        let profiles =
            Profiles::default().with("1.1.0", |profile| profile.rejects_cancel = rejects);
        let record = server
            .device(profiles, |record| record.succeeded + record.cancelled == 1)
            .await?;
        assert!(
            server.with_script(|script| script.received.contains(&feedback.to_owned())),
            "{feedback}"
        );
        assert_eq!(record.version, version);
    }
    Ok(())
}

#[tokio::test]
async fn a_silent_device_sends_no_more_feedback() -> Result<()> {
    let server = FakeServer::new(|_| {}).await?;
    let profiles = Profiles::default().with("1.1.0", |profile| profile.silent = 1.0);
    let record = server.device(profiles, |record| record.silent).await?;
    assert!(
        !server
            .with_script(|script| { script.received.iter().any(|line| line.contains("closed")) })
    );
    assert_eq!(record.version, "1.0.0");
    Ok(())
}

#[tokio::test]
async fn feedback_is_repeated_until_acknowledged() -> Result<()> {
    let refusals = vec![StatusCode::INTERNAL_SERVER_ERROR; 3];
    let server =
        FakeServer::new(|server| server.with_script(|script| script.refusals = refusals)).await?;
    let record = server
        .device(Profiles::default(), |record| record.succeeded == 1)
        .await?;
    assert_eq!(record.errors, 3);
    assert_eq!(server.with_script(|script| script.received.len()), 6);
    Ok(())
}

#[tokio::test]
async fn a_410_ends_the_update() -> Result<()> {
    let server = FakeServer::new(|server| {
        server.with_script(|script| script.refusals = vec![StatusCode::GONE]);
    })
    .await?;
    let record = server
        .device(Profiles::default(), |record| record.succeeded == 1)
        .await?;
    assert_eq!(record.errors, 0, "a 410 must not count as an error");
    Ok(())
}
