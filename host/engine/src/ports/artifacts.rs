use std::{io, ops::Range};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use tidegate_core::firmware::Hashes;

/// A stream of chunks of a file.
pub type ByteStream = BoxStream<'static, io::Result<Bytes>>;

/// Content store for firmware files and plugin components, keyed by the sha256 of their bytes.
#[async_trait]
pub trait Artifacts: Send + Sync {
    /// Receives a file, and hashes it on the way. It is not in the store until it is published. A refused or aborted
    /// upload leaves nothing behind.
    async fn receive(
        &self,
        body: ByteStream,
        max_bytes: u64,
    ) -> Result<Box<dyn ReceivedFile>, PutError>;

    /// Reads a range of a file. `None`: the file does not exist. Memory use does not depend on the file's size.
    async fn open(&self, sha256: [u8; 32], range: Range<u64>) -> io::Result<Option<ByteStream>>;

    /// Whether a file of this size has the content of its name. Reads it whole, in constant memory.
    async fn is_intact(&self, sha256: [u8; 32], size: u64) -> io::Result<bool>;

    /// Deletes a file. A missing file is no error.
    async fn delete(&self, sha256: [u8; 32]) -> io::Result<()>;
}

/// A whole file that is not in the store yet. It is deleted if it is dropped.
#[async_trait]
pub trait ReceivedFile: Send + Sync {
    /// Its size and hashes.
    fn content(&self) -> FileContent;

    /// Puts it into the store, in place of a file of the same name, which may be damaged. Returns whether there was none.
    async fn publish(self: Box<Self>) -> Result<bool, PutError>;
}

/// The content of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileContent {
    /// Size in bytes.
    pub size: u64,
    /// Hashes of the content.
    pub hashes: Hashes,
}

/// Why a file was not stored.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// The file exceeds the limit in bytes.
    #[error("the file is larger than {0} bytes")]
    TooLarge(u64),
    /// The upload was aborted or malformed.
    #[error("the upload was aborted: {0}")]
    Body(#[source] io::Error),
    /// The disk of the artifact store, or its quota, is full.
    #[error("the artifact store has no space left: {0}")]
    NoSpace(#[source] io::Error),
    /// The artifact store failed.
    #[error("the artifact store failed: {0}")]
    Store(#[source] io::Error),
}
