//! Whole pages of lists.

use std::time::Instant;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::{
    Bench,
    database::DatabaseKind,
    http1::{Connection, request},
    report::Figure,
    tidegate::Tidegate,
};

/// Rows of the largest page.
const ROWS: usize = 500;

pub(crate) async fn measure(bench: &Bench, kind: DatabaseKind) -> Result<Vec<Figure>> {
    let name = format!("lists_{}", kind.name().to_lowercase());
    let database = match kind {
        DatabaseKind::Sqlite => None,
        DatabaseKind::Postgres => Some(bench.postgres(&format!("bench_{name}")).await?),
    };
    let server = Tidegate::start(bench, &name, database.as_deref())?;
    let firmware = server.upload("2.0.0", &[7; 1024], 1).await?;
    for number in 0..ROWS {
        let draft = json!({
            "name": format!("campaign {number}"), "firmware_id": firmware, "target_filter": "hw_model==edge",
            "strategy": { "plugin": "immediate", "config": {} },
        });
        server.rest("POST", "campaigns", &draft).await?;
    }
    let path = format!("campaigns?limit={ROWS}");
    let page = server.rest("GET", &path, &Value::Null).await?;
    ensure!(page["count"] == ROWS, "the page has {} rows", page["count"]);

    let get = request(
        "GET",
        &format!("/api/v1/{path}"),
        server.addr(),
        &server.admin(),
        b"",
    );
    let mut connection = Connection::open(server.addr()).await?;
    // One request at a time: a page costs so much that more would only wait for each other.
    let mut load = async |time| {
        let (began, mut requests) = (Instant::now(), 0_u32);
        while began.elapsed() < time {
            connection.exchange(&get).await?.expect_status(200)?;
            requests += 1;
        }
        anyhow::Ok((f64::from(requests), began.elapsed().as_secs_f64()))
    };
    // The first round is a warm-up.
    load(bench.time(2.0, 0.5)).await?;
    let before = server.process.cpu()?;
    let (requests, seconds) = load(bench.time(10.0, 2.0)).await?;
    let cpu = server.process.cpu()? - before;
    let what = format!("GET /campaigns of {ROWS} rows, {}", kind.name());
    Ok(vec![
        Figure::new(what.clone(), requests / seconds, "requests/s"),
        Figure::new(
            format!("{what}: the server's CPU time"),
            cpu * 1e3 / requests,
            "ms/request",
        ),
    ])
}
