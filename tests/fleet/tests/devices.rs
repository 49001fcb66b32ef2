//! What simulated devices do, against a server that is made up.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Result;
use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{get, post, put},
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tidegate_fleet::{Execution, Finished, Fleet, FleetOptions, Memory, Pace, Profiles};
use tokio::net::TcpListener;

const FILE: &[u8] = b"not much of a firmware";

/// A server with one update for whoever asks.
#[derive(Clone)]
struct Stage {
    url: String,
    /// What the file is said to hash to.
    sha256: String,
    script: Arc<Mutex<Script>>,
}

#[derive(Default)]
struct Script {
    /// Executions and results, in the order in which they came.
    heard: Vec<String>,
    /// Answers to the next reports, before they are answered with 200.
    refusals: Vec<StatusCode>,
    /// The update is called back once the device is at it.
    calls_back: bool,
    /// Somebody has to agree first.
    asks: bool,
    /// What the device said of itself.
    attributes: Value,
}

impl Stage {
    async fn new(prepare: impl FnOnce(&mut Stage)) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let mut stage = Self {
            url: format!("http://{}", listener.local_addr()?),
            sha256: hex::encode(Sha256::digest(FILE)),
            script: Arc::default(),
        };
        prepare(&mut stage);
        let device = Router::new()
            .route("/", get(poll))
            .route("/configData", put(config_data))
            .route("/deploymentBase/7", get(offer))
            .route("/deploymentBase/7/feedback", post(feedback))
            .route("/confirmationBase/7", get(question))
            .route("/confirmationBase/7/feedback", post(answer))
            .route("/confirmationBase/activateAutoConfirm", post(agree_to_all))
            .route("/cancelAction/7", get(cancel))
            .route("/cancelAction/7/feedback", post(cancel_feedback))
            .route("/file", get(|| async { FILE }));
        let router = Router::new()
            .nest("/DEFAULT/controller/v1/{device}", device)
            .with_state(stage.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(stage)
    }

    fn script<T>(&self, change: impl FnOnce(&mut Script) -> T) -> T {
        change(&mut self.script.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Runs one device until it remembers what is asked for.
    async fn device(&self, profiles: Profiles, holds: impl Fn(&Memory) -> bool) -> Result<Memory> {
        self.fleet(|options| options.profiles = profiles, holds)
            .await
    }

    /// The same with other options.
    async fn fleet(
        &self,
        change: impl FnOnce(&mut FleetOptions),
        holds: impl Fn(&Memory) -> bool,
    ) -> Result<Memory> {
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
            fleet.until(|memories| holds(&memories[0])),
        )
        .await?;
        let memory = fleet.memories().remove(0);
        fleet.stop().await;
        Ok(memory)
    }

    fn base(&self, device: &str) -> String {
        format!("{}/DEFAULT/controller/v1/{device}", self.url)
    }
}

async fn poll(State(stage): State<Stage>, Path(device): Path<String>) -> Json<Value> {
    let base = stage.base(&device);
    let links = stage.script(|script| {
        let ended = script.heard.iter().any(|said| said.contains("closed"));
        let is_at_it = script.heard.iter().any(|said| said == "downloaded none");
        let rejected = script.heard.iter().any(|said| said.contains("rejected"));
        if script.asks && !script.heard.iter().any(|said| said.contains("confirmed")) {
            json!({ "confirmationBase": { "href": format!("{base}/confirmationBase/7?c=1") } })
        } else if ended {
            json!({})
        } else if script.calls_back && is_at_it && !rejected {
            json!({ "cancelAction": { "href": format!("{base}/cancelAction/7") } })
        } else {
            json!({ "deploymentBase": { "href": format!("{base}/deploymentBase/7?c=1") } })
        }
    });
    Json(json!({ "config": { "polling": { "sleep": "00:05:00" } }, "_links": links }))
}

async fn config_data(State(stage): State<Stage>, Json(body): Json<Value>) {
    stage.script(|script| script.attributes = body["data"].clone());
}

async fn question(state: State<Stage>, device: Path<String>) -> Json<Value> {
    let Json(mut body) = offer(state, device).await;
    let asked = body["deployment"].take();
    Json(json!({ "id": body["id"], "confirmation": asked }))
}

async fn answer(State(stage): State<Stage>, Json(body): Json<Value>) {
    let word = body["confirmation"].as_str().unwrap_or("?").to_owned();
    stage.script(|script| script.heard.push(word));
}

async fn agree_to_all(State(stage): State<Stage>) -> StatusCode {
    stage.script(|script| script.heard.push("confirmed all".to_owned()));
    StatusCode::CONFLICT
}

async fn offer(State(stage): State<Stage>, Path(device): Path<String>) -> Json<Value> {
    let href = format!("{}/file", stage.base(&device));
    let file = json!({
        "filename": "os.img", "size": FILE.len(),
        "hashes": { "sha1": "", "md5": "", "sha256": stage.sha256 },
        "_links": { "download-http": { "href": href } },
    });
    let chunk = json!({ "part": "os", "name": "os", "version": "1.1.0", "artifacts": [file] });
    Json(json!({
        "id": "7",
        "deployment": { "download": "forced", "update": "forced", "chunks": [chunk] },
    }))
}

async fn feedback(State(stage): State<Stage>, Json(body): Json<Value>) -> StatusCode {
    stage.script(|script| match script.refusals.pop() {
        Some(refusal) => refusal,
        None => hear(script, "", &body),
    })
}

async fn cancel() -> Json<Value> {
    Json(json!({ "id": "7", "cancelAction": { "stopId": "7" } }))
}

async fn cancel_feedback(State(stage): State<Stage>, Json(body): Json<Value>) -> StatusCode {
    stage.script(|script| hear(script, "cancel: ", &body))
}

fn hear(script: &mut Script, about: &str, body: &Value) -> StatusCode {
    let word = |pointer: &str| {
        body.pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or("?")
            .to_owned()
    };
    let (execution, finished) = (word("/status/execution"), word("/status/result/finished"));
    script.heard.push(format!("{about}{execution} {finished}"));
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
    let stage = Stage::new(|_| {}).await?;
    let memory = stage
        .device(Profiles::default(), |memory| {
            memory.version == "1.1.0" && memory.polls > 6
        })
        .await?;
    assert_eq!(
        stage.script(|script| script.heard.clone()),
        [&INSTALL[..], &["closed success"]].concat()
    );
    assert_eq!(
        stage.script(|script| script.attributes["sw_version"].clone()),
        "1.1.0"
    );
    assert_eq!((memory.succeeded, memory.failed, memory.errors), (1, 0, 0));
    assert!(memory.offered.iter().eq(["1.1.0"]));
    assert_eq!(memory.acknowledged.len(), 6);
    let last = memory
        .acknowledged
        .last()
        .map(|last| (last.execution, last.finished));
    assert_eq!(last, Some((Execution::Closed, Finished::Success)));
    Ok(())
}

#[tokio::test]
async fn who_is_asked_answers() -> Result<()> {
    let asks = || Stage::new(|stage| stage.script(|script| script.asks = true));
    let stage = asks().await?;
    let memory = stage
        .device(Profiles::default(), |memory| memory.succeeded == 1)
        .await?;
    assert_eq!((memory.confirmed, memory.denied, memory.errors), (1, 0, 0));
    assert_eq!(stage.script(|script| script.heard[0].clone()), "confirmed");

    let stage = asks().await?;
    let profiles = Profiles::default().with("1.1.0", |profile| profile.denies = 1.0);
    let memory = stage.device(profiles, |memory| memory.denied > 1).await?;
    assert_eq!((memory.confirmed, memory.succeeded), (0, 0));
    assert!(stage.script(|script| script.heard.iter().all(|said| said == "denied")));
    Ok(())
}

#[tokio::test]
async fn who_agrees_to_everything_says_so_once() -> Result<()> {
    let stage = Stage::new(|_| {}).await?;
    let memory = stage
        .fleet(
            |options| options.confirms_all = true,
            |memory| memory.succeeded == 1,
        )
        .await?;
    let said = stage.script(|script| script.heard.clone());
    assert_eq!(
        said.iter().filter(|said| *said == "confirmed all").count(),
        1
    );
    assert_eq!(memory.errors, 0, "that it had agreed already is fine");
    Ok(())
}

#[tokio::test]
async fn a_failed_install_leaves_the_old_version() -> Result<()> {
    let stage = Stage::new(|_| {}).await?;
    let profiles = Profiles::default().with("1.1.0", |profile| profile.fails = 1.0);
    let memory = stage.device(profiles, |memory| memory.failed == 1).await?;
    assert_eq!(
        stage.script(|script| script.heard.clone()),
        [&INSTALL[..], &["closed failure"]].concat()
    );
    assert_eq!(memory.version, "1.0.0");
    Ok(())
}

#[tokio::test]
async fn other_bytes_than_announced_are_not_installed() -> Result<()> {
    let stage = Stage::new(|stage| stage.sha256 = "00".repeat(32)).await?;
    let memory = stage
        .device(Profiles::default(), |memory| memory.failed == 1)
        .await?;
    assert_eq!(
        stage.script(|script| script.heard.clone()),
        ["download none", "closed failure"]
    );
    assert_eq!((memory.version.as_str(), memory.corrupt), ("1.0.0", 1));
    Ok(())
}

#[tokio::test]
async fn a_call_back_is_agreed_to_or_refused() -> Result<()> {
    for (rejects, answer, version) in [
        (0.0, "cancel: closed success", "1.0.0"),
        (1.0, "cancel: rejected none", "1.1.0"),
    ] {
        let stage = Stage::new(|stage| stage.script(|script| script.calls_back = true)).await?;
        let profiles =
            Profiles::default().with("1.1.0", |profile| profile.rejects_cancel = rejects);
        let memory = stage
            .device(profiles, |memory| {
                memory.succeeded + memory.called_back == 1
            })
            .await?;
        assert!(
            stage.script(|script| script.heard.contains(&answer.to_owned())),
            "{answer}"
        );
        assert_eq!(memory.version, version);
    }
    Ok(())
}

#[tokio::test]
async fn a_silent_device_says_nothing_more() -> Result<()> {
    let stage = Stage::new(|_| {}).await?;
    let profiles = Profiles::default().with("1.1.0", |profile| profile.silent = 1.0);
    let memory = stage.device(profiles, |memory| memory.silent).await?;
    assert!(!stage.script(|script| script.heard.iter().any(|said| said.contains("closed"))));
    assert_eq!(memory.version, "1.0.0");
    Ok(())
}

#[tokio::test]
async fn a_report_is_repeated_until_it_is_acknowledged() -> Result<()> {
    let refusals = vec![StatusCode::INTERNAL_SERVER_ERROR; 3];
    let stage = Stage::new(|stage| stage.script(|script| script.refusals = refusals)).await?;
    let memory = stage
        .device(Profiles::default(), |memory| memory.succeeded == 1)
        .await?;
    assert_eq!(memory.errors, 3);
    assert_eq!(stage.script(|script| script.heard.len()), 6);
    Ok(())
}

#[tokio::test]
async fn what_is_gone_is_let_go() -> Result<()> {
    let stage =
        Stage::new(|stage| stage.script(|script| script.refusals = vec![StatusCode::GONE])).await?;
    let memory = stage
        .device(Profiles::default(), |memory| memory.succeeded == 1)
        .await?;
    assert_eq!(
        memory.errors, 0,
        "the first try ended without an error, and it came back"
    );
    Ok(())
}
