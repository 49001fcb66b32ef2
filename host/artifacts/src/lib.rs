//! Files of firmware and components of plugins, in a folder (the default) or another object store.
//!
//! A file is called by the sha256 of its bytes, `sha256/ab/abcdef...`, and never changes. It is written under
//! `incoming/` first and linked to its name when it is whole and on the disk, so that whoever finds a name finds all
//! of its bytes.

mod byte_stream;
mod folder_session;
mod hasher;
mod store;

pub use store::ArtifactStore;
