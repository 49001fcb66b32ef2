//! Who may do what, over every operation that the OpenAPI document has.

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::Method;
use serde_json::json;
use tidegate_e2e::{Alone, Answer, Database, Lab, Rest, Setup, both_databases, plain};

both_databases!(every_operation_asks_who_it_is);

/// What whoever may read may send.
const READING: [&str; 2] = ["/validate", "/replay"];

async fn every_operation_asks_who_it_is(lab: Lab) -> Result<()> {
    let document = lab.viewer.get("openapi.json").await?.is(200)?.json()?;
    let nobody = Rest::anonymous(lab.server.http.clone(), &lab.server.url);
    let wrong = [
        nobody.clone(),
        nobody.clone().with_key("tg_nonsense"),
        nobody.with_token("a.b.c"),
    ];
    let mut asked = 0;
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
            for rest in &wrong {
                let refused = Answer::of(rest.request(method.clone(), &filled)).await?;
                let challenge = refused.header("www-authenticate").to_owned();
                refused.problem(401, "unauthenticated")?;
                ensure!(challenge == "Bearer", "{method} {path}: {challenge}");
            }
            let viewed = Answer::of(lab.viewer.request(method.clone(), &filled)).await?;
            let may_read = method == Method::GET || READING.iter().any(|end| path.ends_with(end));
            match viewed.status {
                401 => bail!("a viewer is nobody: {viewed}"),
                403 if may_read => bail!("a viewer may not read: {viewed}"),
                _ if may_read => {}
                _ => drop(viewed.problem(403, "role_missing")?),
            }
            asked += 1;
        }
    }
    ensure!(asked > 25, "only {asked} operations were asked");
    Ok(())
}

/// In development whoever asks is handed a token, which works for as long as it says and for its tenant alone.
#[test]
fn tokens_of_development() -> Result<()> {
    plain(async || {
        let lab = Alone::with(
            Database::Sqlite,
            Setup {
                dev: true,
                ..Setup::default()
            },
        )
        .await?;
        let nobody = Rest::anonymous(lab.server.http.clone(), &lab.server.url);
        let ask = async |wish: serde_json::Value| -> Result<Rest> {
            let made = nobody
                .post("auth/dev-token", &wish)
                .await?
                .is(200)?
                .json()?;
            Ok(nobody
                .clone()
                .with_token(made["token"].as_str().context("a token")?))
        };
        lab.firmware("1.0.0").await?;
        let ours = json!({ "user_id": "maker", "tenant": lab.tenant.name, "role": "viewer", "expires_in": 60 });
        let ours = ask(ours).await?;
        ensure!(ours.list("firmware").await?.len() == 1);
        ours.post("devices", &json!({ "device_id": "a" }))
            .await?
            .problem(403, "role_missing")?;
        ensure!(
            ask(json!({ "user_id": "stranger" }))
                .await?
                .list("firmware")
                .await?
                .is_empty()
        );
        for (wish, field) in [
            (json!({ "user_id": "" }), "/user_id"),
            (json!({ "user_id": "maker", "tenant": "nobody" }), "/tenant"),
            (
                json!({ "user_id": "maker", "expires_in": 0 }),
                "/expires_in",
            ),
            (
                json!({ "user_id": "maker", "expires_in": 2_592_001 }),
                "/expires_in",
            ),
        ] {
            let refused = nobody
                .post("auth/dev-token", &wish)
                .await?
                .problem(422, "invalid_token")?;
            ensure!(refused["errors"][0]["field"] == field, "{refused}");
        }
        // Devices need no token, and are registered as they come.
        let device = lab.device("edge-0").unauthorized();
        device.introduce().await?;

        lab.pass(std::time::Duration::from_secs(61));
        ours.get("firmware")
            .await?
            .problem(401, "unauthenticated")?;
        Ok(())
    })
}

/// Without development mode the first start shows a key, once, and it is an administrator's.
#[test]
fn the_first_key() -> Result<()> {
    plain(async || {
        let lab = Alone::with(Database::Sqlite, Setup::default()).await?;
        let key = lab
            .server
            .first_key
            .clone()
            .context("no key at the first start")?;
        let rest = Rest::anonymous(lab.server.http.clone(), &lab.server.url).with_key(key);
        rest.post("devices", &json!({ "device_id": "a" }))
            .await?
            .is(201)?;
        ensure!(
            lab.viewer.list("devices").await?.is_empty(),
            "it is another tenant's key"
        );
        Ok(())
    })
}
