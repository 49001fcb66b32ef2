//! Requests that clients name with keys of their own: each is done once, and whoever sends it again gets the same answer.
//!
//! Before a request is done it is reserved in the database, so that of several, at several hosts, one is done. While it is
//! done its host says so again and again; when the host stops saying so, nobody knows how far it came, and the key is
//! spent. An answer may hold a secret that is shown once, so it is sealed with the client's key, which is stored nowhere.

mod encrypt;
mod expire;
mod reserve;
mod running_request;

use std::time::Duration;

use crate::ports::Quota;

pub(crate) use expire::delete_expired;
pub use reserve::{Reservation, reserve};
pub use running_request::RunningRequest;

/// How long an answer is kept.
const RETENTION: Duration = Duration::from_hours(24);
/// Largest answer that is kept, in bytes: updates for ten thousand devices at once have room in it.
const MAX_RESPONSE_BYTES: usize = 4 << 20;
/// What a tenant may have kept.
const QUOTA: Quota = Quota {
    requests: 100_000,
    bytes: 256 << 20,
};
