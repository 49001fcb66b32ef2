use std::collections::BTreeMap;

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::StatusCode;
use serde::Deserialize;
use tidegate_core::device::AttributeMode;
use tidegate_engine::devices;

use super::{body::DdiBody, device_auth::DeviceAuth, error::DdiError, lenient::Scalar};
use crate::AppState;

/// Records the attributes that a device reports.
pub(super) async fn put(
    device: DeviceAuth,
    State(state): State<AppState>,
    DdiBody(body): DdiBody<ConfigData>,
) -> Result<Response, DdiError> {
    let (mode, data) = body.parse()?;
    devices::report_attributes(&device.caller, &state.engine, mode, data).await?;
    Ok(StatusCode::OK.into_response())
}

/// `id`, `time` and `status`, which older clients send, are ignored.
#[derive(Debug, Deserialize)]
pub(super) struct ConfigData {
    mode: Option<String>,
    data: BTreeMap<String, Option<Scalar>>,
}

type Attributes = BTreeMap<String, Option<String>>;

impl ConfigData {
    fn parse(self) -> Result<(AttributeMode, Attributes), DdiError> {
        let mode = self
            .mode
            .map_or(Ok(AttributeMode::Merge), |mode| mode.parse());
        let mode =
            mode.map_err(|_| DdiError::malformed("mode must be merge, replace or remove"))?;
        let texts = self.data.into_iter();
        let texts = texts.map(|(key, value)| (key, value.map(Scalar::into_text)));
        Ok((mode, texts.collect()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::ddi::body::Encoding;

    fn read(body: &Value) -> Option<(AttributeMode, Value)> {
        let config: ConfigData = Encoding::Json.decode(body.to_string().as_bytes()).ok()?;
        let (mode, data) = config.parse().ok()?;
        Some((mode, json!(data)))
    }

    #[test]
    fn attributes_are_parsed() {
        for (body, expected) in [
            (
                json!({"mode": "merge", "data": {"hw_model": "rpi4"}}),
                Some((AttributeMode::Merge, json!({"hw_model": "rpi4"}))),
            ),
            (
                json!({"id": "", "time": "x", "status": {"execution": "closed"}, "mode": null,
                       "data": {"serial": 17, "gone": null, "on": true, "load": 0.5}}),
                Some((
                    AttributeMode::Merge,
                    json!({"serial": "17", "gone": null, "on": "true", "load": "0.5"}),
                )),
            ),
            (
                json!({"mode": "replace", "data": {}}),
                Some((AttributeMode::Replace, json!({}))),
            ),
            (
                json!({"mode": "remove", "data": {"a": "x"}}),
                Some((AttributeMode::Remove, json!({"a": "x"}))),
            ),
            (json!({"mode": "add", "data": {"a": "x"}}), None),
            (json!({"mode": "merge"}), None),
            (json!({"data": null}), None),
            (json!({"data": {"a": ["x"]}}), None),
            (json!([]), None),
        ] {
            assert_eq!(read(&body), expected, "{body}");
        }
    }

    #[test]
    fn fuzz_config_data() {
        bolero::check!(name = "config_data").for_each(|bytes: &[u8]| {
            for encoding in [Encoding::Json, Encoding::Cbor] {
                let _ = encoding
                    .decode::<ConfigData>(bytes)
                    .and_then(ConfigData::parse);
            }
        });
    }
}
