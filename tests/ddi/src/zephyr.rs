//! What Zephyr's hawkBit client accepts of a deployment.
//!
//! It describes the members that it reads to Zephyr's JSON parser. Before Zephyr 3.2, the parser fails at an object or a
//! list that is not described. Later versions skip those, but write every response into a buffer of fixed size without
//! a check.

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

/// Zephyr's buffer for a response, in bytes.
const RESPONSE_BUFFER: usize = 1100;
/// Its buffer for the path of a file.
const PATH_BUFFER: usize = 200;
/// Where the path begins that it takes from a link to a file, after the tenant. Zephyr's tenant is `DEFAULT`.
const AFTER_TENANT: &str = "/controller/v1/";

/// The file that a Zephyr device downloads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZephyrFile {
    /// The path of its link; the device uses the server that it is configured for.
    pub path: String,
    /// Size in bytes.
    pub size: i32,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
}

impl ZephyrFile {
    /// Reads the body of a `deploymentBase` as Zephyr does, and fails where it would. Members that it does not know are
    /// all refused, also those that it can skip.
    pub fn from_deployment(body: &[u8]) -> Result<Self> {
        ensure!(body.len() < RESPONSE_BUFFER, "{} bytes", body.len());
        let response: Response = serde_json::from_slice(body)?;
        response.id.parse::<i32>().context("the id")?;
        let [chunk] = &response.deployment.chunks[..] else {
            anyhow::bail!("not one chunk");
        };
        ensure!(chunk.part == "bApp", "{} is no part for Zephyr", chunk.part);
        let [file] = &chunk.artifacts[..] else {
            anyhow::bail!("not one file");
        };
        ensure!(file.hashes.sha256.len() == 64, "no SHA-256");
        let href = &file.links.download_http.href;
        let after_tenant = href.find(AFTER_TENANT).context("no path in the link")?;
        let start = href[..after_tenant].rfind('/').context("no tenant")?;
        let path = &href[start..];
        ensure!(path.len() < PATH_BUFFER, "{} bytes of path", path.len());
        Ok(Self {
            path: path.to_owned(),
            size: file.size,
            sha256: file.hashes.sha256.clone(),
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Response {
    id: String,
    deployment: Deployment,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "Zephyr reads these members and does not use them")]
struct Deployment {
    download: String,
    update: String,
    chunks: Vec<Chunk>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "Zephyr reads these members and does not use them")]
struct Chunk {
    part: String,
    version: String,
    name: String,
    artifacts: Vec<Artifact>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "Zephyr reads these members and does not use them")]
struct Artifact {
    filename: String,
    hashes: Hashes,
    size: i32,
    #[serde(rename = "_links")]
    links: Links,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "Zephyr reads these members and does not use them")]
struct Hashes {
    sha1: String,
    md5: String,
    sha256: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[expect(dead_code, reason = "Zephyr reads these members and does not use them")]
struct Links {
    download_http: Link,
    md5sum_http: Link,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Link {
    href: String,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn body() -> Value {
        let path = "/DEFAULT/controller/v1/board-1/softwaremodules/1/artifacts/app.bin";
        let link = |end: &str| json!({ "href": format!("http://h{path}{end}") });
        json!({ "id": "8", "deployment": { "download": "forced", "update": "forced", "chunks": [{
            "part": "bApp", "version": "1.0.0", "name": "app", "artifacts": [{
                "filename": "app.bin",
                "hashes": { "sha1": "1", "md5": "5", "sha256": "0".repeat(64) },
                "size": 1000,
                "_links": { "download-http": link(""), "md5sum-http": link(".MD5SUM") },
            }],
        }] } })
    }

    #[test]
    fn a_deployment_with_the_known_members_is_read() {
        let file = ZephyrFile::from_deployment(body().to_string().as_bytes()).expect("a file");
        let path = "/DEFAULT/controller/v1/board-1/softwaremodules/1/artifacts/app.bin";
        assert_eq!((file.path.as_str(), file.size), (path, 1000));
    }

    #[test]
    fn a_deployment_that_zephyr_cannot_read_is_refused() {
        let file = "/deployment/chunks/0/artifacts/0";
        let link = json!({ "href": "http://h/f" });
        for (parent, name, value) in [
            ("", "actionHistory", json!({})),
            ("/deployment/chunks/0", "metadata", json!([])),
            ("/deployment/chunks/0", "part", json!("os")),
            ("/deployment/chunks/0", "artifacts", json!([])),
            (&*format!("{file}/_links"), "download", link.clone()),
            (&format!("{file}/_links"), "md5sum", link.clone()),
            (&format!("{file}/_links"), "download-http", link),
            (file, "filename", json!("x".repeat(1000))),
        ] {
            let mut body = body();
            body.pointer_mut(parent).expect("an object")[name] = value;
            let read = ZephyrFile::from_deployment(body.to_string().as_bytes());
            assert!(read.is_err(), "{parent}/{name}: {read:?}");
        }
    }
}
