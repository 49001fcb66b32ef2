//! Files that are stored before it is known whether they are kept.

use std::collections::HashMap;

use tokio::sync::Mutex;

use crate::{
    Engine, Error, Result,
    ports::{ByteStream, PutError, Stored},
};

/// Files that requests of this host hold. Two requests may bring the same bytes at once: what one of them stored is not
/// deleted while the other holds it, nor when the other kept it.
#[derive(Default)]
pub struct HeldFiles(Mutex<HashMap<[u8; 32], Held>>);

#[derive(Default)]
struct Held {
    by: usize,
    /// Whether one of the holders brought the bytes; else they were there before.
    is_new: bool,
    is_kept: bool,
}

/// What becomes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Something refers to it now.
    Kept,
    /// Nobody needs it, unless it was there before.
    Refused,
}

/// Stores a file as it arrives, and holds it until [`let_go`].
pub(crate) async fn take(engine: &Engine, body: ByteStream, max_bytes: u64) -> Result<Stored> {
    let stored = engine
        .ports
        .artifacts
        .put(body, max_bytes)
        .await
        .map_err(of_put)?;
    let sha256 = stored.hashes.sha256;
    let mut files = engine.held_files.0.lock().await;
    if !stored.is_new && !is_there(engine, sha256).await? {
        // Whoever had brought it gave it up between our storing it and our holding it.
        let message = "the same file was deleted at the same moment; send it again".to_owned();
        return Err(Error::Unavailable { message });
    }
    let held = files.entry(sha256).or_default();
    held.by += 1;
    held.is_new |= stored.is_new;
    Ok(stored)
}

/// Lets go of a file; the last holder deletes what nobody kept and nobody had before.
pub(crate) async fn let_go(engine: &Engine, sha256: [u8; 32], fate: Fate) {
    let mut files = engine.held_files.0.lock().await;
    let Some(held) = files.get_mut(&sha256) else {
        return;
    };
    held.by -= 1;
    held.is_kept |= fate == Fate::Kept;
    if held.by > 0 {
        return;
    }
    let is_unwanted = held.is_new && !held.is_kept;
    files.remove(&sha256);
    if is_unwanted && let Err(error) = engine.ports.artifacts.delete(sha256).await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "delete a refused file"
        );
    }
}

async fn is_there(engine: &Engine, sha256: [u8; 32]) -> Result<bool> {
    let opened = engine.ports.artifacts.open(sha256, 0..0).await;
    Ok(opened
        .map_err(|error| Error::internal("open artifact", error))?
        .is_some())
}

fn of_put(error: PutError) -> Error {
    let message = error.to_string();
    match error {
        PutError::TooLarge(_) => Error::TooLarge { message },
        PutError::Body(_) => Error::invalid("upload_broken", "", message),
        PutError::Store(source) => Error::internal("store artifact", source),
    }
}
