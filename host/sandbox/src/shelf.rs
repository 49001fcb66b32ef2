//! The plugins whose code is loaded.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tidegate_core::id::Digest;

use crate::plugin::Plugin;

/// Loaded plugins by digest, at most so many; the one that was not used for longest makes room.
pub(crate) struct Shelf {
    room: usize,
    books: Mutex<Books>,
}

#[derive(Default)]
struct Books {
    by_digest: HashMap<Digest, (Plugin, u64)>,
    /// Counts uses, so that the oldest can be told.
    uses: u64,
}

impl Shelf {
    pub(crate) fn new(room: usize) -> Self {
        Self {
            room: room.max(1),
            books: Mutex::default(),
        }
    }

    pub(crate) fn get(&self, digest: Digest) -> Option<Plugin> {
        let mut books = self.lock();
        books.uses += 1;
        let now = books.uses;
        let (plugin, used) = books.by_digest.get_mut(&digest)?;
        *used = now;
        Some(plugin.clone())
    }

    pub(crate) fn put(&self, plugin: &Plugin) {
        let mut books = self.lock();
        books.uses += 1;
        let now = books.uses;
        books
            .by_digest
            .insert(plugin.digest(), (plugin.clone(), now));
        while books.by_digest.len() > self.room {
            let oldest = books.by_digest.iter().min_by_key(|(_, (_, used))| *used);
            let Some(oldest) = oldest.map(|(digest, _)| *digest) else {
                return;
            };
            books.by_digest.remove(&oldest);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Books> {
        // Nothing under the lock can leave it half done.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
