//! Requests with an idempotency key.

use std::{sync::Arc, time::Duration};

use tidegate_core::time::Timestamp;
use tidegate_engine::{
    Engine, Error, Settings,
    idempotency::{Reservation, RunningRequest, reserve},
    ports::{NewRequest, Quota, ReservationId, ReserveResult},
    run_gc,
};

use crate::engine_fixture::EngineFixture;

const KEY: &str = "8e03978e-40d5-43e8-bc93-6894a57f9324";
const FINGERPRINT: [u8; 32] = [1; 32];
const LEASE: Duration = Duration::from_millis(40);

/// The response to a repeated request, or the error code.
async fn reserve_again(
    engine: &Arc<Engine>,
    fixture: &EngineFixture,
) -> Result<Vec<u8>, &'static str> {
    match reserve(&fixture.ctx(), engine.idempotency_keys(), KEY, FINGERPRINT).await {
        Ok(Reservation::Replayed(response)) => Ok(response),
        Ok(Reservation::New(_)) => Err("new"),
        Err(Error::Conflict { code, .. } | Error::Invalid { code, .. }) => Err(code),
        Err(error) => panic!("{error}"),
    }
}

async fn reserve_new(engine: &Arc<Engine>, fixture: &EngineFixture) -> RunningRequest {
    match reserve(&fixture.ctx(), engine.idempotency_keys(), KEY, FINGERPRINT).await {
        Ok(Reservation::New(running)) => running,
        Ok(Reservation::Replayed(_)) => panic!("the request was executed before"),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_response_that_is_too_large_is_not_stored() {
    let fixture = EngineFixture::new(1).await;
    let engine = &fixture.engine;
    let most = 4 << 20;
    let running = reserve_new(engine, &fixture).await;
    running.complete(vec![7; most + 1]).await;
    assert_eq!(
        reserve_again(engine, &fixture).await,
        Err("answer_not_kept")
    );
    let wrong = reserve(&fixture.ctx(), engine.idempotency_keys(), KEY, [2; 32]).await;
    assert!(matches!(wrong, Err(Error::Invalid { .. })));

    fixture.clock.advance(Duration::from_hours(24));
    reserve_new(engine, &fixture)
        .await
        .complete(vec![7; most])
        .await;
    assert_eq!(reserve_again(engine, &fixture).await, Ok(vec![7; most]));
}

#[tokio::test]
async fn a_running_request_renews_its_lease() {
    let fixture = EngineFixture::new(1).await;
    let settings = Settings {
        lease: LEASE,
        ..Settings::default()
    };
    let engine = Arc::new(Engine::new(fixture.ports.clone(), settings));
    let running = reserve_new(&engine, &fixture).await;
    assert_eq!(
        reserve_again(&engine, &fixture).await,
        Err("request_in_progress")
    );
    fixture.clock.advance(LEASE);
    assert_eq!(
        reserve_again(&engine, &fixture).await,
        Err("request_interrupted")
    );
    let heard = async {
        while reserve_again(&engine, &fixture).await != Err("request_in_progress") {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = heard => {}
        never = running.renew_lease() => match never {},
    }
    // The lease is not renewed any more, but the request completes in the end.
    fixture.clock.advance(LEASE);
    assert_eq!(
        reserve_again(&engine, &fixture).await,
        Err("request_interrupted")
    );
    running.complete(b"done".to_vec()).await;
    assert_eq!(reserve_again(&engine, &fixture).await, Ok(b"done".to_vec()));
}

#[tokio::test]
async fn an_interrupted_request_is_not_repeated() {
    let fixture = EngineFixture::new(1).await;
    let engine = &fixture.engine;
    reserve_new(engine, &fixture).await.release().await;
    reserve_new(engine, &fixture).await.mark_interrupted().await;
    assert_eq!(
        reserve_again(engine, &fixture).await,
        Err("request_interrupted")
    );
}

#[tokio::test]
async fn expired_responses_are_deleted() {
    let fixture = EngineFixture::new(1).await;
    let engine = &fixture.engine;
    reserve_new(engine, &fixture)
        .await
        .complete(b"done".to_vec())
        .await;
    fixture.clock.advance(Duration::from_hours(24));
    // The quota allows one request, and the old one counts until it is deleted.
    let quota = Quota {
        requests: 1,
        bytes: 1 << 20,
    };
    let reservation = ReservationId {
        digest: [9; 32],
        salt: [9; 16],
    };
    let end = Timestamp(i64::MAX);
    let other = NewRequest {
        reservation,
        fingerprint: FINGERPRINT,
        lease_until: end,
        expires_at: end,
    };
    let reserve = || {
        engine
            .store()
            .reserve_request(fixture.tenant(), other.clone(), quota, engine.now())
    };
    assert_eq!(
        reserve().await.expect("the database answers"),
        ReserveResult::QuotaExceeded
    );
    let cleared = async {
        while reserve().await.expect("the database answers") == ReserveResult::QuotaExceeded {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = cleared => {}
        () = run_gc(Arc::clone(engine)) => panic!("the loop never ends"),
    }
}
