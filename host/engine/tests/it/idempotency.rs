//! Requests that clients name with keys.

use std::{sync::Arc, time::Duration};

use tidegate_core::time::Timestamp;
use tidegate_engine::{
    Engine, Error, Settings,
    idempotency::{Begun, Running, begin},
    keep_house,
    ports::{NewRequest, Reserved, Room, Ticket},
};

use crate::world::World;

const KEY: &str = "8e03978e-40d5-43e8-bc93-6894a57f9324";
const ASKED: [u8; 32] = [1; 32];
const LEASE: Duration = Duration::from_millis(40);

/// What a request with the key is told.
async fn told(engine: &Arc<Engine>, world: &World) -> Result<Vec<u8>, &'static str> {
    match begin(engine, &world.actor, KEY, ASKED).await {
        Ok(Begun::Repeated(answer)) => Ok(answer),
        Ok(Begun::New(_)) => Err("new"),
        Err(Error::Conflict { code, .. } | Error::Invalid { code, .. }) => Err(code),
        Err(error) => panic!("{error}"),
    }
}

async fn begun(engine: &Arc<Engine>, world: &World) -> Running {
    match begin(engine, &world.actor, KEY, ASKED).await {
        Ok(Begun::New(running)) => running,
        Ok(Begun::Repeated(_)) => panic!("it was done before"),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_not_kept() {
    let world = World::new(1).await;
    let engine = &world.engine;
    let most = 4 << 20;
    let running = begun(engine, &world).await;
    running.answered(vec![7; most + 1]).await;
    assert_eq!(told(engine, &world).await, Err("answer_not_kept"));
    let wrong = begin(engine, &world.actor, KEY, [2; 32]).await;
    assert!(matches!(wrong, Err(Error::Invalid { .. })));

    world.clock.pass(Duration::from_hours(24));
    begun(engine, &world).await.answered(vec![7; most]).await;
    assert_eq!(told(engine, &world).await, Ok(vec![7; most]));
}

#[tokio::test]
async fn whoever_does_a_request_says_so_again_and_again() {
    let world = World::new(1).await;
    let settings = Settings {
        lease: LEASE,
        ..Settings::default()
    };
    let engine = Arc::new(Engine::new(world.engine.ports.clone(), settings));
    let running = begun(&engine, &world).await;
    assert_eq!(told(&engine, &world).await, Err("request_in_progress"));
    world.clock.pass(LEASE);
    assert_eq!(told(&engine, &world).await, Err("request_interrupted"));
    let heard = async {
        while told(&engine, &world).await != Err("request_in_progress") {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = heard => {}
        never = running.keep_alive() => match never {},
    }
    // Nothing is said any more, but it is answered in the end.
    world.clock.pass(LEASE);
    assert_eq!(told(&engine, &world).await, Err("request_interrupted"));
    running.answered(b"done".to_vec()).await;
    assert_eq!(told(&engine, &world).await, Ok(b"done".to_vec()));
}

#[tokio::test]
async fn a_request_that_failed_is_not_done_again() {
    let world = World::new(1).await;
    let engine = &world.engine;
    begun(engine, &world).await.refused().await;
    begun(engine, &world).await.failed().await;
    assert_eq!(told(engine, &world).await, Err("request_interrupted"));
}

#[tokio::test]
async fn old_answers_are_cleared_away() {
    let world = World::new(1).await;
    let engine = &world.engine;
    begun(engine, &world).await.answered(b"done".to_vec()).await;
    world.clock.pass(Duration::from_hours(24));
    // There is room for one request, and the old one takes it for as long as it is there.
    let room = Room {
        requests: 1,
        bytes: 1 << 20,
    };
    let ticket = Ticket {
        digest: [9; 32],
        salt: [9; 16],
    };
    let end = Timestamp(i64::MAX);
    let other = NewRequest {
        ticket,
        fingerprint: ASKED,
        runs_until: end,
        forget_at: end,
    };
    let reserve = || {
        engine
            .store()
            .reserve_request(world.actor.tenant, other.clone(), room, engine.now())
    };
    assert_eq!(reserve().await.expect("a store"), Reserved::Full);
    let cleared = async {
        while reserve().await.expect("a store") == Reserved::Full {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = cleared => {}
        () = keep_house(Arc::clone(engine)) => panic!("it never ends"),
    }
}
