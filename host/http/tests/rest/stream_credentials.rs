//! Event streams end with the credential that opened them.

use std::time::{Duration, Instant};

use http::request::Builder;
use serde_json::json;
use tidegate_core::time::Timestamp;
use tidegate_engine::{
    Actor, Role, fingerprint,
    tenants::{self, NewApiKey},
};
use tidegate_faults::MachineDelay;

use crate::{
    events::Events,
    test_server::{TestServer, request},
};

/// How long a stream may go on after its credential has ended.
const MAX_DELAY: Duration = Duration::from_secs(1);

/// Waits for the end of streams whose credential ended at this time.
async fn expect_end_in_time(streams: [Events; 2], ended: Instant, machine: &MachineDelay) {
    for mut stream in streams {
        assert_eq!(stream.next().await, None);
        let elapsed = ended.elapsed();
        // A timer, the query and the end of the body are late each.
        let allowed = MAX_DELAY + 3 * machine.max();
        assert!(elapsed < allowed, "{elapsed:?}, allowed {allowed:?}");
    }
}

/// Opens a stream of a campaign and one of a log with this request.
async fn open_streams(
    server: &TestServer,
    campaign: &str,
    open: impl Fn(&str) -> Builder,
) -> [Events; 2] {
    let campaign = Events::open(server, open(&format!("{campaign}/events"))).await;
    let log = Events::open(server, open("/api/v1/devices/pi-0/log")).await;
    let mut streams = [campaign, log];
    assert_eq!(streams[0].next().await.expect("an event").0, "campaign");
    streams
}

#[tokio::test]
async fn streams_end_within_a_second_when_their_key_is_revoked() {
    for server in TestServer::on_both_databases(|_| {}).await {
        check_revoked_key(&server).await;
    }
}

async fn check_revoked_key(server: &TestServer) {
    server.fleet(1).await;
    let campaign = server.campaign(json!({"allow_incompatible": true})).await;
    let key = server.key("viewer", Role::Viewer).await;
    let of_key = open_streams(server, &campaign, |path| request("GET", path, &key)).await;
    let mut others = open_streams(server, &campaign, |path| {
        request("GET", path, &server.admin)
    })
    .await;

    // Without a signal to this server, as another process revokes it.
    let engine = &server.state.engine;
    let ctx = engine.trusted_ctx(server.tenant.id, Actor::command_line());
    let id = tenants::key_id(&fingerprint(&key));
    let machine = MachineDelay::measure();
    tenants::revoke_key(&ctx, engine.store(), &id)
        .await
        .expect("revoked");
    expect_end_in_time(of_key, Instant::now(), &machine).await;
    // The streams of another key go on.
    server
        .post(&format!("{campaign}/start"), &json!({}))
        .await
        .expect(200);
    assert_eq!(others[0].next().await.expect("an event").0, "decision");
}

#[tokio::test]
async fn streams_end_within_a_second_when_their_key_expires() {
    for server in TestServer::on_both_databases(|_| {}).await {
        check_expired_key(&server).await;
    }
}

async fn check_expired_key(server: &TestServer) {
    server.fleet(1).await;
    let campaign = server.campaign(json!({})).await;
    let engine = &server.state.engine;
    let ctx = engine.trusted_ctx(server.tenant.id, Actor::command_line());
    let new_key = NewApiKey {
        user: "viewer".to_owned(),
        role: Role::Viewer,
        expires_at: Some(Timestamp(ctx.now.0 + 60_000)),
    };
    let key = tenants::issue_key(&ctx, engine.store(), engine.entropy(), new_key);
    let key = key.await.expect("a key");
    let streams = open_streams(server, &campaign, |path| request("GET", path, &key)).await;
    let machine = MachineDelay::measure();
    server.clock.advance_seconds(60);
    expect_end_in_time(streams, Instant::now(), &machine).await;
}

#[tokio::test]
async fn streams_end_within_a_second_when_their_token_expires() {
    for server in TestServer::on_both_databases(|settings| settings.dev = true).await {
        check_expired_token(&server).await;
    }
}

async fn check_expired_token(server: &TestServer) {
    server.fleet(1).await;
    let campaign = server.campaign(json!({})).await;
    let payload = json!({"user_id": "viewer", "role": "viewer", "expires_in": 60});
    let created = server.post("/api/v1/auth/dev-token", &payload).await;
    let token = created.expect(200)["token"].clone();
    let bearer = format!("Bearer {}", token.as_str().expect("a token"));
    let open = |path: &str| {
        http::Request::get(path)
            .header("host", "localhost")
            .header("authorization", &bearer)
    };
    let streams = open_streams(server, &campaign, open).await;
    let machine = MachineDelay::measure();
    server.clock.advance_seconds(120);
    expect_end_in_time(streams, Instant::now(), &machine).await;
}
