use sha2::{Digest as _, Sha256};
use tidegate_core::Named as _;

use super::{IdempotencyKeys, QUOTA, RETENTION, RunningRequest, encrypt};
use crate::{
    Ctx, Error, Result,
    ports::{ExistingRequest, NewRequest, RequestState, ReservationId, ReserveResult},
};

/// The result of reserving a key.
pub enum Reservation {
    /// The key is new and reserved: execute the request.
    New(RunningRequest),
    /// The request was executed before; its stored response.
    Replayed(Vec<u8>),
}

/// Reserves `key` for a request with this `fingerprint`. Keys are scoped to tenant, user and role.
///
/// # Errors
///
/// Conflicts: `request_in_progress` while the request runs, `request_interrupted` if its result is unknown,
/// `answer_not_kept` if its response was too large to store. Invalid: `idempotency_key_reused` if the key belongs to
/// another request. Too many: the tenant's quota is exhausted.
pub async fn reserve(
    ctx: &Ctx,
    keys: &IdempotencyKeys,
    key: &str,
    fingerprint: [u8; 32],
) -> Result<Reservation> {
    let now = ctx.now;
    let mut salt = [0; 16];
    keys.entropy.fill(&mut salt);
    let digest = digest(ctx, key);
    let reservation = ReservationId { digest, salt };
    let request = NewRequest {
        reservation,
        fingerprint,
        lease_until: now.plus(keys.lease),
        expires_at: now.plus(RETENTION),
    };
    match keys
        .store
        .reserve_request(ctx.tenant, request, QUOTA, now)
        .await?
    {
        ReserveResult::Reserved => {
            let running =
                RunningRequest::new(keys.clone(), ctx.tenant, reservation, key.to_owned());
            Ok(Reservation::New(running))
        }
        ReserveResult::Exists(existing) if existing.fingerprint != fingerprint => Err(key_reused()),
        ReserveResult::Exists(ExistingRequest {
            progress: RequestState::Completed(Some(encrypted)),
            reservation,
            ..
        }) => encrypt::decrypt(key, reservation, encrypted).map(Reservation::Replayed),
        ReserveResult::Exists(ExistingRequest {
            progress: RequestState::Completed(None),
            ..
        }) => Err(response_not_stored()),
        ReserveResult::Exists(ExistingRequest {
            progress: RequestState::Running(until),
            ..
        }) if until <= now => Err(interrupted()),
        ReserveResult::Exists(_) | ReserveResult::Released => Err(in_progress()),
        ReserveResult::QuotaExceeded => Err(quota_exceeded()),
    }
}

/// Identifies a request by its actor and key.
fn digest(ctx: &Ctx, key: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"tidegate request");
    hash.update(ctx.tenant.0.to_be_bytes());
    for text in [ctx.role.as_str(), &*ctx.actor.name, key] {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    }
    hash.finalize().into()
}

fn key_reused() -> Error {
    let message = "this key was used for another request; generate a new key for each request";
    Error::invalid("idempotency_key_reused", "idempotency_key", message)
}

fn in_progress() -> Error {
    let message = "the request with this key is still running; repeat it later to get its response";
    Error::conflict("request_in_progress", message)
}

fn interrupted() -> Error {
    let message = "a request with this key was interrupted and its result is unknown; check whether it took effect, and \
                   if not, repeat it with a new key";
    Error::conflict("request_interrupted", message)
}

fn response_not_stored() -> Error {
    let message = "the request with this key succeeded, but its response was too large to be stored; read the resource instead";
    Error::conflict("answer_not_kept", message)
}

fn quota_exceeded() -> Error {
    let message = format!(
        "the quota of {} requests with keys or {} MiB of responses is exhausted; wait until the first ones expire after \
         24 hours, or send requests without keys",
        QUOTA.requests,
        QUOTA.bytes >> 20
    );
    Error::TooMany {
        code: "too_many",
        message,
        retry_after: None,
    }
}

#[cfg(test)]
mod tests {
    use tidegate_core::{id::TenantId, time::Timestamp};

    use super::*;
    use crate::{Actor, ActorKind, Role};

    #[test]
    fn keys_are_scoped_to_tenant_user_and_role() {
        let ctx = |tenant, user: &str, role| Ctx {
            tenant: TenantId(tenant),
            actor: Actor::new(ActorKind::Key, user),
            role,
            request_id: "1".into(),
            now: Timestamp(0),
        };
        let one = digest(&ctx(1, "creator", Role::Operator), "key");
        assert_eq!(one, digest(&ctx(1, "creator", Role::Operator), "key"));
        for (other, key) in [
            (ctx(2, "creator", Role::Operator), "key"),
            (ctx(1, "creators", Role::Operator), "key"),
            (ctx(1, "creator", Role::Admin), "key"),
            (ctx(1, "creator", Role::Operator), "keys"),
            (ctx(1, "make", Role::Operator), "rkey"),
        ] {
            assert_ne!(one, digest(&other, key), "{other:?} {key}");
        }
    }
}
