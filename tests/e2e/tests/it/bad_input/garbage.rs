//! Random input on every route: never a 500, and the server stays responsive.

use anyhow::{Context as _, Result, ensure};
use rand::{Rng as _, RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use reqwest::{Method, RequestBuilder, header::CONTENT_TYPE};
use serde_json::{Value, json};
use tidegate_e2e::{HttpResponse, RestResponse as _, TestTenant, both_databases};

both_databases!(random_input_never_causes_500);

/// Requests of each kind to each operation.
const ROUNDS: usize = 8;
const SEED: u64 = 2026;

async fn random_input_never_causes_500(tenant: TestTenant) -> Result<()> {
    let mut random = StdRng::seed_from_u64(SEED);
    let fleet = tenant.create_devices("edge", 2).await?;
    let firmware = tenant.upload_firmware("2.0.0").await?;
    tenant.start_campaign(firmware, json!({})).await?;

    let document = tenant
        .viewer
        .get("openapi.json")
        .await?
        .expect_status(200)?
        .json()?;
    let mut operations = operations(&document)?;
    ensure!(operations.len() > 20, "only {operations:?}");
    operations.extend(device_operations(&tenant.record.name));
    for (method, path) in &operations {
        // A valid request would return an endless stream.
        let is_stream = path.ends_with("/events");
        for _ in 0..ROUNDS {
            let path = fill(path, &mut random);
            let request = if path.contains("/controller/") {
                fleet[0].request(method.clone(), &format!("{}{path}", tenant.server.url))
            } else {
                tenant.admin.request(method.clone(), &path)
            };
            let request = garble(request, method, &mut random);
            if is_stream {
                let response = request.send().await?;
                ensure!(
                    response.status().as_u16() < 500,
                    "{method} {path}: {}",
                    response.status()
                );
                continue;
            }
            let response = HttpResponse::fetch(request).await?;
            ensure!(
                !response.status.is_server_error(),
                "seed {SEED}: {response}"
            );
            if response.status.is_client_error() && !path.contains("/controller/") {
                response.expect_any_problem()?;
            }
        }
    }
    tenant.viewer.get("/health").await?.expect_status(200)?;
    tenant.viewer.get("/readyz").await?.expect_status(200)?;
    // Requests that are valid by chance took effect and may have deleted devices or revoked tokens, so another
    // tenant is used.
    let tenant = TestTenant::new(tenant.server.clone()).await?;
    let mut fleet = tenant.create_devices("edge", 2).await?;
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let id = tenant.start_campaign(firmware, json!({ "failure_threshold_percent": 100, "target_devices": ["edge-1"], "target_filter": null })).await?;
    tenant
        .wait_for_status_while(id, "completed", async || {
            fleet[1].install().await?;
            Ok(())
        })
        .await?;
    Ok(())
}

/// All operations of the OpenAPI document.
fn operations(document: &Value) -> Result<Vec<(Method, String)>> {
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().context("paths")? {
        for (method, _) in item.as_object().into_iter().flatten() {
            if let Ok(method) = method.to_uppercase().parse::<Method>()
                && ["GET", "PUT", "POST", "PATCH", "DELETE"].contains(&method.as_str())
            {
                all.push((method, path.clone()));
            }
        }
    }
    Ok(all)
}

fn device_operations(tenant: &str) -> Vec<(Method, String)> {
    let base = format!("/{tenant}/controller/v1/{{device}}");
    [
        (Method::GET, ""),
        (Method::GET, "/deploymentBase/{id}"),
        (Method::POST, "/deploymentBase/{id}/feedback"),
        (Method::GET, "/cancelAction/{id}"),
        (Method::POST, "/cancelAction/{id}/feedback"),
        (Method::PUT, "/configData"),
        (Method::GET, "/installedBase/{id}"),
        (Method::PUT, "/installedBase"),
        (Method::GET, "/softwaremodules/{id}/artifacts/{file}"),
        (Method::GET, "/softwaremodules/{id}/artifacts/{file}.MD5SUM"),
    ]
    .into_iter()
    .map(|(method, path)| (method, format!("{base}{path}")))
    .collect()
}

const SEGMENTS: [&str; 16] = [
    "0",
    "1",
    "2",
    "-1",
    "2147483648",
    "9223372036854775807",
    "99999999999999999999",
    "x",
    "%20",
    "%00",
    "%FF",
    "%2F..%2F",
    "edge-0",
    "canary",
    "sha256:0000000000000000000000000000000000000000000000000000000000000000",
    "%F0%9F%8C%8A",
];

/// The path with a random value for each parameter, and perhaps a query.
fn fill(path: &str, random: &mut StdRng) -> String {
    let segments = path.split('/').map(|segment| match segment.find('{') {
        Some(at) => {
            let rest = segment.split_once('}').map_or("", |(_, rest)| rest);
            format!("{}{}{rest}", &segment[..at], pick(&SEGMENTS, random))
        }
        None => segment.to_owned(),
    });
    let path = segments.collect::<Vec<_>>().join("/");
    let queries = [
        "",
        "",
        "?limit=x",
        "?limit=-1&offset=99999999999999999999",
        "?q=%28%28%28",
        "?c=x&actionHistory=x",
        "?%FF=%00",
        "?after=-9223372036854775808",
        "?revision=x",
        "?sort=%27",
    ];
    format!("{path}{}", pick(&queries, random))
}

/// The request with a random body.
fn garble(request: RequestBuilder, method: &Method, random: &mut StdRng) -> RequestBuilder {
    if *method == Method::GET {
        let headers = [
            ("range", "bytes=9-1"),
            ("accept", "nonsense"),
            ("if-none-match", "\"\""),
            ("last-event-id", "-1"),
            ("if-range", "x"),
        ];
        let (name, value) = headers.choose(random).copied().unwrap_or(headers[0]);
        return request.header(name, value);
    }
    let kinds = [
        "application/json",
        "application/json",
        "application/cbor",
        "multipart/form-data; boundary=b",
        "text/plain",
        "nonsense",
    ];
    let body = match random.random_range(0..4) {
        0 => {
            let mut bytes = vec![0; random.random_range(0..2000)];
            random.fill_bytes(&mut bytes);
            bytes
        }
        1 => json_of(random, 0).to_string().into_bytes(),
        2 => {
            let name = pick(&["metadata", "file", "component", "", "x"], random);
            let body = json_of(random, 0);
            format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{name}\"\r\n\r\n{body}\r\n--b--\r\n").into_bytes()
        }
        _ => format!(
            "{}{}",
            "[".repeat(random.random_range(0..3000)),
            "{\"a\":".repeat(random.random_range(0..100))
        )
        .into_bytes(),
    };
    request
        .header(CONTENT_TYPE, pick(&kinds, random))
        .body(body)
}

const KEYS: [&str; 14] = [
    "name",
    "firmware_id",
    "strategy",
    "plugin",
    "config",
    "policies",
    "target_filter",
    "status",
    "execution",
    "result",
    "finished",
    "data",
    "device_id",
    "details",
];

/// Random JSON with keys that some operation knows.
fn json_of(random: &mut StdRng, depth: usize) -> Value {
    match random.random_range(0..if depth < 4 { 8 } else { 6 }) {
        0 => Value::Null,
        1 => json!(random.random::<bool>()),
        2 => json!(random.random::<i64>()),
        3 => json!(1e308),
        4 => json!(pick(
            &["", "closed", "none", "canary", "\u{0}", "ü🌊", "' OR 1=1"],
            random
        )),
        5 => json!("x".repeat(random.random_range(0..500))),
        6 => (0..random.random_range(0..4))
            .map(|_| json_of(random, depth + 1))
            .collect(),
        _ => (0..random.random_range(0..6))
            .map(|_| (pick(&KEYS, random).to_owned(), json_of(random, depth + 1)))
            .collect(),
    }
}

fn pick<'a>(from: &[&'a str], random: &mut StdRng) -> &'a str {
    from.choose(random).copied().unwrap_or_default()
}
