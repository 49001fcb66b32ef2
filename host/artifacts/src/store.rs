use std::{
    error::Error,
    fs::File,
    io::{self, ErrorKind},
    ops::Range,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, TryStreamExt as _, future};
use object_store::{
    Error as ObjectError, GetOptions, GetRange, MultipartUpload, ObjectStore, ObjectStoreExt as _,
    local::LocalFileSystem, memory::InMemory, path::Path,
};
use sha2::{Digest as _, Sha256};
use tidegate_core::{firmware::Hashes, id::Digest};
use tidegate_engine::ports::{
    Artifacts, ByteStream, ComponentSource, FileContent, PutError, ReceivedFile,
};
use tokio::runtime::Handle;

use crate::{byte_stream, folder_session, hasher::FileHasher};

/// Size of an upload part: the minimum that object stores accept.
const PART_BYTES: usize = 5 << 20;

/// Content-addressed storage, with SHA-256 digests as names.
pub struct ArtifactStore {
    objects: Arc<dyn ObjectStore>,
    /// Location of incomplete uploads, exclusive to this instance.
    incoming: Path,
    next_upload: AtomicU64,
    /// While it is held, no other process removes files from `incoming`.
    _lock: Option<File>,
}

impl ArtifactStore {
    /// Opens or creates a folder. Removes incomplete files of crashed processes, unless another process uses the
    /// folder.
    pub async fn open_folder(root: impl Into<PathBuf>) -> io::Result<Self> {
        let root = root.into();
        let session =
            tokio::task::spawn_blocking(move || folder_session::open_session(&root)).await??;
        let objects = LocalFileSystem::new_with_prefix(&session.root)?.with_fsync(true);
        Ok(Self {
            objects: Arc::new(objects),
            incoming: Path::from_iter([folder_session::INCOMING, &session.name]),
            next_upload: AtomicU64::new(0),
            _lock: Some(session.lock),
        })
    }

    /// A store in memory.
    pub fn in_memory() -> Self {
        Self {
            objects: Arc::new(InMemory::new()),
            incoming: Path::from(folder_session::INCOMING),
            next_upload: AtomicU64::new(0),
            _lock: None,
        }
    }
}

#[async_trait]
impl Artifacts for ArtifactStore {
    async fn receive(
        &self,
        body: ByteStream,
        max_bytes: u64,
    ) -> Result<Box<dyn ReceivedFile>, PutError> {
        let number = self.next_upload.fetch_add(1, Ordering::Relaxed);
        let at = self.incoming.clone().join(number.to_string());
        let mut upload = self.objects.put_multipart(&at).await.map_err(put_failed)?;
        let (size, hashes) = match write(body, max_bytes, &mut *upload).await {
            Ok(written) => written,
            Err(error) => {
                // Report why the upload failed, not a failed cleanup.
                let _ = upload.abort().await;
                return Err(error);
            }
        };
        let pending = PendingFile {
            objects: Arc::clone(&self.objects),
            object_path: at,
            content: FileContent { size, hashes },
            is_published: false,
        };
        upload.complete().await.map_err(put_failed)?;
        Ok(Box::new(pending))
    }

    async fn open(&self, sha256: [u8; 32], range: Range<u64>) -> io::Result<Option<ByteStream>> {
        let name = object_path(sha256);
        if range.is_empty() {
            let object = optional(self.objects.head(&name).await)?;
            return Ok(object.map(|_| futures::stream::empty().boxed()));
        }
        let options = GetOptions {
            range: Some(GetRange::Bounded(range.clone())),
            ..GetOptions::default()
        };
        let Some(object) = optional(self.objects.get_opts(&name, options).await)? else {
            return Ok(None);
        };
        if object.range != range {
            let message = format!("{name} ends at byte {}", object.meta.size);
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
        }
        Ok(Some(byte_stream::from_object(object)))
    }

    async fn is_intact(&self, sha256: [u8; 32], size: u64) -> io::Result<bool> {
        let mut bytes = self
            .open(sha256, 0..size)
            .await?
            .ok_or(ErrorKind::NotFound)?;
        let mut hasher = Sha256::new();
        while let Some(chunk) = bytes.try_next().await? {
            hasher = tokio::task::spawn_blocking(move || hasher.chain_update(&chunk)).await?;
        }
        Ok(hasher.finalize()[..] == sha256)
    }

    async fn delete(&self, sha256: [u8; 32]) -> io::Result<()> {
        optional(self.objects.delete(&object_path(sha256)).await)?;
        Ok(())
    }
}

#[async_trait]
impl ComponentSource for ArtifactStore {
    async fn component(&self, digest: Digest) -> io::Result<Option<Bytes>> {
        let Some(object) = optional(self.objects.get(&object_path(digest.0)).await)? else {
            return Ok(None);
        };
        let bytes = object.bytes().await?;
        if Digest::of(&bytes) != digest {
            let message = format!("the content stored as {digest} is corrupted");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        Ok(Some(bytes))
    }
}

/// Writes and hashes a body. Holds one part in memory, which is hashed while it is written.
async fn write(
    mut body: ByteStream,
    max_bytes: u64,
    upload: &mut dyn MultipartUpload,
) -> Result<(u64, Hashes), PutError> {
    let mut hasher = FileHasher::default();
    let mut size = 0_u64;
    let mut buffer = BytesMut::new();
    while let Some(bytes) = body.next().await {
        let bytes = bytes.map_err(PutError::Body)?;
        size = size.saturating_add(bytes.len() as u64);
        if size > max_bytes {
            return Err(PutError::TooLarge(max_bytes));
        }
        buffer.extend_from_slice(&bytes);
        while buffer.len() >= PART_BYTES {
            hasher = write_part(buffer.split_to(PART_BYTES).freeze(), hasher, upload).await?;
        }
    }
    if !buffer.is_empty() {
        hasher = write_part(buffer.freeze(), hasher, upload).await?;
    }
    Ok((size, hasher.finish()))
}

async fn write_part(
    part: Bytes,
    hasher: FileHasher,
    upload: &mut dyn MultipartUpload,
) -> Result<FileHasher, PutError> {
    let hash_task = tokio::task::spawn_blocking({
        let part = part.clone();
        move || hasher.with(&part)
    });
    let (joined, written) = future::join(hash_task, upload.put_part(part.into())).await;
    written.map_err(put_failed)?;
    joined.map_err(|error| PutError::Store(error.into()))
}

/// Tells a full disk from other failures. The libraries wrap the error of the operating system.
fn put_failed(error: impl Into<io::Error>) -> PutError {
    let error = error.into();
    let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
    while let Some(current) = cause {
        let kind = current.downcast_ref().map(io::Error::kind);
        if let Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge) =
            kind
        {
            return PutError::NoSpace(error);
        }
        // The source of an `io::Error` is the one of the error that it wraps.
        let wrapped = current.downcast_ref().and_then(io::Error::get_ref);
        cause = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => current.source(),
        };
    }
    PutError::Store(error)
}

/// A complete file that has no final name yet. It is deleted if it is dropped before that.
struct PendingFile {
    objects: Arc<dyn ObjectStore>,
    object_path: Path,
    content: FileContent,
    is_published: bool,
}

#[async_trait]
impl ReceivedFile for PendingFile {
    fn content(&self) -> FileContent {
        self.content
    }

    /// Renames it to its final name. What has that name already is the same file, or a damaged one. Requests that read
    /// it are not affected.
    async fn publish(mut self: Box<Self>) -> Result<bool, PutError> {
        let name = object_path(self.content.hashes.sha256);
        let (objects, from) = (&self.objects, &self.object_path);
        let is_new = match objects.rename_if_not_exists(from, &name).await {
            Ok(()) => true,
            Err(ObjectError::AlreadyExists { .. }) => {
                objects.rename(from, &name).await.map_err(put_failed)?;
                false
            }
            Err(error) => return Err(put_failed(error)),
        };
        self.is_published = true;
        Ok(is_new)
    }
}

impl Drop for PendingFile {
    fn drop(&mut self) {
        if self.is_published {
            return;
        }
        let (objects, object_path) = (Arc::clone(&self.objects), self.object_path.clone());
        // Without a runtime the process is ending; the next one removes the file.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move { objects.delete(&object_path).await });
        }
    }
}

fn object_path(sha256: [u8; 32]) -> Path {
    let digits = hex::encode(sha256);
    Path::from_iter(["sha256", &digits[..2], &digits])
}

/// Maps a missing object to `None`.
fn optional<T>(answer: Result<T, ObjectError>) -> io::Result<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(ObjectError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
