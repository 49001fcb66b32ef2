use std::time::Duration;

use tidegate_core::{
    campaign::{CampaignStatus, Hold},
    id::Digest,
};
use tidegate_engine::ports::{
    Campaigns as _, Change, EntryKind, Journal as _, NewEntry, Recording, Runs as _, Trouble,
};

use crate::{
    scene::{ALL, NOON, Scene, later},
    testing::on_both,
};

fn entry(outcome: &str) -> NewEntry {
    NewEntry {
        kind: EntryKind::Decide,
        at: NOON,
        plugin: "canary".into(),
        revision: Some(Digest::of(b"canary")),
        question_digest: Some(Digest::of(outcome.as_bytes())),
        question: vec![0, 1, 255],
        answer: outcome.into(),
        fuel: u64::from(u32::MAX) * 3,
        duration: Duration::from_nanos(1_234_567),
        outcome: outcome.into(),
        explain: vec!["because \"of\" it".into()],
        applied: true,
    }
}

on_both! {
    async fn what_a_tick_decided_is_applied_once(store) {
        let scene = Scene::set(store, &[5, 5]).await?;
        let fence = scene.lease().await?;
        let hold = Hold { reason: "too warm".into(), by: "canary".into(), since: later(1) };
        let mut applied = scene.nothing().await?;
        applied.at = later(1);
        applied.levels = Some(vec![3, 0]);
        applied.status = Some(CampaignStatus::Held);
        applied.hold = Some(hold.clone());
        applied.explain = Some(vec!["first".into()]);
        applied.wake_at = Some(later(60));
        applied.strategy_state = Some(vec![1, 2, 0]);
        applied.policy_states = Some(vec![vec![], vec![7]]);
        let trouble = Trouble { failures: 2, misses: 1, retry_at: Some(later(4)) };
        applied.trouble = trouble;
        applied.journal = vec![entry("proceed"), entry("hold")];
        assert!(store.apply(scene.run, fence, applied.clone()).await?);
        let after = scene.look().await?;
        // The same again was decided on what is past.
        assert!(!store.apply(scene.run, fence, applied.clone()).await?);
        assert_eq!(scene.look().await?, after);

        let campaign = &after.campaign;
        assert_eq!((campaign.status, campaign.generation), (CampaignStatus::Held, 2));
        assert_eq!((campaign.hold.as_ref(), &campaign.explain[..]), (Some(&hold), &["first".to_owned()][..]));
        assert_eq!((&after.strategy_state[..], after.trouble), (&[1, 2, 0][..], trouble));
        assert_eq!(after.policy_states, [vec![], vec![7]]);
        let wave = &after.waves[0].report;
        assert_eq!((wave.released, wave.opened_at, wave.counts.pending), (3, Some(later(1)), 5));
        assert_eq!((after.waves[1].report.released, after.waves[1].report.opened_at), (0, None));

        // A level never sinks, a wave opens once, and what is none stays as it is.
        applied = scene.nothing().await?;
        applied.at = later(9);
        applied.levels = Some(vec![1, 2]);
        applied.journal = vec![entry("proceed")];
        assert!(store.apply(scene.run, fence, applied).await?);
        let run = scene.look().await?;
        let levels: Vec<_> = run.waves.iter().map(|w| (w.report.released, w.report.opened_at)).collect();
        assert_eq!(levels, [(3, Some(later(1))), (2, Some(later(9)))]);
        assert_eq!(run.strategy_state, [1, 2, 0]);
        assert_eq!(run.campaign.hold, Some(hold));
    }

    async fn the_journal_is_kept_as_it_was_given(store) {
        let scene = Scene::set(store, &[1]).await?;
        let fence = scene.lease().await?;
        let mut applied = scene.nothing().await?;
        applied.journal = vec![entry("proceed"), entry("hold")];
        assert!(store.apply(scene.run, fence, applied).await?);
        let mut applied = scene.nothing().await?;
        let mut host = entry("");
        host.kind = EntryKind::Host;
        (host.revision, host.question_digest, host.answer) = (None, None, Vec::new());
        applied.journal = vec![host];
        assert!(store.apply(scene.run, fence, applied).await?);

        let (ours, theirs, id) = (store.ours, store.theirs, scene.campaign());
        let all = store.journal(ours, id, 0, ALL).await?;
        let seqs: Vec<_> = all.items.iter().map(|entry| entry.seq).collect();
        assert_eq!((seqs, all.total), (vec![1, 2, 3], 3));
        let later = store.journal(ours, id, 2, ALL).await?;
        assert_eq!((later.items, later.total), (all.items[2..].to_vec(), 1));
        assert_eq!(store.journal(theirs, id, 0, ALL).await?.total, 0);
        assert_eq!(store.recording(theirs, id, 1).await?, None);
        let Recording { entry: kept, question, answer } =
            store.recording(ours, id, 2).await?.expect("the second entry");
        let given = entry("hold");
        assert_eq!((question, answer), (given.question, given.answer));
        assert_eq!((kept.fuel, kept.duration, kept.explain), (given.fuel, given.duration, given.explain));
        assert_eq!((kept.revision, kept.question_digest), (given.revision, given.question_digest));
    }

    async fn to_sleep_on_is_no_change(store) {
        let scene = Scene::set(store, &[1]).await?;
        let fence = scene.lease().await?;
        let before = scene.look().await?;
        let mut applied = scene.nothing().await?;
        applied.wake_at = Some(later(7));
        assert!(store.apply(scene.run, fence, applied).await?);
        assert_eq!(scene.look().await?, before);
        assert_eq!(store.due(later(7), 9).await?, [scene.run]);
    }

    async fn leaving_a_hold_forgets_it(store) {
        let scene = Scene::set(store, &[1]).await?;
        let fence = scene.lease().await?;
        let mut applied = scene.nothing().await?;
        applied.status = Some(CampaignStatus::Held);
        applied.hold = Some(Hold { reason: "warm".into(), by: "canary".into(), since: NOON });
        applied.trouble = Trouble { failures: 3, misses: 9, retry_at: Some(later(1)) };
        assert!(store.apply(scene.run, fence, applied).await?);
        let change = Change {
            status: Some(CampaignStatus::InProgress),
            ..Change::default()
        };
        assert!(store.change_campaign(store.ours, scene.campaign(), 2, change).await?);
        let run = scene.look().await?;
        assert_eq!((run.campaign.hold, run.trouble), (None, Trouble::default()));
    }
}
