use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use anyhow::{Context as _, Result, bail};
use futures::future::try_join_all;
use serde_json::{Value, json};
use tidegate_engine::{
    access, plugins,
    ports::{Role, Tenant},
    tenants::{self, NewApiKey},
};
use tokio::sync::OnceCell;

use crate::{
    Database, Device, Events, FirmwareForm, Rest, Server, Setup, Stage, components,
    firmware::merge, until,
};

/// A tenant of its own, with people and a gateway.
#[derive(Clone)]
pub struct Lab {
    /// Where it is.
    pub server: Arc<Server>,
    /// In upper case.
    pub tenant: Tenant,
    /// Everybody: each has a key of that role and its name as user.
    pub admin: Rest,
    /// Makes and steers campaigns.
    pub operator: Rest,
    /// Another operator than that, who may approve too.
    pub approver: Rest,
    /// Uploads.
    pub publisher: Rest,
    /// Reads.
    pub viewer: Rest,
    /// Lets any device in.
    pub gateway: String,
}

impl Stage for Lab {
    async fn set(database: Database) -> Result<Self> {
        static ON_SQLITE: OnceCell<Arc<Server>> = OnceCell::const_new();
        static ON_POSTGRES: OnceCell<Arc<Server>> = OnceCell::const_new();

        let cell = match database {
            Database::Sqlite => &ON_SQLITE,
            Database::Postgres => &ON_POSTGRES,
        };
        let start = || async {
            Server::start(database, Setup::default())
                .await
                .map(Arc::new)
        };
        let server = cell.get_or_try_init(start).await?;
        Self::new(Arc::clone(server)).await
    }
}

impl Lab {
    /// A new tenant on a server.
    pub async fn new(server: Arc<Server>) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);

        let engine = &server.engine;
        let name = format!("LAB{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let tenant = tenants::create(engine, &name).await?;
        plugins::install_builtins(engine, &components()?).await?;
        let gateway = access::create_gateway(engine, tenant.id, "gateway", None)
            .await?
            .token;
        let rest = async |role: Role| {
            let (tenant, user) = (tenant.id, role.as_str().to_owned());
            let key = NewApiKey {
                tenant,
                user,
                role,
                expires_at: None,
            };
            let key = tenants::issue_key(engine, key).await?;
            anyhow::Ok(Rest::anonymous(server.http.clone(), &server.url).with_key(key))
        };
        Ok(Self {
            admin: rest(Role::Admin).await?,
            operator: rest(Role::Operator).await?,
            approver: rest(Role::Approver).await?,
            publisher: rest(Role::Publisher).await?,
            viewer: rest(Role::Viewer).await?,
            gateway,
            tenant,
            server,
        })
    }

    /// The same tenant and people at another host of the same server.
    #[must_use]
    pub fn seen_from(&self, server: Arc<Server>) -> Self {
        let mut seen = self.clone();
        for rest in [
            &mut seen.admin,
            &mut seen.operator,
            &mut seen.approver,
            &mut seen.publisher,
            &mut seen.viewer,
        ] {
            *rest = rest.clone().at(&server.url);
        }
        Self { server, ..seen }
    }

    /// A device that comes through the gateway.
    pub fn device(&self, id: &str) -> Device {
        let Server { http, url, .. } = &*self.server;
        let authorization = format!("GatewayToken {}", self.gateway);
        Device::new(http.clone(), url, &self.tenant.name, id).authorized(authorization)
    }

    /// So many devices that have said what they are, `name-0` and so on.
    pub async fn fleet(&self, name: &str, count: usize) -> Result<Vec<Device>> {
        let devices: Vec<_> = (0..count)
            .map(|n| self.device(&format!("{name}-{n}")))
            .collect();
        try_join_all(devices.iter().map(Device::introduce)).await?;
        Ok(devices)
    }

    /// Uploads a good firmware of this version; answers its id.
    pub async fn firmware(&self, version: &str) -> Result<i64> {
        FirmwareForm::new(version).upload(&self.publisher).await
    }

    /// A good body for a campaign on all devices of model `edge`, all at once.
    pub fn draft(firmware: i64) -> Value {
        json!({
            "name": format!("roll out {firmware}"),
            "firmware_id": firmware,
            "target_filter": "hw_model==edge",
            "strategy": { "plugin": "immediate", "config": {} },
        })
    }

    /// Makes a campaign of a good body with changes, field by field; answers its id.
    pub async fn campaign(&self, firmware: i64, changes: Value) -> Result<i64> {
        let mut body = Self::draft(firmware);
        merge(&mut body, changes);
        let made = self
            .operator
            .post("campaigns", &body)
            .await?
            .is(201)?
            .json()?;
        made["campaign_id"]
            .as_i64()
            .with_context(|| format!("no id: {made}"))
    }

    /// Makes a campaign and starts it; answers its id.
    pub async fn start(&self, firmware: i64, changes: Value) -> Result<i64> {
        let id = self.campaign(firmware, changes).await?;
        self.step(id, "start").await?;
        Ok(id)
    }

    /// Has a campaign take a step; answers the campaign.
    pub async fn step(&self, id: i64, step: &str) -> Result<Value> {
        self.operator
            .post(&format!("campaigns/{id}/{step}"), &json!({}))
            .await?
            .ok()
    }

    /// The campaign as it is shown.
    pub async fn show(&self, id: i64) -> Result<Value> {
        self.viewer
            .get(&format!("campaigns/{id}"))
            .await?
            .is(200)?
            .json()
    }

    /// The campaign's waves.
    pub async fn waves(&self, id: i64) -> Result<Vec<Value>> {
        let waves = self
            .viewer
            .get(&format!("campaigns/{id}/waves"))
            .await?
            .is(200)?
            .json()?;
        let waves = waves.get("items").unwrap_or(&waves);
        waves
            .as_array()
            .cloned()
            .with_context(|| format!("no waves: {waves}"))
    }

    /// Every update of a campaign.
    pub async fn updates(&self, id: i64) -> Result<Vec<Value>> {
        self.viewer.list(&format!("campaigns/{id}/updates")).await
    }

    /// Every entry of a campaign's journal, oldest first.
    pub async fn journal(&self, id: i64) -> Result<Vec<Value>> {
        self.viewer.list(&format!("campaigns/{id}/journal")).await
    }

    /// Waits until a campaign stands there; answers the campaign. An end that was not waited for is an error.
    pub async fn until_status(&self, id: i64, status: &str) -> Result<Value> {
        self.until_status_while(id, status, async || Ok(())).await
    }

    /// The same while something goes on, which is done once before each look.
    pub async fn until_status_while(
        &self,
        id: i64,
        status: &str,
        mut go_on: impl AsyncFnMut() -> Result<()>,
    ) -> Result<Value> {
        until(&format!("campaign {id} is {status}"), async || {
            go_on().await?;
            let campaign = self.show(id).await?;
            let at = campaign["status"].as_str().unwrap_or_default();
            if at == status {
                return Ok(Some(campaign));
            }
            let goes_on = ["created", "in_progress", "paused", "rolling_back"].contains(&at);
            if !goes_on && status != "rolled_back" {
                bail!("the campaign is {at}: {campaign}");
            }
            Ok(None)
        })
        .await
    }

    /// Waits until a campaign's counters say this: `{"in_progress_devices": 3, ...}`; answers the campaign.
    pub async fn until_counts(&self, id: i64, counts: Value) -> Result<Value> {
        until(&format!("campaign {id} shows {counts}"), async || {
            let campaign = self.show(id).await?;
            let says = |(name, count): (&String, &Value)| campaign[name] == *count;
            let all = counts
                .as_object()
                .is_some_and(|counts| counts.iter().all(says));
            Ok(all.then_some(campaign))
        })
        .await
    }

    /// Follows a campaign's events.
    pub async fn events(&self, id: i64) -> Result<Events> {
        Events::follow(&self.viewer, &format!("campaigns/{id}/events")).await
    }
}
