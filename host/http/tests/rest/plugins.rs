//! Plugins: upload, list, enable, validate configs.

use std::{os::unix::fs::symlink, sync::atomic::Ordering};

use serde_json::{Value, json};
use tidegate_captured_log::CapturedLog;
use tidegate_core::id::Digest;
use tidegate_engine::{
    Error,
    plugins::{self, PluginFolder},
    ports::Artifacts as _,
};

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
        (&revision["kind"], &revision["state"]),
        (&json!("strategy"), &json!("candidate"))
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

    let config = json!({"config": {}});
    for (step, state, status) in [
        ("", "candidate", 404),
        ("enable", "enabled", 200),
        ("deprecate", "deprecated", 404),
        ("disable", "disabled", 404),
        ("enable", "enabled", 200),
    ] {
        if !step.is_empty() {
            let changed = server.post(&format!("{path}/{step}"), &json!({})).await;
            assert_eq!(changed.expect(200)["state"], state);
        }
        assert_eq!(server.get(&path).await.expect(200)["state"], state);
        let validated = server
            .post("/api/v1/plugins/acme/canary/validate", &config)
            .await;
        assert_eq!(validated.status, status, "{state}");
    }
}

#[tokio::test]
async fn a_plugin_without_an_enabled_release_is_refused_with_what_enables_one() {
    let server = TestServer::new().await;
    let plugin = "/api/v1/plugins";
    for version in ["1.0.0", "1.1.0"] {
        server.clock.advance_seconds(1);
        let component = format!("plugin acme/canary strategy {version}");
        let parts = [("component", None, component.as_bytes())];
        server.upload(plugin, &parts).await.expect(201);
    }
    let message = "there is no enabled release of the plugin acme/canary: an admin can enable the newest candidate, 1.1.0: \
                   `tidegate plugin enable acme/canary@1.1.0`";
    let config = json!({"config": {}});
    let validate = format!("{plugin}/acme/canary/validate");
    let refused = server.post(&validate, &config).await.expect(404);
    assert_eq!(refused["detail"], message);
    let firmware = server.firmware("1.1.0", b"new").await;
    let strategy = json!({"plugin": "acme/canary"});
    let campaign = json!({"name": "a", "firmware_id": firmware, "target_devices": ["pi-1"], "strategy": strategy});
    let refused = server
        .post("/api/v1/campaigns", &campaign)
        .await
        .expect(422);
    assert_eq!(
        refused["errors"],
        json!([{"field": "/strategy/plugin", "message": message}])
    );
}

/// The last upload is not the default: a publisher's key must not decide what new campaigns do.
#[tokio::test]
async fn new_campaigns_use_the_highest_enabled_release_or_the_chosen_revision() {
    for server in TestServer::on_both_databases(|_| {}).await {
        server.fleet(1).await;
        let firmware = server.firmware("1.1.0", b"new").await;
        let plugin = "/api/v1/plugins/acme/canary";
        let path = |revision: &str| format!("{plugin}/revisions/{revision}");
        let text = |value: &Value| value["revision"].as_str().expect("a digest").to_owned();
        let shown = server.get(plugin).await.expect(200);
        let first = text(&shown["revisions"][0]);
        let used = async || {
            let path = server.campaign_of(firmware, json!({})).await;
            let campaign = server.get(&path).await.expect(200);
            text(&campaign["strategy"])
        };
        let default = async || server.get(plugin).await.expect(200)["default_revision"].clone();
        let step = async |revision: &str, step: &str| {
            server.clock.advance_seconds(1);
            let path = format!("{}/{step}", path(revision));
            server.post(&path, &json!({})).await
        };

        let newer = text(&server.plugin(b"plugin acme/canary strategy 1.10.0").await);
        let older = text(&server.plugin(b"plugin acme/canary strategy 1.9.0").await);
        let next = text(
            &server
                .plugin(b"plugin acme/canary strategy 2.0.0-rc.1")
                .await,
        );
        let component: &[u8] = b"plugin acme/canary strategy 99.0.0";
        let parts = [("component", None, component)];
        let candidate = text(&server.upload("/api/v1/plugins", &parts).await.expect(201));
        assert_eq!(
            (default().await, used().await),
            (json!(newer), newer.clone())
        );

        step(&newer, "deprecate").await.expect(200);
        assert_eq!(
            (default().await, used().await),
            (json!(older), older.clone())
        );
        step(&next, "default").await.expect(200);
        assert_eq!((default().await, used().await), (json!(next), next.clone()));
        // The choice of a revision that is not enabled any more is no silent choice of another one.
        step(&next, "disable").await.expect(200);
        assert_eq!(default().await, json!(null));
        step(&next, "enable").await.expect(200);
        assert_eq!(default().await, json!(next));
        let delete = async |path: String| {
            server
                .send("DELETE", &path, &server.admin, &json!(null))
                .await
        };
        assert_eq!(delete(format!("{plugin}/default")).await.status, 204);
        assert_eq!(default().await, json!(older));

        // A deprecated revision can be named, a candidate cannot, nor can it be deprecated or chosen.
        for (revision, fields) in [(&newer, 0), (&candidate, 1)] {
            let strategy = json!({"plugin": "acme/canary", "revision": revision});
            let body = json!({"name": "a", "firmware_id": firmware, "target_groups": ["lab"], "strategy": strategy});
            let created = server.post("/api/v1/campaigns", &body).await;
            assert_eq!(created.status, if fields == 0 { 201 } else { 422 });
            if fields > 0 {
                assert_eq!(created.expect_problem(422).1, ["/strategy/revision"]);
            }
        }
        for refused in ["deprecate", "default"] {
            let refused = step(&candidate, refused).await;
            assert_eq!(refused.expect_problem(409).0, "invalid_state");
        }

        // What a campaign is pinned to stays.
        let refused = delete(path(&newer)).await;
        assert_eq!(refused.expect_problem(409).0, "revision_in_use");
        let shown = server.get(&path(&newer)).await.expect(200);
        assert_eq!(shown["campaigns"], 2);
        for unused in [&first, &candidate] {
            assert_eq!(delete(path(unused)).await.status, 204);
            server.get(&path(unused)).await.expect_problem(404);
            delete(path(unused)).await.expect_problem(404);
        }
        let digest = Digest::of(component).0;
        let stored = server.artifacts.open(digest, 0..1).await;
        assert!(stored.expect("the artifact store").is_none());
    }
}

#[tokio::test]
async fn a_version_has_one_component() {
    let server = TestServer::new().await;
    server.plugin(COMPONENT).await;
    let other: &[u8] = b"plugin acme/canary strategy 1.0.0 other";
    let parts = [("component", None, other)];
    let refused = server.upload("/api/v1/plugins", &parts).await;
    assert_eq!(refused.expect_problem(409).0, "version_exists");
    let stored = server.artifacts.open(Digest::of(other).0, 0..1).await;
    assert!(stored.expect("the artifact store").is_none());
    let discarded = || std::mem::take(&mut *server.sandbox.discarded.lock().expect("a lock"));
    assert_eq!(discarded(), [Digest::of(other)]);
    // The name is that of a built-in plugin.
    let reserved: &[u8] = b"plugin canary strategy";
    let parts = [("component", None, reserved)];
    let refused = server.upload("/api/v1/plugins", &parts).await;
    assert_eq!(refused.expect_problem(409).0, "reserved_name");
    assert_eq!(discarded(), [Digest::of(reserved)]);

    // In a folder it is reported, and stops no other.
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("a.wasm"), other).expect("a file");
    let next: &[u8] = b"plugin acme/canary strategy 1.1.0";
    std::fs::write(folder.path().join("b.wasm"), next).expect("a file");
    let log = CapturedLog::start();
    let installed = plugins::install_folder(&server.state.engine, folder.path()).await;
    assert_eq!(installed.expect("installed"), 1);
    let reported = log.events("component not installed");
    assert!(
        reported[0].to_string().contains("other bytes"),
        "{reported:?}"
    );
    let shown = server.get("/api/v1/plugins/acme/canary").await.expect(200);
    assert_eq!(shown["default_revision"], Digest::of(next).to_string());
    assert_eq!(discarded(), [Digest::of(other)]);

    // A repeated upload of what is stored keeps the code, a deletion does not.
    let parts = [("component", None, next)];
    server.upload("/api/v1/plugins", &parts).await.expect(201);
    assert_eq!(discarded(), []);
    let path = format!("/api/v1/plugins/acme/canary/revisions/{}", Digest::of(next));
    let deleted = server
        .send("DELETE", &path, &server.admin, &json!(null))
        .await;
    assert_eq!(deleted.status, 204);
    assert_eq!(discarded(), [Digest::of(next)]);
}

#[tokio::test]
async fn the_default_of_a_built_in_plugin_is_the_one_of_the_server() {
    let server = TestServer::new().await;
    let plugin = "/api/v1/plugins/tidegate/hardware";
    let shown = server.get(plugin).await.expect(200);
    let revision = shown["revisions"][0]["revision"]
        .as_str()
        .expect("a digest");
    assert_eq!(shown["default_revision"], revision);
    for step in ["default", "deprecate"] {
        let path = format!("{plugin}/revisions/{revision}/{step}");
        let refused = server.post(&path, &json!({})).await;
        assert_eq!(refused.expect_problem(409).0, "built_in_plugin");
    }
}

#[tokio::test]
async fn a_config_is_validated() {
    let server = TestServer::new().await;
    server.plugin(COMPONENT).await;
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

    let rejected = server.get("/api/v1/plugin-rejections").await.expect(200);
    assert_eq!(rejected["total"], 1);
    let rejection = &rejected["items"][0];
    assert_eq!(
        rejection["revision"],
        Digest::of(b"no component").to_string()
    );
    assert_eq!(rejection["reason"], refused.expect(422)["detail"]);
    assert_eq!(rejection["uploaded_by"], "admin");

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
async fn an_upload_beyond_the_queue_is_to_be_sent_again_later() {
    let server = TestServer::new().await;
    let parts = [("component", None, COMPONENT)];
    server.sandbox.is_queue_full.store(true, Ordering::SeqCst);
    let refused = server.upload("/api/v1/plugins", &parts).await;
    assert_eq!(refused.expect_problem(429).0, "compile_queue_full");
    assert_eq!(refused.headers["retry-after"], "20");
    let rejected = server.get("/api/v1/plugin-rejections").await.expect(200);
    assert_eq!(rejected["total"], 0);
    server.sandbox.is_queue_full.store(false, Ordering::SeqCst);
    server.upload("/api/v1/plugins", &parts).await.expect(201);
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
    let mut watched = PluginFolder::new(folder.path().to_owned());
    watched.scan(engine).await.expect("scanned");
    let failed = watched.scan(engine).await;
    assert!(
        matches!(failed, Err(Error::Unavailable { .. })),
        "{failed:?}"
    );
    assert_eq!(plugin_files(&server).await, [1, 0, 1]);
    watched.scan(engine).await.expect("installed");
    assert_eq!(log.events("components installed").len(), 1);
    assert_eq!(plugin_files(&server).await, [2, 0, 0]);
    server.get("/api/v1/plugins/acme/canary").await.expect(200);
}

/// The files in the folder of plugins by the metrics: installed, refused, waiting.
async fn plugin_files(server: &TestServer) -> [u64; 3] {
    let metrics = server.get("/metrics").await;
    let text = String::from_utf8_lossy(&metrics.bytes).into_owned();
    ["installed", "refused", "waiting"].map(|state| {
        let name = format!("tidegate_plugin_files{{state=\"{state}\"}} ");
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix(&name)?.parse().ok());
        value.expect("a gauge")
    })
}

#[tokio::test]
async fn what_is_put_into_the_folder_of_plugins_is_installed_once_it_stops_changing() {
    let server = TestServer::new().await;
    let engine = &server.state.engine;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, bytes: &[u8]| {
        std::fs::write(folder.path().join(name), bytes).expect("a file");
    };
    let mut watched = PluginFolder::new(folder.path().to_owned());
    let mut scan = async || {
        watched.scan(engine).await.expect("scanned");
        plugin_files(&server).await
    };
    let plugin = "/api/v1/plugins/acme/canary";
    assert_eq!(scan().await, [0, 0, 0]);

    // While it is written it is not read.
    let log = CapturedLog::start();
    for written in [&COMPONENT[..3], &COMPONENT[..10], COMPONENT] {
        write("canary.wasm", written);
        assert_eq!(scan().await, [0, 0, 1]);
    }
    server.get(plugin).await.expect_problem(404);
    assert_eq!(scan().await, [1, 0, 0]);
    assert_eq!(log.events("component rejected").len(), 0);
    let shown = server.get(plugin).await.expect(200);
    assert_eq!(shown["default_revision"], Digest::of(COMPONENT).to_string());
    assert_eq!(shown["revisions"][0]["origin"], "folder");

    // Other bytes with the same version are reported, once.
    write("canary.wasm", b"plugin acme/canary strategy 1.0.0 other");
    for expected in [[0, 0, 1], [0, 1, 0], [0, 1, 0]] {
        assert_eq!(scan().await, expected);
    }
    assert_eq!(log.events("component not installed").len(), 1);
    let next: &[u8] = b"plugin acme/canary strategy 1.1.0";
    write("canary.wasm", next);
    scan().await;
    assert_eq!(scan().await, [1, 0, 0]);
    let shown = server.get(plugin).await.expect(200);
    assert_eq!(shown["default_revision"], Digest::of(next).to_string());

    // A new tenant gets it, and what is removed stays installed.
    let ctx = server.server_ctx();
    let tenant = tidegate_engine::tenants::create(&ctx, engine.store(), "other").await;
    let tenant = tenant.expect("a tenant").id;
    assert_eq!(scan().await, [1, 0, 0]);
    let has_it = async || {
        let revisions = engine.store().revisions(tenant).await.expect("revisions");
        revisions.len() == 1 && revisions[0].stored.digest == Digest::of(next)
    };
    assert!(has_it().await);
    std::fs::remove_file(folder.path().join("canary.wasm")).expect("removed");
    assert_eq!(scan().await, [0, 0, 0]);
    assert!(has_it().await);
    assert_eq!(server.get(plugin).await.expect(200), shown);
}

#[tokio::test]
async fn a_folder_of_plugins_that_cannot_be_read_is_an_error_until_it_can() {
    let server = TestServer::new().await;
    let engine = &server.state.engine;
    let parent = tempfile::tempdir().expect("a temporary folder");
    let folder = parent.path().join("plugins");
    let mut watched = PluginFolder::new(folder.clone());
    assert!(watched.scan(engine).await.is_err());
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(folder.join("canary.wasm"), COMPONENT).expect("a file");
    for _ in 0..2 {
        watched.scan(engine).await.expect("scanned");
    }
    server.get("/api/v1/plugins/acme/canary").await.expect(200);
}

#[tokio::test]
async fn a_candidate_that_is_put_into_the_folder_is_enabled() {
    for server in TestServer::on_both_databases(|_| {}).await {
        let engine = &server.state.engine;
        let component: &[u8] = b"plugin acme/fits compatibility";
        let parts = [("component", None, component)];
        let uploaded = server.upload("/api/v1/plugins", &parts).await.expect(201);
        assert_eq!(uploaded["state"], "candidate");
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("fits.wasm"), component).expect("a file");
        let installed = plugins::install_folder(engine, folder.path()).await;
        assert_eq!(installed.expect("installed"), 1);
        let plugin = "/api/v1/plugins/acme/fits";
        let shown = server.get(plugin).await.expect(200);
        let revision = &shown["revisions"][0];
        assert_eq!(revision["state"], "enabled");
        assert_eq!(shown["default_revision"], uploaded["revision"]);
        assert_eq!(revision["created_by"], uploaded["created_by"]);

        // What an administrator disabled stays so.
        let digest = uploaded["revision"].as_str().expect("a digest");
        let disable = format!("{plugin}/revisions/{digest}/disable");
        server.post(&disable, &json!({})).await.expect(200);
        let installed = plugins::install_folder(engine, folder.path()).await;
        assert_eq!(installed.expect("installed"), 0);
        let shown = server.get(plugin).await.expect(200);
        assert_eq!(shown["revisions"][0]["state"], "disabled");
    }
}

#[tokio::test]
async fn a_component_that_is_missing_from_storage_is_put_back_from_its_folder() {
    let server = TestServer::new().await;
    let engine = &server.state.engine;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let policy: &[u8] = b"plugin hardware compatibility";
    for (name, component) in [("canary.wasm", COMPONENT), ("hardware.wasm", policy)] {
        std::fs::write(folder.path().join(name), component).expect("a file");
    }
    let installed = plugins::install_folder(engine, folder.path()).await;
    assert_eq!(installed.expect("installed"), 1, "hardware is there");
    let is_stored = async |component: &[u8]| {
        let digest = Digest::of(component).0;
        let stored = server.artifacts.is_intact(digest, component.len() as u64);
        stored.await.unwrap_or(false)
    };
    for component in [COMPONENT, policy] {
        let digest = Digest::of(component).0;
        server.artifacts.delete(digest).await.expect("deleted");
        assert!(!is_stored(component).await);
    }
    let log = CapturedLog::start();
    let restored = plugins::install_built_ins(engine, folder.path()).await;
    assert_eq!(restored.expect("restored"), 0);
    assert!(is_stored(policy).await && !is_stored(COMPONENT).await);
    let restored = plugins::install_folder(engine, folder.path()).await;
    assert_eq!(restored.expect("restored"), 0);
    assert!(is_stored(COMPONENT).await);
    let reported = log.events("component was missing from storage or damaged; stored again");
    assert_eq!(reported.len(), 2);
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
    let refused = log.events("component not installed");
    let text = |at: usize, name: &str| refused[at][name].as_str().unwrap_or_default().to_owned();
    assert_eq!(refused.len(), 2, "{refused:?}");
    assert!(text(0, "path").ends_with("canary.wasm"), "{refused:?}");
    assert!(text(0, "reason").contains("`--plugins`"), "{refused:?}");
    assert!(
        text(1, "path").ends_with("version-path.wasm"),
        "{refused:?}"
    );
    assert!(text(1, "reason").contains("reserved"), "{refused:?}");
    server
        .get("/api/v1/plugins/acme/canary")
        .await
        .expect_problem(404);

    let log = CapturedLog::start();
    let all = plugins::install_folder(engine, folder.path()).await;
    assert_eq!(all.expect("installed"), 2, "the canary for two tenants");
    let refused = log.events("component not installed");
    assert_eq!(refused.len(), 1, "{refused:?}");
    let text = |name: &str| refused[0][name].as_str().unwrap_or_default().to_owned();
    assert!(text("path").ends_with("version-path.wasm"), "{refused:?}");
    assert!(text("error").contains("version-path"), "{refused:?}");

    let absent = plugins::install_built_ins(engine, &folder.path().join("absent")).await;
    assert!(absent.is_err(), "{absent:?}");
}
