//! How many SQL statements an operation executes.

use std::time::Duration;

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};
use tidegate_captured_log::record_statements;
use tidegate_core::{
    id::{CampaignId, FirmwareId},
    update::{SuccessCriteria, UpdateOptions},
};
use tidegate_engine::{
    Role, fingerprint,
    ports::{
        Clock as _, EntryKind, Fence, NewJournalEntry, Offer, OfferCompatibility,
        PluginFailureState, Record, RunRef, TickOutcome,
    },
    tenants,
};

use crate::test_server::TestServer;

/// Operations whose statements grow with their rows, with the bound.
const GROWING: [(&str, &str); 1] = [("explain_device", "at most 50 campaigns")];

const FEW: u64 = 2;
const MANY: u64 = 60;

#[tokio::test]
async fn reads_take_as_many_statements_for_many_rows_as_for_few_on_sqlite() {
    check(&TestServer::new().await, &TestServer::new().await).await;
}

#[tokio::test]
async fn reads_take_as_many_statements_for_many_rows_as_for_few_on_postgres() {
    let servers = (
        TestServer::on_postgres().await,
        TestServer::on_postgres().await,
    );
    if let (Some(few), Some(many)) = servers {
        check(&few, &many).await;
    }
}

async fn check(few: &TestServer, many: &TestServer) {
    let (few, many) = (
        FilledTenant::new(few, FEW).await,
        FilledTenant::new(many, MANY).await,
    );
    let mut lists = 0;
    for (path, operation) in json_reads() {
        let (short, statements_of_few) = few.read(&path).await;
        let (long, statements_of_many) = many.read(&path).await;
        if GROWING.iter().any(|(growing, _)| *growing == operation) {
            continue;
        }
        assert_eq!(
            statements_of_few.len(),
            statements_of_many.len(),
            "{operation}: {statements_of_few:#?} {statements_of_many:#?}"
        );
        if let (Some(short), Some(long)) = (rows(&short), rows(&long)) {
            assert!(
                short < long && long as u64 >= MANY,
                "{operation}: {short} {long}"
            );
            lists += 1;
        }
    }
    assert!(lists >= 12, "only {lists} lists were read");
}

#[tokio::test]
async fn an_idle_poll_takes_no_statement() {
    for server in TestServer::on_both_databases(|_| {}).await {
        let device = json!({"device_id": "pi-0"});
        let created = server.post("/api/v1/devices", &device).await.expect(201);
        let token = created["token"].as_str().expect("a token").to_owned();
        let device = TestDevice {
            server: &server,
            token,
        };
        let poll = async || {
            record_statements(device.send("GET", "", &Value::Null))
                .await
                .1
        };
        // Its registration is written by a batch.
        let first = poll().await;
        let registration = count(&first, "UPDATE devices SET state = 'registered'");
        assert_eq!(registration, 1, "{first:#?}");
        let second = poll().await;
        assert!(second.is_empty(), "{second:#?}");
    }
}

#[tokio::test]
async fn a_poll_after_an_offer_takes_no_statement() {
    for server in TestServer::on_both_databases(|_| {}).await {
        server.fleet(0).await;
        let device = json!({"device_id": "pi-0", "groups": ["lab"]});
        let created = server.post("/api/v1/devices", &device).await.expect(201);
        let token = created["token"].as_str().expect("a token").to_owned();
        let device = TestDevice {
            server: &server,
            token,
        };
        let poll = async || device.send("GET", "", &Value::Null).await;
        let path = server.campaign(json!({})).await;
        let run = start(&server, &path).await;
        let tick = || Box::pin(tidegate_engine::campaigns::tick(&server.state.engine, run));
        tick().await.expect("a tick");
        release_all(&server, run, Vec::new()).await;
        assert!(!poll().await.contains("deploymentBase"));
        tick().await.expect("a tick");
        let (shown, statements) = record_statements(poll()).await;
        assert!(shown.contains("deploymentBase"), "{shown}");
        assert!(statements.is_empty(), "{statements:#?}");

        let (_, link) = shown.split_once("/deploymentBase/").expect("a link");
        let (update, _) = link.split_once('?').expect("a revision");
        let path = format!("/deploymentBase/{update}");
        let (_, statements) = record_statements(device.send("GET", &path, &Value::Null)).await;
        let reads = count(&statements, "d.device_id AS device_name");
        assert_eq!(reads, 0, "{statements:#?}");
        // A refusal alone does not begin the update: its retrieval is written before it.
        let path = format!("{path}/feedback");
        let refused =
            json!({"status": {"execution": "rejected", "result": {"finished": "failure"}}});
        device.send("POST", &path, &refused).await;
        let shown = server.get(&format!("/api/v1/updates/{update}")).await;
        assert_eq!(shown.expect(200)["status"], "downloading");
    }
}

#[tokio::test]
async fn creating_a_campaign_reads_its_firmware_once_and_no_waves() {
    let server = TestServer::new().await;
    server.fleet(1).await;
    let firmware = server.firmware("1.1.0", b"new").await;
    let creation = server.campaign_of(firmware, json!({}));
    let (_, statements) = record_statements(creation).await;
    assert_eq!(
        count(&statements, "FROM modules WHERE"),
        1,
        "{statements:#?}"
    );
    assert_eq!(count(&statements, "FROM campaigns c"), 1, "{statements:#?}");
    assert_eq!(count(&statements, "FROM waves"), 0, "{statements:#?}");
}

#[tokio::test]
async fn a_tick_reads_the_accepted_classes_once_for_all_devices_that_it_releases() {
    let server = TestServer::new().await;
    server.fleet(4).await;
    server.plugin(b"plugin acme/fits compatibility").await;
    let policies = json!({
        "policies": [{"plugin": "acme/fits"}], "strategy": {"plugin": "acme/canary", "config": {"canaries": 3}},
    });
    let path = server.campaign(policies).await;
    let run = start(&server, &path).await;
    let engine = &server.state.engine;
    let tick = async || {
        let tick = Box::pin(tidegate_engine::campaigns::tick(engine, run));
        record_statements(tick).await.1
    };
    let classes = "FROM campaign_classes";
    let statements = tick().await;
    assert_eq!(count(&statements, classes), 0, "{statements:#?}");
    release_all(&server, run, Vec::new()).await;
    let statements = tick().await;
    assert_eq!(count(&statements, classes), 1, "{statements:#?}");
    let offered = format!("{path}/updates");
    assert_eq!(server.get(&offered).await.expect(200)["total"], 4);
    let statements = tick().await;
    assert_eq!(count(&statements, classes), 0, "{statements:#?}");
}

#[tokio::test]
async fn a_command_reads_its_campaign_once_and_returns_what_it_stored() {
    let server = TestServer::new().await;
    server.fleet(3).await;
    let approver = server.key("ada", Role::Approver).await;
    let path = server.campaign(json!({"requires_approval": true})).await;
    let limits = json!({"priority": "high", "max_concurrent_updates": 7});
    for (method, command, body) in [
        ("POST", "/approve", json!({"approval_comment": "go"})),
        ("POST", "/start", json!({})),
        ("POST", "/pause", json!({"reason": "lunch"})),
        ("POST", "/resume", json!({})),
        ("PATCH", "", limits),
        ("POST", "/cancel", json!({"reason": "enough"})),
        ("POST", "/rollback", json!({"reason": "bad"})),
    ] {
        let key = if command == "/approve" {
            &approver
        } else {
            &server.admin
        };
        let command = format!("{path}{command}");
        let sending = server.send(method, &command, key, &body);
        let (response, statements) = record_statements(sending).await;
        let changed = response.expect(200);
        assert_eq!(
            count(&statements, "FROM campaigns c"),
            1,
            "{command}: {statements:#?}"
        );
        assert_eq!(server.get(&path).await.expect(200), changed, "{command}");
    }
}

/// Starts the campaign at this path.
pub(crate) async fn start(server: &TestServer, path: &str) -> RunRef {
    let path_of_start = format!("{path}/start");
    server.post(&path_of_start, &json!({})).await.expect(200);
    RunRef {
        tenant: server.tenant.id,
        campaign: CampaignId(last_number(path)),
    }
}

/// The number of statements that contain this text.
fn count(statements: &[String], text: &str) -> usize {
    let containing = statements
        .iter()
        .filter(|statement| statement.contains(text));
    containing.count()
}

/// The number of items of a list.
fn rows(body: &Value) -> Option<usize> {
    ["items", "revisions", "lines"]
        .iter()
        .find_map(|field| Some(body[field].as_array()?.len()))
}

/// Every `GET` that returns JSON: path, with the largest page, and operation id.
fn json_reads() -> Vec<(String, String)> {
    let document = serde_json::to_value(tidegate_http::openapi()).expect("JSON");
    let mut reads = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        let content = item.pointer("/get/responses/200/content");
        if content.is_some_and(|content| content["application/json"].is_object()) {
            let id = item["get"]["operationId"].as_str().expect("an id");
            let parameters = item["get"]["parameters"].as_array();
            let is_paged = parameters
                .into_iter()
                .flatten()
                .any(|parameter| parameter["name"] == "limit");
            let query = if is_paged { "?limit=500" } else { "" };
            reads.push((format!("{path}{query}"), id.to_owned()));
        }
    }
    reads
}

/// A server with this many rows in every list.
struct FilledTenant<'a> {
    server: &'a TestServer,
    campaign: i64,
    firmware: i64,
    update: i64,
    revision: String,
}

impl<'a> FilledTenant<'a> {
    async fn new(server: &'a TestServer, rows: u64) -> Self {
        let mut token = String::new();
        for n in 0..rows {
            let device = json!({
                "device_id": format!("pi-{n}"), "groups": ["lab", "hall"], "labels": {"rack": "7"},
            });
            let created = server.post("/api/v1/devices", &device).await.expect(201);
            if n == 0 {
                token = created["token"].as_str().expect("a token").to_owned();
            }
            server.key(&format!("user {n}"), Role::Viewer).await;
            let gateway = json!({"name": format!("hall {n}")});
            server.post("/api/v1/gateways", &gateway).await.expect(201);
            let authority = json!({
                "name": format!("plant {n}"),
                "certificate": crate::authorities::pem(&format!("plant {n}"), 2040),
            });
            server
                .post("/api/v1/device-authorities", &authority)
                .await
                .expect(201);
            // Revisions of one plugin, and plugins.
            for component in [
                format!("plugin acme/canary strategy 1.1.{n}"),
                format!("plugin acme/canary-{n} strategy"),
            ] {
                server.plugin(component.as_bytes()).await;
            }
            let broken = format!("broken {n}");
            let parts = [("component", None, broken.as_bytes())];
            let rejected = server.upload("/api/v1/plugins", &parts).await;
            rejected.expect_problem(422);
        }
        let device = TestDevice { server, token };
        let attributes: serde_json::Map<_, _> = (0..rows)
            .map(|n| (format!("key-{n}"), json!("value")))
            .collect();
        device
            .send(
                "PUT",
                "/configData",
                &json!({"mode": "merge", "data": attributes}),
            )
            .await;
        let mut campaigns = Vec::new();
        for n in 0..rows {
            let version = format!("1.0.{n}");
            let firmware = server.firmware(&version, version.as_bytes()).await;
            device
                .send(
                    "PUT",
                    "/installedBase",
                    &json!({"name": "edge", "version": version}),
                )
                .await;
            let path = server
                .campaign_of(
                    firmware,
                    json!({
                        "strategy": {"plugin": "acme/canary", "config": {"canaries": rows}},
                    }),
                )
                .await;
            server
                .post(&format!("{path}/start"), &json!({}))
                .await
                .expect(200);
            campaigns.push((last_number(&path), firmware));
        }
        let (campaign, firmware) = campaigns[0];
        offer_all(server, campaign, firmware, rows).await;
        let mut filled = Self {
            server,
            campaign,
            firmware,
            update: 0,
            revision: String::new(),
        };
        let shown = filled.read("/api/v1/devices/{device_id}").await.0;
        filled.update = shown["open_update"].as_i64().expect("an update");
        let plugin = filled.read("/api/v1/plugins/{vendor}/{name}").await.0;
        let revision = plugin["revisions"][0]["revision"].as_str();
        revision
            .expect("a revision")
            .clone_into(&mut filled.revision);
        for n in 0..rows {
            let feedback = json!({"status": {
                "execution": "proceeding", "result": {"finished": "none"}, "details": [format!("step {n}")],
            }});
            let path = format!("/deploymentBase/{}/feedback", filled.update);
            device.send("POST", &path, &feedback).await;
        }
        filled
    }

    /// Reads this path of the document; returns the body and the statements.
    async fn read(&self, path: &str) -> (Value, Vec<String>) {
        let path = path
            .replace("{campaign_id}", &self.campaign.to_string())
            .replace("{firmware_id}", &self.firmware.to_string())
            .replace("{update_id}", &self.update.to_string())
            .replace("{device_id}", "pi-0")
            .replace("{seq}", "1")
            .replace(
                "{key_id}",
                &tenants::key_id(&fingerprint(&self.server.admin)),
            )
            .replace("{vendor}/{name}", "acme/canary")
            .replace("{revision}", &self.revision);
        // The first request fills the caches.
        self.server.get(&path).await.expect(200);
        let (response, statements) = record_statements(self.server.get(&path)).await;
        (response.expect(200), statements)
    }
}

/// Releases all waves of a campaign and offers its updates, with an entry in its journal for each row.
async fn offer_all(server: &TestServer, campaign: i64, firmware: i64, rows: u64) {
    let (store, now) = (server.state.engine.store(), server.clock.now());
    let run = RunRef {
        tenant: server.tenant.id,
        campaign: CampaignId(campaign),
    };
    let entry = NewJournalEntry {
        kind: EntryKind::Host,
        at: now,
        plugin: None,
        revision: None,
        input_digest: None,
        input: Record::default(),
        output: Record::default(),
        fuel: 0,
        peak_memory: None,
        limits: None,
        duration: Duration::ZERO,
        outcome: "test".to_owned(),
        explain: Vec::new(),
        log: Vec::new(),
        applied: true,
    };
    let journal = (0..rows).map(|_| entry.clone()).collect();
    let (fence, waves) = release_all(server, run, journal).await;
    let offer = Offer {
        firmware: FirmwareId(firmware),
        to_version: "9.0.0".to_owned(),
        weight: 500,
        success_criteria: SuccessCriteria::Reported,
        options: UpdateOptions::forced(Duration::from_hours(1)),
        compatibility: OfferCompatibility::default(),
        now,
    };
    for wave in (0..).take(waves) {
        let offered = store
            .offer_updates(run, fence, wave, 1000, &offer, false)
            .await;
        assert_eq!(offered.expect("a database").remaining, 0);
    }
}

/// Releases all waves of a campaign, with these entries in its journal; returns the fence and the number of waves. The
/// lease is expired.
pub(crate) async fn release_all(
    server: &TestServer,
    run: RunRef,
    journal: Vec<NewJournalEntry>,
) -> (Fence, usize) {
    let (store, now) = (server.state.engine.store(), server.clock.now());
    let lease = store.lease(run, "test", now, now).await;
    let fence = lease.expect("a database").expect("a free campaign");
    let read = store.run(run).await.expect("a database");
    let read = read.expect("a campaign");
    let outcome = TickOutcome {
        levels: Some(read.waves.iter().map(|wave| wave.report.size).collect()),
        journal,
        ..TickOutcome::unchanged(read.campaign.generation, now, PluginFailureState::default())
    };
    assert!(store.apply(run, fence, outcome).await.expect("a database"));
    (fence, read.waves.len())
}

/// The first device.
struct TestDevice<'a> {
    server: &'a TestServer,
    token: String,
}

impl TestDevice<'_> {
    /// Returns the response's body.
    async fn send(&self, method: &str, path: &str, body: &Value) -> String {
        let body = match body {
            Value::Null => Body::empty(),
            body => Body::from(body.to_string()),
        };
        let request = Request::builder()
            .method(method)
            .uri(format!("/default/controller/v1/pi-0{path}"))
            .header("host", "localhost")
            .header("authorization", format!("TargetToken {}", self.token))
            .header("content-type", "application/json")
            .body(body)
            .expect("a request");
        let response = self.server.send_request(request).await;
        assert!(
            (200..300).contains(&response.status),
            "{path}: {}",
            response.status
        );
        String::from_utf8_lossy(&response.bytes).into_owned()
    }
}

pub(crate) fn last_number(path: &str) -> i64 {
    let (_, number) = path.rsplit_once('/').expect("a path");
    number.parse().expect("a number")
}
