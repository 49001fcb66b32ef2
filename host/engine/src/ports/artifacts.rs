use std::{io, ops::Range};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use tidegate_core::firmware::Hashes;

/// Bytes as they come.
pub type ByteStream = BoxStream<'static, io::Result<Bytes>>;

/// Files of firmware, and components of plugins, by the sha256 of their bytes.
#[async_trait]
pub trait Artifacts: Send + Sync {
    /// Stores a file as it arrives, hashing it on the way. What is refused or broken off leaves nothing behind.
    async fn put(&self, body: ByteStream, max_bytes: u64) -> Result<StoredFile, PutError>;

    /// Reads a part of a file; none when there is no such file. Memory does not grow with the file.
    async fn open(&self, sha256: [u8; 32], range: Range<u64>) -> io::Result<Option<ByteStream>>;

    /// Forgets a file; one that is not there is fine.
    async fn delete(&self, sha256: [u8; 32]) -> io::Result<()>;
}

/// A file as it was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredFile {
    /// Bytes.
    pub size: u64,
    /// Of its bytes.
    pub hashes: Hashes,
    /// Whether these bytes were not there before.
    pub is_new: bool,
}

/// Why a file was not stored.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// More bytes than allowed.
    #[error("the file is larger than {0} bytes")]
    TooLarge(u64),
    /// The sender broke off or sent nonsense.
    #[error("the upload broke off: {0}")]
    Body(#[source] io::Error),
    /// The store failed.
    #[error("the artifact store failed: {0}")]
    Store(#[source] io::Error),
}
