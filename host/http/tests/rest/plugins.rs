//! Plugins: upload, list, enable, validate configs.

use std::{
    os::unix::fs::symlink,
    sync::{Arc, atomic::Ordering},
};

use serde_json::json;
use tidegate_captured_log::CapturedLog;
use tidegate_core::id::Digest;
use tidegate_engine::{Error, plugins, ports::Artifacts as _};

use crate::test_server::TestServer;

const COMPONENT: &[u8] = b"plugin acme/canary strategy";

#[tokio::test]
async fn a_component_becomes_a_revision() {
    let server = TestServer::new().await;
    let created = server
        .upload("/api/v1/plugins", &[("component", None, COMPONENT)])
        .await;
    let revision = created.expect(201);
    let digest = Digest::of(COMPONENT).to_string();
    assert_eq!(revision["revision"], digest);
    assert_eq!(
        (&revision["kind"], &revision["status"]),
        (&json!("strategy"), &json!("verified"))
    );
    assert_eq!(revision["config_schema"], json!({"type": "object"}));
    assert_eq!(revision["origin"], "upload");
    let path = created.headers["location"]
        .to_str()
        .expect("a path")
        .to_owned();
    assert_eq!(
        path,
        format!("/api/v1/plugins/acme/canary/revisions/{digest}")
    );
    assert_eq!(server.get(&path).await.expect(200), revision);

    server
        .upload("/api/v1/plugins", &[("component", None, COMPONENT)])
        .await
        .expect(201);
    let listed = server.get("/api/v1/plugins").await.expect(200);
    assert_eq!(listed["total"], 3, "with the default policies");
    assert_eq!(
        listed["items"][0]["revisions"].as_array().map(Vec::len),
        Some(1)
    );
    assert_eq!(
        server.get("/api/v1/plugins/acme/canary").await.expect(200),
        listed["items"][0]
    );

    let disabled = server
        .post(&format!("{path}/disable"), &json!({}))
        .await
        .expect(200);
    assert_eq!(disabled["enabled"], false);
    let config = json!({"config": {}});
    server
        .post("/api/v1/plugins/acme/canary/validate", &config)
        .await
        .expect_problem(404);
    let enabled = server
        .post(&format!("{path}/enable"), &json!({}))
        .await
        .expect(200);
    assert_eq!(enabled["enabled"], true);
}

#[tokio::test]
async fn a_config_is_validated() {
    let server = TestServer::new().await;
    server
        .upload("/api/v1/plugins", &[("component", None, COMPONENT)])
        .await
        .expect(201);
    let path = "/api/v1/plugins/acme/canary/validate";
    let good = server
        .post(path, &json!({"config": {"steps": [100]}}))
        .await
        .expect(200);
    assert_eq!(good, json!({"ok": true, "errors": []}));
    let bad = server
        .post(path, &json!({"config": {"bad": 1}}))
        .await
        .expect(200);
    assert_eq!(
        bad,
        json!({"ok": false, "errors": [{"field": "/bad", "message": "must not be there"}]})
    );
    let wrong = json!({"config": {}, "revision": "latest"});
    assert_eq!(
        server.post(path, &wrong).await.expect_problem(422).1,
        ["/revision"]
    );
}

#[tokio::test]
async fn an_invalid_component_is_refused_and_not_stored() {
    let server = TestServer::with(|settings| settings.max_component_bytes = 100).await;
    let refused = server
        .upload("/api/v1/plugins", &[("component", None, b"no component")])
        .await;
    assert_eq!(refused.expect_problem(422).0, "plugin_rejected");
    let stored = server
        .artifacts
        .open(Digest::of(b"no component").0, 0..1)
        .await;
    assert!(stored.expect("the artifact store").is_none());

    let large = [b'x'; 101];
    let refused = server
        .upload("/api/v1/plugins", &[("component", None, &large)])
        .await;
    assert_eq!(refused.expect_problem(413).0, "too_large");
    let detail = &refused.expect(413)["detail"];
    let detail = detail.as_str().unwrap_or_default();
    assert!(detail.contains("`sandbox.component_bytes`"), "{detail}");
    assert_eq!(
        server
            .upload("/api/v1/plugins", &[])
            .await
            .expect_problem(422)
            .0,
        "wrong_part"
    );

    server
        .upload("/api/v1/plugins", &[("component", None, COMPONENT)])
        .await
        .expect(201);
    let other: &[u8] = b"plugin acme/canary health";
    let refused = server
        .upload("/api/v1/plugins", &[("component", None, other)])
        .await;
    assert_eq!(refused.expect_problem(409).0, "plugin_kind");
    let stored = server.artifacts.open(Digest::of(other).0, 0..1).await;
    assert!(stored.expect("the artifact store").is_none());
    assert_eq!(server.get("/api/v1/plugins").await.expect(200)["total"], 3);
}

#[tokio::test]
async fn components_of_the_folder_are_installed_once_for_every_tenant() {
    let server = TestServer::new().await;
    let engine = &server.state.engine;
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("canary.wasm"), COMPONENT).expect("a file");
    std::fs::write(folder.path().join("broken.wasm"), b"broken").expect("a file");
    std::fs::write(folder.path().join("notes.txt"), b"no component").expect("a file");
    let false_policy = b"plugin hardware compatibility false";
    std::fs::write(folder.path().join("false.wasm"), false_policy).expect("a file");
    let log = CapturedLog::start();
    std::fs::create_dir(folder.path().join("a-folder.wasm")).expect("a folder");
    symlink("absent", folder.path().join("a-link.wasm")).expect("a link");
    // Opening it succeeds and reading it fails, also for root, which may read all that has permissions.
    symlink("/proc/self/mem", folder.path().join("a-memory.wasm")).expect("a link");
    let installed = plugins::install_folder(engine, folder.path())
        .await
        .expect("installed");
    assert_eq!(installed, 1);
    let unreadable = log.events("component cannot be read");
    let unreadable: Vec<_> = unreadable
        .iter()
        .filter_map(|event| Some((event["path"].as_str()?, event["level"].as_str()?)))
        .collect();
    let path = |name| folder.path().join(name).display().to_string();
    let expected = ["a-folder.wasm", "a-link.wasm", "a-memory.wasm"].map(path);
    let expected = expected.each_ref().map(|path| (&**path, "ERROR"));
    assert_eq!(unreadable, expected);
    let again = plugins::install_folder(engine, folder.path())
        .await
        .expect("installed");
    assert_eq!(again, 0);
    tidegate_engine::tenants::create(&server.server_ctx(), engine.store(), "other")
        .await
        .expect("a tenant");
    let other = plugins::install_folder(engine, folder.path())
        .await
        .expect("installed");
    assert_eq!(other, 1);
    let shown = server.get("/api/v1/plugins/acme/canary").await.expect(200);
    let revision = &shown["revisions"][0];
    assert_eq!(revision["created_by"], "tidegate");
    assert_eq!(revision["origin"], "folder");
    let shown = server
        .get("/api/v1/plugins/tidegate/hardware")
        .await
        .expect(200);
    assert_eq!(shown["revisions"].as_array().map(Vec::len), Some(1));
    assert_eq!(shown["revisions"][0]["origin"], "built_in");
}

#[tokio::test]
async fn the_cause_of_a_failed_inspection_is_logged_and_not_returned() {
    let server = TestServer::new().await;
    let log = CapturedLog::start();
    server
        .sandbox
        .failing_inspections
        .store(1, Ordering::SeqCst);
    let refused = server
        .upload("/api/v1/plugins", &[("component", None, COMPONENT)])
        .await;
    assert_eq!(refused.expect_problem(503).0, "unavailable");
    let refused = String::from_utf8_lossy(&refused.bytes);
    assert!(
        refused.contains("retry later") && !refused.contains("processes"),
        "{refused}"
    );
    let logged = log.events("service unavailable");
    assert!(
        logged[0].to_string().contains("out of processes"),
        "{logged:?}"
    );
}

#[tokio::test]
async fn a_component_that_cannot_be_inspected_now_is_installed_later() {
    let server = TestServer::new().await;
    let engine = &server.state.engine;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let other: &[u8] = b"plugin acme/other health";
    for (name, component) in [("canary.wasm", COMPONENT), ("other.wasm", other)] {
        std::fs::write(folder.path().join(name), component).expect("a file");
    }
    let log = CapturedLog::start();
    server
        .sandbox
        .failing_inspections
        .store(1, Ordering::SeqCst);
    let failed = plugins::install_folder(engine, folder.path()).await;
    assert!(
        matches!(failed, Err(Error::Unavailable { .. })),
        "{failed:?}"
    );
    // It stops no other.
    server.get("/api/v1/plugins/acme/other").await.expect(200);
    server
        .get("/api/v1/plugins/acme/canary")
        .await
        .expect_problem(404);

    server
        .sandbox
        .failing_inspections
        .store(1, Ordering::SeqCst);
    let path = folder.path().to_owned();
    plugins::install_folder_loop(Arc::clone(engine), path).await;
    assert_eq!(log.events("components not installed; retrying").len(), 1);
    assert_eq!(log.events("components installed").len(), 1);
    server.get("/api/v1/plugins/acme/canary").await.expect(200);
}

/// The server awaits them before it serves, whatever else is in the folder.
#[tokio::test]
async fn built_in_plugins_are_installed_before_all_others() {
    let server = TestServer::new().await;
    let engine = &server.state.engine;
    let ctx = server.server_ctx();
    let tenant = tidegate_engine::tenants::create(&ctx, engine.store(), "other").await;
    tenant.expect("a tenant");
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, component) in [
        ("canary.wasm", COMPONENT),
        ("hardware.wasm", &b"plugin hardware compatibility"[..]),
        (
            "version-path.wasm",
            b"plugin version-path compatibility false",
        ),
    ] {
        std::fs::write(folder.path().join(name), component).expect("a file");
    }
    let log = CapturedLog::start();
    let installed = plugins::install_built_ins(engine, folder.path()).await;
    assert_eq!(installed.expect("installed"), 1);
    let all = plugins::install_folder(engine, folder.path()).await;
    assert_eq!(all.expect("installed"), 2, "the canary for two tenants");
    let refused = log.events("component not installed");
    assert_eq!(refused.len(), 1, "{refused:?}");
    let text = |name: &str| refused[0][name].as_str().unwrap_or_default().to_owned();
    assert!(text("path").ends_with("version-path.wasm"), "{refused:?}");
    assert!(text("reason").contains("version-path"), "{refused:?}");

    let absent = plugins::install_built_ins(engine, &folder.path().join("absent")).await;
    assert!(absent.is_err(), "{absent:?}");
}
