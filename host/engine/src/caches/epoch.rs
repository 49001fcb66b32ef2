use std::sync::atomic::{AtomicU32, Ordering};

/// The number of times that all cached entries became outdated. Entries of an earlier epoch are outdated; they are kept
/// for answers while the store cannot be read. In odd epochs the cache is suspended: every entry is outdated.
#[derive(Default)]
pub(super) struct Epoch(AtomicU32);

impl Epoch {
    pub(super) fn now(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }

    pub(super) fn is_current(&self, cached_in: u32) -> bool {
        cached_in.is_multiple_of(2) && cached_in == self.now()
    }

    /// Begins an epoch in which new entries are current.
    pub(super) fn renew(&self) {
        self.advance(|epoch| epoch + 2 - epoch % 2);
    }

    /// Like [`Self::renew`], but continues a suspension.
    pub(super) fn outdate(&self) {
        self.advance(|epoch| epoch + 2);
    }

    /// Begins a suspension, until [`Self::renew`].
    pub(super) fn suspend(&self) {
        self.advance(|epoch| epoch + 1 + epoch % 2);
    }

    fn advance(&self, next: impl Fn(u32) -> u32) {
        let update = |epoch| Some(next(epoch) % (1 << 31));
        // Never fails: the closure always returns a value.
        let _ = self
            .0
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, update);
    }
}
