//! Settings of a tenant.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate_core::{
    polling::PollingOverride,
    selector::{SelectorText, Syntax},
    settings::TenantSettings,
};
use tidegate_engine::{Actor, Admin, Role, tenants};

use crate::test_server::{TestResponse, TestServer};

const PATH: &str = "/api/v1/settings";

async fn patch(server: &TestServer, body: Value) -> TestResponse {
    server.send("PATCH", PATH, &server.admin, &body).await
}

#[tokio::test]
async fn settings_are_merged_and_go_back_to_the_defaults() {
    let server = TestServer::new().await;
    let defaults = json!({
        "polling": {"interval": "00:05:00", "jitter_percent": 0},
        "ddi": {"links": "http"},
    });
    let access = json!({
        "registration": "open", "trust_on_first_use": false, "target_tokens": true,
        "gateway_tokens": true, "proxy_authorities": [],
    });
    let nothing = json!({
        "access": access,
        "polling": {"interval": null, "jitter_percent": null, "overrides": []},
        "track_address": false,
        "overdue_after": null,
        "versions": "semver",
        "ddi": {"links": null},
        "requires_approval": false,
        "defaults": defaults,
    });
    assert_eq!(server.get(PATH).await.expect(200), nothing);

    let overrides = json!([{"filter": "hw_model==rpi4", "interval": "30s"}]);
    let set = json!({"polling": {"interval": "1h 30m", "overrides": overrides}});
    patch(&server, set).await.expect(200);
    let set = patch(&server, json!({"polling": {"jitter_percent": 20}})).await;
    let expected = json!({
        "access": access,
        "polling": {
            "interval": "01:30:00",
            "jitter_percent": 20,
            "overrides": [{"filter": "hw_model==rpi4", "interval": "00:00:30", "jitter_percent": null}],
        },
        "track_address": false,
        "overdue_after": null,
        "versions": "semver",
        "ddi": {"links": null},
        "requires_approval": false,
        "defaults": defaults,
    });
    assert_eq!(set.expect(200), expected);
    assert_eq!(server.get(PATH).await.expect(200), expected);

    // Another tenant has its own settings.
    let other = tenants::create(&server.server_ctx(), server.state.engine.store(), "other")
        .await
        .expect("a tenant");
    let key = server.key_of(&other, "stranger", Role::Viewer).await;
    let others = server.send("GET", PATH, &key, &json!(null)).await;
    assert_eq!(others.expect(200), nothing);

    let back = patch(&server, json!({"polling": {"interval": null}})).await;
    let back = back.expect(200);
    assert_eq!(back["polling"]["interval"], json!(null));
    assert_eq!(back["polling"]["jitter_percent"], 20);
    assert_eq!(
        patch(&server, json!({"polling": null})).await.expect(200),
        nothing
    );
    assert_eq!(patch(&server, json!({})).await.expect(200), nothing);
}

#[tokio::test]
async fn the_links_to_files_are_a_setting() {
    let server = TestServer::new().await;
    for (links, expected) in [
        (json!("https"), json!("https")),
        (json!("both"), json!("both")),
        (json!("http"), json!("http")),
        (json!(null), json!(null)),
    ] {
        let set = patch(&server, json!({"ddi": {"links": links}})).await;
        assert_eq!(set.expect(200)["ddi"]["links"], expected);
    }
    patch(&server, json!({"ddi": {"links": "both"}}))
        .await
        .expect(200);
    let back = patch(&server, json!({"ddi": null})).await.expect(200);
    assert_eq!(back["ddi"]["links"], json!(null));
}

#[tokio::test]
async fn bad_settings_are_named_and_change_nothing() {
    let server = TestServer::new().await;
    let before = server.get(PATH).await.expect(200);
    let one = |filter: &str, interval: &str| json!({"polling": {"overrides": [{"filter": filter, "interval": interval}]}});
    let many = vec![json!({"filter": "hw_model==a", "interval": "5s"}); 33];
    for (body, code, fields) in [
        (json!({"poling": {}}), "unknown_field", &["/poling"][..]),
        (json!({"poling": null}), "unknown_field", &["/poling"]),
        (
            json!({"polling": {"intervall": null}}),
            "unknown_field",
            &["/polling/intervall"],
        ),
        (json!({"defaults": {}}), "unknown_field", &["/defaults"]),
        (
            json!({"ddi": {"links": "ftp"}}),
            "wrong_type",
            &["/ddi/links"],
        ),
        (
            json!({"polling": {"interval": 300}}),
            "wrong_type",
            &["/polling/interval"],
        ),
        (
            json!({"polling": {"interval": "often"}}),
            "wrong_type",
            &["/polling/interval"],
        ),
        (json!({"polling": []}), "wrong_type", &["/polling"]),
        (
            json!({"overdue_after": "59s"}),
            "invalid_settings",
            &["/overdue_after"],
        ),
        (
            json!({"overdue_after": "31d"}),
            "invalid_settings",
            &["/overdue_after"],
        ),
        (
            json!({"overdue_after": 7}),
            "wrong_type",
            &["/overdue_after"],
        ),
        (
            json!({"polling": {"interval": "0s", "jitter_percent": 101}}),
            "invalid_settings",
            &["/polling/interval", "/polling/jitter_percent"],
        ),
        (
            json!({"polling": {"interval": "24:00:00"}}),
            "invalid_settings",
            &["/polling/interval"],
        ),
        (
            one("hw_model=", "5s"),
            "invalid_settings",
            &["/polling/overrides/0/filter"],
        ),
        (
            one("mode!=manuel", "5s"),
            "invalid_settings",
            &["/polling/overrides/0/filter"],
        ),
        (
            one("last_seen>2026-05-01T12:00:00Z", "5s"),
            "invalid_settings",
            &["/polling/overrides/0/filter"],
        ),
        (
            one("hw_model==a", "25h"),
            "invalid_settings",
            &["/polling/overrides/0/interval"],
        ),
        (
            json!({"polling": {"overrides": many}}),
            "invalid_settings",
            &["/polling/overrides"],
        ),
    ] {
        let refused = patch(&server, body.clone()).await.expect_problem(422);
        assert_eq!(refused.0, code, "{body}");
        assert_eq!(refused.1, fields, "{body}");
    }
    let refused = patch(&server, one("mode!=manuel", "5s")).await.expect(422);
    let message = refused["errors"][0]["message"].as_str();
    let expected = "invalid value `manuel` for `mode`: must be rollout, latest or manual";
    assert!(
        message.is_some_and(|message| message.contains(expected)),
        "{refused}"
    );
    assert_eq!(
        patch(&server, json!([])).await.expect_problem(422).0,
        "wrong_type"
    );
    let operator = server.key("olga", Role::Operator).await;
    let refused = server.send("PATCH", PATH, &operator, &json!({})).await;
    assert_eq!(refused.expect_problem(403).0, "role_missing");
    assert_eq!(server.get(PATH).await.expect(200), before);
}

#[tokio::test]
async fn no_change_is_lost_when_many_change_at_once() {
    let server = TestServer::new().await;
    let changes = [
        json!({"polling": {"interval": "7m"}}),
        json!({"polling": {"jitter_percent": 9}}),
        json!({"polling": {"overrides": [{"filter": "group==lab", "interval": "5s"}]}}),
    ];
    let created = changes.into_iter().map(|change| patch(&server, change));
    for response in futures::future::join_all(created).await {
        response.expect(200);
    }
    let polling = &server.get(PATH).await.expect(200)["polling"];
    assert_eq!(polling["interval"], "00:07:00");
    assert_eq!(polling["jitter_percent"], 9);
    assert_eq!(polling["overrides"][0]["interval"], "00:00:05");
}

#[tokio::test]
async fn the_merge_patch_media_type_is_accepted() {
    let server = TestServer::new().await;
    let request = crate::test_server::request("PATCH", PATH, &server.admin)
        .header("content-type", "application/merge-patch+json")
        .body(axum::body::Body::from("{}"));
    server
        .send_request(request.expect("a request"))
        .await
        .expect(200);
}

#[tokio::test]
async fn access_settings_are_stored_and_validated() {
    let server = TestServer::new().await;
    let payload = json!({"registration": "allow_list", "proxy_authorities": ["AB:CD"]});
    let set = patch(&server, json!({"access": payload})).await.expect(200);
    assert_eq!(set["access"]["registration"], "allow_list");
    assert_eq!(set["access"]["proxy_authorities"], json!(["AB:CD"]));
    assert_eq!(set["access"]["target_tokens"], true);
    for (access, code, field) in [
        (
            json!({"registration": "closed"}),
            "wrong_type",
            "/access/registration",
        ),
        (
            json!({"proxy_authorities": ["a,b"]}),
            "invalid_settings",
            "/access/proxy_authorities/0",
        ),
    ] {
        let refused = patch(&server, json!({"access": access}))
            .await
            .expect_problem(422);
        assert_eq!(refused, (code.to_owned(), vec![field.to_owned()]));
    }
    assert_eq!(server.get(PATH).await.expect(200), set);
    let back = patch(&server, json!({"access": null})).await.expect(200);
    assert_eq!(back["access"]["registration"], "open");
}

#[tokio::test]
async fn a_stored_filter_is_kept_by_changes_of_other_settings() {
    let server = TestServer::new().await;
    let text = r#"mode!=manuel;name=="\*""#;
    let stored = SelectorText {
        text: text.to_owned(),
        syntax: Syntax::V1,
    };
    let mut settings = TenantSettings::default();
    let stored_override = PollingOverride::new(stored.clone(), Duration::from_secs(30), None);
    settings.polling.overrides = vec![stored_override.expect("a filter of the first syntax")];
    let engine = &server.state.engine;
    let store = engine.store();
    let ctx = engine.trusted_ctx::<Admin>(server.tenant.id, Actor::command_line());
    let before = store.tenant_by_id(server.tenant.id).await;
    let before = before.expect("the store answers").expect("a tenant");
    let changed = store.change_settings(&ctx, &before, &settings).await;
    assert!(changed.expect("the settings are stored"));
    let filters = async || {
        let tenant = store.tenant_by_id(server.tenant.id).await;
        let tenant = tenant.expect("the store answers").expect("a tenant");
        let overrides = tenant.settings.polling.overrides;
        let filters = overrides.iter().map(|item| item.filter().clone());
        filters.collect::<Vec<_>>()
    };

    for body in [
        json!({"polling": {"interval": "5m"}}),
        json!({"track_address": true}),
    ] {
        let shown = patch(&server, body).await.expect(200);
        assert_eq!(shown["polling"]["interval"], "00:05:00");
        assert_eq!(shown["polling"]["overrides"][0]["filter"], text);
        assert_eq!(filters().await, std::slice::from_ref(&stored));
    }

    let again = json!({"polling": {"overrides": [{"filter": text, "interval": "30s"}]}});
    let refused = patch(&server, again).await.expect_problem(422);
    assert_eq!(refused.1, ["/polling/overrides/0/filter"]);
    let new = json!({"polling": {"overrides": [{"filter": r"name==\*", "interval": "30s"}]}});
    patch(&server, new).await.expect(200);
    assert_eq!(
        filters().await,
        [SelectorText::from(r"name==\*".to_owned())]
    );
    patch(&server, json!({"polling": null})).await.expect(200);
    assert_eq!(filters().await, []);
}
