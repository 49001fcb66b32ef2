//! Keys, tokens, tenants.

use axum::body::Body;
use http::Request;
use serde_json::json;
use tidegate_core::time::Timestamp;
use tidegate_engine::{
    ports::Role,
    tenants::{self, NewApiKey},
};

use crate::world::World;

fn bearer(path: &str, token: &str) -> Request<Body> {
    let request = Request::builder()
        .uri(path)
        .header("authorization", format!("Bearer {token}"));
    request.body(Body::empty()).expect("a request")
}

#[tokio::test]
async fn a_key_works_until_it_expires() {
    let world = World::new().await;
    let wanted = NewApiKey {
        tenant: world.tenant.id,
        user: "maker".to_owned(),
        role: Role::Viewer,
        expires_at: Some(Timestamp(1_777_636_800_000 + 60_000)),
    };
    let key = tenants::issue_key(&world.state.engine, wanted)
        .await
        .expect("a key");
    assert!(key.starts_with("tg_") && key.len() == 67, "{key}");
    let list = || world.send("GET", "/api/v1/devices", &key, &json!(null));
    list().await.expect(200);
    world.clock.pass_seconds(59);
    list().await.expect(200);
    world.clock.pass_seconds(1);
    list().await.refused(401);
}

#[tokio::test]
async fn the_first_key_is_told_once() {
    let world = World::new().await;
    let again = tenants::bootstrap(&world.state.engine)
        .await
        .expect("a second start");
    assert_eq!(again.admin_key, None);
    assert_eq!(again.tenant, world.tenant);
}

#[tokio::test]
async fn what_is_another_tenants_is_not_there() {
    let world = World::new().await;
    world.fleet(1).await;
    let campaign = world.campaign(json!({})).await;
    let firmware =
        world.get("/api/v1/firmware").await.expect(200)["items"][0]["firmware_id"].clone();
    let other = tenants::create(&world.state.engine, "other")
        .await
        .expect("a tenant");
    assert_eq!(other.name, "OTHER");
    let key = world.key_of(&other, "stranger", Role::Admin).await;
    for path in [
        campaign.clone(),
        format!("{campaign}/waves"),
        format!("{campaign}/journal"),
        format!("{campaign}/events"),
        format!("/api/v1/firmware/{firmware}"),
        format!("/api/v1/firmware/{firmware}/download"),
        "/api/v1/devices/pi-0".to_owned(),
        "/api/v1/devices/pi-0/explain".to_owned(),
        "/api/v1/plugins/canary".to_owned(),
    ] {
        let answer = world.send("GET", &path, &key, &json!(null)).await;
        assert_eq!(answer.refused(404).0, "not_found", "{path}");
    }
    for path in ["start", "pause", "cancel", "approve", "rollback"] {
        let answer = world
            .send("POST", &format!("{campaign}/{path}"), &key, &json!({}))
            .await;
        answer.refused(404);
    }
    let listed = world
        .send("GET", "/api/v1/devices", &key, &json!(null))
        .await
        .expect(200);
    assert_eq!(listed["total"], 0);
}

#[tokio::test]
async fn development_tokens_exist_only_in_development() {
    let wanted = json!({"user_id": "maker", "email": "maker@example.org", "role": "viewer", "expires_in": 60});
    let world = World::new().await;
    world
        .post("/api/v1/auth/dev-token", &wanted)
        .await
        .refused(404);

    let world = World::with(|settings| settings.dev = true).await;
    let made = world
        .send("POST", "/api/v1/auth/dev-token", "", &wanted)
        .await
        .expect(200);
    let token = made["token"].as_str().expect("a token");
    world
        .ask(bearer("/api/v1/devices", token))
        .await
        .expect(200);
    world
        .ask(bearer("/api/v1/devices", &format!("{token}x")))
        .await
        .refused(401);
    world.clock.pass_seconds(60);
    world
        .ask(bearer("/api/v1/devices", token))
        .await
        .refused(401);

    let nobody = json!({"user_id": "", "expires_in": 60});
    let refused = world
        .post("/api/v1/auth/dev-token", &nobody)
        .await
        .refused(422);
    assert_eq!(refused.1, ["/user_id"]);
    let nowhere = json!({"user_id": "maker", "tenant": "nowhere"});
    assert_eq!(
        world
            .post("/api/v1/auth/dev-token", &nowhere)
            .await
            .refused(422)
            .1,
        ["/tenant"]
    );
}
