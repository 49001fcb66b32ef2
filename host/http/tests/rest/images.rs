//! Update images fill omitted metadata; damaged ones are refused.

use std::path::Path;

use serde_json::{Value, json};
use tidegate_core::id::Digest;
use tidegate_engine::ports::Artifacts as _;

use crate::test_server::{TestResponse, TestServer};

fn fixture(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../images/tests/fixtures");
    std::fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

async fn upload(server: &TestServer, metadata: &Value, files: &[(&str, &[u8])]) -> TestResponse {
    let metadata = metadata.to_string();
    let mut parts: Vec<_> = files
        .iter()
        .map(|(name, bytes)| ("file", Some(*name), *bytes))
        .collect();
    parts.push(("metadata", None, metadata.as_bytes()));
    server.upload("/api/v1/firmware", &parts).await
}

async fn is_stored(server: &TestServer, bytes: &[u8]) -> bool {
    let opened = server.artifacts.open(Digest::of(bytes).0, 0..1).await;
    opened.expect("the artifact store").is_some()
}

#[tokio::test]
async fn a_swupdate_image_needs_no_metadata() {
    let server = TestServer::new().await;
    for (file, name) in [
        ("newc.swu", "dock-1.4.0.swu"),
        ("crc.swu", "gate_v1.4.0.SWU"),
    ] {
        let firmware = upload(&server, &json!({}), &[(name, &fixture(file))]).await;
        let firmware = firmware.expect(201);
        assert_eq!(firmware["name"], name[..4]);
        assert_eq!(firmware["version"], "1.4.0");
        assert_eq!(firmware["modules"][0]["version"], "1.4.0");
        assert_eq!(firmware["description"], "First of May");
        assert_eq!(
            firmware["metadata"],
            json!({ "swu.hardware_compatibility": r#"["1.0","1.2"]"# })
        );
        assert_eq!(
            (
                &firmware["min_hardware_version"],
                &firmware["max_hardware_version"]
            ),
            (&json!("1.0"), &json!("1.2"))
        );
    }
}

#[tokio::test]
async fn a_rauc_bundle_needs_no_metadata_unless_it_is_encrypted() {
    let server = TestServer::new().await;
    for name in ["plain.raucb", "verity.raucb", "crypt.raucb"] {
        let metadata = json!({ "device_model": name });
        let firmware = upload(&server, &metadata, &[(name, &fixture(name))]).await;
        let firmware = firmware.expect(201);
        assert_eq!(
            (&firmware["name"], &firmware["version"]),
            (&json!("Tide Dock"), &json!("1.4.0"))
        );
        assert_eq!(
            firmware["metadata"],
            json!({ "rauc.compatible": "Tide Dock", "rauc.build": "20260501" })
        );
    }
    let bytes = fixture("encrypted.raucb");
    let file = [("dock.raucb", &bytes[..])];
    let (code, fields) = upload(&server, &json!({}), &file).await.expect_problem(422);
    assert_eq!(code, "invalid_firmware");
    assert!(fields.iter().all(|field| field == "/version"), "{fields:?}");
    let metadata = json!({ "version": "7.0.0" });
    let firmware = upload(&server, &metadata, &file).await.expect(201);
    assert_eq!(
        (&firmware["name"], &firmware["metadata"]),
        (&json!("dock"), &json!({}))
    );
}

#[tokio::test]
async fn fields_that_no_image_holds_are_required() {
    let server = TestServer::new().await;
    let odd = fixture("newc.swu");
    let at = odd.windows(5).position(|part| part == b"1.4.0");
    let mut odd = odd;
    odd[at.expect("the version")..][..5].copy_from_slice(b"24.05");
    for (files, field, words) in [
        (
            vec![("dock.swu", &odd[..])],
            "/version",
            "dock.swu has version 24.05, which is not SemVer (such as 1.4.0): set `version` in `metadata`",
        ),
        (vec![], "/file", "at least one file"),
    ] {
        let metadata = if files.is_empty() {
            json!({"name": "dock", "version": "1.0.0"})
        } else {
            json!({})
        };
        let response = upload(&server, &metadata, &files).await;
        let problem: Value = serde_json::from_slice(&response.bytes).expect("a problem");
        let detail = problem["detail"].to_string();
        assert!(detail.contains(words), "{detail}");
        assert_eq!(
            response.expect_problem(422),
            ("invalid_firmware".to_owned(), vec![field.to_owned()])
        );
    }
}

/// A `.swu` with this description: a cpio archive as `cpio -H newc` makes it.
fn swu(description: &str) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, content) in [
        ("sw-description", description.as_bytes()),
        ("rootfs.img", b"root"),
        ("TRAILER!!!", b""),
    ] {
        let mut header = [0; 13];
        (header[1], header[2]) = (0o100_644, 1);
        (header[6], header[11]) = (content.len(), name.len() + 1);
        let fields: Vec<_> = header.iter().map(|field| format!("{field:08X}")).collect();
        let fields = fields.concat();
        archive.extend_from_slice(format!("070701{fields}{name}\0").as_bytes());
        archive.resize(archive.len().next_multiple_of(4), 0);
        archive.extend_from_slice(content);
        archive.resize(archive.len().next_multiple_of(4), 0);
    }
    archive
}

#[tokio::test]
async fn images_that_swupdate_installs_are_read_as_it_reads_them() {
    const IMAGES: &str = r#"images: ( { filename = "rootfs.img"; } );"#;
    const REVISION: &str = r#"hardware-compatibility: [ "1.0" ];"#;
    let long = "\u{e4}".repeat(6000);
    for (name, description, expected) in [
        (
            "version-link",
            format!(r##"version = {{ ref = "#./common"; }}; common = "1.0.12"; {IMAGES}"##),
            json!({ "version": "1.0.12", "metadata": {} }),
        ),
        (
            "board-and-others",
            format!(r#"version = "3.0.2"; gate = {{ {REVISION} {IMAGES} }}; {IMAGES}"#),
            json!({
                "device_model": null,
                "metadata": { "swu.boards": r#"{"gate":["1.0"]}"#, "swu.other_boards": "true" },
            }),
        ),
        (
            "sets-and-others",
            format!(
                r#"version = "3.0.5"; stable = {{ copy-1: {{ {IMAGES} }} }};
                   gate = {{ {REVISION} stable = {{ copy-1: {{ {IMAGES} }} }} }};"#
            ),
            json!({
                "device_model": null,
                "metadata": { "swu.boards": r#"{"gate":["1.0"]}"#, "swu.other_boards": "true" },
            }),
        ),
        (
            "version-of-a-board",
            format!(r#"gate = {{ version = "4.1.0"; {REVISION} {IMAGES} }};"#),
            json!({
                "version": "4.1.0", "device_model": "gate",
                "metadata": { "swu.boards": r#"{"gate":["1.0"]}"# },
            }),
        ),
        (
            "revisions-of-a-mode",
            format!(
                r#"version = "5.0.0"; gate = {{ stable = {{ copy-1: {{
                   hardware-compatibility: [ "1.0", "1.2" ]; {IMAGES} }} }} }}"#
            ),
            json!({
                "device_model": "gate",
                "metadata": { "swu.boards": r#"{"gate":["1.0","1.2"]}"# },
            }),
        ),
        (
            "long-description",
            format!(r#"version = "1.0.0"; description = "{long}"; {IMAGES}"#),
            json!({ "description": long }),
        ),
    ] {
        for server in TestServer::on_both_databases(|_| {}).await {
            let image = swu(&format!("software = {{ {description} }}"));
            let filename = format!("{name}.swu");
            let firmware = upload(&server, &json!({}), &[(&filename, &image)]).await;
            let firmware = firmware.expect(201);
            for (field, value) in expected.as_object().expect("an object") {
                assert_eq!(&firmware[field], value, "{field} of {name}");
            }
        }
    }
}

#[tokio::test]
async fn fields_of_the_uploader_win_with_a_note() {
    for server in TestServer::on_both_databases(|_| {}).await {
        let image = fixture("newc.swu");
        let file = [("newc.swu", &image[..])];
        let metadata = json!({
            "name": "dock", "version": "1.4.0", "description": "ours", "min_hardware_version": "1.1",
            "metadata": { "swu.hardware_compatibility": "[]", "site": "north" },
        });
        let firmware = upload(&server, &metadata, &file).await.expect(201);
        for (field, value) in metadata.as_object().expect("an object") {
            assert_eq!(&firmware[field], value, "{field}");
        }
        assert_eq!(firmware["max_hardware_version"], Value::Null);

        let other = json!({ "name": "dock", "version": "1.4.1", "min_hardware_version": "2" });
        let firmware = upload(&server, &other, &file).await.expect(201);
        assert_eq!(firmware["version"], "1.4.1");
        assert_eq!(firmware["modules"][0]["version"], "1.4.1");
        assert_eq!(
            firmware["metadata"],
            json!({
                "image.note": "min_hardware_version 2 replaces the revisions of the image: [\"1.0\",\"1.2\"]. version 1.4.1 \
                               replaces 1.4.0 of newc.swu; a device that reports 1.4.0 does not run this firmware",
            })
        );
        let shown = server
            .get(&format!("/api/v1/firmware/{}", firmware["firmware_id"]))
            .await;
        assert_eq!(shown.expect(200)["metadata"], firmware["metadata"]);

        let gate = r#"software = { version = "1.0.0"; gate = { hardware-compatibility: [ "1.0" ]; images: ( { } ); }; }"#;
        let gate = swu(gate);
        let own_model = json!({ "device_model": "dock" });
        let firmware = upload(&server, &own_model, &[("gate.swu", &gate)]).await;
        let firmware = firmware.expect(201);
        assert_eq!(firmware["device_model"], "dock");
        let note = "device_model dock replaces the boards of the image: gate";
        assert_eq!(firmware["metadata"], json!({ "image.note": note }));
    }
}

#[tokio::test]
async fn damaged_images_leave_nothing_behind() {
    let server = TestServer::new().await;
    let (swu, raucb) = (fixture("crc.swu"), fixture("verity.raucb"));
    let cut = &swu[..swu.len() / 2];
    let mut changed = swu.clone();
    let at = changed.windows(5).position(|part| part == b"1.4.0");
    changed[at.expect("the version")] = b'2';
    let good = json!({ "name": "dock", "version": "1.4.0" });
    for (name, bytes) in [
        ("a.swu", &b"no archive"[..]),
        ("a.swu", b""),
        ("a.swu", cut),
        ("a.swu", &changed),
        ("a.swu", &raucb),
        ("a.raucb", &raucb[..raucb.len() - 1]),
        ("a.raucb", &swu),
        ("a.raucb", b""),
    ] {
        let refused = upload(&server, &good, &[("b.bin", b"beside"), (name, bytes)]).await;
        let refused = refused.expect_problem(422);
        assert_eq!(
            refused,
            ("invalid_image".to_owned(), vec!["/file".to_owned()]),
            "{name}"
        );
        assert!(
            !is_stored(&server, bytes).await && !is_stored(&server, b"beside").await,
            "{name}"
        );
    }
    assert_eq!(server.get("/api/v1/firmware").await.expect(200)["total"], 0);
    // Under another name it is an ordinary file.
    upload(&server, &good, &[("a.bin", cut)]).await.expect(201);
}

#[tokio::test]
async fn an_images_version_is_taken_as_it_stands_if_the_tenant_says_so() {
    for server in TestServer::on_both_databases(|_| {}).await {
        let mut odd = fixture("newc.swu");
        let at = odd.windows(5).position(|part| part == b"1.4.0");
        odd[at.expect("the version")..][..5].copy_from_slice(b"24.05");
        let set = json!({"versions": "loose"});
        let set = server
            .send("PATCH", "/api/v1/settings", &server.admin, &set)
            .await;
        set.expect(200);
        let firmware = upload(&server, &json!({}), &[("dock.swu", &odd[..])]).await;
        let firmware = firmware.expect(201);
        assert_eq!(firmware["version"], "24.05");
        assert_eq!(firmware["metadata"]["image.note"], Value::Null);

        // Another version of the uploader wins, with a note.
        for (stated, note) in [
            (
                "24.06",
                json!(
                    "version 24.06 replaces 24.05 of dock.swu; a device that reports 24.05 does not run this firmware"
                ),
            ),
            ("v24.5", Value::Null),
        ] {
            let metadata = json!({ "name": stated, "version": stated });
            let firmware = upload(&server, &metadata, &[("dock.swu", &odd[..])]).await;
            let firmware = firmware.expect(201);
            assert_eq!(firmware["version"], stated);
            assert_eq!(firmware["metadata"]["image.note"], note);
        }
    }
}
