//! What proxies say, and who believes it.

use tidegate_http::{HttpSettings, Serving};

use crate::{
    wire::get,
    world::{GATEWAY, World},
};

const BASE: &str = "/LAB/controller/v1/dev-1";

/// A server that believes proxies at this address.
async fn believing(net: &str) -> anyhow::Result<World> {
    let net = net.parse()?;
    let set = |settings: &mut HttpSettings| settings.proxies.trusted = vec![net];
    World::closed_with(set, Serving::default()).await
}

async fn link(world: &World, headers: &[(&str, &str)]) -> anyhow::Result<String> {
    let poll = get(BASE).header("Authorization", GATEWAY);
    let poll = headers
        .iter()
        .fold(poll, |poll, (name, value)| poll.header(name, value));
    let answer = world.send(poll).await?;
    anyhow::ensure!(answer.status == 200, "{answer:?}");
    let link = answer.json()["_links"]["configData"]["href"].clone();
    Ok(link.as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn links_lead_back_through_a_trusted_proxy() -> anyhow::Result<()> {
    let asked = [
        ("X-Forwarded-For", "192.0.2.7"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "updates.example:8443"),
        ("Forwarded", "for=192.0.2.7;proto=gopher;host=evil.example"),
    ];
    let world = believing("127.0.0.1/32").await?;
    assert_eq!(
        link(&world, &asked).await?,
        format!("https://updates.example:8443{BASE}/configData")
    );
    // The proxy itself may ask, too.
    assert_eq!(
        link(&world, &[]).await?,
        format!("http://gate.example:8080{BASE}/configData")
    );
    let nonsense = [("X-Forwarded-For", "nobody"), ("X-Forwarded-Proto", "")];
    assert_eq!(
        link(&world, &nonsense).await?,
        format!("http://gate.example:8080{BASE}/configData")
    );

    let elsewhere = believing("10.0.0.0/8").await?;
    assert_eq!(
        link(&elsewhere, &asked).await?,
        format!("http://gate.example:8080{BASE}/configData"),
        "anybody could say so"
    );
    Ok(())
}
