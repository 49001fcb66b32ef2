use anyhow::{Context as _, Result};
use bytes::Bytes;
use reqwest::{
    Method,
    multipart::{Form, Part},
};
use serde_json::{Value, json};

use crate::{HttpResponse, RestClient};

/// A file of a firmware.
#[derive(Debug, Clone)]
pub struct File {
    /// The file name.
    pub name: String,
    /// Its bytes.
    pub bytes: Bytes,
}

/// A firmware upload.
#[derive(Debug, Clone)]
pub struct FirmwareForm {
    /// The `metadata` part.
    pub metadata: Value,
    /// The `file` parts.
    pub files: Vec<File>,
}

impl FirmwareForm {
    /// A valid upload: a small file for the model `edge`.
    pub fn new(version: &str) -> Self {
        Self {
            metadata: json!({
                "name": "edge-os",
                "version": version,
                "device_model": "edge",
                "manufacturer": "Tide",
            }),
            files: vec![File {
                name: format!("edge-{version}.bin"),
                bytes: format!("edge-os {version}\n").repeat(64).into(),
            }],
        }
    }

    /// The same with these metadata fields changed; null removes a field.
    #[must_use]
    pub fn with(mut self, changes: Value) -> Self {
        merge(&mut self.metadata, changes);
        self
    }

    /// The same with these files.
    #[must_use]
    pub fn files(mut self, files: &[(&str, &[u8])]) -> Self {
        let file = |(name, bytes): &(&str, &[u8])| File {
            name: (*name).to_owned(),
            bytes: Bytes::copy_from_slice(bytes),
        };
        self.files = files.iter().map(file).collect();
        self
    }

    /// The multipart form.
    pub fn form(&self) -> Result<Form> {
        let metadata = Part::text(self.metadata.to_string()).mime_str("application/json")?;
        let mut form = Form::new().part("metadata", metadata);
        for file in &self.files {
            let part = Part::stream_with_length(file.bytes.clone(), file.bytes.len() as u64);
            let part = part
                .file_name(file.name.clone())
                .mime_str("application/octet-stream")?;
            form = form.part("file", part);
        }
        Ok(form)
    }

    /// Uploads it and returns the response.
    pub async fn send(&self, rest: &RestClient) -> Result<HttpResponse> {
        let request = rest.request(Method::POST, "firmware");
        Ok(HttpResponse::fetch(request.multipart(self.form()?)).await?)
    }

    /// Uploads it. Returns the id of the firmware.
    pub async fn upload(&self, rest: &RestClient) -> Result<i64> {
        let created = self.send(rest).await?.expect_status(201)?.json()?;
        created["firmware_id"]
            .as_i64()
            .with_context(|| format!("no id: {created}"))
    }
}

/// Changes fields of an object; null removes a field.
pub(crate) fn merge(object: &mut Value, changes: Value) {
    let (Value::Object(fields), Value::Object(changes)) = (object, changes) else {
        return;
    };
    for (name, value) in changes {
        if value.is_null() {
            fields.remove(&name);
        } else {
            fields.insert(name, value);
        }
    }
}
