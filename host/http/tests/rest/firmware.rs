//! Firmware uploads and downloads.

use axum::body::Body;
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use serde_json::{Value, json};
use tidegate_core::{firmware::FirmwareDetails, id::Digest};
use tidegate_engine::{
    Actor,
    firmware::{FirmwareSpec, Upload},
    ports::Artifacts as _,
};

use crate::test_server::{TestServer, request};

async fn is_stored(server: &TestServer, bytes: &[u8]) -> bool {
    let opened = server.artifacts.open(Digest::of(bytes).0, 0..1).await;
    opened.expect("the artifact store").is_some()
}

async fn upload(
    server: &TestServer,
    metadata: Value,
    files: &[(&str, &[u8])],
) -> crate::test_server::TestResponse {
    let metadata = metadata.to_string();
    let mut parts = vec![("metadata", None, metadata.as_bytes())];
    parts.extend(
        files
            .iter()
            .map(|(name, bytes)| ("file", Some(*name), *bytes)),
    );
    server.upload("/api/v1/firmware", &parts).await
}

#[tokio::test]
async fn an_uploaded_firmware_is_shown_and_downloaded() {
    let server = TestServer::new().await;
    let metadata = json!({
        "name": "edge", "version": "1.1.0", "device_model": "rpi4", "tags": ["lab"], "is_beta": true,
        "checksum_sha256": Digest::of(b"tide and time").to_string().trim_start_matches("sha256:"),
    });
    let created = upload(&server, metadata, &[("edge.bin", b"tide and time")]).await;
    let firmware = created.expect(201);
    let path = created.headers["location"]
        .to_str()
        .expect("a path")
        .to_owned();
    assert_eq!(firmware["file_size"], 13);
    assert_eq!(firmware["modules"][0]["part"], "os");
    assert_eq!(
        firmware["modules"][0]["artifacts"][0]["filename"],
        "edge.bin"
    );
    assert_eq!(firmware["created_at"], "2026-05-01T12:00:00.000Z");
    assert_eq!(server.get(&path).await.expect(200), firmware);
    assert_eq!(firmware["file_url"], format!("{path}/download"));

    let whole = server.get(&format!("{path}/download")).await;
    assert_eq!((whole.status, &*whole.bytes), (200, &b"tide and time"[..]));
    let etag = whole.headers["etag"].clone();
    let part = request("GET", &format!("{path}/download"), &server.admin)
        .header("range", "bytes=5-7")
        .header("if-range", etag);
    let part = server
        .send_request(part.body(Body::empty()).expect("a request"))
        .await;
    assert_eq!((part.status, &*part.bytes), (206, &b"and"[..]));
    let beyond =
        request("GET", &format!("{path}/download"), &server.admin).header("range", "bytes=99-");
    let beyond = server
        .send_request(beyond.body(Body::empty()).expect("a request"))
        .await;
    assert_eq!(beyond.expect_problem(416).0, "range_not_satisfiable");
    assert_eq!(beyond.headers["content-range"], "bytes */13");
    // By RFC 9110, unlike the device API.
    for (range, status, content_range, text) in [
        ("bytes=7-5", 200, None, "tide and time"),
        ("bytes=a-b", 200, None, "tide and time"),
        ("bytes=0-3,x", 200, None, "tide and time"),
        ("bytes=5-6,6-7", 206, Some("bytes 5-7/13"), "and"),
        ("bytes=5-7,99-", 206, Some("bytes 5-7/13"), "and"),
    ] {
        let part = request("GET", &format!("{path}/download"), &server.admin);
        let part = part.header("range", range).body(Body::empty());
        let part = server.send_request(part.expect("a request")).await;
        assert_eq!(
            (part.status, &*part.bytes),
            (status, text.as_bytes()),
            "{range}"
        );
        let found = part.headers.get("content-range");
        let found = found.and_then(|value| value.to_str().ok());
        assert_eq!(found, content_range, "{range}");
    }
    let head = request("HEAD", &format!("{path}/download"), &server.admin);
    let head = server
        .send_request(head.body(Body::empty()).expect("a request"))
        .await;
    assert_eq!((head.status, head.bytes.len()), (200, 0));
    assert_eq!(head.headers["content-length"], "13");
}

#[tokio::test]
async fn lists_are_filtered_and_omit_deleted_firmware() {
    let server = TestServer::new().await;
    let beta = json!({"name": "edge", "version": "2.0.0-rc.1", "is_beta": true, "tags": ["lab"]});
    upload(&server, beta, &[("a", b"a")]).await.expect(201);
    let stable = server.firmware("1.0.0", b"b").await;
    for (query, total) in [
        ("", 2),
        ("?is_beta=true", 1),
        ("?is_beta=false", 1),
        ("?tag=lab", 1),
        ("?version=1.0.0", 1),
        ("?device_model=rpi4", 0),
        ("?limit=1&offset=1", 2),
    ] {
        let list = server
            .get(&format!("/api/v1/firmware{query}"))
            .await
            .expect(200);
        assert_eq!(list["total"], total, "{query}");
    }
    let path = format!("/api/v1/firmware/{stable}");
    server
        .send("DELETE", &path, &server.admin, &json!(null))
        .await
        .expect(204);
    assert_eq!(server.get("/api/v1/firmware").await.expect(200)["total"], 1);
    server.get(&path).await.expect_problem(404);
    assert!(
        is_stored(&server, b"b").await,
        "a device may fetch it again"
    );
}

#[tokio::test]
async fn a_deleted_firmware_is_shown_while_it_is_referenced() {
    let server = TestServer::new().await;
    let firmware = server.firmware("1.0.0", b"a").await;
    for device in ["a", "b"] {
        let device = json!({"device_id": device});
        server.post("/api/v1/devices", &device).await.expect(201);
    }
    let payload = json!({"firmware_id": firmware});
    let created = server.post("/api/v1/devices/a/update", &payload).await;
    created.expect(201);
    let path = format!("/api/v1/firmware/{firmware}");
    let deleted = server.send("DELETE", &path, &server.admin, &json!(null));
    deleted.await.expect(204);
    assert_eq!(server.get(&path).await.expect(200)["version"], "1.0.0");
    let refused = server.post("/api/v1/devices/b/update", &payload).await;
    assert_eq!(refused.expect_problem(422).1, ["/firmware_id"]);
    let gone = server.send("DELETE", "/api/v1/devices/a", &server.admin, &json!(null));
    gone.await.expect(204);
    server.get(&path).await.expect_problem(404);
}

#[tokio::test]
async fn a_refused_upload_leaves_nothing_behind() {
    let server = TestServer::new().await;
    let named = |extra: Value| {
        let mut metadata = json!({"name": "edge", "version": "1.0.0"});
        if let (Value::Object(metadata), Value::Object(extra)) = (&mut metadata, extra) {
            metadata.extend(extra);
        }
        metadata
    };
    let good = named(json!({}));
    for (metadata, file, code, fields) in [
        (
            named(json!({"checksum_md5": "00"})),
            "a.bin",
            "checksum_mismatch",
            "/checksum_md5",
        ),
        (
            named(json!({"version": "one"})),
            "a.bin",
            "invalid_firmware",
            "/version",
        ),
        (
            named(json!({"name": ""})),
            "a.bin",
            "invalid_firmware",
            "/name",
        ),
        (
            named(json!({"name": "x".repeat(201)})),
            "a.bin",
            "invalid_firmware",
            "/name",
        ),
        (good.clone(), "../a.bin", "invalid_firmware", "/file"),
        (
            named(json!({"colour": "red"})),
            "a.bin",
            "unknown_field",
            "/colour",
        ),
        (
            named(json!({"is_beta": "yes"})),
            "a.bin",
            "wrong_type",
            "/is_beta",
        ),
    ] {
        let refused = upload(&server, metadata, &[(file, b"unwanted")])
            .await
            .expect_problem(422);
        assert_eq!(refused, (code.to_owned(), vec![fields.to_owned()]));
    }
    let metadata = good.to_string();
    let file = ("file", Some("a.bin"), &b"unwanted"[..]);
    for (parts, code) in [
        (vec![file], "wrong_part"),
        (
            vec![file, ("metadata", None, b"{}"), ("metadata", None, b"{}")],
            "wrong_part",
        ),
        (vec![file, ("metadata", None, b"{}")], "invalid_firmware"),
        (
            vec![
                file,
                ("metadata", None, metadata.as_bytes()),
                ("extra", None, b""),
            ],
            "wrong_part",
        ),
        (
            vec![("metadata", None, metadata.as_bytes())],
            "invalid_firmware",
        ),
        (
            vec![
                ("metadata", None, metadata.as_bytes()),
                ("file", None, b"unwanted"),
            ],
            "wrong_part",
        ),
    ] {
        assert_eq!(
            server
                .upload("/api/v1/firmware", &parts)
                .await
                .expect_problem(422)
                .0,
            code
        );
    }
    let large = vec![0; (1 << 20) + 1];
    let refused = upload(&server, good, &[("a.bin", b"unwanted"), ("b.bin", &large)]).await;
    assert_eq!(refused.expect_problem(413).0, "too_large");
    let detail = &refused.expect(413)["detail"];
    let detail = detail.as_str().unwrap_or_default();
    assert!(detail.contains("`artifacts.max_bytes`"), "{detail}");
    assert!(!is_stored(&server, b"unwanted").await);
    assert_eq!(server.get("/api/v1/firmware").await.expect(200)["total"], 0);
}

#[tokio::test]
async fn parameters_of_parts_are_read_in_any_case_and_with_an_extended_file_name() {
    let server = TestServer::new().await;
    let body = "--tide\r\ncontent-disposition: form-data; Name=\"metadata\"\r\n\r\n\
        {\"name\": \"edge\", \"version\": \"1.0.0\"}\r\n\
        --tide\r\ncontent-disposition: form-data; NAME=file; filename*=UTF-8''na%C3%AFve.bin\r\n\r\n\
        one\r\n\
        --tide\r\ncontent-disposition: form-data; name=\"file\"; FileName=\"b.bin\"\r\n\r\n\
        two\r\n--tide--\r\n";
    let request = request("POST", "/api/v1/firmware", &server.admin)
        .header("content-type", "multipart/form-data; boundary=tide");
    let request = request.body(Body::from(body)).expect("a request");
    let created = server.send_request(request).await.expect(201);
    let files = created["modules"][0]["artifacts"].as_array();
    let names = files.into_iter().flatten().map(|file| &file["filename"]);
    assert!(names.eq(["naïve.bin", "b.bin"]), "{created}");
}

#[tokio::test]
async fn a_file_with_the_name_of_a_checksum_is_refused() {
    let server = TestServer::new().await;
    let metadata = json!({"name": "edge", "version": "1.0.0"});
    for names in [["a.bin", "a.bin.MD5SUM"], ["a.bin.MD5SUM", "a.bin"]] {
        let files = [(names[0], &b"one"[..]), (names[1], b"two")];
        let refused = upload(&server, metadata.clone(), &files).await;
        let problem = refused.expect_problem(422);
        assert_eq!(
            problem,
            ("invalid_firmware".to_owned(), vec!["/file".to_owned()])
        );
    }
}

#[tokio::test]
async fn the_same_firmware_twice_is_a_conflict_and_keeps_the_first() {
    let server = TestServer::new().await;
    let id = server.firmware("1.0.0", b"first").await;
    let again = json!({"name": "edge", "version": "1.0.0"});
    let refused = upload(&server, again.clone(), &[("a.bin", b"first")]).await;
    assert_eq!(refused.expect_problem(409).0, "firmware_exists");
    upload(&server, again, &[("a.bin", b"second")])
        .await
        .expect_problem(409);
    assert!(is_stored(&server, b"first").await);
    assert!(!is_stored(&server, b"second").await);
    let download = server.get(&format!("/api/v1/firmware/{id}/download")).await;
    assert_eq!(&*download.bytes, b"first");
}

#[tokio::test]
async fn files_make_the_modules_that_the_uploader_names() {
    let server = TestServer::new().await;
    let metadata = json!({"name": "edge", "version": "1.0.0", "modules": [
        {"part": "os", "files": [{"filename": "root.img"}]},
        {"part": "bApp", "name": "app", "version": "7", "files": [{"filename": "app.bin"}]},
    ]});
    let created = upload(
        &server,
        metadata,
        &[("app.bin", b"app"), ("root.img", b"root")],
    )
    .await;
    let firmware = created.expect(201);
    assert_eq!(firmware["modules"].as_array().map(Vec::len), Some(2));
    assert_eq!(firmware["checksum_md5"], Value::Null);
    let path = created.headers["location"]
        .to_str()
        .expect("a path")
        .to_owned();
    let refused = server
        .get(&format!("{path}/download"))
        .await
        .expect_problem(422);
    assert_eq!(refused, ("file_needed".to_owned(), vec!["file".to_owned()]));
    assert_eq!(
        server
            .get(&format!("{path}/download?file=app.bin"))
            .await
            .bytes,
        b"app"
    );
    server
        .get(&format!("{path}/download?file=nothing"))
        .await
        .expect_problem(404);
}

#[tokio::test]
async fn an_upload_keeps_files_that_another_one_uses() {
    let server = TestServer::new().await;
    let engine = &*server.state.engine;
    let ctx = engine.trusted_ctx(server.tenant.id, Actor::command_line());
    let spec = |version: &str| FirmwareSpec {
        details: FirmwareDetails {
            name: "edge".to_owned(),
            version: version.to_owned(),
            ..FirmwareDetails::default()
        },
        ..FirmwareSpec::default()
    };
    let bytes = || stream::iter([Ok(Bytes::from_static(b"shared"))]).boxed();
    // The first upload stores the bytes and is abandoned while the second one, which found them stored, continues.
    let mut first = Upload::begin(&ctx, engine.store(), engine.files());
    first.add("a".to_owned(), bytes()).await.expect("stored");
    let mut second = Upload::begin(&ctx, engine.store(), engine.files());
    second.add("a".to_owned(), bytes()).await.expect("stored");
    first.abandon().await;
    assert!(is_stored(&server, b"shared").await);
    second.finish(spec("1.0.0")).await.expect("a firmware");
    assert!(is_stored(&server, b"shared").await);

    let mut third = Upload::begin(&ctx, engine.store(), engine.files());
    third.add("a".to_owned(), bytes()).await.expect("stored");
    third.finish(spec("one")).await.expect_err("no version");
    assert!(
        is_stored(&server, b"shared").await,
        "the second firmware uses it"
    );
}

#[tokio::test]
async fn an_interrupted_upload_leaves_nothing_behind() {
    let server = TestServer::new().await;
    let head = "--tide\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nunwanted\r\n\
        --tide\r\ncontent-disposition: form-data; name=\"file\"; filename=\"b\"\r\n\r\nhalf a fi";
    let request = request("POST", "/api/v1/firmware", &server.admin)
        .header("content-type", "multipart/form-data; boundary=tide");
    let response = server
        .send_request(request.body(Body::from(head)).expect("a request"))
        .await;
    assert!((400..500).contains(&response.status), "{}", response.status);
    assert!(!is_stored(&server, b"unwanted").await);
}

#[tokio::test]
async fn a_tenant_may_allow_versions_that_are_not_semver() {
    for server in TestServer::on_both_databases(|_| {}).await {
        let upload = async |version: &str| {
            let metadata = json!({"name": "edge", "version": version}).to_string();
            let parts = [
                ("metadata", None, metadata.as_bytes()),
                ("file", Some("edge.bin"), b"bytes".as_slice()),
            ];
            server.upload("/api/v1/firmware", &parts).await
        };
        let refused = upload("2026.05-1ubuntu2").await.expect_problem(422);
        assert_eq!(
            refused,
            ("invalid_firmware".to_owned(), vec!["/version".to_owned()])
        );
        let set = json!({"versions": "loose"});
        let set = server
            .send("PATCH", "/api/v1/settings", &server.admin, &set)
            .await;
        assert_eq!(set.expect(200)["versions"], "loose");
        for version in ["2026.05-1ubuntu2", "rev B", "1.2.3.4", "1.2.3"] {
            let created = upload(version).await.expect(201);
            let path = format!("/api/v1/firmware/{}", created["firmware_id"]);
            assert_eq!(server.get(&path).await.expect(200)["version"], version);
        }
        for version in ["1\n2".to_owned(), "x".repeat(51)] {
            let refused = upload(&version).await.expect_problem(422);
            assert_eq!(refused.1, ["/version"], "{version:?}");
        }
        let back = json!({"versions": null});
        let back = server
            .send("PATCH", "/api/v1/settings", &server.admin, &back)
            .await;
        assert_eq!(back.expect(200)["versions"], "semver");
        assert_eq!(upload("rev C").await.expect_problem(422).1, ["/version"]);
        let unknown = json!({"versions": "free"});
        let unknown = server
            .send("PATCH", "/api/v1/settings", &server.admin, &unknown)
            .await;
        assert_eq!(unknown.expect_problem(422).1, ["/versions"]);
    }
}

#[tokio::test]
async fn several_modules_may_have_a_file_of_one_name() {
    for server in TestServer::on_both_databases(|_| {}).await {
        let metadata = json!({
            "name": "edge", "version": "1.0.0",
            "modules": [
                {"part": "os", "name": "system", "files": [{"filename": "config.json"}, {"filename": "root.img"}]},
                {"part": "bApp", "name": "app", "files": [{"filename": "config.json"}]},
            ],
        });
        let metadata = metadata.to_string();
        let parts = [
            ("metadata", None, metadata.as_bytes()),
            ("file", Some("config.json"), b"of the system".as_slice()),
            ("file", Some("root.img"), b"root".as_slice()),
            ("file", Some("config.json"), b"of the app".as_slice()),
        ];
        let created = server.upload("/api/v1/firmware", &parts).await.expect(201);
        let path = format!("/api/v1/firmware/{}/download", created["firmware_id"]);
        for (query, content) in [
            ("?file=config.json&module=0", "of the system"),
            ("?file=config.json&module=1", "of the app"),
            ("?file=config.json&module=app", "of the app"),
            ("?module=app", "of the app"),
            ("?file=root.img", "root"),
        ] {
            let response = server.get(&format!("{path}{query}")).await;
            assert_eq!(response.status, 200, "{query}");
            assert_eq!(String::from_utf8_lossy(&response.bytes), content, "{query}");
        }
        for (query, status, code, fields) in [
            ("?file=config.json", 422, "module_needed", vec!["module"]),
            ("", 422, "file_needed", vec!["file"]),
            ("?module=system", 422, "file_needed", vec!["file"]),
            ("?file=config.json&module=2", 404, "not_found", vec![]),
            ("?file=root.img&module=app", 404, "not_found", vec![]),
        ] {
            let refused = server
                .get(&format!("{path}{query}"))
                .await
                .expect_problem(status);
            let fields: Vec<_> = fields.into_iter().map(str::to_owned).collect();
            assert_eq!(refused, (code.to_owned(), fields), "{query}");
        }
        let needed = server
            .get(&format!("{path}?file=config.json"))
            .await
            .expect(422);
        let detail = needed["detail"].to_string();
        assert!(detail.contains("one of 0 (system), 1 (app)"), "{detail}");
    }
}
