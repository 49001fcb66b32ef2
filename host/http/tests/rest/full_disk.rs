//! A disk that is full for a while.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use axum::body::Body;
use http::Request;
use serde_json::{Map, Value, json};
use tidegate_faults::{SmallDisk, SmallPostgres};

use crate::test_server::{TestResponse, TestServer};

async fn report_attributes(server: &TestServer, token: &str) -> TestResponse {
    report(server, token, &json!({"site": "north"})).await
}

async fn report(server: &TestServer, token: &str, data: &Value) -> TestResponse {
    let request = Request::put("/default/controller/v1/pi-1/configData")
        .header("host", "tide.example")
        .header("authorization", format!("TargetToken {token}"))
        .header("content-type", "application/json");
    let body = json!({"mode": "merge", "data": data}).to_string();
    server
        .send_request(request.body(Body::from(body)).expect("a request"))
        .await
}

async fn poll(server: &TestServer, token: &str) -> u16 {
    let request = Request::get("/default/controller/v1/pi-1")
        .header("host", "tide.example")
        .header("authorization", format!("TargetToken {token}"))
        .body(Body::empty());
    let response = server.send_request(request.expect("a request")).await;
    response.status
}

#[tokio::test]
async fn a_full_disk_is_reported_and_forgotten_when_there_is_room_again() {
    let Some(disk) = SmallDisk::mount(32 << 20).expect("a file system") else {
        return;
    };
    let server = TestServer::in_folder(disk.path()).await;
    let device = json!({"device_id": "pi-1"});
    let created = server.post("/api/v1/devices", &device).await.expect(201);
    let token = created["token"].as_str().expect("a token");
    assert_eq!(poll(&server, token).await, 200);
    server.get("/readyz").await.expect(200);

    disk.fill(0).expect("a full disk");
    for _ in 0..2 {
        let refused = server
            .post("/api/v1/devices", &json!({"device_id": "pi-2"}))
            .await;
        assert_eq!(refused.expect_problem(507).0, "no_space");
        let refused = report_attributes(&server, token).await;
        assert_eq!(refused.status, 429);
        assert_eq!(refused.headers["retry-after"], "1");
        assert_eq!(poll(&server, token).await, 200, "nothing has to be written");
        let unready = server.get("/readyz").await;
        assert_eq!(unready.expect_problem(503).0, "unavailable");
        let reason = unready.expect(503)["detail"].to_string();
        assert!(reason.contains("cannot be written"), "{reason}");
        let metadata = json!({"name": "edge", "version": "1.0.0"}).to_string();
        let file = vec![7; 100_000];
        let parts: [(&str, Option<&str>, &[u8]); 2] = [
            ("metadata", None, metadata.as_bytes()),
            ("file", Some("edge.bin"), &file),
        ];
        let refused = server.upload("/api/v1/firmware", &parts).await;
        assert_eq!(refused.expect_problem(507).0, "no_space");
    }

    disk.free().expect("room");
    assert_eq!(report_attributes(&server, token).await.status, 200);
    server
        .post("/api/v1/devices", &json!({"device_id": "pi-2"}))
        .await
        .expect(201);
    server.firmware("1.0.0", b"firmware").await;
    while server.get("/readyz").await.status != 200 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else if entry.file_name() != "lock" {
            files.push(path);
        }
    }
    files
}

async fn upload(server: &TestServer, version: &str) -> TestResponse {
    let metadata = json!({"name": "edge", "version": version}).to_string();
    let file = vec![7; 100_000];
    let parts: [(&str, Option<&str>, &[u8]); 2] = [
        ("metadata", None, metadata.as_bytes()),
        ("file", Some("edge.bin"), &file),
    ];
    server.upload("/api/v1/firmware", &parts).await
}

#[tokio::test]
async fn an_upload_that_only_the_database_has_no_room_for_leaves_no_file() {
    let Some(disk) = SmallDisk::mount(32 << 20).expect("a file system") else {
        return;
    };
    let artifacts = tempfile::tempdir().expect("a folder");
    let server = TestServer::in_folders(disk.path(), artifacts.path()).await;
    // The components of the default policies.
    let before = files(artifacts.path()).len();
    disk.fill(0).expect("a full disk");
    let refused = upload(&server, "1.0.0").await;
    assert_eq!(refused.expect_problem(507).0, "no_space");
    while files(artifacts.path()).len() > before {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    disk.free().expect("room");
    upload(&server, "1.0.0").await.expect(201);
    assert_eq!(files(artifacts.path()).len(), before + 1);
}

#[tokio::test]
async fn a_full_disk_of_postgresql_is_reported_and_forgotten_when_there_is_room_again() {
    let Some(postgres) = SmallPostgres::start(192 << 20).expect("a server") else {
        return;
    };
    let server = TestServer::on_database(postgres.url()).await;
    let device = json!({"device_id": "pi-1"});
    let created = server.post("/api/v1/devices", &device).await.expect(201);
    let token = created["token"].as_str().expect("a token");
    assert_eq!(poll(&server, token).await, 200);
    server.get("/readyz").await.expect(200);

    for round in 0..2 {
        postgres.disk.fill(0).expect("a full disk");
        // Rows find room until the pages of their table are full.
        let refused = first_refusal(async |number| {
            let device = json!({"device_id": format!("pi-{round}-{number}")});
            server.post("/api/v1/devices", &device).await
        });
        let refused = refused.await;
        assert_eq!(refused.expect_problem(507).0, "no_space");
        let unready = server.get("/readyz").await;
        assert_eq!(unready.expect_problem(503).0, "unavailable");
        let reason = unready.expect(503)["detail"].to_string();
        assert!(reason.contains("cannot be written"), "{reason}");
        assert!(reason.contains("full"), "{reason}");
        let refused = first_refusal(async |number| {
            let attribute = |index: u32| {
                let value = format!("{round}-{number}-{index}").repeat(8);
                (format!("attribute-{index}"), Value::from(value))
            };
            let data: Map<_, _> = (0..50).map(attribute).collect();
            report(&server, token, &Value::Object(data)).await
        });
        let refused = refused.await;
        assert_eq!(refused.status, 429);
        assert_eq!(refused.headers["retry-after"], "1");
        server.get("/readyz").await.expect_problem(503);
        assert_eq!(poll(&server, token).await, 200, "nothing has to be written");
        server.get("/api/v1/devices").await.expect(200);

        postgres.disk.free().expect("room");
        for number in 0..20 {
            let device = json!({"device_id": format!("pi-after-{round}-{number}")});
            server.post("/api/v1/devices", &device).await.expect(201);
        }
        assert_eq!(report_attributes(&server, token).await.status, 200);
        server.firmware(&format!("1.0.{round}"), b"firmware").await;
        while server.get("/readyz").await.status != 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// The first response that is no success, of requests that are sent one after the other.
async fn first_refusal(send: impl AsyncFn(u32) -> TestResponse) -> TestResponse {
    for number in 0..5000 {
        let response = send(number).await;
        if response.status >= 300 {
            return response;
        }
    }
    panic!("all requests are accepted")
}
