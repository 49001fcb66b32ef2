use std::time::Duration;

use opentelemetry::{
    Key, KeyValue, Value,
    trace::{SpanKind, Status},
};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{SpanData, SpanExporter},
};

use super::visible_texts::make_visible;

/// The attributes of a request's span, and their names in OpenTelemetry's semantic conventions.
const REQUEST_ATTRIBUTES: [(&str, &str); 3] = [
    ("method", "http.request.method"),
    ("route", "http.route"),
    ("status", "http.response.status_code"),
];

/// The attributes that are integers.
const INTEGERS: [&str; 3] = ["status", "items", "fuel"];

/// Names the spans of requests as OpenTelemetry's semantic conventions do, and makes all texts visible. Done at the export,
/// so that the log has the short names and a request costs no more.
#[derive(Debug)]
pub(super) struct SemanticConventions<E>(pub(super) E);

impl<E: SpanExporter> SpanExporter for SemanticConventions<E> {
    fn export(&self, mut batch: Vec<SpanData>) -> impl Future<Output = OTelSdkResult> + Send {
        for span in &mut batch {
            for attribute in &mut span.attributes {
                to_integer(attribute);
            }
            if span.name == "request" {
                describe_request(span);
            }
            make_visible(span);
        }
        self.0.export(batch)
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}

/// `tracing_opentelemetry` passes unsigned integers on as text.
fn to_integer(attribute: &mut KeyValue) {
    if INTEGERS.contains(&attribute.key.as_str())
        && let Ok(number) = attribute.value.as_str().parse::<i64>()
    {
        attribute.value = Value::I64(number);
    }
}

fn describe_request(span: &mut SpanData) {
    let text = |key: &str| {
        let attribute = span.attributes.iter().find(|it| it.key.as_str() == key);
        attribute.map_or_else(String::new, |it| it.value.to_string())
    };
    span.name = format!("{} {}", text("method"), text("route")).into();
    span.span_kind = SpanKind::Server;
    for attribute in &mut span.attributes {
        if attribute.key.as_str() == "status" && matches!(attribute.value, Value::I64(500..)) {
            span.status = Status::error("");
        }
        let renamed = REQUEST_ATTRIBUTES
            .iter()
            .find(|(key, _)| *key == attribute.key.as_str());
        if let Some((_, name)) = renamed {
            attribute.key = Key::from_static_str(name);
        }
    }
}
