use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::{PageArgs, listing, print, show};
use crate::client::{Remote, RestClient, Upload as FileUpload, table};

#[derive(Debug, Args)]
pub(super) struct Firmware {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Upload a firmware: its files, or modules whose content devices fetch elsewhere
    Upload(Box<Upload>),
    /// List firmware, newest first
    List {
        #[command(flatten)]
        part: PageArgs,
        /// Only this version
        #[arg(long)]
        version: Option<String>,
        /// Only for this device model
        #[arg(long)]
        device_model: Option<String>,
    },
    /// Show a firmware
    Show {
        /// Id of the firmware
        id: i64,
    },
    /// Hide a firmware from lists and new campaigns; devices that have it keep its files
    Delete {
        /// Id of the firmware
        id: i64,
    },
}

#[derive(Debug, Args)]
struct Upload {
    /// Files to upload
    #[arg(required_unless_present = "modules", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// JSON file with the list of modules: their part, name, version, metadata and files; by default all files are one
    /// module `os`
    #[arg(long, value_name = "FILE")]
    modules: Option<PathBuf>,
    /// Name: 1 to 200 characters; optional for an update image (.swu, .raucb)
    #[arg(long)]
    name: Option<String>,
    /// Version, in `SemVer` form unless the setting `versions` is `loose`; optional for an update image
    #[arg(long)]
    version: Option<String>,
    /// Device model; any model by default
    #[arg(long)]
    device_model: Option<String>,
    /// Manufacturer
    #[arg(long)]
    manufacturer: Option<String>,
    /// Lowest hardware version
    #[arg(long)]
    min_hardware_version: Option<String>,
    /// Highest hardware version
    #[arg(long)]
    max_hardware_version: Option<String>,
    /// Description
    #[arg(long)]
    description: Option<String>,
    /// Changes in this version
    #[arg(long)]
    changelog: Option<String>,
    /// Tag; repeatable
    #[arg(long = "tag")]
    tags: Vec<String>,
    /// Mark as beta: only for campaigns that allow it
    #[arg(long)]
    beta: bool,
    /// Mark as security update: raises the priority of its campaigns to high
    #[arg(long)]
    security_update: bool,
}

impl Firmware {
    pub(super) async fn run(self) -> Result<()> {
        let rest = RestClient::new(self.remote)?;
        match self.command {
            Command::Upload(upload) => {
                let answer = rest.upload("firmware", upload.upload().await?).await?;
                show(&rest, &answer, details);
            }
            Command::List {
                part,
                version,
                device_model,
            } => {
                let mut query = part.query();
                query.extend(version.map(|version| ("version", version)));
                query.extend(device_model.map(|model| ("device_model", model)));
                let answer = rest.get("firmware", &query).await?;
                show(&rest, &answer, |answer| listing(answer, &COLUMNS));
            }
            Command::Show { id } => {
                let answer = rest.get(&format!("firmware/{id}"), &[]).await?;
                show(&rest, &answer, details);
            }
            Command::Delete { id } => {
                rest.delete(&format!("firmware/{id}")).await?;
                print(format_args!("firmware {id} is deleted"));
            }
        }
        Ok(())
    }
}

impl Upload {
    async fn upload(&self) -> Result<FileUpload> {
        let mut metadata = self.metadata();
        if let Some(path) = &self.modules {
            metadata["modules"] = read_json(path).await?;
        }
        let mut upload = FileUpload::new().json("metadata", &metadata)?;
        for file in &self.files {
            upload = upload.file("file", file).await?;
        }
        Ok(upload)
    }

    fn metadata(&self) -> Value {
        let mut metadata = Map::new();
        let mut set = |name: &str, value: Value| {
            if !value.is_null() && value != json!(false) && value != json!([]) {
                metadata.insert(name.to_owned(), value);
            }
        };
        set("name", json!(self.name));
        set("version", json!(self.version));
        set("device_model", json!(self.device_model));
        set("manufacturer", json!(self.manufacturer));
        set("min_hardware_version", json!(self.min_hardware_version));
        set("max_hardware_version", json!(self.max_hardware_version));
        set("description", json!(self.description));
        set("changelog", json!(self.changelog));
        set("tags", json!(self.tags));
        set("is_beta", json!(self.beta));
        set("is_security_update", json!(self.security_update));
        Value::Object(metadata)
    }
}

async fn read_json(path: &Path) -> Result<Value> {
    let context = || format!("read {}", path.display());
    let text = tokio::fs::read(path).await.with_context(context)?;
    serde_json::from_slice(&text).with_context(context)
}

fn details(firmware: &Value) -> String {
    table::details(
        firmware,
        &[
            ("id", "/firmware_id"),
            ("name", "/name"),
            ("version", "/version"),
            ("device model", "/device_model"),
            ("manufacturer", "/manufacturer"),
            ("hardware from", "/min_hardware_version"),
            ("hardware to", "/max_hardware_version"),
            ("bytes", "/file_size"),
            ("sha256", "/checksum_sha256"),
            ("tags", "/tags"),
            ("beta", "/is_beta"),
            ("security update", "/is_security_update"),
            ("success rate", "/success_rate"),
            ("created at", "/created_at"),
            ("created by", "/created_by"),
        ],
    )
}

const COLUMNS: [table::Column<'_>; 7] = [
    ("ID", "/firmware_id"),
    ("NAME", "/name"),
    ("VERSION", "/version"),
    ("MODEL", "/device_model"),
    ("BYTES", "/file_size"),
    ("BETA", "/is_beta"),
    ("CREATED AT", "/created_at"),
];
