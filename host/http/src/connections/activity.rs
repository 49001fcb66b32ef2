use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures::task::AtomicWaker;
use tokio::time::Instant;

/// What a connection does. Its own task records it, without a lock; the accounting of all connections reads it.
pub(crate) struct Activity {
    /// The zero of the times of this connection.
    epoch: Instant,
    /// What the connection waits for while it has no open request: a [`AwaitedInput`], and since when.
    waiting: AtomicU64,
    /// Requests whose responses are not sent yet.
    open: AtomicU32,
    /// Those among them whose bodies are not received yet.
    receiving: AtomicU32,
    /// When the last of these bodies began.
    receiving_since: AtomicU64,
    /// Responses of which the client has not taken what was handed over last.
    sending: AtomicU32,
    /// When the last of these parts was handed over.
    sending_since: AtomicU64,
    /// Since when the socket takes no more bytes, or [`NOT_STALLED`].
    write_stalled_since: AtomicU64,
    /// Number of all requests.
    requests: AtomicU32,
    /// HTTP/2: bytes that arrive between requests need not be the head of one.
    is_multiplexed: AtomicBool,
    /// How its task is asked to close it, a [`CloseMode`].
    closing: AtomicU8,
    closing_since: AtomicU64,
    task: AtomicWaker,
    address: Arc<AddressUse>,
}

/// The socket takes bytes.
const NOT_STALLED: u64 = u64::MAX;
/// Requests that arrive later than this after the server asked to close a connection do not keep it open. HTTP/2 lets a
/// client go on sending until it has read the server's GOAWAY frame, and a hostile one never does.
const REQUESTS_AFTER_CLOSE: Duration = Duration::from_secs(1);

/// The use of one client address.
#[derive(Debug, Default)]
pub(super) struct AddressUse {
    /// Connections on which a request is incomplete: its head, or its body.
    pub(super) incomplete: AtomicUsize,
}

/// What a connection without an open request waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AwaitedInput {
    /// Its first request.
    First = 0,
    /// The rest of a further request's head.
    Head = 1,
    /// A further request.
    Next = 2,
}

/// How a connection is asked to close.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum CloseMode {
    No = 0,
    /// After the open requests.
    Gracefully = 1,
    /// At once, unless a request that was received whole is open.
    Now = 2,
}

/// What a connection does at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConnectionPhase {
    /// A request was received whole, and its response is not sent yet.
    Busy,
    /// No request was received yet, or only a part of a head.
    Head { since: u64 },
    /// All open requests lack a part of their bodies.
    Body { since: u64 },
    /// The client does not read: it has taken nothing of its responses since then.
    Stalled { since: u64 },
    /// There is no request.
    Idle { since: u64 },
}

impl Activity {
    pub(super) fn new(epoch: Instant, address: Arc<AddressUse>) -> Self {
        address.incomplete.fetch_add(1, Ordering::Relaxed);
        Self {
            epoch,
            waiting: AtomicU64::new(pack(AwaitedInput::First, millis_since(epoch))),
            open: AtomicU32::new(0),
            receiving: AtomicU32::new(0),
            receiving_since: AtomicU64::new(0),
            sending: AtomicU32::new(0),
            sending_since: AtomicU64::new(0),
            write_stalled_since: AtomicU64::new(NOT_STALLED),
            requests: AtomicU32::new(0),
            is_multiplexed: AtomicBool::new(false),
            closing: AtomicU8::new(CloseMode::No as u8),
            closing_since: AtomicU64::new(0),
            task: AtomicWaker::new(),
            address,
        }
    }

    /// The activity of a connection that no accounting knows.
    #[cfg(test)]
    pub(crate) fn unshared() -> Arc<Self> {
        Arc::new(Self::new(Instant::now(), Arc::default()))
    }

    #[cfg(test)]
    pub(crate) fn stalled_since(&self) -> Option<u64> {
        match self.phase() {
            ConnectionPhase::Stalled { since } => Some(since),
            _ => None,
        }
    }

    /// A request whose head was received. It is open until the guard is dropped.
    pub(crate) fn begin_request(self: &Arc<Self>, is_multiplexed: bool) -> OpenRequest {
        if is_multiplexed && self.ignores_requests() {
            return OpenRequest(None);
        }
        self.open.fetch_add(1, Ordering::Relaxed);
        // The task of the connection is the only one that counts.
        let requests = self.requests.load(Ordering::Relaxed);
        self.requests
            .store(requests.wrapping_add(1), Ordering::Relaxed);
        if is_multiplexed {
            self.is_multiplexed.store(true, Ordering::Relaxed);
        }
        let (waiting, since) = unpack(self.waiting.load(Ordering::Relaxed));
        if waiting != AwaitedInput::Next {
            self.set_waiting(AwaitedInput::Next, since);
        }
        OpenRequest(Some(Arc::clone(self)))
    }

    /// Whether the client should have noticed that the connection is closing.
    fn ignores_requests(&self) -> bool {
        if self.closing() == CloseMode::No {
            return false;
        }
        let since = self.closing_since.load(Ordering::Relaxed);
        let age = millis_since(self.epoch).saturating_sub(since);
        Duration::from_millis(age) > REQUESTS_AFTER_CLOSE
    }

    /// A body that is being received, until the guard is dropped.
    pub(crate) fn begin_body(self: &Arc<Self>) -> ReceivingBody {
        if self.receiving.fetch_add(1, Ordering::Relaxed) == 0 {
            self.address.incomplete.fetch_add(1, Ordering::Relaxed);
        }
        let now = millis_since(self.epoch);
        self.receiving_since.store(now, Ordering::Relaxed);
        ReceivingBody(Arc::clone(self))
    }

    /// Records that the socket takes no more bytes.
    pub(crate) fn note_write_stalled(&self) {
        let now = millis_since(self.epoch);
        self.write_stalled_since.store(now, Ordering::Relaxed);
    }

    /// Records that the socket takes bytes again.
    pub(crate) fn note_write_progress(&self) {
        self.write_stalled_since
            .store(NOT_STALLED, Ordering::Relaxed);
    }

    /// Records that a part of a further request's head has arrived.
    pub(crate) fn note_partial_head(&self) {
        let (waiting, _) = unpack(self.waiting.load(Ordering::Relaxed));
        let is_open = self.open.load(Ordering::Relaxed) > 0;
        if waiting == AwaitedInput::Next && !is_open && !self.is_multiplexed.load(Ordering::Relaxed)
        {
            self.set_waiting(AwaitedInput::Head, millis_since(self.epoch));
        }
    }

    /// Number of requests so far.
    pub(crate) fn requests(&self) -> u32 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Runs a future of the connection's task. `None`: the connection has to close at once. `close_gracefully` is called
    /// once if it has to close after its open requests.
    pub(crate) async fn run<F: Future>(
        &self,
        mut future: Pin<&mut F>,
        close_gracefully: impl Fn(Pin<&mut F>),
    ) -> Option<F::Output> {
        let mut is_closing = false;
        std::future::poll_fn(|cx| {
            match self.poll_closing(cx) {
                CloseMode::No => {}
                CloseMode::Now if self.phase() != ConnectionPhase::Busy => {
                    return Poll::Ready(None);
                }
                CloseMode::Gracefully | CloseMode::Now => {
                    if !is_closing {
                        is_closing = true;
                        close_gracefully(future.as_mut());
                    }
                }
            }
            future.as_mut().poll(cx).map(Some)
        })
        .await
    }

    fn poll_closing(&self, cx: &mut Context<'_>) -> CloseMode {
        self.task.register(cx.waker());
        self.closing()
    }

    /// Asks the connection's task to close it. True if it was not asked before.
    pub(super) fn close(&self, how: CloseMode) -> bool {
        let before = self.closing.fetch_max(how as u8, Ordering::AcqRel);
        if before == CloseMode::No as u8 {
            let now = millis_since(self.epoch);
            self.closing_since.store(now, Ordering::Relaxed);
        }
        // Again for one that should be closed already: it may have been answering when it was asked, and its task sleeps
        // once its client stops reading.
        if before < how as u8 || how == CloseMode::Now {
            self.task.wake();
        }
        before == CloseMode::No as u8
    }

    pub(super) fn closing(&self) -> CloseMode {
        match self.closing.load(Ordering::Acquire) {
            0 => CloseMode::No,
            1 => CloseMode::Gracefully,
            _ => CloseMode::Now,
        }
    }

    /// For how long a connection that was asked to close has had nothing to do; none if it has or was not asked.
    pub(super) fn closing_without_request(&self, now: u64) -> Option<Duration> {
        if self.closing() == CloseMode::No {
            return None;
        }
        let (ConnectionPhase::Head { .. } | ConnectionPhase::Idle { .. }) = self.phase() else {
            return None;
        };
        let (_, since) = unpack(self.waiting.load(Ordering::Relaxed));
        let since = since.max(self.closing_since.load(Ordering::Relaxed));
        Some(Duration::from_millis(now.saturating_sub(since)))
    }

    pub(super) fn phase(&self) -> ConnectionPhase {
        let open = self.open.load(Ordering::Relaxed);
        let (waiting, waiting_since) = unpack(self.waiting.load(Ordering::Relaxed));
        let stalled_since = self.write_stalled_since.load(Ordering::Relaxed);
        // A TLS handshake in which the client reads nothing belongs to the first head.
        if stalled_since != NOT_STALLED && (open > 0 || waiting == AwaitedInput::Next) {
            // Whatever its requests are: no response reaches the client.
            return ConnectionPhase::Stalled {
                since: stalled_since,
            };
        }
        let receiving = self.receiving.load(Ordering::Relaxed);
        let sending = self.sending.load(Ordering::Relaxed);
        if open > receiving + sending {
            return ConnectionPhase::Busy;
        }
        if sending > 0 {
            let since = self.sending_since.load(Ordering::Relaxed);
            return ConnectionPhase::Stalled { since };
        }
        if receiving > 0 {
            let since = self.receiving_since.load(Ordering::Relaxed);
            return ConnectionPhase::Body { since };
        }
        let since = waiting_since;
        match waiting {
            AwaitedInput::Next => ConnectionPhase::Idle { since },
            AwaitedInput::First | AwaitedInput::Head => ConnectionPhase::Head { since },
        }
    }

    pub(super) fn address(&self) -> &Arc<AddressUse> {
        &self.address
    }

    fn set_waiting(&self, waiting: AwaitedInput, since: u64) {
        let was = self.waiting.swap(pack(waiting, since), Ordering::Relaxed);
        let was_incomplete = unpack(was).0 != AwaitedInput::Next;
        let incomplete = &self.address.incomplete;
        match (was_incomplete, waiting != AwaitedInput::Next) {
            (true, false) => {
                incomplete.fetch_sub(1, Ordering::Relaxed);
            }
            (false, true) => {
                incomplete.fetch_add(1, Ordering::Relaxed);
            }
            (true, true) | (false, false) => {}
        }
    }
}

impl Drop for Activity {
    fn drop(&mut self) {
        self.set_waiting(AwaitedInput::Next, 0);
    }
}

/// A request whose response is not sent yet. None: it came after the connection should have been closed.
pub(crate) struct OpenRequest(Option<Arc<Activity>>);

impl OpenRequest {
    /// A part of the response's body was handed over to the connection. The client has not taken it until the guard is
    /// dropped.
    pub(crate) fn begin_send(&self) -> Option<SendingPart> {
        let activity = self.0.as_ref()?;
        let now = millis_since(activity.epoch);
        activity.sending_since.store(now, Ordering::Relaxed);
        activity.sending.fetch_add(1, Ordering::Relaxed);
        Some(SendingPart(Arc::clone(activity)))
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        let Some(activity) = &self.0 else {
            return;
        };
        let now = millis_since(activity.epoch);
        activity.set_waiting(AwaitedInput::Next, now);
        activity.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A part of a response's body that the client has not taken.
pub(crate) struct SendingPart(Arc<Activity>);

impl Drop for SendingPart {
    fn drop(&mut self) {
        self.0.sending.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A body of which a part is missing.
pub(crate) struct ReceivingBody(Arc<Activity>);

impl Drop for ReceivingBody {
    fn drop(&mut self) {
        if self.0.receiving.fetch_sub(1, Ordering::Relaxed) == 1 {
            let incomplete = &self.0.address.incomplete;
            incomplete.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Milliseconds from `epoch` to now.
pub(super) fn millis_since(epoch: Instant) -> u64 {
    epoch.elapsed().as_millis() as u64
}

fn pack(waiting: AwaitedInput, since: u64) -> u64 {
    since << 2 | waiting as u64
}

fn unpack(packed: u64) -> (AwaitedInput, u64) {
    let waiting = match packed & 3 {
        0 => AwaitedInput::First,
        1 => AwaitedInput::Head,
        _ => AwaitedInput::Next,
    };
    (waiting, packed >> 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_has_the_connections_whose_requests_are_incomplete() {
        let usage = Arc::<AddressUse>::default();
        let incomplete = || usage.incomplete.load(Ordering::Relaxed);
        let activity = Arc::new(Activity::new(Instant::now(), Arc::clone(&usage)));
        assert_eq!(incomplete(), 1, "it is open");
        let first = activity.begin_request(false);
        assert_eq!((incomplete(), activity.phase()), (0, ConnectionPhase::Busy));
        drop(first);
        assert!(matches!(activity.phase(), ConnectionPhase::Idle { .. }));

        activity.note_partial_head();
        assert!(matches!(activity.phase(), ConnectionPhase::Head { .. }));
        assert_eq!(incomplete(), 1, "a part of a head");
        let second = activity.begin_request(false);
        assert_eq!(incomplete(), 0);
        let body = activity.begin_body();
        assert!(matches!(activity.phase(), ConnectionPhase::Body { .. }));
        assert_eq!(incomplete(), 1, "a part of a body");
        activity.note_partial_head();
        assert_eq!(incomplete(), 1, "a body is no head");
        drop(body);
        assert_eq!((incomplete(), activity.phase()), (0, ConnectionPhase::Busy));
        drop(second);

        // HTTP/2: one connection counts once.
        let requests = [activity.begin_request(true), activity.begin_request(true)];
        let bodies = [activity.begin_body(), activity.begin_body()];
        assert_eq!(incomplete(), 1);
        let third = activity.begin_request(true);
        assert_eq!(activity.phase(), ConnectionPhase::Busy);
        drop((third, bodies, requests));
        activity.note_partial_head();
        assert_eq!(incomplete(), 0, "a window update is no head");

        let other = Activity::new(Instant::now(), Arc::clone(&usage));
        assert_eq!(incomplete(), 1);
        drop((other, activity));
        assert_eq!(incomplete(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_nothing_is_not_being_answered() {
        let activity = Activity::unshared();
        activity.note_write_stalled();
        assert_eq!(activity.phase(), ConnectionPhase::Head { since: 0 });
        activity.note_write_progress();
        let request = activity.begin_request(false);
        tokio::time::advance(Duration::from_millis(5)).await;
        let part = request.begin_send();
        assert_eq!(activity.phase(), ConnectionPhase::Stalled { since: 5 });
        // The client takes it, and the next part takes time to make.
        drop(part);
        assert_eq!(activity.phase(), ConnectionPhase::Busy);
        tokio::time::advance(Duration::from_millis(5)).await;
        let part = request.begin_send();
        assert_eq!(activity.phase(), ConnectionPhase::Stalled { since: 10 });
        // HTTP/2: another request is being answered.
        let other = activity.begin_request(true);
        assert_eq!(activity.phase(), ConnectionPhase::Busy);
        drop((other, part, request));
        assert!(matches!(activity.phase(), ConnectionPhase::Idle { .. }));

        // HTTP/1: the client sends requests and reads none of their responses.
        let pipelined = activity.begin_request(false);
        activity.note_write_stalled();
        assert_eq!(activity.phase(), ConnectionPhase::Stalled { since: 10 });
        drop(pipelined);
        assert_eq!(activity.phase(), ConnectionPhase::Stalled { since: 10 });
        activity.note_write_progress();
        assert!(matches!(activity.phase(), ConnectionPhase::Idle { .. }));
    }

    #[tokio::test(start_paused = true)]
    async fn requests_that_come_long_after_the_close_do_not_keep_a_connection() {
        let activity = Activity::unshared();
        let before = activity.begin_request(true);
        activity.close(CloseMode::Gracefully);
        let soon = activity.begin_request(true);
        tokio::time::advance(REQUESTS_AFTER_CLOSE + Duration::from_millis(1)).await;
        let late = activity.begin_request(true);
        drop(before);
        assert_eq!(activity.phase(), ConnectionPhase::Busy);
        drop(soon);
        assert!(matches!(activity.phase(), ConnectionPhase::Idle { .. }));
        drop(late);
        assert!(matches!(activity.phase(), ConnectionPhase::Idle { .. }));
    }

    #[tokio::test]
    async fn a_connection_that_is_being_answered_closes_afterwards() {
        for (is_busy, how, expected) in [
            (false, CloseMode::Now, None),
            (false, CloseMode::Gracefully, Some(true)),
            (true, CloseMode::Now, Some(true)),
            (true, CloseMode::Gracefully, Some(true)),
            (true, CloseMode::No, Some(false)),
        ] {
            let activity = Activity::unshared();
            let request = is_busy.then(|| activity.begin_request(false));
            activity.close(how);
            let gracefully = AtomicBool::new(false);
            let answered = std::pin::pin!(std::future::ready(()));
            let ended = activity.run(answered, |_| gracefully.store(true, Ordering::Relaxed));
            let ended = ended.await.map(|()| gracefully.load(Ordering::Relaxed));
            assert_eq!(ended, expected, "{is_busy} {how:?}");
            drop(request);
        }
    }
}
