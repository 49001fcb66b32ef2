//! Requests that clients name with keys of their own: each is done once, and whoever sends it again gets the same answer.
//!
//! Before a request is done it is reserved in the database, so that of several, at several hosts, one is done. While it is
//! done its host says so again and again; when the host stops saying so, nobody knows how far it came, and the key is
//! spent. An answer may hold a secret that is shown once, so it is sealed with the client's key, which is stored nowhere.

mod begin;
mod forget;
mod running;
mod seal;

use std::time::Duration;

use crate::ports::Room;

pub use begin::{Begun, begin};
pub(crate) use forget::forget;
pub use running::Running;

/// How long an answer is kept.
const KEPT: Duration = Duration::from_hours(24);
/// Largest answer that is kept, in bytes: updates for ten thousand devices at once have room in it.
const LARGEST: usize = 4 << 20;
/// What a tenant may have kept.
const ROOM: Room = Room {
    requests: 100_000,
    bytes: 256 << 20,
};
