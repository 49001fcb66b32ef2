//! `ArtifactStore` in a folder and in memory.

use std::{io, path::Path, sync::Arc};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use rustix::fs::{Advice, fadvise};
use tidegate_artifacts::ArtifactStore;
use tidegate_core::id::Digest;
use tidegate_engine::{
    plugins::RestoredComponents,
    ports::{Artifacts, ByteStream, ComponentSource, FileContent, PutError},
};
use tidegate_faults::SmallDisk;

type TestResult = Result<(), Box<dyn std::error::Error>>;

fn body(pieces: &[&'static [u8]]) -> ByteStream {
    let pieces: Vec<io::Result<Bytes>> = pieces
        .iter()
        .map(|piece| Ok(Bytes::from_static(piece)))
        .collect();
    stream::iter(pieces).boxed()
}

fn interrupted(pieces: u32, piece: &'static [u8]) -> ByteStream {
    stream::iter(0..pieces)
        .map(move |_| Ok(Bytes::from_static(piece)))
        .chain(stream::iter([Err(io::Error::other("gone"))]))
        .boxed()
}

async fn read(store: &ArtifactStore, sha256: [u8; 32], range: std::ops::Range<u64>) -> Vec<u8> {
    let stream = store.open(sha256, range).await.expect("opens");
    let pieces = stream.expect("is there").try_collect::<Vec<_>>().await;
    pieces.expect("reads").concat()
}

/// Receives a file and publishes it. Returns whether the store did not have it.
async fn put(
    store: &ArtifactStore,
    body: ByteStream,
    max_bytes: u64,
) -> Result<(FileContent, bool), PutError> {
    let received = store.receive(body, max_bytes).await?;
    let content = received.content();
    Ok((content, received.publish().await?))
}

/// All files below a folder except the lock.
fn files(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).expect("lists").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(name) = path.strip_prefix(folder) {
                names.push(name.display().to_string());
            }
        }
    }
    names.retain(|name| name != "lock");
    names.sort();
    names
}

async fn stores_and_returns_files(store: ArtifactStore) -> TestResult {
    let (stored, is_new) = put(&store, body(&[b"abc", b"", b"def"]), 6).await?;
    assert_eq!((stored.size, is_new), (6, true));
    assert_eq!(stored.hashes.sha256, Digest::of(b"abcdef").0);
    assert_eq!(
        hex::encode(stored.hashes.sha1),
        "1f8ac10f23c5b5bc1167bda84b833e5c057a77d2"
    );
    assert_eq!(
        hex::encode(stored.hashes.md5),
        "e80b5017098950fc58aad83c8c14978e"
    );
    let (again, is_new) = put(&store, body(&[b"abcdef"]), 6).await?;
    assert_eq!((again.hashes, is_new), (stored.hashes, false));

    let sha256 = stored.hashes.sha256;
    assert_eq!(read(&store, sha256, 0..6).await, b"abcdef");
    assert_eq!(read(&store, sha256, 2..4).await, b"cd");
    assert_eq!(read(&store, sha256, 3..3).await, b"");
    assert!(store.open([7; 32], 0..6).await?.is_none());
    assert!(store.open([7; 32], 0..0).await?.is_none());
    assert!(store.open(sha256, 0..7).await.is_err());

    assert!(store.is_intact(sha256, 6).await?);
    let missing = store.is_intact([7; 32], 6).await;
    assert_eq!(
        missing.map_err(|error| error.kind()),
        Err(io::ErrorKind::NotFound)
    );

    let digest = Digest(sha256);
    assert_eq!(
        store.component(digest).await?.as_deref(),
        Some(&b"abcdef"[..])
    );
    store.delete(sha256).await?;
    store.delete(sha256).await?;
    assert!(store.open(sha256, 0..6).await?.is_none());
    assert_eq!(store.component(digest).await?, None);

    let (empty, _) = put(&store, body(&[]), 0).await?;
    assert_eq!(read(&store, empty.hashes.sha256, 0..0).await, b"");
    Ok(())
}

#[tokio::test]
async fn a_folder_store_stores_and_returns_files() -> TestResult {
    let folder = tempfile::tempdir()?;
    stores_and_returns_files(ArtifactStore::open_folder(folder.path()).await?).await
}

#[tokio::test]
async fn a_memory_store_stores_and_returns_files() -> TestResult {
    stores_and_returns_files(ArtifactStore::in_memory()).await
}

#[tokio::test]
async fn refused_or_interrupted_uploads_leave_no_files() -> TestResult {
    static PIECE: [u8; 1 << 20] = [1; 1 << 20];
    let folder = tempfile::tempdir()?;
    let store = ArtifactStore::open_folder(folder.path()).await?;
    let refused = put(&store, body(&[b"abc", b"def"]), 5).await;
    assert!(matches!(refused, Err(PutError::TooLarge(5))));
    let refused = put(&store, interrupted(12, &PIECE), u64::MAX).await;
    assert!(matches!(refused, Err(PutError::Body(_))));
    assert_eq!(files(folder.path()), Vec::<String>::new());

    // A client that disconnects drops the future.
    let (sender, receiver) = futures::channel::mpsc::unbounded::<io::Result<Bytes>>();
    sender.unbounded_send(Ok(Bytes::from_static(&PIECE)))?;
    let mut receiving = store.receive(receiver.boxed(), u64::MAX);
    assert!(futures::poll!(&mut receiving).is_pending());
    while files(folder.path()).is_empty() {
        assert!(futures::poll!(&mut receiving).is_pending());
        tokio::task::yield_now().await;
    }
    drop(receiving);
    while !files(folder.path()).is_empty() {
        tokio::task::yield_now().await;
    }
    Ok(())
}

#[tokio::test]
async fn an_upload_that_does_not_fit_the_disk_leaves_no_files() -> TestResult {
    static PIECE: [u8; 1 << 20] = [1; 1 << 20];
    let Some(disk) = SmallDisk::mount(8 << 20)? else {
        return Ok(());
    };
    let folder = disk.path().join("artifacts");
    let store = ArtifactStore::open_folder(&folder).await?;
    for pieces in [12, 7] {
        let pieces = stream::iter(0..pieces).map(|_| Ok(Bytes::from_static(&PIECE)));
        disk.fill(6 << 20)?;
        let refused = put(&store, pieces.boxed(), u64::MAX).await;
        assert!(matches!(refused, Err(PutError::NoSpace(_))), "{refused:?}");
        assert_eq!(files(&folder), Vec::<String>::new());
    }
    // Not even a folder fits.
    disk.fill(0)?;
    let refused = put(&store, body(&[b"small"]), u64::MAX).await;
    assert!(matches!(refused, Err(PutError::NoSpace(_))), "{refused:?}");
    assert_eq!(files(&folder), Vec::<String>::new());

    disk.free()?;
    assert_eq!(put(&store, body(&[b"small"]), u64::MAX).await?.0.size, 5);
    Ok(())
}

#[tokio::test]
async fn only_one_concurrent_upload_of_equal_bytes_is_new() -> TestResult {
    let folder = tempfile::tempdir()?;
    let store = ArtifactStore::open_folder(folder.path()).await?;
    let puts = (0..8).map(|_| put(&store, body(&[b"same"]), 4));
    let stored = futures::future::try_join_all(puts).await?;
    assert_eq!(stored.iter().filter(|(_, is_new)| *is_new).count(), 1);
    assert_eq!(files(folder.path()).len(), 1);
    Ok(())
}

#[tokio::test]
async fn leftovers_are_removed_by_the_only_process() -> TestResult {
    let folder = tempfile::tempdir()?;
    let first = ArtifactStore::open_folder(folder.path()).await?;
    let (stored_file, _) = put(&first, body(&[b"kept"]), 4).await?;
    let leftover = folder.path().join("incoming/0/9#1");
    std::fs::write(&leftover, b"half")?;

    let second = ArtifactStore::open_folder(folder.path()).await?;
    assert!(
        leftover.exists(),
        "the first process may still be writing it"
    );
    drop((first, second));
    let third = ArtifactStore::open_folder(folder.path()).await?;
    assert!(!leftover.exists());
    assert_eq!(read(&third, stored_file.hashes.sha256, 0..4).await, b"kept");
    Ok(())
}

#[tokio::test]
async fn large_files_are_read_in_chunks() -> TestResult {
    static PIECE: [u8; 100_003] = [7; 100_003];
    let folder = tempfile::tempdir()?;
    let store = ArtifactStore::open_folder(folder.path()).await?;
    let pieces = stream::iter(0..70_u8).map(|number| {
        let mut piece = PIECE.to_vec();
        piece[0] = number;
        Ok(Bytes::from(piece))
    });
    let (stored, _) = put(&store, pieces.boxed(), u64::MAX).await?;
    assert_eq!(stored.size, 7_000_210);
    let whole = read(&store, stored.hashes.sha256, 0..stored.size).await;
    assert_eq!(Digest::of(&whole).0, stored.hashes.sha256);
    let part = read(&store, stored.hashes.sha256, 1_000_000..4_000_001).await;
    assert_eq!(part, whole[1_000_000..4_000_001]);

    // As after a restart of the machine.
    for name in files(folder.path()) {
        let file = std::fs::File::open(folder.path().join(name))?;
        fadvise(file, 0, None, Advice::DontNeed)?;
    }
    let again = read(&store, stored.hashes.sha256, 0..stored.size).await;
    assert!(again == whole);
    Ok(())
}

#[test]
fn the_memory_of_a_download_does_not_grow_with_the_file() -> TestResult {
    static PIECE: [u8; 1 << 20] = [7; 1 << 20];
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let folder = tempfile::tempdir()?;
    let store = runtime.block_on(ArtifactStore::open_folder(folder.path()))?;
    let pieces = stream::iter(0..32).map(|_| Ok(Bytes::from_static(&PIECE)));
    let (stored, _) = runtime.block_on(put(&store, pieces.boxed(), u64::MAX))?;
    let mut read = Ok(0);
    let allocations = allocation_counter::measure(|| {
        read = runtime.block_on(async {
            let stream = store.open(stored.hashes.sha256, 0..stored.size).await?;
            let count = async |sum, chunk: Bytes| Ok(sum + chunk.len() as u64);
            stream.expect("is there").try_fold(0, count).await
        });
    });
    assert_eq!(read?, 32 << 20);
    assert!(allocations.bytes_total < 1 << 20, "{allocations:?}");
    Ok(())
}

#[tokio::test]
async fn corrupted_components_are_refused() -> TestResult {
    let folder = tempfile::tempdir()?;
    let store = ArtifactStore::open_folder(folder.path()).await?;
    put(&store, body(&[b"component"]), 9).await?;
    for file in files(folder.path()) {
        std::fs::write(folder.path().join(file), b"compxnent")?;
    }
    assert!(store.component(Digest::of(b"component")).await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_damaged_file_is_repaired_by_another_upload_of_it() -> TestResult {
    let folder = tempfile::tempdir()?;
    let store = ArtifactStore::open_folder(folder.path()).await?;
    let (stored, _) = put(&store, body(&[b"firmware"]), 8).await?;
    let sha256 = stored.hashes.sha256;
    let names = files(folder.path());
    for damaged in [&b"firm"[..], b"", b"firmwxre", b"firmware and more"] {
        let mut reading = store.open(sha256, 0..8).await?.expect("the file");
        std::fs::write(folder.path().join(&names[0]), damaged)?;
        if damaged.len() == 8 {
            assert!(!store.is_intact(sha256, 8).await?);
        }
        let (again, is_new) = put(&store, body(&[b"firmware"]), 8).await?;
        assert_eq!((again, is_new), (stored, false));
        assert_eq!(read(&store, sha256, 0..8).await, b"firmware");
        assert_eq!(files(folder.path()), names, "nothing else is left");
        // A download that began before goes on with the file that it opened.
        assert!(reading.next().await.is_some());
    }
    Ok(())
}

#[tokio::test]
async fn a_file_that_is_not_published_leaves_nothing_behind() -> TestResult {
    let folder = tempfile::tempdir()?;
    let store = ArtifactStore::open_folder(folder.path()).await?;
    let received = store.receive(body(&[b"abc"]), 3).await?;
    assert_eq!(received.content().size, 3);
    let sha256 = received.content().hashes.sha256;
    assert!(store.open(sha256, 0..3).await?.is_none());
    drop(received);
    while !files(folder.path()).is_empty() {
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// A component whose file is missing or damaged is stored again from a folder of plugins that has the same one.
#[tokio::test]
async fn a_component_is_restored_from_the_folders_of_plugins() -> TestResult {
    let root = tempfile::tempdir()?;
    let folder = tempfile::tempdir()?;
    let component: &[u8] = b"a component";
    std::fs::write(folder.path().join("other.wasm"), b"another component")?;
    std::fs::write(folder.path().join("renamed.wasm"), component)?;
    let store = Arc::new(ArtifactStore::open_folder(root.path()).await?);
    let folders = vec![root.path().join("absent"), folder.path().to_owned()];
    let source = RestoredComponents::new(Arc::clone(&store) as _, Arc::clone(&store) as _, folders);
    let digest = Digest::of(component);
    let stored = async || ComponentSource::component(&*store, digest).await;
    assert_eq!(stored().await?, None);
    assert_eq!(source.component(digest).await?.as_deref(), Some(component));
    assert_eq!(stored().await?.as_deref(), Some(component));

    let digits = hex::encode(digest.0);
    let damaged = root.path().join("sha256").join(&digits[..2]).join(&digits);
    std::fs::write(&damaged, b"a componenT")?;
    assert_eq!(source.component(digest).await?.as_deref(), Some(component));
    assert_eq!(std::fs::read(&damaged)?, component);

    std::fs::remove_file(damaged)?;
    std::fs::remove_file(folder.path().join("renamed.wasm"))?;
    assert_eq!(source.component(digest).await?, None);
    Ok(())
}
