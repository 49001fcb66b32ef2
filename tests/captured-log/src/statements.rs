//! Records SQL statements, from the events that sqlx logs.

use std::{
    collections::HashSet,
    fmt::Debug,
    sync::Once,
    thread::{self, ThreadId},
};

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tracing::{
    Event, Instrument as _, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id},
};
use tracing_subscriber::{
    Layer, Registry,
    filter::filter_fn,
    layer::{Context, SubscriberExt as _},
    registry::LookupSpan,
};

/// The span in which statements are recorded.
const SPAN: &str = "record_statements";
/// The spans of batches: what several requests ask for is done in a task of its own.
const BATCH_SPANS: [&str; 2] = ["group_commit", "group_read"];
/// The target of sqlx's events.
const TARGET: &str = "sqlx::query";

const COMMIT: &str = "COMMIT";
/// Statements that control transactions and set up new connections. How many there are depends on the pool.
const CONTROL: [&str; 5] = ["BEGIN", COMMIT, "ROLLBACK", "PRAGMA", "SET "];

static RECORDINGS: Mutex<Vec<StatementRecording>> = Mutex::new(Vec::new());

struct StatementRecording {
    /// The thread of the test, which runs its batches too.
    thread: ThreadId,
    /// The open spans whose statements are recorded.
    spans: HashSet<u64>,
    statements: Vec<String>,
    finished: oneshot::Sender<Vec<String>>,
}

/// Runs a future and returns the statements that it executed, without `CONTROL`, and those of the batches that begin
/// meanwhile on this thread, which is the only one of a `#[tokio::test]`.
pub async fn record_statements<T>(future: impl Future<Output = T>) -> (T, Vec<String>) {
    let (output, mut statements) = record(future).await;
    let is_control = |statement: &String| CONTROL.iter().any(|word| statement.starts_with(word));
    statements.retain(|statement| !is_control(statement));
    (output, statements)
}

/// Runs a future and returns the number of transactions that it committed. Each waits for the disk.
pub async fn count_commits<T>(future: impl Future<Output = T>) -> (T, usize) {
    let (output, statements) = record(future).await;
    let commits = statements.iter().filter(|statement| **statement == COMMIT);
    (output, commits.count())
}

/// Records all statements of a future. SQLite's connections log a statement in their own thread, and may do so after its
/// result was read; therefore a recording ends when its spans are closed everywhere.
async fn record<T>(future: impl Future<Output = T>) -> (T, Vec<String>) {
    static INSTALL: Once = Once::new();

    INSTALL.call_once(|| {
        let is_needed = filter_fn(|metadata| {
            let is_span = metadata.name() == SPAN || BATCH_SPANS.contains(&metadata.name());
            metadata.target() == TARGET || is_span
        });
        let subscriber = Registry::default().with(StatementLayer.with_filter(is_needed));
        tracing::subscriber::set_global_default(subscriber).expect("the only subscriber");
    });
    let span = tracing::debug_span!(parent: None, SPAN);
    let id = span.id().expect("the span is enabled").into_u64();
    let (finished, statements) = oneshot::channel();
    RECORDINGS.lock().push(StatementRecording {
        thread: thread::current().id(),
        spans: HashSet::from([id]),
        statements: Vec::new(),
        finished,
    });
    let output = future.instrument(span).await;
    (output, statements.await.expect("the spans are closed"))
}

struct StatementLayer;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for StatementLayer {
    fn on_new_span(&self, span: &Attributes<'_>, id: &Id, _: Context<'_, S>) {
        if BATCH_SPANS.contains(&span.metadata().name()) {
            let thread = thread::current().id();
            let mut recordings = RECORDINGS.lock();
            let of_test = recordings.iter_mut().find(|open| open.thread == thread);
            if let Some(recording) = of_test {
                recording.spans.insert(id.into_u64());
            }
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let Some(span) = context.event_span(event) else {
            return;
        };
        let mut statement = Statement::default();
        event.record(&mut statement);
        let id = span.id().into_u64();
        let mut recordings = RECORDINGS.lock();
        let of_span = recordings.iter_mut().find(|open| open.spans.contains(&id));
        if let Some(recording) = of_span {
            recording.statements.push(statement.0);
        }
    }

    fn on_close(&self, id: Id, _: Context<'_, S>) {
        let mut recordings = RECORDINGS.lock();
        let of_span = recordings
            .iter()
            .position(|open| open.spans.contains(&id.into_u64()));
        let Some(index) = of_span else {
            return;
        };
        recordings[index].spans.remove(&id.into_u64());
        if recordings[index].spans.is_empty() {
            let recording = recordings.swap_remove(index);
            // The test may have been cancelled.
            let _ = recording.finished.send(recording.statements);
        }
    }
}

/// The text of a statement: `summary`, or `db.statement` if the summary leaves something out.
#[derive(Default)]
struct Statement(String);

impl Visit for Statement {
    fn record_str(&mut self, field: &Field, value: &str) {
        let is_whole = field.name() == "db.statement" && !value.is_empty();
        if field.name() == "summary" || is_whole {
            value.trim().clone_into(&mut self.0);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}
