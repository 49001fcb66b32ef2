//! Authentication and roles, for every operation of the OpenAPI document.

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::Method;
use serde_json::json;
use tidegate_e2e::{
    Credentials, Database, HttpResponse, IsolatedTenant, RestClient, RestResponse as _,
    ServerOptions, TestTenant, both_databases, run_standalone,
};

both_databases!(every_operation_requires_authentication);

/// Paths below which GET needs the role admin.
const ADMIN_READS: [&str; 1] = ["/api/v1/keys"];
/// Ends of POST paths that need the role viewer only.
const READ_ONLY_POSTS: [&str; 2] = ["/validate", "/replay"];

async fn every_operation_requires_authentication(tenant: TestTenant) -> Result<()> {
    let document = tenant
        .viewer
        .get("openapi.json")
        .await?
        .expect_status(200)?
        .json()?;
    let anonymous = RestClient::anonymous(tenant.server.http.clone(), &tenant.server.url);
    let invalid_clients = [
        anonymous.clone(),
        anonymous.clone().with_key("tg_nonsense"),
        anonymous.with_token("a.b.c"),
    ];
    let mut called = 0;
    for (path, item) in document["paths"].as_object().context("paths")? {
        let filled: Vec<&str> = path
            .split('/')
            .map(|part| if part.starts_with('{') { "1" } else { part })
            .collect();
        let filled = filled.join("/");
        for method in ["get", "put", "post", "patch", "delete"] {
            if item.get(method).is_none() {
                continue;
            }
            let method: Method = method.to_uppercase().parse()?;
            for rest in &invalid_clients {
                let refused = HttpResponse::fetch(rest.request(method.clone(), &filled)).await?;
                let challenge = refused.header("www-authenticate").to_owned();
                refused.expect_problem(401, "unauthenticated")?;
                ensure!(challenge == "Bearer", "{method} {path}: {challenge}");
            }
            let viewed =
                HttpResponse::fetch(tenant.viewer.request(method.clone(), &filled)).await?;
            let is_for_admins = ADMIN_READS.iter().any(|start| path.starts_with(start));
            let may_read = (method == Method::GET && !is_for_admins)
                || READ_ONLY_POSTS.iter().any(|end| path.ends_with(end));
            match viewed.status.as_u16() {
                401 => bail!("a viewer is not authenticated: {viewed}"),
                403 if may_read => bail!("a viewer may not read: {viewed}"),
                _ if may_read => {}
                _ => drop(viewed.expect_problem(403, "role_missing")?),
            }
            called += 1;
        }
    }
    ensure!(called > 25, "only {called} operations were called");
    Ok(())
}

/// In development mode tokens are issued without authentication. They expire, and are valid for their tenant only.
#[test]
fn dev_tokens() -> Result<()> {
    run_standalone(async || {
        let tenant = IsolatedTenant::with(
            Database::Sqlite,
            ServerOptions {
                dev: true,
                ..ServerOptions::default()
            },
        )
        .await?;
        let anonymous = RestClient::anonymous(tenant.server.http.clone(), &tenant.server.url);
        let ask = async |body: serde_json::Value| -> Result<RestClient> {
            let created = anonymous
                .post("auth/dev-token", &body)
                .await?
                .expect_status(200)?
                .json()?;
            Ok(anonymous
                .clone()
                .with_token(created["token"].as_str().context("no token")?))
        };
        tenant.upload_firmware("1.0.0").await?;
        let ours = json!({ "user_id": "creator", "tenant": tenant.record.name, "role": "viewer", "expires_in": 60 });
        let ours = ask(ours).await?;
        ensure!(ours.list("firmware").await?.len() == 1);
        ours.post("devices", &json!({ "device_id": "a" }))
            .await?
            .expect_problem(403, "role_missing")?;
        ensure!(
            ask(json!({ "user_id": "stranger" }))
                .await?
                .list("firmware")
                .await?
                .is_empty()
        );
        for (body, field) in [
            (json!({ "user_id": "" }), "/user_id"),
            (
                json!({ "user_id": "creator", "tenant": "unknown" }),
                "/tenant",
            ),
            (
                json!({ "user_id": "creator", "expires_in": 0 }),
                "/expires_in",
            ),
            (
                json!({ "user_id": "creator", "expires_in": 2_592_001 }),
                "/expires_in",
            ),
        ] {
            let refused = anonymous
                .post("auth/dev-token", &body)
                .await?
                .expect_problem(422, "invalid_token")?;
            ensure!(refused["errors"][0]["field"] == field, "{refused}");
        }
        // Devices need no token, and are registered at their first poll.
        let device = tenant
            .device("edge-0")
            .with_credentials(Credentials::Anonymous);
        device.identify().await?;

        // Clocks may differ by a minute.
        tenant.advance(std::time::Duration::from_secs(121));
        ours.get("firmware")
            .await?
            .expect_problem(401, "unauthenticated")?;
        Ok(())
    })
}

/// Without development mode the first start prints an administrator's API key, once.
#[test]
fn the_first_key() -> Result<()> {
    run_standalone(async || {
        let tenant = IsolatedTenant::with(Database::Sqlite, ServerOptions::default()).await?;
        let key = tenant
            .server
            .first_key
            .clone()
            .context("the first start created no key")?;
        let rest =
            RestClient::anonymous(tenant.server.http.clone(), &tenant.server.url).with_key(key);
        rest.post("devices", &json!({ "device_id": "a" }))
            .await?
            .expect_status(201)?;
        ensure!(
            tenant.viewer.list("devices").await?.is_empty(),
            "the key is valid for another tenant"
        );
        Ok(())
    })
}
