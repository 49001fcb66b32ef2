//! Test stores, each with a new database: SQLite in a temporary folder, PostgreSQL in a [`test_database`].

use std::ops::Deref;

use serde_json::Value;
use sqlx::Row as _;
use tempfile::TempDir;
use tidegate_core::{
    device::AutoConfirm,
    id::{AuthorityId, CampaignId, DeviceKey, Digest, FirmwareId, GatewayId, TenantId},
    plugin::{PluginName, RevisionState},
    settings::TenantSettings,
    time::Timestamp,
};
use tidegate_engine::{
    Actor, ActorKind, Ctx, Role, ServerCtx,
    ports::{
        Access as _, ApiKeyRecord, CampaignChange, CampaignStart, Campaigns as _, CancelledUpdates,
        ChangeError, DeviceChange, DeviceEvent, DeviceReport, Devices as _, Firmwares as _,
        NewAuthority, NewCampaign, NewDevice, NewFirmware, NewGateway, NewRevision, Offer,
        OfferAction, OfferActor, OfferOverrides, OfferResult, Plugins as _, PutRevisionError,
        RecordError, RecordedReport, Registry as _, ReportActor, RequestedApproval,
        SingleUpdates as _, StoreError, Tenant, Tenants as _, UpdateAuthorship, Updates as _,
    },
};

use crate::{Options, SqlStore, test_database};

/// A store on a new database with two tenants.
pub(crate) struct TestStore {
    store: SqlStore,
    /// The tenant that the test writes to.
    pub ours: TenantId,
    /// The tenant that must not see the test's rows.
    pub theirs: TenantId,
    _folder: Option<TempDir>,
}

impl Deref for TestStore {
    type Target = SqlStore;

    fn deref(&self) -> &SqlStore {
        &self.store
    }
}

impl TestStore {
    pub(crate) async fn on_sqlite() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let options = Options::sqlite(&folder.path().join("tide gate.db"));
        Self::new(options, Some(folder)).await
    }

    /// With its own options.
    pub(crate) async fn open(options: Options) -> anyhow::Result<Self> {
        Self::new(options, None).await
    }

    /// None without a PostgreSQL server.
    pub(crate) async fn on_postgres() -> anyhow::Result<Option<Self>> {
        let Some(url) = test_database::create()
            .await
            .map_err(anyhow::Error::from_boxed)?
        else {
            return Ok(None);
        };
        Self::new(Options::new(url), None).await.map(Some)
    }

    /// Another server on the same database.
    pub(crate) async fn another_server(&self) -> anyhow::Result<SqlStore> {
        let options = Options::new(self.database.url());
        let server_name = "another".to_owned();
        Ok(SqlStore::open(Options {
            server_name,
            ..options
        })
        .await?)
    }

    /// Waits until a transaction waits for another's lock. On PostgreSQL only.
    pub(crate) async fn wait_for_lock(&self) -> anyhow::Result<()> {
        const WAITING: &str = "SELECT count(*) FROM pg_stat_activity \
             WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let mut watcher = self.database.read_single().await?;
        let waiting = || sqlx::query_scalar::<_, i64>(WAITING);
        while waiting().fetch_one(watcher.conn()).await? == 0 {}
        Ok(())
    }

    async fn new(options: Options, folder: Option<TempDir>) -> anyhow::Result<Self> {
        let store = SqlStore::open(options).await?;
        Ok(Self {
            ours: store
                .create_tenant(&server_ctx(Timestamp(0)), "DEFAULT")
                .await?
                .id,
            theirs: store
                .create_tenant(&server_ctx(Timestamp(0)), "OTHER")
                .await?
                .id,
            store,
            _folder: folder,
        })
    }
}

/// The context of a user of a tenant.
pub(crate) fn test_ctx(tenant: TenantId) -> Ctx {
    Ctx {
        tenant,
        actor: Actor::new(ActorKind::Key, "creator"),
        role: Role::Admin,
        request_id: "request-1".into(),
        now: Timestamp(1),
    }
}

/// A row of the audit trail.
#[derive(Debug)]
pub(crate) struct AuditRow {
    pub action: String,
    pub before: Value,
    pub after: Value,
}

impl TestStore {
    /// The newest row of the audit trail of [`Self::ours`].
    pub(crate) async fn last_audit_row(&self) -> anyhow::Result<AuditRow> {
        let mut tx = self.database.read_single().await?;
        let row = sqlx::query(
            "SELECT action, before_json, after_json FROM audit WHERE tenant_id = $1 ORDER BY id DESC LIMIT 1",
        )
        .bind(self.ours.0)
        .fetch_one(tx.conn())
        .await?;
        let json = |column: &str| -> anyhow::Result<Value> {
            let text: Option<String> = row.try_get(column)?;
            Ok(text.map_or(Ok(Value::Null), |text| serde_json::from_str(&text))?)
        };
        Ok(AuditRow {
            action: row.try_get("action")?,
            before: json("before_json")?,
            after: json("after_json")?,
        })
    }
}

fn server_ctx(now: Timestamp) -> ServerCtx {
    ServerCtx::new(Actor::server(), "request-1", now).expect("the server may do all")
}

/// Methods of the ports, on behalf of [`test_ctx`].
macro_rules! on_behalf {
    ($($name:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {
        impl TestStore {
            $(
                pub(crate) async fn $name(&self, tenant: TenantId, $($argument: $type),*) -> $result {
                    self.store.$name(&test_ctx(tenant), $($argument),*).await
                }
            )*
        }
    };
}

on_behalf! {
    create_gateway(gateway: NewGateway) -> Result<GatewayId, StoreError>;
    delete_gateway(id: GatewayId) -> Result<bool, StoreError>;
    create_authority(authority: NewAuthority) -> Result<AuthorityId, StoreError>;
    delete_authority(id: AuthorityId) -> Result<bool, StoreError>;
    replace_token(device_id: &str, sha256: Option<[u8; 32]>, old_until: Option<Timestamp>, now: Timestamp)
        -> Result<bool, StoreError>;
    create_campaign(campaign: NewCampaign) -> Result<CampaignId, StoreError>;
    create_device(device: NewDevice) -> Result<DeviceKey, StoreError>;
    change_device(device_id: &str, change: DeviceChange) -> Result<Vec<CampaignId>, ChangeError>;
    delete_device(device_id: &str, now: Timestamp) -> Result<Option<Vec<CampaignId>>, StoreError>;
    create_firmware(firmware: NewFirmware) -> Result<FirmwareId, StoreError>;
    delete_firmware(id: FirmwareId, now: Timestamp) -> Result<bool, StoreError>;
    delete_campaign(id: CampaignId) -> Result<bool, StoreError>;
    put_revision(revision: NewRevision) -> Result<(), PutRevisionError>;
    change_revision_state(plugin: &PluginName, digest: Digest, state: RevisionState) -> Result<bool, StoreError>;
    choose_default_revision(plugin: &PluginName, digest: Option<Digest>) -> Result<bool, StoreError>;
    delete_revision(plugin: &PluginName, digest: Digest) -> Result<bool, StoreError>;
    roll_back_device(device: DeviceKey, offer: &Offer, overrides: OfferOverrides, reason: &str, needs_approval: bool)
        -> Result<(OfferResult, CancelledUpdates), StoreError>;
    delete_key(sha256: [u8; 32]) -> Result<bool, StoreError>;
}

impl TestStore {
    pub(crate) async fn create_tenant(
        &self,
        name: &str,
        created_at: Timestamp,
    ) -> Result<Tenant, StoreError> {
        self.store
            .create_tenant(&server_ctx(created_at), name)
            .await
    }

    pub(crate) async fn create_key(&self, key: ApiKeyRecord) -> Result<(), StoreError> {
        self.store.create_key(&test_ctx(key.tenant), key).await
    }

    /// False also if the tenant does not exist.
    pub(crate) async fn change_settings(
        &self,
        tenant: TenantId,
        revision: i64,
        settings: &TenantSettings,
    ) -> Result<bool, StoreError> {
        let Some(mut before) = self.tenant_by_id(tenant).await? else {
            return Ok(false);
        };
        before.settings_revision = revision;
        let ctx = test_ctx(tenant);
        self.store.change_settings(&ctx, &before, settings).await
    }

    /// False also if the tenant does not have the campaign.
    pub(crate) async fn change_campaign(
        &self,
        tenant: TenantId,
        id: CampaignId,
        generation: i64,
        change: CampaignChange,
    ) -> Result<bool, StoreError> {
        let Some(mut campaign) = self.campaign(tenant, id).await? else {
            return Ok(false);
        };
        campaign.generation = generation;
        let ctx = test_ctx(tenant);
        self.store.change_campaign(&ctx, &campaign, change).await
    }

    /// False also if the tenant does not have the campaign.
    pub(crate) async fn start_campaign(
        &self,
        tenant: TenantId,
        id: CampaignId,
        generation: i64,
        start: CampaignStart,
    ) -> Result<bool, StoreError> {
        let Some(mut campaign) = self.campaign(tenant, id).await? else {
            return Ok(false);
        };
        campaign.generation = generation;
        let ctx = test_ctx(tenant);
        self.store.start_campaign(&ctx, &campaign, start).await
    }

    pub(crate) async fn create_updates(
        &self,
        tenant: TenantId,
        devices: &[DeviceKey],
        offer: &Offer,
        force: bool,
    ) -> Result<Vec<OfferResult>, StoreError> {
        let by = OfferActor {
            ctx: test_ctx(tenant),
            action: OfferAction::CreateMany,
            authorship: UpdateAuthorship::bulk(&test_ctx(tenant)),
            approval: None,
            incomplete_until: None,
        };
        self.store
            .create_updates(tenant, devices, offer, force, Some(&by))
            .await
    }

    /// Creates updates that wait for an approval.
    pub(crate) async fn request_updates(
        &self,
        tenant: TenantId,
        devices: &[DeviceKey],
        offer: &Offer,
        force: bool,
        approval: RequestedApproval,
    ) -> Result<Vec<OfferResult>, StoreError> {
        let by = OfferActor {
            ctx: test_ctx(tenant),
            action: OfferAction::CreateMany,
            authorship: UpdateAuthorship::bulk(&test_ctx(tenant)),
            approval: Some(approval),
            incomplete_until: None,
        };
        self.store
            .create_updates(tenant, devices, offer, force, Some(&by))
            .await
    }

    pub(crate) async fn activate_auto_confirm(
        &self,
        tenant: TenantId,
        device: DeviceKey,
        auto_confirm: AutoConfirm,
    ) -> Result<RecordedReport, RecordError> {
        let at = auto_confirm.activated_at;
        let event = DeviceEvent::AutoConfirmActivated {
            initiator: auto_confirm.initiator,
            remark: auto_confirm.remark,
        };
        self.report_by_actor(tenant, device, at, event).await
    }

    pub(crate) async fn deactivate_auto_confirm(
        &self,
        tenant: TenantId,
        device: DeviceKey,
        now: Timestamp,
    ) -> Result<RecordedReport, RecordError> {
        let event = DeviceEvent::AutoConfirmDeactivated;
        self.report_by_actor(tenant, device, now, event).await
    }

    async fn report_by_actor(
        &self,
        tenant: TenantId,
        device: DeviceKey,
        at: Timestamp,
        event: DeviceEvent,
    ) -> Result<RecordedReport, RecordError> {
        let report = DeviceReport {
            tenant,
            device,
            by: Some(ReportActor {
                ctx: test_ctx(tenant),
                reason: String::new(),
            }),
            read_at: None,
            at,
            event,
        };
        self.store.report(report).await
    }
}

/// Tests that run on both databases:
///
/// ```ignore
/// on_both! {
///     async fn a_tenant_is_made_once(store) {
///         store.create_tenant("ACME", Timestamp(1)).await?;
///     }
/// }
/// ```
macro_rules! on_both {
    ($($(#[$meta:meta])* async fn $name:ident($store:ident) $body:block)*) => {$(
        $(#[$meta])*
        mod $name {
            use super::*;

            async fn check($store: &$crate::testing::TestStore) -> anyhow::Result<()> {
                $body
                Ok(())
            }

            #[tokio::test]
            async fn sqlite() -> anyhow::Result<()> {
                check(&$crate::testing::TestStore::on_sqlite().await?).await
            }

            #[tokio::test]
            async fn postgres() -> anyhow::Result<()> {
                match $crate::testing::TestStore::on_postgres().await? {
                    Some(store) => check(&store).await,
                    None => Ok(()),
                }
            }
        }
    )*};
}
pub(crate) use on_both;
