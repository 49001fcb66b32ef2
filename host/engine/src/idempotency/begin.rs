use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::{KEPT, ROOM, Running, seal};
use crate::{
    Engine, Error, Result,
    ports::{KnownRequest, NewRequest, Progress, Reserved, Ticket},
    tenants::Actor,
};

/// What becomes of a request with a key.
pub enum Begun {
    /// It is new, and reserved: do it.
    New(Running),
    /// It was done before: this was answered.
    Repeated(Vec<u8>),
}

/// Begins a request that its client named with `key`; `fingerprint` is of what it asks. The key is the client's own: the
/// same one of another tenant, user or role is another key.
///
/// # Errors
///
/// A conflict `request_in_progress` while it is being done, `request_interrupted` when nobody knows how far it came,
/// `answer_not_kept` when the answer was too large; invalid, `idempotency_key_reused`, when the key stands for another
/// request.
pub async fn begin(
    engine: &Arc<Engine>,
    actor: &Actor,
    key: &str,
    fingerprint: [u8; 32],
) -> Result<Begun> {
    let now = engine.now();
    let mut salt = [0; 16];
    engine.ports.entropy.fill(&mut salt);
    let digest = digest(actor, key);
    let ticket = Ticket { digest, salt };
    let request = NewRequest {
        ticket,
        fingerprint,
        runs_until: now.plus(engine.settings.lease),
        forget_at: now.plus(KEPT),
    };
    let store = engine.store();
    match store
        .reserve_request(actor.tenant, request, ROOM, now)
        .await?
    {
        Reserved::New => {
            let engine = Arc::clone(engine);
            let running = Running::new(engine, actor.tenant, ticket, key.to_owned());
            Ok(Begun::New(running))
        }
        Reserved::There(known) if known.fingerprint != fingerprint => Err(reused()),
        Reserved::There(KnownRequest {
            progress: Progress::Answered(Some(sealed)),
            ticket,
            ..
        }) => seal::open(key, ticket, sealed).map(Begun::Repeated),
        Reserved::There(KnownRequest {
            progress: Progress::Answered(None),
            ..
        }) => Err(not_kept()),
        Reserved::There(KnownRequest {
            progress: Progress::Running(until),
            ..
        }) if until <= now => Err(interrupted()),
        Reserved::There(_) | Reserved::GivenBack => Err(in_progress()),
        Reserved::Full => Err(full()),
    }
}

/// Of who asks and of the key: it is what a request is found by.
fn digest(actor: &Actor, key: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"tidegate request");
    hash.update(actor.tenant.0.to_be_bytes());
    for text in [actor.role.as_str(), &actor.user, key] {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    }
    hash.finalize().into()
}

fn reused() -> Error {
    let message = "this key was sent with another request before; draw a new key for each request";
    Error::invalid("idempotency_key_reused", "Idempotency-Key", message)
}

fn in_progress() -> Error {
    let message =
        "the request with this key is being done at this moment; send it again for its answer";
    Error::conflict("request_in_progress", message)
}

fn interrupted() -> Error {
    let message = "a request with this key was begun, and nobody knows how far it came; look whether it was done, and \
                   if it was not, send it with another key";
    Error::conflict("request_interrupted", message)
}

fn not_kept() -> Error {
    let message = "the request with this key was done, but its answer was too large to be kept; look at what it made";
    Error::conflict("answer_not_kept", message)
}

fn full() -> Error {
    let message = format!(
        "{} requests with keys, or {} MiB of their answers, are kept already; wait until the first of them are 24 hours \
         old, or send none",
        ROOM.requests,
        ROOM.bytes >> 20
    );
    Error::TooMany { message }
}

#[cfg(test)]
mod tests {
    use tidegate_core::id::TenantId;

    use super::*;
    use crate::ports::Role;

    #[test]
    fn a_key_is_its_senders_own() {
        let actor = |tenant, user: &str, role| Actor {
            tenant: TenantId(tenant),
            user: user.to_owned(),
            role,
        };
        let one = digest(&actor(1, "maker", Role::Operator), "key");
        assert_eq!(one, digest(&actor(1, "maker", Role::Operator), "key"));
        for (other, key) in [
            (actor(2, "maker", Role::Operator), "key"),
            (actor(1, "makers", Role::Operator), "key"),
            (actor(1, "maker", Role::Admin), "key"),
            (actor(1, "maker", Role::Operator), "keys"),
            (actor(1, "make", Role::Operator), "rkey"),
        ] {
            assert_ne!(one, digest(&other, key), "{other:?} {key}");
        }
    }
}
