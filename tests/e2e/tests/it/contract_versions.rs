//! Strategies of two versions of the plugin contract on one server: 1.0, and the draft of 1.1.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tidegate_e2e::{
    Database, Fixture, HttpResponse, IsolatedTenant, RestResponse as _, ServerOptions,
    both_databases, wait_until,
};
use tidegate_hostile::Hooks;

use crate::campaigns::move_revision::uploaded;

both_databases!(a_campaign_moves_to_a_later_contract_and_back);

const DRAFT: &str = include_str!("../../../../host/sandbox/tests/draft-1.1/package.wit");
/// `decide` of 1.0: three devices.
const THREE_DEVICES: &str = "
    (i32.store (i32.const 648) (i32.const 904)) (i32.store (i32.const 652) (i32.const 1))
    (i32.store (i32.const 904) (i32.const 0)) (i64.store (i32.const 912) (i64.const 3))
    (i32.store (i32.const 656) (i32.const 0))
    (i32.const 640)";
/// `decide` of 1.1: a quarter of the devices.
const A_QUARTER: &str = "
    (i32.store (i32.const 648) (i32.const 904)) (i32.store (i32.const 652) (i32.const 1))
    (i32.store (i32.const 904) (i32.const 0)) (i32.store8 (i32.const 912) (i32.const 1))
    (i32.store16 (i32.const 920) (i32.const 2500))
    (i32.store (i32.const 656) (i32.const 0))
    (i32.const 640)";

/// A tenant of a server that speaks both versions.
struct TwoContracts(IsolatedTenant);

impl Fixture for TwoContracts {
    async fn set_up(database: Database) -> Result<Self> {
        let options = ServerOptions {
            draft_contract: true,
            ..ServerOptions::default()
        };
        IsolatedTenant::with(database, options).await.map(Self)
    }
}

async fn a_campaign_moves_to_a_later_contract_and_back(both: TwoContracts) -> Result<()> {
    let tenant = &both.0;
    tenant.create_devices("edge", 12).await?;
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let earlier = Hooks::default().decide(THREE_DEVICES).component()?;
    let earlier = &uploaded(tenant, earlier).await?["revision"];
    let later = Hooks::default().decide(A_QUARTER);
    let later = &uploaded(tenant, later.component_of("@1.1.0", DRAFT)?).await?["revision"];
    let strategy = json!({ "plugin": "acme/hostile", "revision": earlier, "config": {} });
    let id = tenant.start_campaign(firmware, json!({ "strategy": strategy }));
    let campaign = Campaign {
        tenant,
        id: id.await?,
    };
    let three_offered = json!({ "in_progress_devices": 3, "pending_devices": 9 });
    tenant
        .wait_for_counts(campaign.id, three_offered.clone())
        .await?;
    campaign.wait_for_decision_of(earlier).await?;

    // A quarter of 12 devices is recorded as three, in the types of the question.
    let replayed = campaign.replay(Some(later)).await?;
    ensure!(replayed["different"] == json!([]), "{replayed}");
    let moved = campaign.move_to(later, false).await?.expect_status(200)?;
    let moved = moved.json()?;
    ensure!(moved["strategy"]["revision"] == *later, "{moved}");
    let counts = &moved["replay"];
    ensure!(
        counts["same"].as_u64() >= Some(2) && counts["different"] == 0,
        "the plan and a decision are the same: {counts}"
    );
    campaign.wait_for_decision_of(later).await?;
    tenant.wait_for_counts(campaign.id, three_offered).await?;

    let own = campaign.replay(None).await?;
    ensure!(own["different"] == json!([]), "{own}");
    ensure!(own["same"].as_u64() >= Some(3), "{own}");

    // Three devices are not recorded as a quarter.
    let replayed = campaign.replay(Some(earlier)).await?;
    let different = replayed["different"].as_array().into_iter().flatten();
    let different: Vec<_> = different.collect();
    ensure!(
        !different.is_empty()
            && different.iter().all(|entry| {
                entry["revision"] == *later && entry["differs"] == json!(["decision"])
            }),
        "{replayed}"
    );
    let releases = |side: &str| different[0]["replay"][side]["answer"]["Ok"]["releases"].clone();
    let level = |level: Value| json!([{ "wave": 0, "level": level }]);
    ensure!(
        releases("recorded") == level(json!({ "Share": 2500 })),
        "{replayed}"
    );
    ensure!(
        releases("decision") == level(json!({ "Devices": 3 })),
        "{replayed}"
    );
    let refused = campaign.move_to(earlier, false).await?;
    refused.expect_problem(409, "replay_differs")?;
    let moved = campaign.move_to(earlier, true).await?.expect_status(200)?;
    let counts = moved.json()?["replay"].clone();
    ensure!(counts["different"] == different.len(), "{counts}");
    campaign.wait_for_decision_of(earlier).await
}

/// A campaign, and what is asked of it.
struct Campaign<'a> {
    tenant: &'a IsolatedTenant,
    id: i64,
}

impl Campaign<'_> {
    /// Waits until the last decision is one of this revision.
    async fn wait_for_decision_of(&self, revision: &Value) -> Result<()> {
        wait_until("the revision decides", async || {
            let journal = self.tenant.journal(self.id).await?;
            let last = journal.iter().rfind(|entry| entry["kind"] == "decide");
            let is_of_revision = last.is_some_and(|entry| entry["revision"] == *revision);
            Ok(is_of_revision.then_some(()))
        })
        .await
    }

    async fn replay(&self, revision: Option<&Value>) -> Result<Value> {
        let revision = revision.and_then(Value::as_str);
        let revision = revision.map(|digest| format!("&revision={digest}"));
        let revision = revision.unwrap_or_default();
        let path = format!("campaigns/{}/journal/replay?limit=500{revision}", self.id);
        let replayed = self.tenant.viewer.post(&path, &json!({})).await?;
        Ok(replayed.expect_status(200)?.json()?)
    }

    async fn move_to(&self, revision: &Value, accept_differences: bool) -> Result<HttpResponse> {
        let path = format!("campaigns/{}/move", self.id);
        let request = json!({ "revision": revision, "accept_differences": accept_differences });
        Ok(self.tenant.admin.post(&path, &request).await?)
    }
}
