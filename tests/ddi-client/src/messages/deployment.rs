use std::str::FromStr;

use serde::{Deserialize, Deserializer, de::Error as _};
use tidegate_core::update::HandlingType;

use super::{Link, href};

/// The description of an update, to install or to confirm.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Offer {
    /// The id of the update, DDI's action.
    pub id: String,
    /// How to install it, and its modules. At `confirmationBase` DDI names it `confirmation`.
    #[serde(alias = "confirmation")]
    pub deployment: Deployment,
    /// Its last messages, if the request asked for them.
    pub action_history: Option<ActionHistory>,
}

/// How to install an update, and its modules.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deployment {
    /// Whether to download it.
    #[serde(deserialize_with = "parsed")]
    pub download: HandlingType,
    /// Whether to install it.
    #[serde(deserialize_with = "parsed")]
    pub update: HandlingType,
    /// The state of its maintenance window, if it has one.
    pub maintenance_window: Option<MaintenanceWindow>,
    /// The modules.
    pub chunks: Vec<Chunk>,
}

/// The state of a maintenance window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaintenanceWindow {
    /// Open.
    Available,
    /// Closed.
    Unavailable,
}

/// A module.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Chunk {
    /// `os`, `bApp`, ...
    pub part: String,
    /// Display name.
    pub name: String,
    /// The version that the device runs after the installation.
    pub version: String,
    /// Whether its files are encrypted.
    #[serde(default)]
    pub encrypted: bool,
    /// Its files.
    #[serde(default)]
    pub artifacts: Vec<Artifact>,
    /// What its publisher adds for the device.
    #[serde(default)]
    pub metadata: Vec<Metadata>,
}

/// One entry of a module's metadata.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "a key and its value")]
pub struct Metadata {
    pub key: String,
    pub value: String,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Artifact {
    /// Its name.
    pub filename: String,
    /// Hashes of its contents.
    pub hashes: Hashes,
    /// Size in bytes.
    pub size: u64,
    #[serde(rename = "_links", default)]
    links: ArtifactLinks,
}

/// Hashes of a file, in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Hashes {
    /// 40 digits.
    pub sha1: String,
    /// 32 digits.
    pub md5: String,
    /// 64 digits.
    pub sha256: String,
}

/// The `-http` links are for devices without TLS.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct ArtifactLinks {
    download: Option<Link>,
    download_http: Option<Link>,
    md5sum: Option<Link>,
    md5sum_http: Option<Link>,
}

/// The last messages of an update, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ActionHistory {
    /// DDI's name of the update's state, such as `RUNNING`.
    pub status: String,
    /// Messages of the device and of the server.
    #[serde(default)]
    pub messages: Vec<String>,
}

impl Offer {
    /// The version of the update, which is that of its first module.
    pub fn version(&self) -> &str {
        self.deployment
            .chunks
            .first()
            .map_or("", |chunk| chunk.version.as_str())
    }

    /// All files of all modules.
    pub fn artifacts(&self) -> impl Iterator<Item = &Artifact> {
        self.deployment
            .chunks
            .iter()
            .flat_map(|chunk| &chunk.artifacts)
    }
}

impl Artifact {
    /// The link to the file, preferably the one with TLS.
    pub fn href(&self) -> Option<&str> {
        let links = &self.links;
        href(links.download.as_ref().or(links.download_http.as_ref()))
    }

    /// The link to the file for devices without TLS.
    pub fn http_href(&self) -> Option<&str> {
        href(self.links.download_http.as_ref())
    }

    /// The link to the file's MD5 sum, preferably the one with TLS.
    pub fn md5sum_href(&self) -> Option<&str> {
        let links = &self.links;
        href(links.md5sum.as_ref().or(links.md5sum_http.as_ref()))
    }

    /// The link to the file's MD5 sum for devices without TLS.
    pub fn md5sum_http_href(&self) -> Option<&str> {
        href(self.links.md5sum_http.as_ref())
    }
}

/// Deserializes one of the core's words.
fn parsed<'de, D: Deserializer<'de>, T: FromStr>(deserializer: D) -> Result<T, D::Error> {
    let word = String::deserialize(deserializer)?;
    let unknown = |_| D::Error::custom(format!("`{word}` is not an allowed value"));
    word.parse().map_err(unknown)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn offer(name: &str, links: &Value) -> Value {
        let hashes = json!({ "sha1": "1", "md5": "5", "sha256": "256" });
        let file = json!({ "filename": "f", "size": 3, "hashes": hashes, "_links": links });
        let os = json!({ "part": "os", "name": "edge", "version": "2.0.0", "artifacts": [file] });
        let app = json!({
            "part": "bApp", "name": "app", "version": "7", "encrypted": true,
            "metadata": [{ "key": "slot", "value": "b" }],
        });
        let body = json!({
            "download": "forced", "update": "skip", "maintenanceWindow": "unavailable", "chunks": [os, app],
        });
        json!({ "id": "8", name: body, "actionHistory": { "status": "RUNNING", "messages": ["x"] } })
    }

    #[test]
    fn deployments_and_confirmations_have_one_form() {
        let links = json!({ "download-http": { "href": "http://h/f" } });
        let parse = |name| serde_json::from_value::<Offer>(offer(name, &links));
        let read = parse("deployment").expect("a valid deployment");
        assert_eq!(parse("confirmation").ok().as_ref(), Some(&read));
        assert_eq!((read.id.as_str(), read.version()), ("8", "2.0.0"));
        let Deployment {
            download,
            update,
            maintenance_window,
            chunks,
        } = &read.deployment;
        assert_eq!(*download, HandlingType::Forced);
        assert_eq!(*update, HandlingType::Skip);
        assert_eq!(*maintenance_window, Some(MaintenanceWindow::Unavailable));
        assert!(chunks[1].encrypted && !chunks[0].encrypted);
        assert_eq!(chunks[1].metadata[0].value, "b");
        assert_eq!(read.artifacts().count(), 1);
        assert_eq!(
            read.action_history.expect("a history").messages,
            ["x".to_owned()]
        );
    }

    #[test]
    fn links_with_tls_are_preferred() {
        let links = |names: &[&str]| -> Value {
            let link = |name: &&str| ((*name).to_owned(), json!({ "href": *name }));
            names.iter().map(link).collect()
        };
        for (names, file, sum) in [
            (
                &["download", "download-http", "md5sum", "md5sum-http"][..],
                Some("download"),
                Some("md5sum"),
            ),
            (
                &["download-http", "md5sum-http"],
                Some("download-http"),
                Some("md5sum-http"),
            ),
            (&[], None, None),
        ] {
            let body = offer("deployment", &links(names));
            let offer: Offer = serde_json::from_value(body).expect("a valid deployment");
            let artifact = offer.artifacts().next().expect("a file");
            assert_eq!((artifact.href(), artifact.md5sum_href()), (file, sum));
            let has_http = names.contains(&"download-http");
            assert_eq!(artifact.http_href().is_some(), has_http);
            assert_eq!(artifact.md5sum_http_href().is_some(), has_http);
        }
    }

    #[test]
    fn an_unknown_handling_is_refused() {
        let mut body = offer("deployment", &json!({}));
        body["deployment"]["update"] = json!("maybe");
        let error = serde_json::from_value::<Offer>(body).expect_err("it is refused");
        assert_eq!(error.to_string(), "`maybe` is not an allowed value");
    }
}
