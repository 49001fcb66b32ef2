use serde::Deserialize;

/// The response to a poll.
#[derive(Debug, Clone, Deserialize)]
pub struct Poll {
    /// Settings from the server.
    pub config: PollConfig,
    #[serde(rename = "_links", default)]
    links: Links,
}

/// Settings from the server.
#[derive(Debug, Clone, Deserialize)]
pub struct PollConfig {
    /// How often to poll.
    pub polling: Polling,
}

/// How often to poll.
#[derive(Debug, Clone, Deserialize)]
pub struct Polling {
    /// `HH:MM:SS`.
    pub sleep: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Links {
    deployment_base: Option<Link>,
    confirmation_base: Option<Link>,
    cancel_action: Option<Link>,
    config_data: Option<Link>,
    installed_base: Option<Link>,
}

#[derive(Debug, Clone, Deserialize)]
struct Link {
    href: String,
}

impl Poll {
    /// The link to the offered update.
    pub fn deployment_base(&self) -> Option<&str> {
        href(self.links.deployment_base.as_ref())
    }

    /// The link to the update that must be confirmed.
    pub fn confirmation_base(&self) -> Option<&str> {
        href(self.links.confirmation_base.as_ref())
    }

    /// The link to the cancellation.
    pub fn cancel_action(&self) -> Option<&str> {
        href(self.links.cancel_action.as_ref())
    }

    /// The link to which attributes must be sent, if they are requested.
    pub fn config_data(&self) -> Option<&str> {
        href(self.links.config_data.as_ref())
    }

    /// The link to the installed update.
    pub fn installed_base(&self) -> Option<&str> {
        href(self.links.installed_base.as_ref())
    }
}

fn href(link: Option<&Link>) -> Option<&str> {
    link.map(|link| link.href.as_str())
}

/// The description of an update.
#[derive(Debug, Clone, Deserialize)]
pub struct Offer {
    /// DDI's action id.
    pub id: String,
    /// The deployment, or the deployment to confirm.
    #[serde(alias = "confirmation")]
    pub deployment: Deployment,
}

/// How to install the update, and its modules.
#[derive(Debug, Clone, Deserialize)]
pub struct Deployment {
    /// `skip`, `attempt` or `forced`.
    pub download: String,
    /// `skip`, `attempt` or `forced`.
    pub update: String,
    /// The modules.
    pub chunks: Vec<Chunk>,
}

/// A module.
#[derive(Debug, Clone, Deserialize)]
pub struct Chunk {
    /// `os`, `bApp`, ...
    pub part: String,
    /// Display name.
    pub name: String,
    /// The version that the device runs after the installation.
    pub version: String,
    /// Its files.
    #[serde(default)]
    pub artifacts: Vec<File>,
}

/// A file.
#[derive(Debug, Clone, Deserialize)]
pub struct File {
    /// Its name.
    pub filename: String,
    /// Hashes of the contents.
    pub hashes: Hashes,
    /// Size in bytes.
    pub size: u64,
    #[serde(rename = "_links", default)]
    links: FileLinks,
}

/// Hashes of a file, in hexadecimal.
#[derive(Debug, Clone, Deserialize)]
pub struct Hashes {
    /// 40 digits.
    pub sha1: String,
    /// 32 digits.
    pub md5: String,
    /// 64 digits.
    pub sha256: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct FileLinks {
    download: Option<Link>,
    #[serde(rename = "download-http")]
    download_http: Option<Link>,
}

impl File {
    /// The download URL; empty if the server sent none.
    pub fn href(&self) -> &str {
        let links = &self.links;
        href(links.download.as_ref().or(links.download_http.as_ref())).unwrap_or_default()
    }
}

impl Offer {
    /// The version of the update.
    pub fn version(&self) -> &str {
        self.deployment
            .chunks
            .first()
            .map_or("", |chunk| chunk.version.as_str())
    }

    /// All files of all modules.
    pub fn files(&self) -> impl Iterator<Item = &File> {
        self.deployment
            .chunks
            .iter()
            .flat_map(|chunk| &chunk.artifacts)
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Cancel {
    pub(super) cancel_action: CancelAction,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CancelAction {
    pub(super) stop_id: String,
}
