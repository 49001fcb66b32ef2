//! Exports spans to an OpenTelemetry collector, as OTLP over HTTP with protobuf.

mod collector_client;
mod semantic_conventions;
mod visible_texts;

use std::time::Duration;

use anyhow::{Context as _, Result};
use http::HeaderMap;
use opentelemetry::{KeyValue, propagation::TextMapPropagator as _, trace::TracerProvider as _};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{Resource, propagation::TraceContextPropagator, trace::SdkTracerProvider};
use tidegate_http::DEVICE_REQUEST_TARGET;
use tokio::time::timeout;
use tracing::{Span, Subscriber, level_filters::LevelFilter};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::{Layer, filter::Targets, registry::LookupSpan};

use collector_client::CollectorClient;
use semantic_conventions::SemanticConventions;

use crate::config::Telemetry;

/// Maximum time to send one batch.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum time to send the last spans at shutdown.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// Sends spans in batches from a thread of its own. Its queue is bounded: spans are dropped while it is full, so that a
/// collector that does not respond costs neither time nor memory.
pub struct SpanExport {
    provider: SdkTracerProvider,
    with_device_requests: bool,
}

impl SpanExport {
    /// Exports to the configured collector; `None` without one. Must be called in a runtime, which sends the batches.
    pub fn start(telemetry: &Telemetry) -> Result<Option<Self>> {
        let Some(endpoint) = &telemetry.otlp_endpoint else {
            return Ok(None);
        };
        let client = CollectorClient::new(EXPORT_TIMEOUT)?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(EXPORT_TIMEOUT)
            .build()
            .context("set up the export of spans")?;
        let resource = Resource::builder_empty()
            .with_service_name("tidegate")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(SemanticConventions(exporter))
            .with_resource(resource)
            .build();
        Ok(Some(Self {
            provider,
            with_device_requests: telemetry.otlp_device_requests,
        }))
    }

    /// The layer that passes the server's spans to the export, whatever the level of the log is. The requests of devices
    /// are left out unless they are configured: a fleet polls more often than a collector can store.
    pub fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let devices = if self.with_device_requests {
            LevelFilter::INFO
        } else {
            LevelFilter::OFF
        };
        let filter = Targets::new()
            .with_target("tidegate", LevelFilter::INFO)
            .with_target(DEVICE_REQUEST_TARGET, devices);
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("tidegate"))
            .with_context_activation(false)
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(filter)
    }

    /// Sends the spans that have ended, and stops. A collector that does not respond within this time is not waited for.
    pub async fn shutdown(self, within: Duration) {
        let within = within.min(SHUTDOWN_TIMEOUT);
        let stopped = tokio::task::spawn_blocking(move || {
            // The client has logged a failure.
            let _ = self.provider.shutdown_with_timeout(within);
        });
        let _ = timeout(within, stopped).await;
    }
}

/// Makes the span of a request a child of the span that its `traceparent` names.
pub(crate) fn set_parent(headers: &HeaderMap, span: &Span) {
    if headers.contains_key("traceparent") {
        let parent = TraceContextPropagator::new().extract(&HeaderExtractor(headers));
        // Fails only if spans are not exported.
        let _ = span.set_parent(parent);
    }
}
