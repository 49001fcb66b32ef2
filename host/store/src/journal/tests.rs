use std::time::Instant;

use anyhow::Context as _;
use sqlx::Row as _;
use tidegate_engine::ports::{
    EntryKind, Journal as _, NewJournalEntry, Record, RunRef, Runs as _, Statistics as _,
};

use super::*;
use crate::{
    test_fixture::{ALL, NOON, StoreFixture, later},
    testing::{TestStore, on_both},
};

/// Bytes that are stored once.
fn large(first: u8) -> Vec<u8> {
    vec![first; 5000]
}

/// An entry with a log line, so that all that is counted is there.
fn entry(at: Timestamp, input: Record, output: Record) -> NewJournalEntry {
    NewJournalEntry {
        kind: EntryKind::Decide,
        at,
        plugin: Some(PluginName::built_in("canary")),
        revision: Some(Digest::of(b"canary")),
        input_digest: Some(Digest::of(&input)),
        input,
        output,
        fuel: 3,
        peak_memory: None,
        limits: None,
        duration: Duration::from_nanos(5),
        outcome: "proceed".into(),
        explain: vec!["zu heiß".into()],
        log: vec!["é".into()],
        applied: true,
    }
}

/// An entry of a plugin that keeps this state.
fn keeping(at: Timestamp, state: u8, decision: &str) -> NewJournalEntry {
    let (input, output) = (format!("of {}", at.0), decision.to_owned());
    let record = |text: String| Record::with_state(text.into_bytes(), &large(state));
    entry(at, record(input), record(output))
}

async fn append(fixture: &StoreFixture<'_>, entries: &[NewJournalEntry]) -> anyhow::Result<()> {
    append_to(fixture, fixture.run, entries).await
}

async fn append_to(
    fixture: &StoreFixture<'_>,
    run: RunRef,
    entries: &[NewJournalEntry],
) -> anyhow::Result<()> {
    let store = fixture.store();
    let fence = store.lease(run, "us", NOON, NOON).await?;
    let mut outcome = fixture.noop_for(run).await?;
    outcome.journal = entries.to_vec();
    let applied = store.apply(run, fence.context("a lease")?, outcome);
    anyhow::ensure!(applied.await?, "the entries are not applied");
    Ok(())
}

async fn number(store: &TestStore, sql: &str) -> anyhow::Result<u64> {
    let mut tx = store.database.read_single().await?;
    let row = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(store.ours.0);
    let number: i64 = row.fetch_one(tx.conn()).await?.try_get(0)?;
    Ok(number.unsigned_abs())
}

async fn contents(store: &TestStore) -> anyhow::Result<u64> {
    let sql = "SELECT COUNT(*) FROM journal_contents WHERE tenant_id = $1";
    number(store, sql).await
}

/// Compares the bytes of each campaign and of the tenant with those that the tables have.
async fn check_bytes(store: &TestStore) -> anyhow::Result<u64> {
    let entries = "SELECT CAST(COALESCE(SUM(256 + OCTET_LENGTH(input) + OCTET_LENGTH(output) + OCTET_LENGTH(explain) \
         + COALESCE(OCTET_LENGTH(log), 0)), 0) AS BIGINT) FROM journal WHERE tenant_id = $1";
    let contents = "SELECT CAST(COALESCE(SUM(256 + OCTET_LENGTH(content)), 0) AS BIGINT) FROM journal_contents \
         WHERE tenant_id = $1";
    let kept = "SELECT CAST(SUM(journal_bytes) AS BIGINT) FROM campaign_runs WHERE tenant_id = $1";
    let counted = number(store, entries).await? + number(store, contents).await?;
    assert_eq!(number(store, kept).await?, counted);
    let stats = store.stats(store.ours, NOON, None).await?;
    assert_eq!(stats.journal_bytes, counted);
    Ok(counted)
}

on_both! {
    async fn equal_states_and_answers_of_a_campaign_are_stored_once(store) {
        let fixture = StoreFixture::new(store, &[1]).await?;
        let mut entries: Vec<_> = (0..6).map(|n| keeping(later(n), 7, "go on")).collect();
        // An answer that was refused has no state apart.
        let refused = Record::whole(large(9));
        entries.extend((6..9).map(|n| entry(later(n), Record::whole(b"of".to_vec()), refused.clone())));
        for entry in &entries {
            append(&fixture, std::slice::from_ref(entry)).await?;
        }
        assert_eq!(contents(store).await?, 2);
        assert!(check_bytes(store).await? < 2 * 5256 + 9 * 500);
        // Others share nothing.
        let other = fixture.start_another_campaign(later(1)).await?;
        append_to(&fixture, other, &entries[..1]).await?;
        assert_eq!(contents(store).await?, 3);
        check_bytes(store).await?;

        let (ours, id) = (store.ours, fixture.campaign());
        for (seq, written) in (1..).zip(&entries) {
            let read = store.recorded_call(ours, id, seq).await?.context("an entry")?;
            assert_eq!((&read.input[..], &read.output[..]), (&written.input[..], &written.output[..]));
            assert_eq!(read.entry.input_digest, written.input_digest);
            assert_eq!(store.next_recorded_call(ours, id, seq - 1).await?.as_ref(), Some(&read));
            assert_eq!(store.recorded_call(store.theirs, id, seq).await?, None);
        }
    }

    async fn each_part_of_a_record_may_be_large(store) {
        let fixture = StoreFixture::new(store, &[1]).await?;
        let parts = [Vec::new(), b"small".to_vec(), large(1), large(2)];
        let mut entries = Vec::new();
        for text in &parts {
            for state in &parts {
                let record = Record::with_state(text.clone(), state);
                entries.push(entry(NOON, record.clone(), Record::default()));
                entries.push(entry(NOON, Record::default(), record));
            }
        }
        append(&fixture, &entries).await?;
        assert_eq!(contents(store).await?, 2);
        check_bytes(store).await?;
        for (seq, written) in (1..).zip(&entries) {
            let read = store.recorded_call(store.ours, fixture.campaign(), seq).await?.context("an entry")?;
            assert_eq!((&read.input[..], &read.output[..]), (&written.input[..], &written.output[..]));
        }
    }

    async fn a_content_that_is_missing_is_an_error(store) {
        let fixture = StoreFixture::new(store, &[1]).await?;
        append(&fixture, &[keeping(NOON, 7, "go on")]).await?;
        let mut tx = store.database.write().await?;
        sqlx::query("DELETE FROM journal_contents").execute(tx.conn()).await?;
        tx.commit().await?;
        let read = store.recorded_call(store.ours, fixture.campaign(), 1).await;
        let Err(StoreError::Internal { source, .. }) = read else {
            panic!("{read:?}")
        };
        assert!(source.to_string().contains("input_state"), "{source}");
    }

    async fn old_entries_are_removed_and_the_others_stay_whole(store) {
        let fixture = StoreFixture::new(store, &[1]).await?;
        let other = fixture.start_another_campaign(later(1)).await?;
        let entries: Vec<_> = (0..10).map(|n| keeping(later(n), (n / 4) as u8, "go on")).collect();
        append(&fixture, &entries).await?;
        append_to(&fixture, other, &entries[5..]).await?;
        let before = check_bytes(store).await?;
        assert_eq!(contents(store).await?, 3 + 2);

        // Up to four at a time, of one campaign.
        let cutoff = later(7);
        let mut removed = Vec::new();
        loop {
            let batch = store.remove_old_entries(cutoff, 4).await?;
            removed.push(batch);
            check_bytes(store).await?;
            if batch == 0 {
                break;
            }
        }
        assert_eq!(removed, [4, 3, 2, 0]);
        assert!(check_bytes(store).await? < before);
        // The state of the first four entries is gone; the others are those of entries that stay.
        assert_eq!(contents(store).await?, 2 + 2);

        let (ours, id) = (store.ours, fixture.campaign());
        assert_eq!(store.last_removed_entry(ours, id).await?, 7);
        assert_eq!(store.last_removed_entry(store.theirs, id).await?, 0);
        assert_eq!(store.recorded_call(ours, id, 7).await?, None);
        let left = store.journal(ours, id, 0, ALL).await?;
        let seqs: Vec<_> = left.items.iter().map(|entry| entry.seq).collect();
        assert_eq!((seqs, left.total), (vec![8, 9, 10], 3));
        let page = PageRequest { limit: 1, offset: 1 };
        let page = store.journal(ours, id, 3, page).await?;
        assert_eq!((page.items[0].seq, page.total), (9, 3));
        let (mut after, mut read) = (0, Vec::new());
        while let Some(call) = store.next_recorded_call(ours, id, after).await? {
            let written = &entries[call.entry.seq as usize - 1];
            assert_eq!((&call.input[..], &call.output[..]), (&written.input[..], &written.output[..]));
            after = call.entry.seq;
            read.push(after);
        }
        assert_eq!(read, [8, 9, 10]);

        // The numbers go on, also after the last one is gone.
        while store.remove_old_entries(later(99), 4).await? > 0 {}
        assert_eq!((check_bytes(store).await?, contents(store).await?), (0, 0));
        assert_eq!(store.journal(ours, id, 0, ALL).await?.total, 0);
        append(&fixture, &entries[..1]).await?;
        let all = store.journal(ours, id, 0, ALL).await?;
        assert_eq!((all.items[0].seq, all.total), (11, 1));
        assert_eq!(store.remove_old_entries(NOON, 4).await?, 0);
        assert_eq!(store.remove_old_entries(later(1), 4).await?, 1);
    }

    async fn an_entry_that_is_older_than_the_one_before_waits_for_it(store) {
        let fixture = StoreFixture::new(store, &[1]).await?;
        append(&fixture, &[keeping(later(5), 1, "late"), keeping(NOON, 1, "early")]).await?;
        assert_eq!(store.remove_old_entries(later(3), 9).await?, 0);
        assert_eq!(store.remove_old_entries(later(6), 9).await?, 2);
    }

    async fn a_long_journal_is_read_and_removed_in_parts(store) {
        let fixture = StoreFixture::new(store, &[1]).await?;
        append(&fixture, &[keeping(NOON, 7, "go on")]).await?;
        repeat_entry(store, fixture.campaign(), ENTRIES).await?;
        let (ours, id) = (store.ours, fixture.campaign());

        let started = Instant::now();
        let page = |offset| PageRequest { limit: 500, offset };
        for (after, offset, seq) in [(0, 0, 1), (0, ENTRIES - 500, ENTRIES - 499), (ENTRIES as i64 - 10, 5, ENTRIES - 4)] {
            let page = store.journal(ours, id, after, page(offset)).await?;
            let total = ENTRIES - after.unsigned_abs();
            assert_eq!((page.items[0].seq, page.total), (seq as i64, total));
        }
        check_time("3 pages", started, 10);
        // As a replay reads it.
        let started = Instant::now();
        let mut after = ENTRIES as i64 - 300;
        while let Some(call) = store.next_recorded_call(ours, id, after).await? {
            after = call.entry.seq;
            assert_eq!(call.output, [b"go on".to_vec(), large(7)].concat());
        }
        assert_eq!(after, ENTRIES as i64);
        check_time("300 calls", started, 300);

        let started = Instant::now();
        let mut batches = 0;
        loop {
            let removed = store.remove_old_entries(later(1), 500).await?;
            if removed == 0 {
                break;
            }
            assert_eq!(removed, 500);
            batches += 1;
        }
        assert_eq!(batches, ENTRIES / 500);
        check_time("the removal", started, 2 * batches);
        assert_eq!((check_bytes(store).await?, contents(store).await?), (0, 0));
    }
}

/// The length of a long journal: a month of a decision every 25 seconds.
const ENTRIES: u64 = 100_000;

/// Checks how long parts of a long journal took. A tenth of a second for each is a hundred times of what they need, and less
/// than what reading all entries for each part takes.
fn check_time(what: &str, started: Instant, parts: u64) {
    let elapsed = started.elapsed();
    assert!(
        elapsed < Duration::from_millis(100 * parts),
        "{what}: {elapsed:?}"
    );
}

/// Repeats the first entry of a campaign until it has this number.
async fn repeat_entry(store: &TestStore, campaign: CampaignId, entries: u64) -> anyhow::Result<()> {
    let columns = "kind, at, plugin, revision, input_digest, fuel, duration_ns, outcome, explain, applied, input, output, \
         fuel_costs, log, input_text, input_state, output_text, output_state";
    let repeat = format!(
        "INSERT INTO journal (tenant_id, campaign_id, seq, {columns}) \
         WITH RECURSIVE numbers(n) AS (SELECT CAST(2 AS BIGINT) UNION ALL SELECT n + 1 FROM numbers WHERE n < $3) \
         SELECT tenant_id, campaign_id, n, {columns} FROM numbers CROSS JOIN journal \
         WHERE tenant_id = $1 AND campaign_id = $2 AND seq = 1"
    );
    let size = "SELECT CAST(256 + OCTET_LENGTH(input) + OCTET_LENGTH(output) + OCTET_LENGTH(explain) \
         + OCTET_LENGTH(log) AS BIGINT) FROM journal WHERE tenant_id = $1";
    let size = number(store, size).await?;
    let mut tx = store.database.write().await?;
    for sql in [
        repeat.as_str(),
        "UPDATE journal_contents SET last_seq = $3 WHERE tenant_id = $1 AND campaign_id = $2",
        "UPDATE campaign_runs SET journal_seq = $3 WHERE tenant_id = $1 AND campaign_id = $2",
    ] {
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(store.ours.0)
            .bind(campaign.0)
            .bind(to_i64(entries))
            .execute(tx.conn())
            .await?;
    }
    let more = to_i64((entries - 1) * size);
    for sql in [
        "UPDATE campaign_runs SET journal_bytes = journal_bytes + $2 WHERE tenant_id = $1",
        "UPDATE tenant_counters SET value = value + $2 WHERE tenant_id = $1 AND kind = 'journal_bytes'",
    ] {
        sqlx::query(sql)
            .bind(store.ours.0)
            .bind(more)
            .execute(tx.conn())
            .await?;
    }
    tx.commit().await?;
    Ok(())
}
