//! Records the SQL statements of a request, from the events that sqlx logs.

use std::{collections::HashMap, fmt::Debug, sync::Once};

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tracing::{
    Event, Instrument as _, Subscriber,
    field::{Field, Visit},
    span::Id,
};
use tracing_subscriber::{
    Layer, Registry,
    filter::filter_fn,
    layer::{Context, SubscriberExt as _},
    registry::LookupSpan,
};

/// The span in which statements are recorded.
const SPAN: &str = "record_statements";
/// The target of sqlx's events.
const TARGET: &str = "sqlx::query";

/// Statements that control transactions and set up new connections. How many there are depends on the pool.
const CONTROL: [&str; 5] = ["BEGIN", "COMMIT", "ROLLBACK", "PRAGMA", "SET "];

/// Open recordings by the id of their span.
static RECORDINGS: Mutex<Option<HashMap<u64, StatementRecording>>> = Mutex::new(None);

struct StatementRecording {
    statements: Vec<String>,
    finished: oneshot::Sender<Vec<String>>,
}

/// Runs a future and returns the statements that it executed, without [`CONTROL`]. SQLite's connections log a
/// statement in their own thread, and may do so after its result was read; therefore a recording ends when its span is
/// closed everywhere.
pub(crate) async fn record_statements<T>(future: impl Future<Output = T>) -> (T, Vec<String>) {
    static INSTALL: Once = Once::new();

    INSTALL.call_once(|| {
        let is_needed =
            filter_fn(|metadata| metadata.target() == TARGET || metadata.name() == SPAN);
        let subscriber = Registry::default().with(StatementLayer.with_filter(is_needed));
        tracing::subscriber::set_global_default(subscriber).expect("the only subscriber");
    });
    let span = tracing::debug_span!(parent: None, SPAN);
    let id = span.id().expect("the span is enabled").into_u64();
    let (finished, statements) = oneshot::channel();
    let recording = StatementRecording {
        statements: Vec::new(),
        finished,
    };
    with_recordings(|recordings| recordings.insert(id, recording));
    let output = future.instrument(span).await;
    (output, statements.await.expect("the span is closed"))
}

fn with_recordings<T>(change: impl FnOnce(&mut HashMap<u64, StatementRecording>) -> T) -> T {
    let mut recordings = RECORDINGS.lock();
    change(recordings.get_or_insert_default())
}

struct StatementLayer;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for StatementLayer {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let Some(span) = context.event_span(event) else {
            return;
        };
        let mut statement = Statement::default();
        event.record(&mut statement);
        if CONTROL.iter().any(|word| statement.0.starts_with(word)) {
            return;
        }
        with_recordings(|recordings| {
            if let Some(recording) = recordings.get_mut(&span.id().into_u64()) {
                recording.statements.push(statement.0);
            }
        });
    }

    fn on_close(&self, id: Id, _: Context<'_, S>) {
        let recording = with_recordings(|recordings| recordings.remove(&id.into_u64()));
        if let Some(recording) = recording {
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
