//! Devices as operators see them.

use serde_json::json;

use crate::world::World;

#[tokio::test]
async fn a_device_is_made_once_and_told_its_token_once() {
    let world = World::new().await;
    let device = json!({
        "device_id": "bay 7/é".replace(' ', "-"), "name": "Bay 7", "groups": ["lab"],
        "attributes": {"hw_model": "rpi4", "site": "lab-7"},
    });
    let made = world.post("/api/v1/devices", &device).await;
    let body = made.expect(201);
    assert_eq!(body["token"].as_str().map(str::len), Some(64));
    assert_eq!(made.headers["location"], "/api/v1/devices/bay-7%2F%C3%A9");
    assert_eq!(made.headers["cache-control"], "no-store");

    let shown = world
        .get("/api/v1/devices/bay-7%2F%C3%A9")
        .await
        .expect(200);
    assert_eq!(shown, body["device"]);
    assert_eq!(
        (&shown["state"], &shown["name"]),
        (&json!("unknown"), &json!("Bay 7"))
    );
    assert_eq!(shown["attributes"]["site"], "lab-7");
    assert_eq!(
        world.post("/api/v1/devices", &device).await.refused(409).0,
        "device_exists"
    );
}

#[tokio::test]
async fn devices_are_found_by_selectors_and_sorted() {
    let world = World::new().await;
    for (id, site) in [("a", "lab-1"), ("b", "lab-2"), ("c", "field")] {
        let device = json!({"device_id": id, "attributes": {"site": site}});
        world.post("/api/v1/devices", &device).await.expect(201);
    }
    let found = world
        .get("/api/v1/devices?q=attribute.site==lab*&sort=device_id:desc&limit=1")
        .await;
    let found = found.expect(200);
    assert_eq!(
        (&found["total"], &found["count"], &found["limit"]),
        (&json!(2), &json!(1), &json!(1))
    );
    assert_eq!(found["items"][0]["device_id"], "b");
}

#[tokio::test]
async fn a_device_without_updates_has_nothing_to_show() {
    let world = World::new().await;
    world
        .post("/api/v1/devices", &json!({"device_id": "a"}))
        .await
        .expect(201);
    assert_eq!(
        world.get("/api/v1/devices/a/updates").await.expect(200)["total"],
        0
    );
    let log = world.get("/api/v1/devices/a/log").await.expect(200);
    assert_eq!((&log["update"], &log["count"]), (&json!(null), &json!(0)));
    world
        .get("/api/v1/devices/a/log?update_id=7")
        .await
        .refused(404);
    assert_eq!(
        world.get("/api/v1/devices/a/explain").await.expect(200)["count"],
        0
    );
}
