use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tidegate_ddi_client::HttpResponse;

/// Decodes the body of a response by its media type.
pub(crate) trait DecodeBody {
    /// The body, which must be declared as JSON or CBOR.
    fn decode(&self) -> Result<Value>;

    /// The decoded body of a successful response; null if it is empty.
    fn decode_success(&self) -> Result<Value>;
}

impl DecodeBody for HttpResponse {
    fn decode(&self) -> Result<Value> {
        let kind = self
            .header("content-type")
            .split(';')
            .next()
            .unwrap_or_default()
            .trim();
        match kind {
            "application/cbor" => {
                ciborium::from_reader(&self.body[..]).context("the body is not valid CBOR")
            }
            "application/json" | "application/hal+json" => Ok(self.json()?),
            other => bail!("the content type is `{other}`, neither JSON nor CBOR"),
        }
    }

    fn decode_success(&self) -> Result<Value> {
        if !self.status.is_success() {
            bail!("expected success: {self}");
        }
        match &self.body[..] {
            [] => Ok(Value::Null),
            _ => self.decode(),
        }
    }
}
