//! Authorities as operators see them.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::json;
use tidegate_engine::ports::Role;

use crate::world::World;

fn pem(name: &str, until: i32) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_after = rcgen::date_time_ymd(until, 1, 1);
    let key = KeyPair::generate().expect("a key");
    let made = CertifiedIssuer::self_signed(params, key).expect("a certificate");
    made.pem()
}

#[tokio::test]
async fn an_authority_is_trusted_shown_and_forgotten() {
    let world = World::new().await;
    let path = "/api/v1/device-authorities";
    let wanted = json!({"name": "plant", "certificate": pem("plant root", 2040)});
    let made = world.post(path, &wanted).await;
    let body = made.expect(201);
    assert_eq!(body["expires_at"], "2040-01-01T00:00:00.000Z");
    assert!(
        body["subject"]
            .as_str()
            .is_some_and(|subject| subject.contains("plant root"))
    );
    assert_eq!(body["sha256"].as_str().map(str::len), Some(64));
    let location = made.headers["location"]
        .to_str()
        .expect("a path")
        .to_owned();
    assert_eq!(
        world.post(path, &wanted).await.refused(409).0,
        "authority_exists"
    );

    let listed = world.get(path).await.expect(200);
    assert_eq!((&listed["count"], &listed["items"][0]), (&json!(1), &body));
    let delete = || world.send("DELETE", &location, &world.admin, &json!(null));
    delete().await.expect(204);
    delete().await.refused(404);
    assert_eq!(world.get(path).await.expect(200)["count"], 0);
}

#[tokio::test]
async fn what_is_no_certificate_is_refused() {
    let world = World::new().await;
    let path = "/api/v1/device-authorities";
    let good = pem("plant", 2040);
    let damaged = good.replace("MII", "AAA");
    for certificate in [
        "",
        "plant",
        "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
        &damaged,
        &format!("{good}{good}"),
        &good.replace("CERTIFICATE", "PRIVATE KEY"),
        &pem("late", 2020),
    ] {
        let wanted = json!({"name": "plant", "certificate": certificate});
        let refused = world.post(path, &wanted).await.refused(422);
        let expected = (
            "invalid_authority".to_owned(),
            vec!["/certificate".to_owned()],
        );
        assert_eq!(refused, expected, "{certificate}");
    }
    let unnamed = json!({"name": "", "certificate": good});
    assert_eq!(world.post(path, &unnamed).await.refused(422).1, ["/name"]);
    assert_eq!(world.get(path).await.expect(200)["count"], 0);

    let operator = world.key("olga", Role::Operator).await;
    let wanted = json!({"name": "plant", "certificate": good});
    world
        .send("POST", path, &operator, &wanted)
        .await
        .refused(403);
}
