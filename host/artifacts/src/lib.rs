//! Storage for artifacts: firmware files and plugin components, in a folder (the default) or another object store.
//!
//! An object is named by the SHA-256 of its content, `sha256/ab/abcdef...`, and immutable. It is written to
//! `incoming/` first and renamed when it is complete and synced, so that an existing name always refers to the
//! complete content.

mod byte_stream;
mod folder_session;
mod hasher;
mod store;

pub use store::ArtifactStore;
