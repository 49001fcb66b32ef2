use std::time::Duration;

use tidegate_core::{
    campaign::{Campaign, CampaignSpec, PluginUse},
    id::{CampaignId, Digest, TenantId},
    plugin::PluginName,
    time::Timestamp,
    update::SuccessCriteria,
};
use tidegate_engine::ports::{
    Campaigns as _, EntryKind, Journal as _, NewCampaign, NewJournalEntry, Plugins as _, Record,
    Statistics as _, StoreError,
};

use crate::{
    plugins::tests::new as revision,
    test_fixture::{ALL, NOON, StoreFixture, firmware, install_plugins, spec},
    testing::{TestStore, on_both, test_ctx},
};

const REASON: &str = "op could not start the campaign: a bug";

/// A campaign that has not started, whose strategy is this build.
async fn created(store: &TestStore, build: &[u8]) -> anyhow::Result<CampaignId> {
    install_plugins(store, store.ours).await?;
    let firmware = store.create_firmware(store.ours, firmware("3.0.0")).await?;
    let campaign = NewCampaign {
        spec: of_build(&spec(firmware, SuccessCriteria::Reported), build),
        created_by: "creator".into(),
        created_at: Timestamp(5),
    };
    Ok(store.create_campaign(store.ours, campaign).await?)
}

/// The specification with this build of its strategy.
fn of_build(spec: &CampaignSpec, build: &[u8]) -> CampaignSpec {
    let strategy = PluginUse {
        revision: Digest::of(build),
        ..spec.strategy.clone()
    };
    CampaignSpec {
        strategy,
        ..spec.clone()
    }
}

/// The plan that this build made, or failed to make.
fn plan(build: &[u8], outcome: &str) -> NewJournalEntry {
    let input = Record::whole([build, b" plans"].concat());
    NewJournalEntry {
        kind: EntryKind::Plan,
        at: NOON,
        plugin: Some(PluginName::built_in("canary")),
        revision: Some(Digest::of(build)),
        input_digest: Some(Digest::of(&input)),
        input,
        output: Record::default(),
        fuel: 1,
        peak_memory: None,
        limits: None,
        duration: Duration::from_nanos(5),
        outcome: outcome.into(),
        explain: vec!["a bug".into()],
        log: Vec::new(),
        applied: outcome == "ok",
    }
}

async fn read(store: &TestStore, id: CampaignId) -> anyhow::Result<Campaign> {
    let campaign = store.campaign(store.ours, id).await?;
    Ok(campaign.expect("a campaign"))
}

async fn record(
    store: &TestStore,
    tenant: TenantId,
    campaign: &Campaign,
    build: &[u8],
) -> Result<bool, StoreError> {
    let (journal, explain) = (vec![plan(build, "trap")], vec![REASON.to_owned()]);
    let recorded = store.record_failed_start(tenant, campaign, journal, explain);
    recorded.await
}

/// Records that the campaign, as it was read, failed to start with this build.
async fn fail(store: &TestStore, campaign: &Campaign, build: &[u8]) -> anyhow::Result<bool> {
    let recorded = record(store, store.ours, campaign, build);
    Ok(recorded.await?)
}

async fn edit_to(store: &TestStore, id: CampaignId, build: &[u8]) -> anyhow::Result<()> {
    let campaign = read(store, id).await?;
    let (ctx, spec) = (test_ctx(store.ours), of_build(&campaign.spec, build));
    let edited = store.edit_campaign(&ctx, &campaign, spec);
    anyhow::ensure!(edited.await?, "the campaign was not edited");
    Ok(())
}

on_both! {
    async fn a_failed_start_is_recorded_at_the_generation_that_was_read(store) {
        let id = created(store, b"canary").await?;
        let campaign = read(store, id).await?;
        assert!(!record(store, store.theirs, &campaign, b"canary").await?);
        let mut later = campaign.clone();
        later.generation += 1;
        assert!(!fail(store, &later, b"canary").await?);
        assert_eq!(store.journal(store.ours, id, 0, ALL).await?.total, 0);

        assert!(fail(store, &campaign, b"canary").await?);
        assert!(fail(store, &campaign, b"canary").await?, "it stays at its generation");
        let recorded = read(store, id).await?;
        assert!(recorded.journal_bytes > 0);
        let stats = store.stats(store.ours, NOON, None).await?;
        assert_eq!(stats.journal_bytes, recorded.journal_bytes);
        assert_eq!(recorded.last_call_at, Some(NOON));
        assert_eq!(recorded.explain, [REASON]);
        let unchanged = Campaign {
            journal_bytes: 0,
            last_call_at: None,
            explain: Vec::new(),
            ..recorded
        };
        assert_eq!(unchanged, campaign);
        assert!(store.delete_campaign(store.ours, id).await?);
        assert_eq!(store.stats(store.ours, NOON, None).await?.journal_bytes, 0);
    }

    async fn an_edited_campaign_keeps_the_revisions_with_which_it_failed_to_start(store) {
        for (build, at) in [(b"one", 5), (b"two", 6), (b"six", 7)] {
            store.put_revision(store.ours, revision("canary", build, at)).await?;
        }
        let fixture = StoreFixture::new(store, &[2]).await?;
        let id = created(store, b"one").await?;
        for _ in 0..2 {
            assert!(fail(store, &read(store, id).await?, b"one").await?);
        }
        edit_to(store, id, b"two").await?;
        edit_to(store, id, b"six").await?;
        let (name, ours) = (PluginName::built_in("canary"), store.ours);
        let delete = |build: &[u8]| store.delete_revision(ours, &name, Digest::of(build));
        let refused = delete(b"one").await;
        assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
        assert!(delete(b"two").await?, "nothing was recorded with it");
        let one = store.revision(ours, &name, Digest::of(b"one")).await?.expect("a revision");
        assert_eq!(one.campaigns, 0, "it is used by none now");

        let mut start = fixture.campaign_start(&[2]);
        start.journal = vec![plan(b"six", "ok")];
        assert_eq!(read(store, id).await?.explain, [REASON], "an edit keeps it");
        assert!(store.start_campaign(ours, id, read(store, id).await?.generation, start).await?);
        assert_eq!(read(store, id).await?.explain, [""; 0]);
        let mut after = 0;
        for (build, outcome) in [(b"one", "trap"), (b"one", "trap"), (b"six", "ok")] {
            let call = store.next_recorded_call(ours, id, after).await?.expect("a call");
            let expected = plan(build, outcome);
            assert_eq!((call.entry.seq, &call.input[..]), (after + 1, &expected.input[..]));
            assert_eq!((call.entry.revision, &*call.entry.outcome), (expected.revision, outcome));
            after = call.entry.seq;
        }
        assert_eq!(store.next_recorded_call(ours, id, after).await?, None);
    }
}
