use serde::Deserialize;

/// The answer to a poll.
#[derive(Debug, Clone, Deserialize)]
pub struct Poll {
    /// What the server wants of the device.
    pub config: PollConfig,
    #[serde(rename = "_links", default)]
    links: Links,
}

/// What the server wants of the device.
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
    /// Where an update waits.
    pub fn deployment_base(&self) -> Option<&str> {
        href(self.links.deployment_base.as_ref())
    }

    /// Where an update waits for somebody to agree.
    pub fn confirmation_base(&self) -> Option<&str> {
        href(self.links.confirmation_base.as_ref())
    }

    /// Where a call back waits.
    pub fn cancel_action(&self) -> Option<&str> {
        href(self.links.cancel_action.as_ref())
    }

    /// Where the device is to report what it is.
    pub fn config_data(&self) -> Option<&str> {
        href(self.links.config_data.as_ref())
    }

    /// Where the installed firmware is described.
    pub fn installed_base(&self) -> Option<&str> {
        href(self.links.installed_base.as_ref())
    }
}

fn href(link: Option<&Link>) -> Option<&str> {
    link.map(|link| link.href.as_str())
}

/// An update as a device is offered it.
#[derive(Debug, Clone, Deserialize)]
pub struct Offer {
    /// DDI's action id.
    pub id: String,
    /// What to do; what may be done, where somebody is asked first.
    #[serde(alias = "confirmation")]
    pub deployment: Deployment,
}

/// What to do.
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
    /// For people.
    pub name: String,
    /// What the device runs once it is installed.
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
    /// What its bytes hash to.
    pub hashes: Hashes,
    /// Bytes.
    pub size: u64,
    #[serde(rename = "_links", default)]
    links: FileLinks,
}

/// What a file's bytes hash to, in hexadecimal.
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
    /// Where its bytes are; empty when the server did not say.
    pub fn href(&self) -> &str {
        let links = &self.links;
        href(links.download.as_ref().or(links.download_http.as_ref())).unwrap_or_default()
    }
}

impl Offer {
    /// The version that the update brings.
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
