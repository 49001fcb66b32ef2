use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use anyhow::{Context as _, Result, bail};
use futures::future::try_join_all;
use serde_json::{Value, json};
use tidegate_core::Named as _;
use tidegate_ddi_client::Credentials;
use tidegate_engine::{
    Actor, Role, access, plugins,
    ports::Tenant,
    tenants::{self, NewApiKey},
};
use tokio::sync::OnceCell;

use crate::{
    Database, Device, Events, FirmwareForm, Fixture, RestClient, RestResponse as _, ServerOptions,
    TestServer, components, firmware::merge, wait_until,
};

/// A tenant of its own, with one client for each role and a gateway token.
#[derive(Clone)]
pub struct TestTenant {
    /// The server of the tenant.
    pub server: Arc<TestServer>,
    /// The tenant. Its name is in upper case.
    pub record: Tenant,
    /// Administrator. Each client has an API key of its role; the role's name is also the user's name.
    pub admin: RestClient,
    /// Operator.
    pub operator: RestClient,
    /// Approver, another user than the operator.
    pub approver: RestClient,
    /// Publisher.
    pub publisher: RestClient,
    /// Viewer.
    pub viewer: RestClient,
    /// Gateway token, which authenticates every device.
    pub gateway: String,
}

impl Fixture for TestTenant {
    async fn set_up(database: Database) -> Result<Self> {
        static ON_SQLITE: OnceCell<Arc<TestServer>> = OnceCell::const_new();
        static ON_POSTGRES: OnceCell<Arc<TestServer>> = OnceCell::const_new();

        let cell = match database {
            Database::Sqlite => &ON_SQLITE,
            Database::Postgres => &ON_POSTGRES,
        };
        let start = || async {
            TestServer::start(database, ServerOptions::default())
                .await
                .map(Arc::new)
        };
        let server = cell.get_or_try_init(start).await?;
        Self::new(Arc::clone(server)).await
    }
}

impl TestTenant {
    /// Creates a tenant on a server.
    pub async fn new(server: Arc<TestServer>) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);

        let engine = &server.engine;
        let name = format!("LAB{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let ctx = engine.server_ctx(Actor::command_line())?;
        let tenant = tenants::create(&ctx, engine.store(), &name).await?;
        plugins::install_folder(engine, &components()?).await?;
        let ctx = engine.trusted_ctx(tenant.id, Actor::command_line());
        let gateway = access::create_gateway(
            &ctx,
            engine.store(),
            engine.caches(),
            engine.entropy(),
            access::GatewayRequest {
                name: "gateway".to_owned(),
                ..access::GatewayRequest::default()
            },
        )
        .await?
        .token;
        let rest = async |role: Role| {
            let user = role.as_str().to_owned();
            let key = NewApiKey {
                user,
                role,
                expires_at: None,
            };
            let key = tenants::issue_key(&ctx, engine.store(), engine.entropy(), key).await?;
            anyhow::Ok(RestClient::anonymous(server.http.clone(), &server.url).with_key(key))
        };
        Ok(Self {
            admin: rest(Role::Admin).await?,
            operator: rest(Role::Operator).await?,
            approver: rest(Role::Approver).await?,
            publisher: rest(Role::Publisher).await?,
            viewer: rest(Role::Viewer).await?,
            gateway,
            record: tenant,
            server,
        })
    }

    /// The same tenant on another server with the same database.
    #[must_use]
    pub fn at_server(&self, server: Arc<TestServer>) -> Self {
        let mut copy = self.clone();
        for rest in [
            &mut copy.admin,
            &mut copy.operator,
            &mut copy.approver,
            &mut copy.publisher,
            &mut copy.viewer,
        ] {
            *rest = rest.clone().at(&server.url);
        }
        Self { server, ..copy }
    }

    /// A device that authenticates with the gateway token.
    pub fn device(&self, id: &str) -> Device {
        let TestServer { http, url, .. } = &*self.server;
        Device::new(http.clone(), url, &self.record.name, id)
            .with_credentials(Credentials::Gateway(self.gateway.clone()))
    }

    /// Creates devices `name-0`, `name-1` and so on, which have polled and reported their attributes.
    pub async fn create_devices(&self, name: &str, count: usize) -> Result<Vec<Device>> {
        let devices: Vec<_> = (0..count)
            .map(|n| self.device(&format!("{name}-{n}")))
            .collect();
        try_join_all(devices.iter().map(Device::identify)).await?;
        Ok(devices)
    }

    /// Uploads a valid firmware of this version. Returns its id.
    pub async fn upload_firmware(&self, version: &str) -> Result<i64> {
        FirmwareForm::new(version).upload(&self.publisher).await
    }

    /// A valid request body for a campaign on all devices of model `edge`, without waves.
    pub fn campaign_body(firmware: i64) -> Value {
        json!({
            "name": format!("roll out {firmware}"),
            "firmware_id": firmware,
            "target_filter": "hw_model==edge",
            "strategy": { "plugin": "immediate", "config": {} },
        })
    }

    /// Enables a plugin revision that was uploaded.
    pub async fn enable_plugin(&self, revision: &Value) -> Result<()> {
        let text = |field: &str| revision[field].as_str().unwrap_or_default().to_owned();
        let (plugin, revision) = (text("plugin"), text("revision"));
        let path = format!("plugins/{plugin}/revisions/{revision}/enable");
        self.admin
            .post(&path, &json!({}))
            .await?
            .expect_status(200)?;
        Ok(())
    }

    /// Creates a campaign from a valid body with these fields changed. Returns its id.
    pub async fn create_campaign(&self, firmware: i64, changes: Value) -> Result<i64> {
        let mut body = Self::campaign_body(firmware);
        merge(&mut body, changes);
        let created = self
            .operator
            .post("campaigns", &body)
            .await?
            .expect_status(201)?
            .json()?;
        created["campaign_id"]
            .as_i64()
            .with_context(|| format!("no id: {created}"))
    }

    /// Creates and starts a campaign. Returns its id.
    pub async fn start_campaign(&self, firmware: i64, changes: Value) -> Result<i64> {
        let id = self.create_campaign(firmware, changes).await?;
        self.send_command(id, "start").await?;
        Ok(id)
    }

    /// Sends a command such as `start` or `pause` to a campaign. Returns the campaign.
    pub async fn send_command(&self, id: i64, step: &str) -> Result<Value> {
        self.operator
            .post(&format!("campaigns/{id}/{step}"), &json!({}))
            .await?
            .expect_success()
    }

    /// A campaign, as the REST API shows it.
    pub async fn get_campaign(&self, id: i64) -> Result<Value> {
        Ok(self
            .viewer
            .get(&format!("campaigns/{id}"))
            .await?
            .expect_status(200)?
            .json()?)
    }

    /// The waves of a campaign, in their order.
    pub async fn waves(&self, id: i64) -> Result<Vec<Value>> {
        let waves = self
            .viewer
            .get(&format!("campaigns/{id}/waves"))
            .await?
            .expect_status(200)?
            .json()?;
        let waves = waves.get("items").unwrap_or(&waves);
        waves
            .as_array()
            .cloned()
            .with_context(|| format!("no waves: {waves}"))
    }

    /// All updates of a campaign.
    pub async fn updates(&self, id: i64) -> Result<Vec<Value>> {
        self.viewer.list(&format!("campaigns/{id}/updates")).await
    }

    /// All journal entries of a campaign, oldest first.
    pub async fn journal(&self, id: i64) -> Result<Vec<Value>> {
        self.viewer.list(&format!("campaigns/{id}/journal")).await
    }

    /// Waits until a campaign has this status. Returns the campaign. Fails if the campaign ends with another
    /// status.
    pub async fn wait_for_status(&self, id: i64, status: &str) -> Result<Value> {
        self.wait_for_status_while(id, status, async || Ok(()))
            .await
    }

    /// The same; `before_each_check` runs before each check.
    pub async fn wait_for_status_while(
        &self,
        id: i64,
        status: &str,
        mut before_each_check: impl AsyncFnMut() -> Result<()>,
    ) -> Result<Value> {
        wait_until(&format!("campaign {id} is {status}"), async || {
            before_each_check().await?;
            let campaign = self.get_campaign(id).await?;
            let at = campaign["status"].as_str().unwrap_or_default();
            if at == status {
                return Ok(Some(campaign));
            }
            let is_active = ["created", "in_progress", "paused", "rolling_back"].contains(&at);
            if !is_active && status != "rolled_back" {
                bail!("the campaign is {at}: {campaign}");
            }
            Ok(None)
        })
        .await
    }

    /// Waits until a campaign has these counters: `{"in_progress_devices": 3, ...}`. Returns the campaign.
    pub async fn wait_for_counts(&self, id: i64, counts: Value) -> Result<Value> {
        let mut last = Value::Null;
        let reached = wait_until(&format!("campaign {id} shows {counts}"), async || {
            let campaign = self.get_campaign(id).await?;
            last.clone_from(&campaign);
            let is_equal = |(name, count): (&String, &Value)| campaign[name] == *count;
            let all = counts
                .as_object()
                .is_some_and(|counts| counts.iter().all(is_equal));
            Ok(all.then_some(campaign))
        })
        .await;
        reached.with_context(|| format!("it is {last}"))
    }

    /// Opens the event stream of a campaign.
    pub async fn follow_campaign(&self, id: i64) -> Result<Events> {
        Events::follow(&self.viewer, &format!("campaigns/{id}/events")).await
    }
}
