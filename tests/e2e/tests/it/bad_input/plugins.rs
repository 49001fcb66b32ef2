//! Invalid components, and unknown revisions.

use anyhow::Result;
use serde_json::json;
use tidegate_hostile::{core_module, forbidden_import, wrong_signature};

use super::{BadRequest, Body, unknown_digest};

pub(super) fn cases() -> Result<Vec<BadRequest>> {
    let mut cases = vec![
        component("an empty file", Vec::new()),
        component("text", b"hello".to_vec()),
        component("only the magic number", b"\0asm".to_vec()),
        component("a core module", core_module()?),
        component("a component that imports a clock", forbidden_import()?),
        component("a component with a wrong signature", wrong_signature()?),
        BadRequest::post(
            "JSON in place of a form",
            "plugins",
            415,
            "unsupported_media_type",
        )
        .json(json!({})),
        BadRequest::post("an unknown part", "plugins", 422, "wrong_part").text(
            "multipart/form-data; boundary=b",
            "--b\r\nContent-Disposition: form-data; name=\"wasm\"\r\n\r\nx\r\n--b--\r\n",
        ),
        BadRequest::post(
            "a config for an unknown plugin",
            "plugins/acme/nothing/validate",
            404,
            "not_found",
        )
        .json(json!({ "config": {} })),
        BadRequest::post(
            "a config for an invalid revision",
            "plugins/tidegate/canary/validate",
            422,
            "wrong_type",
        )
        .json(json!({ "config": {}, "revision": "newest" }))
        .field("/revision"),
        BadRequest::post(
            "no config",
            "plugins/tidegate/canary/validate",
            422,
            "wrong_type",
        )
        .json(json!({})),
    ];
    let mut truncated = core_module()?;
    truncated.truncate(truncated.len() / 2);
    cases.push(component("half a module", truncated));
    for command in ["enable", "deprecate", "disable", "default"] {
        for (revision, name) in [
            (unknown_digest().to_string(), "an unknown revision"),
            ("x".to_owned(), "an invalid revision"),
        ] {
            let path = format!("plugins/tidegate/canary/revisions/{revision}/{command}");
            cases.push(BadRequest::post(
                &format!("{command} {name}"),
                &path,
                404,
                "not_found",
            ));
        }
    }
    Ok(cases)
}

fn component(name: &str, bytes: Vec<u8>) -> BadRequest {
    let mut request = BadRequest::post(name, "plugins", 422, "plugin_rejected");
    request.body = Body::Component(bytes);
    request
}
