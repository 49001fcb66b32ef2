use std::time::Duration;

use serde_json::{Value, json};
use sqlx::Row as _;
use tidegate_core::{
    campaign::{
        Approval, Campaign, CampaignSpec, CampaignStatus, Hold, PluginUse, Priority, Rollback,
    },
    device_fields::DEVICE_FIELDS,
    id::{CampaignId, DeviceKey, Digest},
    plugin::{ClassKey, OperatorAct, OperatorActKind, PluginName, RollbackScope},
    selector::Syntax,
    time::Timestamp,
    update::SuccessCriteria,
};
use tidegate_engine::{
    Actor, ActorKind, Ctx,
    ports::{
        Advance, CampaignChange, CampaignFilter, Campaigns as _, ClassVerdict, EntryKind,
        Firmwares as _, Journal as _, Membership, NewCampaign, NewJournalEntry, NewRevision,
        NewWave, PageRequest, Plugins as _, Record, Repin, Runs as _, Statistics as _, StoreError,
        TickOutcome,
    },
};

use crate::{
    blob::{pack_states, unpack_states},
    plugins::tests::new as revision,
    test_fixture::{NOON, StoreFixture, firmware, install_plugins, later, spec},
    testing::{TestStore, on_both, test_ctx},
};

const SOAKED: SuccessCriteria = SuccessCriteria::Soaked(Duration::from_mins(90));

async fn created(store: &TestStore, version: &str) -> anyhow::Result<CampaignId> {
    install_plugins(store, store.ours).await?;
    let firmware = store.create_firmware(store.ours, firmware(version)).await?;
    let campaign = NewCampaign {
        spec: spec(firmware, SOAKED),
        created_by: "creator".into(),
        created_at: Timestamp(5),
    };
    Ok(store.create_campaign(store.ours, campaign).await?)
}

fn operator_act(at: Timestamp, kind: OperatorActKind, wave: Option<u32>) -> OperatorAct {
    OperatorAct {
        at,
        kind,
        gate: None,
        wave,
        reason: None,
        role: "operator".into(),
    }
}

fn act(kind: OperatorActKind, second: i64, wave: Option<u32>) -> CampaignChange {
    let at = later(second);
    CampaignChange {
        act: Some(operator_act(at, kind, wave)),
        ..CampaignChange::default()
    }
}

fn journal_entry() -> NewJournalEntry {
    NewJournalEntry {
        kind: EntryKind::Host,
        at: NOON,
        plugin: None,
        revision: None,
        input_digest: None,
        input: Record::default(),
        output: Record::default(),
        fuel: 0,
        peak_memory: None,
        limits: None,
        duration: Duration::ZERO,
        outcome: "repinned".into(),
        explain: Vec::new(),
        log: Vec::new(),
        applied: true,
    }
}

on_both! {
    async fn a_campaign_is_read_as_it_was_created_and_only_by_its_tenant(store) {
        let id = created(store, "1.0.0").await?;
        let campaign = store.campaign(store.ours, id).await?.expect("it was created");
        let mut expected = spec(campaign.spec.firmware, SOAKED);
        expected.description = expected.description.replace('\0', "\u{FFFD}");
        assert_eq!(campaign.spec, expected);
        assert_eq!((campaign.status, campaign.generation), (CampaignStatus::Created, 0));
        assert_eq!((campaign.created_at, campaign.started_at), (Timestamp(5), None));
        assert_eq!(store.campaign(store.theirs, id).await?, None);
        assert!(store.waves(store.ours, id).await?.is_empty());
        let membership = store.membership(store.ours, id, DeviceKey(1)).await?;
        assert_eq!(membership, Membership::NotStarted);
    }

    async fn a_filter_that_was_stored_without_a_syntax_has_the_first_one(store) {
        let id = created(store, "1.0.0").await?;
        let filter = async || -> anyhow::Result<_> {
            let campaign = store.campaign(store.ours, id).await?.expect("it was created");
            Ok(campaign.spec.targets.filter.expect("a filter"))
        };
        assert_eq!(filter().await?.syntax, Syntax::CURRENT);
        let targets = r#"{"devices": [], "groups": [], "filter": "pinned!=TRUE;name==\"\\*\""}"#;
        sqlx::query("UPDATE campaigns SET targets = $1 WHERE tenant_id = $2 AND id = $3")
            .bind(targets)
            .bind(store.ours.0)
            .bind(id.0)
            .execute(store.database.writers())
            .await?;
        let first = filter().await?;
        assert_eq!((first.text.as_str(), first.syntax), (r#"pinned!=TRUE;name=="\*""#, Syntax::V1));
        assert!(first.parse(&DEVICE_FIELDS).is_ok());
    }

    async fn every_editor_of_a_campaign_is_known(store) {
        let id = created(store, "1.0.0").await?;
        let edit = async |editor: &str, name: &str| {
            let campaign = store.campaign(store.ours, id).await?.expect("it was created");
            let ctx = Ctx { actor: Actor::new(ActorKind::Key, editor), ..test_ctx(store.ours) };
            let spec = CampaignSpec { name: name.to_owned(), ..campaign.spec.clone() };
            assert!(store.edit_campaign(&ctx, &campaign, spec).await?);
            anyhow::Ok(())
        };
        let authors = async || {
            let campaign = store.campaign(store.ours, id).await?.expect("it was created");
            assert_eq!(campaign.edited_by.as_ref(), campaign.editors.last());
            anyhow::Ok(campaign.authors().map(str::to_owned).collect::<Vec<_>>())
        };
        assert_eq!(authors().await?, ["creator"]);
        edit("mallory", "first").await?;
        // As a server before migration 35 has stored it.
        sqlx::query("UPDATE campaigns SET editors = NULL WHERE tenant_id = $1 AND id = $2")
            .bind(store.ours.0)
            .bind(id.0)
            .execute(store.database.writers())
            .await?;
        assert_eq!(authors().await?, ["mallory", "creator"]);
        edit("bob", "second").await?;
        edit("zoe", "third").await?;
        assert_eq!(authors().await?, ["mallory", "bob", "zoe", "creator"]);
        // As such a server stores it afterwards.
        sqlx::query("UPDATE campaigns SET edited_by = 'eve' WHERE tenant_id = $1 AND id = $2")
            .bind(store.ours.0)
            .bind(id.0)
            .execute(store.database.writers())
            .await?;
        assert_eq!(authors().await?, ["mallory", "bob", "zoe", "eve", "creator"]);
        edit("bob", "fourth").await?;
        let campaign = store.campaign(store.ours, id).await?.expect("it was created");
        assert_eq!(campaign.editors, ["mallory", "bob", "zoe", "eve"]);
        assert_eq!(campaign.edited_by.as_deref(), Some("bob"));
    }

    async fn a_deleted_firmware_gets_no_new_campaign(store) {
        let firmware = store.create_firmware(store.ours, firmware("1.0.0")).await?;
        assert!(store.delete_firmware(store.ours, firmware, Timestamp(6)).await?);
        let campaign = NewCampaign {
            spec: spec(firmware, SuccessCriteria::Reported),
            created_by: "creator".into(),
            created_at: Timestamp(7),
        };
        let refused = store.create_campaign(store.ours, campaign).await;
        assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
    }

    async fn a_campaign_is_deleted_before_its_start_and_only_by_its_tenant(store) {
        let id = created(store, "1.0.0").await?;
        let firmware = store.campaign(store.ours, id).await?.expect("it was created").spec.firmware;
        assert!(!store.delete_campaign(store.theirs, id).await?);
        assert!(store.campaign(store.ours, id).await?.is_some());
        assert!(store.delete_campaign(store.ours, id).await?);
        assert!(!store.delete_campaign(store.ours, id).await?);
        assert_eq!(store.campaign(store.ours, id).await?, None);
        let all = PageRequest { limit: 9, offset: 0 };
        assert_eq!(store.list_campaigns(store.ours, &CampaignFilter::default(), all).await?.total, 0);
        assert!(!store.firmware_is_used(store.ours, firmware).await?);
        assert!(store.delete_firmware(store.ours, firmware, Timestamp(6)).await?);

        let fixture = StoreFixture::new(store, &[1]).await?;
        let refused = store.delete_campaign(store.ours, fixture.campaign()).await;
        assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
        let next = created(store, "7.0.0").await?;
        assert!(next.0 > id.0, "the id is not used again");
    }

    async fn campaigns_are_listed_newest_first(store) {
        let mut ids = Vec::new();
        for version in ["1.0.0", "1.1.0", "1.2.0"] {
            ids.push(created(store, version).await?);
        }
        let cancelled = CampaignChange { status: Some(CampaignStatus::Cancelled), ..CampaignChange::default() };
        assert!(store.change_campaign(store.ours, ids[1], 0, cancelled).await?);
        let list = async |tenant, status, limit, offset| {
            let filter = CampaignFilter { status };
            let page = store.list_campaigns(tenant, &filter, PageRequest { limit, offset }).await?;
            anyhow::Ok((page.items.into_iter().map(|summary| summary.campaign.id).collect::<Vec<_>>(), page.total))
        };
        assert_eq!(list(store.ours, None, 2, 0).await?, (vec![ids[2], ids[1]], 3));
        assert_eq!(list(store.ours, None, 2, 2).await?, (vec![ids[0]], 3));
        let created = Some(CampaignStatus::Created);
        assert_eq!(list(store.ours, created, 9, 0).await?, (vec![ids[2], ids[0]], 2));
        assert_eq!(list(store.theirs, None, 9, 0).await?, (vec![], 0));
    }

    async fn a_change_requires_the_generation_that_was_read(store) {
        let id = created(store, "1.0.0").await?;
        let approval = Approval { by: "bo".into(), comment: "go".into(), at: NOON };
        let first = CampaignChange {
            approval: Some(approval.clone()),
            priority: Some(Priority::Critical),
            max_concurrent_updates: Some(Some(7)),
            explain: Some(vec!["approved".into()]),
            wake_at: Some(later(1)),
            ..CampaignChange::default()
        };
        let second = CampaignChange { status: Some(CampaignStatus::Cancelled), ended_at: Some(later(2)), ..CampaignChange::default() };
        assert!(!store.change_campaign(store.theirs, id, 0, first.clone()).await?);
        assert!(store.change_campaign(store.ours, id, 0, first).await?);
        assert!(!store.change_campaign(store.ours, id, 0, second.clone()).await?);
        let campaign = store.campaign(store.ours, id).await?.expect("it exists");
        assert_eq!((campaign.status, campaign.generation), (CampaignStatus::Created, 1));
        assert_eq!((campaign.approval, campaign.ended_at), (Some(approval), None));
        assert_eq!((campaign.spec.priority, campaign.spec.max_concurrent_updates), (Priority::Critical, Some(7)));
        let due: Vec<_> = store.due(later(1), 10).await?.iter().map(|run| run.campaign).collect();
        assert_eq!(due, [id]);

        assert!(store.change_campaign(store.ours, id, 1, second).await?);
        let campaign = store.campaign(store.ours, id).await?.expect("it exists");
        assert_eq!((campaign.status, campaign.ended_at), (CampaignStatus::Cancelled, Some(later(2))));
        assert_eq!(campaign.explain, ["approved"]);
        // A rollback clears the end.
        let back = CampaignChange { status: Some(CampaignStatus::RollingBack), ..CampaignChange::default() };
        assert!(store.change_campaign(store.ours, id, 2, back).await?);
        assert_eq!(store.campaign(store.ours, id).await?.expect("it exists").ended_at, None);
    }

    async fn a_campaign_is_pinned_to_other_revisions_at_the_generation_that_was_read(store) {
        let id = created(store, "1.0.0").await?;
        let other = store.campaigns_of_other_contracts(store.ours, &["1.0.0"]).await?;
        assert_eq!(other, [], "its plugins are of this contract");
        assert_eq!(store.campaigns_of_other_contracts(store.ours, &["1.0.1"]).await?, [id]);
        assert_eq!(store.campaigns_of_other_contracts(store.theirs, &["1.0.1"]).await?, []);

        let campaign = store.campaign(store.ours, id).await?.expect("a campaign");
        let moved = PluginUse { revision: Digest::of(b"hardware"), ..campaign.spec.strategy.clone() };
        let spec = CampaignSpec { strategy: moved.clone(), policies: Vec::new(), ..campaign.spec.clone() };
        let repin = async |generation: i64| {
            let read = Campaign { generation, ..campaign.clone() };
            let repin = Repin { spec: spec.clone(), discards_state: None, journal: journal_entry() };
            store.repin_campaign(&test_ctx(store.ours), &read, repin).await
        };
        assert!(!repin(9).await?);
        assert!(repin(0).await?);
        let after = store.campaign(store.ours, id).await?.expect("a campaign");
        assert_eq!((after.spec.strategy, after.spec.policies), (moved, Vec::new()));
        assert_eq!(after.generation, 1);
        let row = store.last_audit_row().await?;
        assert_eq!(row.action, "campaign.repin");
        assert_eq!(row.after["revisions"], json!([Digest::of(b"hardware").to_string()]));
        let all = PageRequest { limit: 9, offset: 0 };
        let journal = store.journal(store.ours, id, 0, all).await?;
        assert_eq!(journal.items[0].outcome, "repinned");

        let end = CampaignChange { status: Some(CampaignStatus::Cancelled), ..CampaignChange::default() };
        assert!(store.change_campaign(store.ours, id, 1, end).await?);
        assert_eq!(store.campaigns_of_other_contracts(store.ours, &["1.0.1"]).await?, [], "it has ended");
    }

    async fn a_campaign_that_moved_before_its_start_is_deleted_with_its_journal(store) {
        let id = created(store, "1.0.0").await?;
        let campaign = store.campaign(store.ours, id).await?.expect("a campaign");
        let repin = Repin { spec: campaign.spec.clone(), discards_state: None, journal: journal_entry() };
        assert!(store.repin_campaign(&test_ctx(store.ours), &campaign, repin).await?);
        assert!(store.stats(store.ours, NOON, None).await?.journal_bytes > 0);
        assert!(store.delete_campaign(store.ours, id).await?);
        assert_eq!(store.stats(store.ours, NOON, None).await?.journal_bytes, 0);
    }

    async fn a_campaign_that_moved_keeps_what_its_journal_was_written_with(store) {
        let id = created(store, "1.0.0").await?;
        let later = NewRevision { contract: "2.0.0".into(), ..revision("canary", b"another build", 1) };
        store.put_revision(store.ours, later.clone()).await?;
        let (name, first) = (PluginName::built_in("canary"), Digest::of(b"canary"));
        let move_to = async |revision: Digest| {
            let campaign = store.campaign(store.ours, id).await?.expect("a campaign");
            let mut spec = campaign.spec.clone();
            spec.strategy.revision = revision;
            let repin = Repin { spec, discards_state: None, journal: journal_entry() };
            store.repin_campaign(&test_ctx(store.ours), &campaign, repin).await
        };
        let campaigns = async |revision: Digest| {
            let found = store.revision(store.ours, &name, revision).await;
            found.map(|found| found.expect("a revision").campaigns)
        };
        let of_other_contracts = async || store.campaigns_of_other_contracts(store.ours, &["2.0.0"]).await;
        assert!(move_to(later.digest).await?);
        assert_eq!((campaigns(first).await?, campaigns(later.digest).await?), (0, 1));
        let refused = store.delete_revision(store.ours, &name, first).await;
        assert!(matches!(&refused, Err(StoreError::Conflict(why)) if why.contains("journal")), "{refused:?}");

        // Its policies are still of the earlier contract.
        assert_eq!(of_other_contracts().await?, [id]);
        for policy in ["hardware", "failure-rate"] {
            let digest = Digest::of(policy.as_bytes()).to_string();
            let mut tx = store.database.write().await?;
            sqlx::query("UPDATE plugin_revisions SET contract = '2.0.0' WHERE tenant_id = $1 AND digest = $2")
                .bind(store.ours.0)
                .bind(digest)
                .execute(tx.conn())
                .await?;
            tx.commit().await?;
        }
        assert_eq!(of_other_contracts().await?, [], "what it used before does not matter");
        assert!(move_to(first).await?);
        assert_eq!(of_other_contracts().await?, [id]);
        assert_eq!((campaigns(first).await?, campaigns(later.digest).await?), (1, 0));
        assert!(store.delete_campaign(store.ours, id).await?);
        assert!(store.delete_revision(store.ours, &name, first).await?);
    }

    async fn only_the_state_of_a_plugin_that_begins_anew_is_discarded(store) {
        let id = created(store, "1.0.0").await?;
        let campaign = store.campaign(store.ours, id).await?.expect("a campaign");
        let (strategy, [first, ..]) = (&campaign.spec.strategy, &campaign.spec.policies[..]) else {
            anyhow::bail!("it has policies");
        };
        let policies = vec![b"policy".to_vec(); campaign.spec.policies.len()];
        let mut tx = store.database.write().await?;
        sqlx::query("UPDATE campaign_states SET strategy_state = $3, policy_states = $4 WHERE tenant_id = $1 AND campaign_id = $2")
            .bind(store.ours.0)
            .bind(id.0)
            .bind(b"strategy".to_vec())
            .bind(pack_states(&policies))
            .execute(tx.conn())
            .await?;
        tx.commit().await?;
        let states = async || {
            let mut tx = store.database.read_single().await?;
            let row = sqlx::query("SELECT strategy_state, policy_states FROM campaign_states WHERE tenant_id = $1 AND campaign_id = $2")
                .bind(store.ours.0)
                .bind(id.0)
                .fetch_one(tx.conn())
                .await?;
            let policies: Vec<u8> = row.try_get("policy_states")?;
            anyhow::Ok((row.try_get::<Vec<u8>, _>("strategy_state")?, unpack_states(&policies)?))
        };
        let mut generation = 0;
        let mut repin = async |plugin: Option<&PluginUse>| {
            let read = Campaign { generation, ..campaign.clone() };
            let discards_state = plugin.map(|used| used.plugin.clone());
            let repin = Repin { spec: campaign.spec.clone(), discards_state, journal: journal_entry() };
            generation += 1;
            store.repin_campaign(&test_ctx(store.ours), &read, repin).await
        };
        assert!(repin(None).await?);
        assert_eq!(states().await?, (b"strategy".to_vec(), policies.clone()));
        assert!(repin(Some(first)).await?);
        let (of_strategy, of_policies) = states().await?;
        assert_eq!(of_strategy, b"strategy");
        assert_eq!(of_policies[0], b"");
        assert!(of_policies[1..].iter().all(|state| state == b"policy"));
        assert!(repin(Some(strategy)).await?);
        assert_eq!(states().await?, (Vec::new(), of_policies));
    }

    async fn the_audit_trail_has_the_reason_of_a_rollback_and_the_hold_that_a_resume_ends(store) {
        let id = created(store, "1.0.0").await?;
        let hold = Hold { reason: "20 % failed".into(), by: "failure ceiling".into(), since: NOON };
        let change = CampaignChange { status: Some(CampaignStatus::Held), hold: Some(hold), ..CampaignChange::default() };
        assert!(store.change_campaign(store.ours, id, 0, change).await?);
        let row = store.last_audit_row().await?;
        assert_eq!((&row.before["hold"], &row.after["hold"]), (&Value::Null, &json!("20 % failed")));

        let mut resumed = act(OperatorActKind::Resumed, 1, None);
        resumed.status = Some(CampaignStatus::InProgress);
        resumed.accepts_failures = true;
        assert!(store.change_campaign(store.ours, id, 1, resumed).await?);
        let row = store.last_audit_row().await?;
        assert_eq!(row.action, "campaign.resume");
        let before = json!({ "status": "held", "hold": "20 % failed", "accepts_failures": false });
        let after = json!({ "status": "in_progress", "hold": null, "accepts_failures": true });
        assert_eq!((row.before, row.after), (before, after));

        let rollback = Rollback { scope: RollbackScope::Everything, reason: "it hums".into(), by: "bo".into(), since: Some(Timestamp(7)) };
        let back = CampaignChange {
            status: Some(CampaignStatus::RollingBack),
            rollback: Some(rollback),
            ..CampaignChange::default()
        };
        assert!(store.change_campaign(store.ours, id, 2, back).await?);
        let row = store.last_audit_row().await?;
        assert_eq!(row.action, "campaign.roll_back");
        let after = json!({ "status": "rolling_back", "scope": "everything", "reason": "it hums" });
        assert_eq!((row.before, row.after), (json!({ "status": "in_progress" }), after));
    }

    async fn a_campaign_starts_once_and_stores_all_members(store) {
        let fixture = StoreFixture::new(store, &[2, 3]).await?;
        let (ours, id) = (store.ours, fixture.campaign());
        assert!(!store.start_campaign(ours, id, 0, fixture.campaign_start(&[5])).await?);
        assert!(store.start_campaign(store.theirs, id, 0, fixture.campaign_start(&[5])).await.is_ok_and(|begun| !begun));
        let run = fixture.read_run().await?;
        assert_eq!((run.campaign.status, run.campaign.total_devices), (CampaignStatus::InProgress, 5));
        assert_eq!((run.campaign.started_at, run.parallel), (Some(NOON), false));
        assert_eq!(run.acts, [OperatorAct { role: "admin".into(), ..operator_act(NOON, OperatorActKind::Started, None) }]);
        let waves: Vec<_> = run.waves.iter().map(|w| (w.report.name.as_str(), w.report.size)).collect();
        assert_eq!(waves, [("wave 0", 2), ("wave 1", 3)]);
        for (device, wave, position) in [(0, 0, 0), (1, 0, 1), (4, 1, 2)] {
            let membership = store.membership(ours, id, fixture.devices[device]).await?;
            assert_eq!(membership, Membership::InWave { wave, position, joined_later_at: None, intermediate: None });
        }
        let unknown = store.membership(ours, id, DeviceKey(i64::MAX)).await?;
        assert_eq!(unknown, Membership::NotSelected);
        assert_eq!(store.membership(store.theirs, id, fixture.devices[0]).await?, Membership::NotStarted);
    }

    async fn excluded_devices_have_a_reason(store) {
        let fixture = StoreFixture::new(store, &[3]).await?;
        let id = created(store, "7.0.0").await?;
        let class = ClassKey { hardware_model: Some("B".into()), attributes: vec![("k".into(), "v".into())], ..ClassKey::default() };
        let mut campaign_start = fixture.campaign_start(&[1]);
        campaign_start.classes.push(ClassVerdict { key: class.clone(), devices: 1, excluded: Some("hardware: too old".into()), is_unchecked: false, intermediate: None });
        campaign_start.selected = vec![(fixture.devices[2], 1), (fixture.devices[0], 0), (fixture.devices[1], 0)];
        assert!(store.start_campaign(store.ours, id, 0, campaign_start).await?);
        let of = async |device: usize| store.membership(store.ours, id, fixture.devices[device]).await;
        assert_eq!(of(0).await?, Membership::InWave { wave: 0, position: 0, joined_later_at: None, intermediate: None });
        assert_eq!(of(1).await?, Membership::InNoWave);
        assert_eq!(of(2).await?, Membership::Excluded { class, reason: "hardware: too old".into(), excluded_later_at: None });
    }

    async fn no_device_is_in_a_campaign_twice(store) {
        let fixture = StoreFixture::new(store, &[2]).await?;
        let id = created(store, "7.0.0").await?;
        let mut campaign_start = fixture.campaign_start(&[2]);
        campaign_start.waves.push(NewWave { name: "again".into(), members: vec![fixture.devices[0]] });
        assert!(store.start_campaign(store.ours, id, 0, campaign_start).await.is_err());
        let campaign = store.campaign(store.ours, id).await?.expect("it exists");
        assert_eq!((campaign.status, campaign.generation), (CampaignStatus::Created, 0));
        assert!(store.waves(store.ours, id).await?.is_empty());
    }

    async fn the_latest_operator_acts_are_kept(store) {
        let fixture = StoreFixture::new(store, &[1, 1]).await?;
        for n in 0..70 {
            let change = act(OperatorActKind::Paused, n, None);
            assert!(store.change_campaign(store.ours, fixture.campaign(), 1 + n, change).await?);
        }
        let change = act(OperatorActKind::Advanced, 70, Some(1));
        assert!(store.change_campaign(store.ours, fixture.campaign(), 71, change).await?);
        let run = fixture.read_run().await?;
        assert_eq!(run.acts.len(), 64);
        assert_eq!((run.acts[0].at, run.acts[63].kind), (later(7), OperatorActKind::Advanced));
        let advanced: Vec<_> = run.waves.iter().map(|wave| wave.report.advanced_at).collect();
        assert_eq!(advanced, [None, Some(later(70))]);
        let advance = Advance { by: "creator".into(), at: later(70), applied: None, explain: Vec::new() };
        assert_eq!(run.waves[1].advance, Some(advance.clone()));

        // A decision that does not open the wave uses the advance up.
        let fence = fixture.lease().await?;
        let answer = Advance { applied: Some(false), explain: vec!["Not yet.".into()], ..advance };
        let mut outcome = TickOutcome::unchanged(72, later(71), run.plugin_failures);
        outcome.advances = vec![(1, answer.clone())];
        assert!(store.apply(fixture.run, fence, outcome).await?);
        let wave = fixture.read_run().await?.waves.remove(1);
        assert_eq!((wave.report.advanced_at, wave.advance), (None, Some(answer)));
    }
}
