//! Adapters of the engine for tests.

use std::{
    io,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use parking_lot::Mutex;
use tidegate_core::{Named as _, plugin::PluginName, time::Timestamp};
use tidegate_engine::ports::{
    Artifacts, ByteStream, CallFailure, Clock, Entropy, Observer, PutError, ReceivedFile,
};

pub(crate) struct ManualClock {
    now: AtomicI64,
    is_wall_clock: AtomicBool,
}

impl ManualClock {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            now: AtomicI64::new(now.0),
            is_wall_clock: AtomicBool::new(false),
        }
    }

    pub(crate) fn advance(&self, time: Duration) {
        self.now.fetch_add(
            i64::try_from(time.as_millis()).expect("a short time"),
            Ordering::SeqCst,
        );
    }

    pub(crate) fn turn_back(&self, time: Duration) {
        let millis = i64::try_from(time.as_millis()).expect("a short time");
        self.now.fetch_sub(millis, Ordering::SeqCst);
    }

    /// From now on it counts as real time, in which servers record heartbeats.
    pub(crate) fn become_wall_clock(&self) {
        self.is_wall_clock.store(true, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.now.load(Ordering::SeqCst))
    }

    fn is_wall_clock(&self) -> bool {
        self.is_wall_clock.load(Ordering::SeqCst)
    }
}

pub(crate) type Calls = Arc<Mutex<Vec<(String, &'static str, &'static str)>>>;

pub(crate) struct CallObserver(pub(crate) Calls);

impl Observer for CallObserver {
    fn plugin_called(
        &self,
        plugin: &PluginName,
        call: &'static str,
        failure: Option<&CallFailure>,
        _: u64,
        _: Duration,
    ) {
        let outcome = failure.map_or("ok", CallFailure::as_str);
        let mut calls = self.0.lock();
        calls.push((plugin.to_string(), call, outcome));
    }
}

pub(crate) struct ZeroEntropy;

impl Entropy for ZeroEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(0);
    }
}

pub(crate) struct NoArtifacts;

#[async_trait]
impl Artifacts for NoArtifacts {
    async fn receive(
        &self,
        _: ByteStream,
        max_bytes: u64,
    ) -> Result<Box<dyn ReceivedFile>, PutError> {
        Err(PutError::TooLarge(max_bytes))
    }

    async fn open(&self, _: [u8; 32], _: Range<u64>) -> io::Result<Option<ByteStream>> {
        Ok(None)
    }

    async fn is_intact(&self, _: [u8; 32], _: u64) -> io::Result<bool> {
        Err(io::ErrorKind::NotFound.into())
    }

    async fn delete(&self, _: [u8; 32]) -> io::Result<()> {
        Ok(())
    }
}
