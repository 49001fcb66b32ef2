//! The log of a test, for assertions about events, spans and SQL statements.

mod statements;

pub use statements::{count_commits, record_statements};

use std::{
    io,
    sync::{Arc, LazyLock},
    time::Duration,
};

use parking_lot::Mutex;
use serde_json::Value;
use tokio::{sync::Notify, time::timeout};
use tracing::{
    Dispatch, Level, Subscriber,
    subscriber::{DefaultGuard, NoSubscriber},
};
use tracing_subscriber::fmt::format::FmtSpan;

/// tracing caches which events are enabled. If the process has a single subscriber, it asks that of the current thread,
/// and threads of other tests have none; so there is a second one.
static SECOND_SUBSCRIBER: LazyLock<Dispatch> =
    LazyLock::new(|| Dispatch::new(NoSubscriber::default()));

/// Makes this the subscriber of the current thread until the guard is dropped.
pub fn set_default(subscriber: impl Subscriber + Send + Sync) -> DefaultGuard {
    LazyLock::force(&SECOND_SUBSCRIBER);
    tracing::subscriber::set_default(subscriber)
}

/// Maximum time to wait for spans.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// The log of the current thread, which is the only one of a `#[tokio::test]`: events, and spans when they end.
pub struct CapturedLog {
    bytes: SharedBuffer,
    _guard: DefaultGuard,
}

#[derive(Clone, Default)]
struct SharedBuffer(Arc<(Mutex<Vec<u8>>, Notify)>);

impl io::Write for SharedBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (all, written) = &*self.0;
        let mut all = all.lock();
        all.extend_from_slice(bytes);
        written.notify_one();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl CapturedLog {
    /// Captures the log of the level `info` until it is dropped.
    pub fn start() -> Self {
        Self::start_at(Level::INFO)
    }

    /// Captures the log of this level until it is dropped.
    pub fn start_at(level: Level) -> Self {
        let bytes = SharedBuffer::default();
        let writer = bytes.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_max_level(level)
            .with_span_events(FmtSpan::CLOSE)
            .with_writer(move || writer.clone())
            .finish();
        Self {
            bytes,
            _guard: set_default(subscriber),
        }
    }

    /// The events with this message, as JSON: their fields, `level`, `target`, and the current `span`.
    pub fn events(&self, message: &str) -> Vec<Value> {
        let bytes = self.bytes.0.0.lock();
        let bytes = bytes;
        bytes
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice::<Value>(line).expect("a line is JSON"))
            .filter(|line| line["message"] == message)
            .collect()
    }

    /// The fields of the first spans with this name, in the order in which they ended. Waits until this many have ended:
    /// a thread of the database may hold a span for a moment longer than its work.
    pub async fn ended_spans(&self, name: &str, count: usize) -> Vec<Value> {
        let has_ended = async {
            loop {
                let ends = self.events("close").into_iter();
                let spans = ends.map(|mut end| end["span"].take());
                let spans: Vec<_> = spans.filter(|span| span["name"] == name).collect();
                if spans.len() >= count {
                    return spans;
                }
                self.bytes.0.1.notified().await;
            }
        };
        let ended = timeout(MAX_WAIT, has_ended).await;
        ended.unwrap_or_else(|_| panic!("{count} spans `{name}` did not end"))
    }
}
