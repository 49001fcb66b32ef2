//! Certificate authorities.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::json;
use tidegate_engine::Role;

use crate::test_server::TestServer;

/// The certificate of an authority that is valid until this year.
pub(crate) fn pem(name: &str, until: i32) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_after = rcgen::date_time_ymd(until, 1, 1);
    let key = KeyPair::generate().expect("a key");
    let created = CertifiedIssuer::self_signed(params, key).expect("a certificate");
    created.pem()
}

#[tokio::test]
async fn an_authority_is_created_listed_and_deleted() {
    let server = TestServer::new().await;
    let path = "/api/v1/device-authorities";
    let payload = json!({"name": "plant", "certificate": pem("plant root", 2040)});
    let created = server.post(path, &payload).await;
    let body = created.expect(201);
    assert_eq!(body["expires_at"], "2040-01-01T00:00:00.000Z");
    assert!(
        body["subject"]
            .as_str()
            .is_some_and(|subject| subject.contains("plant root"))
    );
    assert_eq!(body["sha256"].as_str().map(str::len), Some(64));
    let location = created.headers["location"]
        .to_str()
        .expect("a path")
        .to_owned();
    assert_eq!(
        server.post(path, &payload).await.expect_problem(409).0,
        "authority_exists"
    );

    let listed = server.get(path).await.expect(200);
    assert_eq!((&listed["count"], &listed["items"][0]), (&json!(1), &body));
    let delete = || server.send("DELETE", &location, &server.admin, &json!(null));
    delete().await.expect(204);
    delete().await.expect_problem(404);
    assert_eq!(server.get(path).await.expect(200)["count"], 0);
}

#[tokio::test]
async fn an_invalid_certificate_is_refused() {
    let server = TestServer::new().await;
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
        let payload = json!({"name": "plant", "certificate": certificate});
        let refused = server.post(path, &payload).await.expect_problem(422);
        let expected = (
            "invalid_authority".to_owned(),
            vec!["/certificate".to_owned()],
        );
        assert_eq!(refused, expected, "{certificate}");
    }
    let unnamed = json!({"name": "", "certificate": good});
    assert_eq!(
        server.post(path, &unnamed).await.expect_problem(422).1,
        ["/name"]
    );
    assert_eq!(server.get(path).await.expect(200)["count"], 0);

    let operator = server.key("olga", Role::Operator).await;
    let payload = json!({"name": "plant", "certificate": good});
    server
        .send("POST", path, &operator, &payload)
        .await
        .expect_problem(403);
}
