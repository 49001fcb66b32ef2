//! A server in memory, and a client for it.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tidegate_artifacts::ArtifactStore;
use tidegate_core::{id::Digest, time::Timestamp};
use tidegate_engine::{
    Actor, Engine, Ports, Role, ServerCtx, Settings, plugins,
    ports::{Clock, Entropy, Tenant},
    tenants::{self, NewApiKey},
};
use tidegate_http::{AppState, HttpApi, HttpSettings, Metrics, PluginLabels};
use tidegate_store::{Options, SqlStore, test_database};
use tower::ServiceExt as _;

use crate::{conformance, sandbox::ScriptedSandbox};

pub(crate) struct TestServer {
    pub(crate) state: AppState,
    pub(crate) router: Router,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) artifacts: Arc<ArtifactStore>,
    pub(crate) sandbox: Arc<ScriptedSandbox>,
    pub(crate) tenant: Tenant,
    /// The first admin's API key.
    pub(crate) admin: String,
    _folder: Option<TempDir>,
}

pub(crate) struct TestResponse {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

const DEFAULT_POLICIES: [&str; 2] = ["hardware", "version-path"];

fn component_of(policy: &str) -> String {
    format!("plugin {policy} compatibility")
}

/// Installs the default policies for every tenant.
pub(crate) async fn install_default_policies(engine: &Engine) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for policy in DEFAULT_POLICIES {
        let file = folder.path().join(policy).with_extension("wasm");
        std::fs::write(file, component_of(policy)).expect("a file");
    }
    let installed = plugins::install_folder(engine, folder.path()).await;
    installed.expect("installed");
}

impl TestServer {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(set: impl FnOnce(&mut HttpSettings)) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options = Options::sqlite(&folder.path().join("tidegate.db"));
        Self::open(options, ArtifactStore::in_memory(), Some(folder), set).await
    }

    /// With names of plugins in its metrics.
    pub(crate) async fn with_plugin_labels(labels: PluginLabels) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options = Options::sqlite(&folder.path().join("tidegate.db"));
        let metrics = Metrics::new(Arc::new(|| 0), labels).expect("metric names are unique");
        let artifacts = ArtifactStore::in_memory();
        Self::open_with(options, artifacts, Some(folder), metrics, |_| {}).await
    }

    /// With its database and its artifacts in this folder.
    pub(crate) async fn in_folder(folder: &Path) -> Self {
        Self::in_folders(folder, &folder.join("artifacts")).await
    }

    /// With its database in one folder and its artifacts in another.
    pub(crate) async fn in_folders(database: &Path, artifacts: &Path) -> Self {
        let options = Options::sqlite(&database.join("tidegate.db"));
        let artifacts = ArtifactStore::open_folder(artifacts).await;
        Self::open(options, artifacts.expect("a folder"), None, |_| {}).await
    }

    /// On the database of this URL.
    pub(crate) async fn on_database(url: &str) -> Self {
        Self::open(Options::new(url), ArtifactStore::in_memory(), None, |_| {}).await
    }

    /// None without a PostgreSQL server.
    pub(crate) async fn on_postgres() -> Option<Self> {
        Self::on_postgres_with(|_| {}).await
    }

    async fn on_postgres_with(set: impl FnOnce(&mut HttpSettings)) -> Option<Self> {
        let url = test_database::create().await.expect("a database")?;
        Some(Self::open(Options::new(url), ArtifactStore::in_memory(), None, set).await)
    }

    /// One on SQLite, and one on PostgreSQL if there is a server.
    pub(crate) async fn on_both_databases(set: impl Fn(&mut HttpSettings)) -> Vec<Self> {
        let mut servers = vec![Self::with(&set).await];
        servers.extend(Self::on_postgres_with(&set).await);
        servers
    }

    async fn open(
        options: Options,
        artifacts: ArtifactStore,
        folder: Option<TempDir>,
        set: impl FnOnce(&mut HttpSettings),
    ) -> Self {
        let metrics = Metrics::new(Arc::new(|| 0), PluginLabels::default());
        let metrics = metrics.expect("metric names are unique");
        Self::open_with(options, artifacts, folder, metrics, set).await
    }

    async fn open_with(
        options: Options,
        artifacts: ArtifactStore,
        folder: Option<TempDir>,
        metrics: Metrics,
        set: impl FnOnce(&mut HttpSettings),
    ) -> Self {
        let clock = Arc::new(ManualClock(AtomicI64::new(1_777_636_800_000)));
        let artifacts = Arc::new(artifacts);
        let metrics = Arc::new(metrics);
        let sandbox = Arc::<ScriptedSandbox>::default();
        let ports = Ports {
            store: Arc::new(SqlStore::open(options).await.expect("a database")),
            artifacts: artifacts.clone(),
            sandbox: sandbox.clone(),
            clock: clock.clone(),
            entropy: Arc::new(CountingEntropy(AtomicU64::new(1))),
            observer: metrics.clone(),
        };
        let settings = Settings {
            max_artifact_bytes: 1 << 20,
            built_ins: DEFAULT_POLICIES
                .map(|policy| (policy, Digest::of(component_of(policy).as_bytes())))
                .into_iter()
                .collect(),
            ..Settings::default()
        };
        let engine = Arc::new(Engine::new(ports, settings));
        let first = tenants::bootstrap(&engine).await.expect("a first start");
        install_default_policies(&engine).await;
        let mut settings = HttpSettings::new(vec![7; 32]);
        // No loop decides here.
        settings.decision_wait = Duration::ZERO;
        set(&mut settings);
        let state = AppState::new(engine, metrics, settings);
        Self {
            router: Router::new().fallback_service(HttpApi::new(state.clone())),
            state,
            clock,
            artifacts,
            sandbox,
            tenant: first.tenant,
            admin: first.admin_key.expect("the first start makes a key"),
            _folder: folder,
        }
    }

    /// Creates an API key of another user of the first tenant.
    pub(crate) async fn key(&self, user: &str, role: Role) -> String {
        self.key_of(&self.tenant, user, role).await
    }

    pub(crate) fn server_ctx(&self) -> ServerCtx {
        let ctx = self.state.engine.server_ctx(Actor::command_line());
        ctx.expect("the command line may do all")
    }

    pub(crate) async fn key_of(&self, tenant: &Tenant, user: &str, role: Role) -> String {
        self.issue_key(tenant, user, role, None).await
    }

    /// Creates an API key of another user of the first tenant that expires after this time.
    pub(crate) async fn expiring_key(&self, user: &str, role: Role, seconds: u64) -> String {
        let expires_at = self.clock.now().plus(Duration::from_secs(seconds));
        self.issue_key(&self.tenant, user, role, Some(expires_at))
            .await
    }

    async fn issue_key(
        &self,
        tenant: &Tenant,
        user: &str,
        role: Role,
        expires_at: Option<Timestamp>,
    ) -> String {
        let new_key = NewApiKey {
            user: user.to_owned(),
            role,
            expires_at,
        };
        let engine = &self.state.engine;
        let ctx = engine.trusted_ctx(tenant.id, Actor::command_line());
        tenants::issue_key(&ctx, engine.store(), engine.entropy(), new_key)
            .await
            .expect("a key")
    }

    /// Sends a request and compares the response with the OpenAPI document.
    pub(crate) async fn send_request(&self, request: Request<Body>) -> TestResponse {
        self.send_documented(request, None).await
    }

    /// `sent`: the JSON body of the request.
    async fn send_documented(&self, request: Request<Body>, sent: Option<&Value>) -> TestResponse {
        let (method, path) = (
            request.method().to_string(),
            request.uri().path().to_owned(),
        );
        let response = self
            .router
            .clone()
            .oneshot(request)
            .await
            .expect("a router never fails");
        let (parts, body) = response.into_parts();
        let bytes = body
            .collect()
            .await
            .expect("a whole body")
            .to_bytes()
            .to_vec();
        let response = TestResponse {
            status: parts.status.as_u16(),
            headers: parts.headers,
            bytes,
        };
        conformance::check(&method, &path, sent, &response);
        response
    }

    /// Sends as the first admin.
    pub(crate) async fn get(&self, path: &str) -> TestResponse {
        self.send_request(
            request("GET", path, &self.admin)
                .body(Body::empty())
                .expect("a request"),
        )
        .await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> TestResponse {
        self.send("POST", path, &self.admin, body).await
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        key: &str,
        body: &Value,
    ) -> TestResponse {
        let request = request(method, path, key).header("content-type", "application/json");
        let request = request.body(Body::from(body.to_string()));
        self.send_documented(request.expect("a request"), Some(body))
            .await
    }

    /// Uploads a form with these parts: name, file name, bytes.
    pub(crate) async fn upload(
        &self,
        path: &str,
        parts: &[(&str, Option<&str>, &[u8])],
    ) -> TestResponse {
        let mut body = Vec::new();
        for (name, filename, bytes) in parts {
            let filename = filename.map_or(String::new(), |name| format!("; filename=\"{name}\""));
            let head = format!(
                "--tide\r\ncontent-disposition: form-data; name=\"{name}\"{filename}\r\n\r\n"
            );
            body.extend_from_slice(head.as_bytes());
            body.extend_from_slice(bytes);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"--tide--\r\n");
        let request = request("POST", path, &self.admin)
            .header("content-type", "multipart/form-data; boundary=tide");
        self.send_request(request.body(Body::from(body)).expect("a request"))
            .await
    }

    /// Uploads a firmware with one file; returns its id.
    pub(crate) async fn firmware(&self, version: &str, bytes: &[u8]) -> i64 {
        let metadata = json!({"name": "edge", "version": version}).to_string();
        let parts = [
            ("metadata", None, metadata.as_bytes()),
            ("file", Some("edge.bin"), bytes),
        ];
        let created = self.upload("/api/v1/firmware", &parts).await;
        created.expect(201)["firmware_id"].as_i64().expect("an id")
    }

    /// Uploads and enables a plugin; returns its revision.
    pub(crate) async fn plugin(&self, component: &[u8]) -> Value {
        let parts = [("component", None, component)];
        let uploaded = self.upload("/api/v1/plugins", &parts).await;
        uploaded.expect(201);
        let location = uploaded.headers["location"].to_str().expect("a path");
        let enabled = self.post(&format!("{location}/enable"), &json!({})).await;
        enabled.expect(200)
    }

    /// Creates a strategy, and this many devices in the group `lab`.
    pub(crate) async fn fleet(&self, devices: usize) {
        self.plugin(b"plugin acme/canary strategy").await;
        for index in 0..devices {
            let device = json!({"device_id": format!("pi-{index}"), "groups": ["lab"]});
            self.post("/api/v1/devices", &device).await.expect(201);
        }
    }

    /// Creates a campaign for the group `lab`; returns its path.
    pub(crate) async fn campaign(&self, extra: Value) -> String {
        let firmware = self.firmware("1.1.0", b"new").await;
        self.campaign_of(firmware, extra).await
    }

    /// Creates a campaign that rolls this firmware out to the group `lab`; returns its path.
    pub(crate) async fn campaign_of(&self, firmware: i64, extra: Value) -> String {
        let mut body = json!({
            "name": "spring", "firmware_id": firmware, "target_groups": ["lab"],
            "strategy": {"plugin": "acme/canary"},
        });
        if let (Value::Object(body), Value::Object(extra)) = (&mut body, extra) {
            body.extend(extra);
        }
        let created = self.post("/api/v1/campaigns", &body).await;
        created.expect(201);
        created.headers["location"]
            .to_str()
            .expect("a path")
            .to_owned()
    }
}

impl TestResponse {
    /// Checks the status and returns the JSON body.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> Value {
        let text = String::from_utf8_lossy(&self.bytes);
        assert_eq!(self.status, status, "{text}");
        if self.bytes.is_empty() {
            return Value::Null;
        }
        serde_json::from_slice(&self.bytes).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Checks a problem response; returns its code and the fields that it names.
    #[track_caller]
    pub(crate) fn expect_problem(&self, status: u16) -> (String, Vec<String>) {
        let body = self.expect(status);
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(body["status"], status);
        let title = StatusCode::from_u16(status)
            .ok()
            .and_then(|status| status.canonical_reason());
        assert_eq!(body["title"].as_str(), title);
        assert!(
            body["detail"]
                .as_str()
                .is_some_and(|detail| !detail.is_empty()),
            "{body}"
        );
        let code = body["code"]
            .as_str()
            .expect("every refusal has a code")
            .to_owned();
        assert_eq!(body["type"], format!("urn:tidegate:problem:{code}"));
        let errors = body["errors"].as_array().into_iter().flatten();
        let fields = errors
            .filter_map(|error| error["field"].as_str())
            .map(str::to_owned);
        (code, fields.collect())
    }
}

pub(crate) fn request(method: &str, path: &str, key: &str) -> http::request::Builder {
    Request::builder()
        .method(method)
        .uri(path)
        .header("x-api-key", key)
}

/// A clock that tests advance.
pub(crate) struct ManualClock(AtomicI64);

impl ManualClock {
    pub(crate) fn advance_seconds(&self, seconds: i64) {
        self.0.fetch_add(seconds * 1000, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

/// Deterministic bytes that never repeat; not secret.
struct CountingEntropy(AtomicU64);

impl Entropy for CountingEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        let count = self.0.fetch_add(1, Ordering::SeqCst).to_le_bytes();
        for (byte, count) in bytes.iter_mut().zip(count.iter().cycle()) {
            *byte = *count;
        }
    }
}
