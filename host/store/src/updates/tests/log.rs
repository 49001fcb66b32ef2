use tidegate_core::{
    Named as _,
    feedback::{Execution, Finished},
    id::UpdateId,
    log::{LogLine, LogSource, MAX_LINES},
    update::UpdateEvent,
};
use tidegate_engine::ports::{DeviceReport, Logs as _, ReportedLines, Updates as _};

use super::*;

fn report(fixture: &StoreFixture<'_>, update: Option<UpdateId>, lines: &[&str]) -> DeviceReport {
    report_of(fixture, update, LogSource::Device, lines)
}

fn report_of(
    fixture: &StoreFixture<'_>,
    update: Option<UpdateId>,
    source: LogSource,
    lines: &[&str],
) -> DeviceReport {
    let lines = ReportedLines {
        update,
        source,
        lines: lines.iter().map(|line| (*line).to_owned()).collect(),
    };
    DeviceReport {
        tenant: fixture.tenant,
        device: fixture.devices[0],
        by: None,
        read_at: None,
        at: later(2),
        event: DeviceEvent::Log(lines),
    }
}

fn texts(lines: &[LogLine]) -> Vec<(u64, &'static str, &str)> {
    let lines = lines.iter();
    lines
        .map(|line| (line.number, line.source.as_str(), line.text.as_str()))
        .collect()
}

on_both! {
    async fn feedback_messages_and_log_lines_share_one_log(store) {
        let fixture = StoreFixture::new(store, &[2]).await?;
        let lines = report(&fixture, None, &["too early"]);
        assert!(matches!(store.report(lines).await, Err(RecordError::NotFound)));
        fixture.release(&[1]).await?;
        let key = fixture.devices[0];
        let id = fixture.latest_update(key).await?.update.id;
        let event = |text| UpdateEvent::Feedback(feedback(Execution::Proceeding, Finished::None, text));
        fixture.record_event(key, event("one"), later(1)).await??;
        let (first, last) = (&["two", "three\0"], &["five"]);
        let recorded = store.report(report(&fixture, None, first)).await?;
        assert_eq!((recorded.changes_update, recorded.view.open.map(|open| open.id)), (false, Some(id)));
        fixture.record_event(key, event("four"), later(3)).await??;
        fixture.record_event(key, event("four"), later(3)).await??;
        store.report(report(&fixture, None, last)).await?;

        let log = store.log(fixture.tenant, id, 0, 100).await?;
        let expected = [
            (1, "feedback", "one"),
            (2, "device", "two"),
            (3, "device", "three\u{fffd}"),
            (4, "feedback", "four"),
            (5, "device", "five"),
        ];
        assert_eq!((texts(&log.lines), log.total), (expected.to_vec(), 5));
        assert_eq!(log.lines[1].at, later(2));
        for (after, limit, numbers) in [(2, 2, 2..4), (4, 100, 4..5), (5, 100, 5..5), (0, 1, 0..1)] {
            let part = store.log(fixture.tenant, id, after, limit).await?;
            assert_eq!(texts(&part.lines), expected[numbers], "{after} {limit}");
        }
        assert_eq!(store.log(store.theirs, id, 0, 100).await?, tidegate_engine::ports::Log::default());

        fixture.report_success(key, later(9)).await?;
        let late = store.report(report(&fixture, None, &["late"])).await;
        assert!(matches!(late, Err(RecordError::NotFound)), "it has no current update");
        let late = report_of(&fixture, Some(id), LogSource::Host, &["a line after the end"]);
        store.report(late).await?;
        assert_eq!(store.log(fixture.tenant, id, 6, 9).await?.lines[0].source, LogSource::Host);
        let foreign = DeviceReport { device: fixture.devices[1], ..report(&fixture, Some(id), &["x"]) };
        assert!(matches!(store.report(foreign).await, Err(RecordError::NotFound)));
    }

    async fn feedback_without_messages_updates_the_phase_and_adds_a_log_line(store) {
        let fixture = StoreFixture::new(store, &[1]).await?;
        fixture.release(&[1]).await?;
        let key = fixture.devices[0];
        let made = fixture.latest_update(key).await?.update;
        assert_eq!((made.state.phase, made.state.code), (None, None));
        let wordless = |execution, code| {
            let mut feedback = feedback(execution, Finished::None, "");
            feedback.messages.clear();
            feedback.code = code;
            UpdateEvent::Feedback(feedback)
        };
        for (execution, code, moves, expected) in [
            (Execution::Proceeding, None, true, None),
            (Execution::Rejected, Some(42), false, Some(42)),
            (Execution::Rejected, Some(42), false, Some(42)),
            (Execution::Rejected, None, false, Some(42)),
            (Execution::Proceeding, Some(-7), false, Some(-7)),
        ] {
            let recorded = fixture.record_event(key, wordless(execution, code), later(1)).await??;
            assert_eq!(recorded.changes_update, moves, "{execution:?} {code:?}");
            let state = fixture.latest_update(key).await?.update.state;
            assert_eq!((state.phase, state.code), (Some(execution), expected));
        }
        let log = store.log(fixture.tenant, made.id, 0, 100).await?;
        let expected = [
            (1, "feedback", "rejected, code 42"),
            (2, "feedback", "rejected"),
            (3, "feedback", "proceeding, code -7"),
        ];
        assert_eq!((texts(&log.lines), log.total), (expected.to_vec(), 3));
        let history = store.history(fixture.tenant, made.id, 10).await?;
        assert_eq!(history.len(), 4);
        assert!(history.iter().all(|row| row.feedback.messages.is_empty()));
    }

    async fn only_the_newest_lines_are_kept(store) {
        let fixture = StoreFixture::new(store, &[1]).await?;
        fixture.release(&[1]).await?;
        let id = fixture.latest_update(fixture.devices[0]).await?.update.id;
        let thousand: Vec<String> = (0..1000).map(|n| format!("line {n}")).collect();
        let thousand: Vec<&str> = thousand.iter().map(String::as_str).collect();
        for _ in 0..3 {
            store.report(report(&fixture, None, &thousand)).await?;
        }
        store.report(report(&fixture, None, &["the last"])).await?;
        let log = store.log(fixture.tenant, id, 0, 5000).await?;
        assert_eq!((log.total, log.lines.len() as u64), (3001, MAX_LINES));
        assert_eq!(log.lines[0].number, 3001 - MAX_LINES + 1);
        assert_eq!(log.lines.last().map(|line| line.text.as_str()), Some("the last"));
        let mut tx = store.database.read().await?;
        let sql = "SELECT COUNT(*) AS n FROM update_log WHERE tenant_id = $1";
        let row = sqlx::query(sql).bind(fixture.tenant.0).fetch_one(tx.conn()).await?;
        assert_eq!(sqlx::Row::try_get::<i64, _>(&row, "n")?, 3, "the first thousand lines were deleted");
    }
}
