//! Spans arrive at a collector, which runs in this process.

mod test_config;

use std::{convert::Infallible, time::Duration};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::any_value::Value,
    trace::v1::{Span, span::SpanKind},
};
use prost::Message as _;
use tempfile::TempDir;
use tidegate::{
    app::{App, Environment, RunningApp},
    config::{Config, Telemetry},
    span_export::SpanExport,
};
use tokio::{
    net::TcpListener,
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinSet,
    time::timeout,
};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::{Registry, layer::SubscriberExt as _};

use test_config::test_config;

const TRACE_PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Receives spans until it is dropped.
struct Collector {
    endpoint: String,
    exports: UnboundedReceiver<ExportTraceServiceRequest>,
    _tasks: JoinSet<()>,
}

impl Collector {
    async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let (sender, exports) = unbounded_channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let sender = sender.clone();
                let receive = service_fn(move |request| receive(request, sender.clone()));
                tokio::spawn(async move {
                    let builder = Builder::new(TokioExecutor::new());
                    let _ = builder
                        .serve_connection(TokioIo::new(stream), receive)
                        .await;
                });
            }
        });
        Ok(Self {
            endpoint,
            exports,
            _tasks: tasks,
        })
    }

    fn telemetry(&self) -> Telemetry {
        telemetry(self.endpoint.clone())
    }

    /// The spans that have arrived.
    fn spans(&mut self) -> Vec<Span> {
        let mut spans = Vec::new();
        while let Ok(export) = self.exports.try_recv() {
            let resources = export.resource_spans.into_iter();
            let scopes = resources.flat_map(|resource| resource.scope_spans);
            spans.extend(scopes.flat_map(|scope| scope.spans));
        }
        spans
    }
}

fn telemetry(endpoint: String) -> Telemetry {
    Telemetry {
        otlp_endpoint: Some(endpoint),
        ..Telemetry::default()
    }
}

async fn receive(
    request: Request<Incoming>,
    exports: UnboundedSender<ExportTraceServiceRequest>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    assert_eq!(request.uri().path(), "/v1/traces");
    assert_eq!(request.headers()["content-type"], "application/x-protobuf");
    let body = request.into_body().collect().await.expect("a whole body");
    let export = ExportTraceServiceRequest::decode(body.to_bytes()).expect("an export");
    exports.send(export).expect("the test runs");
    Ok(Response::new(Full::default()))
}

fn attribute(span: &Span, key: &str) -> Option<Value> {
    let attribute = span.attributes.iter().find(|it| it.key == key)?;
    attribute.value.clone()?.value
}

fn text(value: &str) -> Value {
    Value::StringValue(value.to_owned())
}

/// A server that exports its spans.
struct ExportingServer {
    app: RunningApp,
    export: SpanExport,
    _folder: TempDir,
    _subscriber: DefaultGuard,
}

impl ExportingServer {
    async fn start(telemetry: Telemetry) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let config = Config {
            telemetry,
            ..test_config(folder.path(), None)?
        };
        let export = SpanExport::start(&config.telemetry)?;
        let export = export.context("a collector is configured")?;
        let subscriber = Registry::default().with(export.layer());
        let subscriber = tidegate_captured_log::set_default(subscriber);
        Ok(Self {
            app: App::start(config, Environment::default()).await?,
            export,
            _folder: folder,
            _subscriber: subscriber,
        })
    }

    async fn get(&self, path: &str) -> Result<u16> {
        let key = self.app.first_key.as_deref();
        let response = reqwest::Client::new()
            .get(format!("http://{}{path}", self.app.addr))
            .header("x-api-key", key.context("the first start makes a key")?)
            .header("x-request-id", "read-1")
            .header("traceparent", TRACE_PARENT)
            .send()
            .await?;
        Ok(response.status().as_u16())
    }

    async fn stop(self) -> Result<()> {
        self.app.shutdown().await?;
        self.export.shutdown(Duration::from_secs(20)).await;
        Ok(())
    }
}

#[tokio::test]
async fn a_collector_receives_the_span_of_a_request() -> Result<()> {
    let mut collector = Collector::start().await?;
    let server = ExportingServer::start(collector.telemetry()).await?;
    assert_eq!(server.get("/api/v1/devices/absent").await?, 404);
    server.stop().await?;

    let spans = collector.spans();
    let span = spans
        .iter()
        .find(|span| span.name == "GET /api/v1/devices/{device_id}")
        .with_context(|| format!("the span of the request is missing: {spans:?}"))?;
    assert_eq!(
        hex::encode(&span.trace_id),
        "0af7651916cd43dd8448eb211c80319c"
    );
    assert_eq!(hex::encode(&span.parent_span_id), "b7ad6b7169203331");
    assert_eq!(span.kind(), SpanKind::Server);
    for (key, value) in [
        ("http.request.method", text("GET")),
        ("http.route", text("/api/v1/devices/{device_id}")),
        ("http.response.status_code", Value::IntValue(404)),
        ("request_id", text("read-1")),
        ("tenant", text("1")),
        ("actor", text("admin")),
    ] {
        assert_eq!(attribute(span, key), Some(value), "{key}");
    }
    assert!(spans.iter().any(|span| span.name == "background_task"));
    Ok(())
}

#[tokio::test]
async fn texts_of_exported_spans_have_no_harmful_characters() -> Result<()> {
    const FOREIGN: &str = "a\n\u{1b}[2J\u{9b}31m\u{202e}\u{2028}Z\u{fc}rich";
    const ESCAPED: &str = "a\\n\\u{1b}[2J\\u{9b}31m\\u{202e}\\u{2028}Z\u{fc}rich";

    let mut collector = Collector::start().await?;
    let server = ExportingServer::start(collector.telemetry()).await?;
    let cause = std::io::Error::other(FOREIGN);
    let cause: &(dyn std::error::Error + 'static) = &cause;
    tracing::error_span!(target: "tidegate", "work", device = FOREIGN).in_scope(|| {
        tracing::error!(target: "tidegate", panic = FOREIGN, shown = %FOREIGN, error = cause, "panicked: {FOREIGN}");
    });
    server.stop().await?;

    let spans = collector.spans();
    let work = spans.iter().find(|span| span.name == "work");
    let work = work.context("the span is missing")?;
    assert_eq!(attribute(work, "device"), Some(text(ESCAPED)));
    let event = work.events.first().context("the event is missing")?;
    assert_eq!(event.name, format!("panicked: {ESCAPED}"));
    let value = |key: &str| {
        let attribute = event.attributes.iter().find(|it| it.key == key);
        attribute.and_then(|it| it.value.clone()?.value)
    };
    for key in ["panic", "shown", "error"] {
        assert_eq!(value(key), Some(text(ESCAPED)), "{key}");
    }
    let exported = work.encode_to_vec();
    for harmful in ["\u{1b}[2J", "\u{9b}31m", "\u{202e}"] {
        let mut parts = exported.windows(harmful.len());
        assert!(!parts.any(|it| it == harmful.as_bytes()), "{work:?}");
    }
    Ok(())
}

#[tokio::test]
async fn requests_of_devices_are_exported_only_if_that_is_configured() -> Result<()> {
    for is_configured in [false, true] {
        let mut collector = Collector::start().await?;
        let telemetry = Telemetry {
            otlp_device_requests: is_configured,
            ..collector.telemetry()
        };
        let server = ExportingServer::start(telemetry).await?;
        assert_eq!(server.get("/default/controller/v1/pi-1").await?, 401);
        server.stop().await?;

        let spans = collector.spans();
        let poll = spans
            .iter()
            .find(|span| span.name == "GET /{tenant}/controller/v1/{device}");
        assert_eq!(poll.is_some(), is_configured, "{spans:?}");
        // The trace of a device is not trusted.
        let trace = poll.map(|span| hex::encode(&span.trace_id));
        assert_ne!(trace.as_deref(), Some("0af7651916cd43dd8448eb211c80319c"));
    }
    Ok(())
}

#[tokio::test]
async fn a_collector_that_does_not_respond_delays_nothing() -> Result<()> {
    // Accepts no connection, but the system completes them.
    let silent = TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = format!("http://{}", silent.local_addr()?);
    let server = ExportingServer::start(telemetry(endpoint)).await?;
    // More than the queue holds: the first batches are being sent, and the rest is dropped.
    for number in 0..100_000 {
        drop(tracing::info_span!(target: "tidegate", "work", number));
    }
    assert_eq!(server.get("/api/v1/devices/absent").await?, 404);
    let stopped = timeout(Duration::from_secs(20), server.stop()).await;
    stopped.context("the shutdown waits for the collector")?
}
