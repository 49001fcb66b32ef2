//! Invalid firmware uploads.

use reqwest::Method;
use serde_json::{Value, json};
use tidegate_e2e::FirmwareForm;

use super::{BadRequest, Body};

const INVALID: &str = "invalid_firmware";

pub(super) fn cases() -> Vec<BadRequest> {
    let mut cases: Vec<BadRequest> = metadata()
        .into_iter()
        .map(|(name, changes, status, code, field)| {
            upload(name, FirmwareForm::new("3.0.0").with(changes), status, code).field(field)
        })
        .collect();
    let files = |files: &[(&str, &[u8])]| FirmwareForm::new("3.0.0").files(files);
    cases.extend([
        upload("no file", files(&[]), 422, INVALID),
        upload("a path as a file name", files(&[("../../etc/passwd", b"x")]), 422, INVALID).field("/file"),
        upload("an empty file name", files(&[("", b"x")]), 422, INVALID).field("/file"),
        upload("a duplicate file name", files(&[("a", b"x"), ("a", b"y")]), 422, INVALID).field("/file"),
        upload("a file that is in no module", modules(&json!([{ "part": "os", "files": [{ "filename": "a" }] }])), 422, INVALID)
            .field("/modules"),
        upload("a module without files", modules(&json!([{ "part": "os", "files": [] }])), 422, INVALID)
            .field("/modules"),
        upload(
            "a module with a missing file",
            modules(&json!([{ "part": "os", "files": [{ "filename": "a" }, { "filename": "b" }, { "filename": "c" }] }])),
            422,
            INVALID,
        )
        .field("/modules/0/files/2/filename"),
        upload(
            "a module with another checksum",
            modules(&json!([{ "part": "os", "files": [{ "filename": "a" }, { "filename": "b", "md5": "00" }] }])),
            422,
            "checksum_mismatch",
        )
        .field("/modules/0/files/1/md5"),
        upload(
            "a part with white space",
            modules(&json!([{ "part": "o s", "files": [{ "filename": "a" }, { "filename": "b" }] }])),
            422,
            INVALID,
        )
        .field("/modules/0/part"),
        upload("existing firmware", FirmwareForm::new("1.1.0"), 409, "firmware_exists"),
        BadRequest::post("JSON in place of a form", "firmware", 415, "unsupported_media_type").json(json!({})),
        BadRequest::post("a form without a boundary", "firmware", 415, "unsupported_media_type")
            .text("multipart/form-data", "x"),
        BadRequest::post("an incomplete form", "firmware", 422, "upload_broken")
            .text("multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nhalf"),
        BadRequest::post("an empty form", "firmware", 422, "wrong_part").text("multipart/form-data; boundary=b", "--b--\r\n"),
        BadRequest::post("an unknown part", "firmware", 422, "wrong_part")
            .text("multipart/form-data; boundary=b", part("x", "", "y")),
        BadRequest::post("a file without a name", "firmware", 422, "wrong_part")
            .text("multipart/form-data; boundary=b", part("file", "", "y")),
        BadRequest::post("metadata that is not JSON", "firmware", 400, "malformed_json")
            .text("multipart/form-data; boundary=b", part("metadata", "", "{")),
        BadRequest::post("metadata that is not JSON, after a file", "firmware", 400, "malformed_json").text(
            "multipart/form-data; boundary=b",
            format!("{}{}", part("file", "; filename=\"a\"", "bytes").trim_end_matches("--b--\r\n"), part("metadata", "", "{")),
        ),
        BadRequest::post("POST to a firmware", "firmware/{firmware}", 405, "method_not_allowed").json(json!({})),
        BadRequest::new("deletion of unknown firmware", Method::DELETE, "firmware/987654", 404, "not_found"),
        BadRequest::get("download of an unknown file", "firmware/{firmware}/download?file=another", 404, "not_found"),
    ]);
    cases
}

fn upload(name: &str, firmware: FirmwareForm, status: u16, code: &'static str) -> BadRequest {
    let mut request = BadRequest::post(name, "firmware", status, code);
    request.body = Body::Firmware(firmware);
    request
}

fn modules(modules: &Value) -> FirmwareForm {
    FirmwareForm::new("3.0.0")
        .files(&[("a", b"x"), ("b", b"y")])
        .with(json!({ "modules": modules }))
}

fn part(name: &str, more: &str, body: &str) -> String {
    format!(
        "--b\r\nContent-Disposition: form-data; name=\"{name}\"{more}\r\n\r\n{body}\r\n--b--\r\n"
    )
}

type Field = (&'static str, Value, u16, &'static str, &'static str);

fn metadata() -> Vec<Field> {
    vec![
        (
            "an empty name",
            json!({ "name": "" }),
            422,
            INVALID,
            "/name",
        ),
        (
            "a name of 201 characters",
            json!({ "name": "ü".repeat(201) }),
            422,
            INVALID,
            "/name",
        ),
        (
            "a version of 51 characters",
            json!({ "version": format!("1.0.0-{}", "x".repeat(45)) }),
            422,
            INVALID,
            "/version",
        ),
        (
            "an invalid version",
            json!({ "version": "one" }),
            422,
            INVALID,
            "/version",
        ),
        (
            "a version in two parts",
            json!({ "version": "1.0" }),
            422,
            INVALID,
            "/version",
        ),
        (
            "an empty model",
            json!({ "device_model": "" }),
            422,
            INVALID,
            "/device_model",
        ),
        (
            "a model of 101 characters",
            json!({ "device_model": "x".repeat(101) }),
            422,
            INVALID,
            "/device_model",
        ),
        (
            "a manufacturer of 101 characters",
            json!({ "manufacturer": "x".repeat(101) }),
            422,
            INVALID,
            "/manufacturer",
        ),
        (
            "a minimum hardware version above the maximum",
            json!({ "min_hardware_version": "2.0", "max_hardware_version": "1.10" }),
            422,
            INVALID,
            "/max_hardware_version",
        ),
        (
            "too many tags",
            json!({ "tags": vec!["t"; 51] }),
            422,
            INVALID,
            "/tags",
        ),
        (
            "tags that are not a list",
            json!({ "tags": "t" }),
            422,
            "wrong_type",
            "/tags",
        ),
        (
            "another sha256",
            json!({ "checksum_sha256": "0".repeat(64) }),
            422,
            "checksum_mismatch",
            "/checksum_sha256",
        ),
        (
            "another sha1",
            json!({ "checksum_sha1": "0".repeat(40) }),
            422,
            "checksum_mismatch",
            "/checksum_sha1",
        ),
        (
            "another md5",
            json!({ "checksum_md5": "0".repeat(32) }),
            422,
            "checksum_mismatch",
            "/checksum_md5",
        ),
        (
            "an invalid checksum",
            json!({ "checksum_md5": "x" }),
            422,
            "checksum_mismatch",
            "/checksum_md5",
        ),
        (
            "an unknown field",
            json!({ "colour": "red" }),
            422,
            "unknown_field",
            "/colour",
        ),
        (
            "an invalid boolean",
            json!({ "is_beta": "yes" }),
            422,
            "wrong_type",
            "/is_beta",
        ),
    ]
}
