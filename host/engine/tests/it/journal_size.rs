//! The bound of the size of a journal, and the removal of its old entries.

use std::{sync::Arc, time::Duration};

use tidegate_core::{
    campaign::{CampaignStatus, JOURNAL_BOUND},
    feedback::Finished,
    id::CampaignId,
    plugin::{DecisionOutcome, RollbackScope},
};
use tidegate_engine::{JournalSettings, campaigns, run_gc};

use crate::{engine_fixture::EngineFixture, scripted_sandbox::decision};

fn bound(max_bytes_per_campaign: u64) -> JournalSettings {
    JournalSettings {
        max_bytes_per_campaign,
        ..JournalSettings::default()
    }
}

/// A campaign whose first wave, a device, is in flight.
async fn begun(fixture: &EngineFixture) -> CampaignId {
    fixture
        .sandbox
        .decides(|_| Ok(decision(&[(0, 1)], DecisionOutcome::Proceed)));
    let id = fixture.start_campaign().await;
    fixture.tick(id).await;
    assert_eq!(fixture.updates(id).await.len(), 1);
    id
}

#[tokio::test]
async fn a_campaign_with_a_full_journal_is_held_until_the_bound_is_raised() {
    let fixture = EngineFixture::new(10).await;
    let id = begun(&fixture).await;
    let bytes = fixture.campaign(id).await.journal_bytes;
    let (decisions, calls) = (fixture.decisions(id).await, fixture.calls.lock().len());

    let fixture = fixture.restarted(bound(bytes));
    fixture.tick(id).await;
    let campaign = fixture.campaign(id).await;
    assert_eq!(campaign.status, CampaignStatus::Held);
    let hold = campaign.hold.expect("a reason is stored");
    assert_eq!(hold.by, JOURNAL_BOUND);
    let sentence = format!(
        "the journal of the campaign has {bytes} bytes, and the server's setting `journal.max_bytes_per_campaign` allows {bytes}"
    );
    assert!(hold.reason.starts_with(&sentence), "{}", hold.reason);
    for remedy in [
        "Raise the setting",
        "another revision",
        "cancel",
        "roll it back",
    ] {
        assert!(hold.reason.contains(remedy), "{}", hold.reason);
    }
    // The hold is recorded although the journal is full.
    assert_eq!(fixture.host_outcomes(id).await, ["journal_bound"]);
    assert!(fixture.campaign(id).await.journal_bytes > bytes);

    // What is in flight goes on.
    fixture.report_result(id, Finished::Success).await;
    assert_eq!(fixture.counts(id).await.completed, 1);

    // Another hold follows while the bound is the same. No plugin was called.
    fixture.resume(id).await;
    fixture.tick(id).await;
    assert_eq!(fixture.status(id).await, CampaignStatus::Held);
    assert_eq!(fixture.decisions(id).await, decisions);
    assert_eq!(fixture.calls.lock().len(), calls);

    let fixture = fixture.restarted(bound(1 << 20));
    fixture
        .sandbox
        .decides(|_| Ok(decision(&[(1, 2)], DecisionOutcome::Proceed)));
    fixture.resume(id).await;
    fixture.tick(id).await;
    assert_eq!(fixture.status(id).await, CampaignStatus::InProgress);
    assert_eq!(fixture.updates(id).await.len(), 3);
    assert_eq!(fixture.decisions(id).await, decisions + 1);
}

#[tokio::test]
async fn a_campaign_with_a_full_journal_is_rolled_back() {
    let fixture = EngineFixture::new(1).await;
    let id = begun(&fixture).await;
    fixture.report_result(id, Finished::Success).await;
    let fixture = fixture.restarted(bound(1));
    fixture.tick(id).await;
    assert_eq!(fixture.status(id).await, CampaignStatus::Held);
    let (ctx, store, signals) = (
        fixture.ctx(),
        fixture.engine.store(),
        fixture.engine.signals(),
    );
    let scope = RollbackScope::Everything;
    let back = campaigns::roll_back(&ctx, store, signals, id, scope, "it hums");
    back.await.expect("the rollback starts");
    fixture.tick(id).await;
    fixture.tick(id).await;
    assert_eq!(fixture.status(id).await, CampaignStatus::RolledBack);
    let outcomes = fixture.host_outcomes(id).await;
    assert_eq!(outcomes, ["journal_bound", "rolled_back"]);
}

#[tokio::test]
async fn old_entries_are_removed_and_named_when_they_are_asked_for() {
    let fixture = EngineFixture::new(10).await;
    let id = begun(&fixture).await;
    let old = fixture.journal(id).await.len();
    let day = Duration::from_hours(24);
    fixture.clock.advance(2 * day);
    fixture.tick(id).await;
    let entries = fixture.journal(id).await;
    let new = entries.len() - old;
    assert!(new > 0);

    let journal = JournalSettings {
        retention: Some(day),
        ..JournalSettings::default()
    };
    let fixture = fixture.restarted(journal);
    let removed = async {
        while fixture.journal(id).await.len() > new {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = removed => {}
        () = run_gc(Arc::clone(&fixture.engine)) => panic!("the loop ends"),
    }
    assert_eq!(fixture.journal(id).await, entries[old..]);
    let (ctx, store) = (fixture.ctx(), fixture.engine.store());
    let replay = async |seq| {
        let plugins = fixture.engine.plugins();
        campaigns::replay(&ctx, store, plugins, id, seq, None).await
    };
    let last = entries[old + new - 1].seq;
    assert!(replay(last).await.is_ok());
    for (seq, sentence) in [
        (
            1,
            format!(
                "there is no journal entry 1 any more: the entries up to {old} are older than the server's setting \
                 `journal.retention_days`, and were removed"
            ),
        ),
        (last + 1, format!("there is no journal entry {}", last + 1)),
        (0, "there is no journal entry 0".to_owned()),
    ] {
        let refused = replay(seq).await.expect_err("no such entry");
        assert_eq!(refused.to_string(), sentence);
    }
    // The rollout goes on.
    assert_eq!(fixture.status(id).await, CampaignStatus::InProgress);
    fixture.tick(id).await;
    assert_eq!(fixture.journal(id).await.len(), 2 * new);
}
