use std::time::Duration;

use tidegate_core::{
    campaign::{Campaign, CampaignStatus, Hold},
    id::Digest,
    plugin::PluginName,
};
use tidegate_engine::ports::{
    CallLimits, CampaignChange, EntryKind, Journal as _, NewJournalEntry, PluginFailureState,
    RecentTicks, Record, RecordedCall, Run, Runs as _,
};

use crate::{
    test_fixture::{ALL, NOON, StoreFixture, later},
    testing::on_both,
};

fn entry(outcome: &str) -> NewJournalEntry {
    NewJournalEntry {
        kind: EntryKind::Decide,
        at: NOON,
        plugin: Some(PluginName::built_in("canary")),
        revision: Some(Digest::of(b"canary")),
        input_digest: Some(Digest::of(outcome.as_bytes())),
        input: Record::whole(vec![0, 1, 255]),
        output: Record::whole(outcome.into()),
        fuel: u64::from(u32::MAX) * 3,
        peak_memory: Some(u64::from(u32::MAX) * 5),
        limits: Some(CallLimits {
            fuel: 10_000_000_000,
            fuel_costs: 2,
            memory_bytes: 64 << 20,
            answer_bytes: 1 << 20,
        }),
        duration: Duration::from_nanos(1_234_567),
        outcome: outcome.into(),
        explain: vec!["because \"of\" it".into()],
        log: vec!["\"line\"".into(), String::new()],
        applied: true,
    }
}

on_both! {
    async fn a_tick_outcome_is_applied_once(store) {
        let fixture = StoreFixture::new(store, &[5, 5]).await?;
        let fence = fixture.lease().await?;
        let hold = Hold { reason: "too warm".into(), by: "canary".into(), since: later(1) };
        let mut applied = fixture.noop().await?;
        applied.at = later(1);
        applied.levels = Some(vec![3, 0]);
        applied.status = Some(CampaignStatus::Held);
        applied.hold = Some(hold.clone());
        applied.explain = Some(vec!["first".into()]);
        applied.wake_at = Some(later(60));
        applied.strategy_state = Some(vec![1, 2, 0]);
        applied.policy_states = Some(vec![vec![], vec![7]]);
        let plugin_failures = PluginFailureState { failures: 2, timeouts: 1, recent: RecentTicks(u32::MAX - 1), recent_timeouts: RecentTicks(u32::MAX - 2), retry_at: Some(later(4)) };
        applied.plugin_failures = plugin_failures;
        applied.journal = vec![entry("proceed"), entry("hold")];
        assert!(store.apply(fixture.run, fence, applied.clone()).await?);
        let after = fixture.read_run().await?;
        // The generation has changed.
        assert!(!store.apply(fixture.run, fence, applied.clone()).await?);
        assert_eq!(fixture.read_run().await?, after);

        let campaign = &after.campaign;
        assert_eq!((campaign.status, campaign.generation), (CampaignStatus::Held, 2));
        assert_eq!((campaign.hold.as_ref(), &campaign.explain[..]), (Some(&hold), &["first".to_owned()][..]));
        assert_eq!((&after.strategy_state[..], after.plugin_failures), (&[1, 2, 0][..], plugin_failures));
        assert_eq!(after.policy_states, [vec![], vec![7]]);
        let wave = &after.waves[0].report;
        assert_eq!((wave.released, wave.opened_at, wave.counts.pending), (3, Some(later(1)), 5));
        assert_eq!((after.waves[1].report.released, after.waves[1].report.opened_at), (0, None));

        // A level never decreases, a wave opens once, and none keeps the old state.
        applied = fixture.noop().await?;
        applied.at = later(9);
        applied.levels = Some(vec![1, 2]);
        applied.journal = vec![entry("proceed")];
        assert!(store.apply(fixture.run, fence, applied).await?);
        let run = fixture.read_run().await?;
        let levels: Vec<_> = run.waves.iter().map(|w| (w.report.released, w.report.opened_at)).collect();
        assert_eq!(levels, [(3, Some(later(1))), (2, Some(later(9)))]);
        assert_eq!(run.strategy_state, [1, 2, 0]);
        assert_eq!(run.campaign.hold, Some(hold));
    }

    async fn the_journal_is_read_as_it_was_written(store) {
        let fixture = StoreFixture::new(store, &[1]).await?;
        let fence = fixture.lease().await?;
        let mut applied = fixture.noop().await?;
        applied.journal = vec![entry("proceed"), entry("hold")];
        assert!(store.apply(fixture.run, fence, applied).await?);
        let mut applied = fixture.noop().await?;
        let mut host_entry = entry("");
        host_entry.kind = EntryKind::Host;
        (host_entry.revision, host_entry.input_digest, host_entry.output) = (None, None, Record::default());
        host_entry.log = Vec::new();
        applied.journal = vec![host_entry];
        assert!(store.apply(fixture.run, fence, applied).await?);

        let (ours, theirs, id) = (store.ours, store.theirs, fixture.campaign());
        let all = store.journal(ours, id, 0, ALL).await?;
        let seqs: Vec<_> = all.items.iter().map(|entry| entry.seq).collect();
        assert_eq!((seqs, all.total), (vec![1, 2, 3], 3));
        assert!(all.items[2].log.is_empty());
        let later = store.journal(ours, id, 2, ALL).await?;
        assert_eq!((later.items, later.total), (all.items[2..].to_vec(), 1));
        assert_eq!(store.journal(theirs, id, 0, ALL).await?.total, 0);
        assert_eq!(store.recorded_call(theirs, id, 1).await?, None);
        let mut next = Vec::new();
        while let Some(call) = store.next_recorded_call(ours, id, next.len() as i64).await? {
            assert_eq!(store.recorded_call(ours, id, call.entry.seq).await?.as_ref(), Some(&call));
            next.push(call.entry);
        }
        assert_eq!(next, all.items);
        assert_eq!(store.next_recorded_call(theirs, id, 0).await?, None);
        let RecordedCall { entry: stored, input, output } =
            store.recorded_call(ours, id, 2).await?.expect("the second entry");
        let written = entry("hold");
        assert_eq!((&input[..], &output[..]), (&written.input[..], &written.output[..]));
        assert_eq!((stored.fuel, stored.duration, stored.explain, stored.log), (written.fuel, written.duration, written.explain, written.log));
        assert_eq!((stored.peak_memory, stored.limits), (written.peak_memory, written.limits));
        assert_eq!((stored.revision, stored.input_digest), (written.revision, written.input_digest));
    }

    async fn a_new_wake_up_is_no_change(store) {
        let fixture = StoreFixture::new(store, &[1]).await?;
        let fence = fixture.lease().await?;
        let before = fixture.read_run().await?;
        let mut applied = fixture.noop().await?;
        applied.wake_at = Some(later(7));
        assert!(store.apply(fixture.run, fence, applied).await?);
        let after = fixture.read_run().await?;
        assert_eq!(after.campaign.last_call_at, Some(NOON));
        let campaign = Campaign { last_call_at: None, ..after.campaign };
        assert_eq!(Run { campaign, ..after }, before);
        assert_eq!(store.due(later(7), 9).await?, [fixture.run]);
    }

    async fn leaving_a_hold_clears_it(store) {
        let fixture = StoreFixture::new(store, &[1]).await?;
        let fence = fixture.lease().await?;
        let mut applied = fixture.noop().await?;
        applied.status = Some(CampaignStatus::Held);
        applied.hold = Some(Hold { reason: "warm".into(), by: "canary".into(), since: NOON });
        applied.plugin_failures = PluginFailureState { failures: 3, timeouts: 9, recent: RecentTicks(7), recent_timeouts: RecentTicks(8), retry_at: Some(later(1)) };
        assert!(store.apply(fixture.run, fence, applied).await?);
        let change = CampaignChange {
            status: Some(CampaignStatus::InProgress),
            ..CampaignChange::default()
        };
        assert!(store.change_campaign(store.ours, fixture.campaign(), 2, change).await?);
        let run = fixture.read_run().await?;
        assert_eq!((run.campaign.hold, run.plugin_failures), (None, PluginFailureState::default()));
    }
}
