use std::time::Duration;

use serde_json::json;
use tidegate_captured_log::CapturedLog;
use tidegate_engine::{Admin, campaigns, ports::PageRequest};
use tokio::time::timeout;

use crate::{
    raw_http::{get, request},
    test_server::{FILE, TestServer},
};

const BASE: &str = "/LAB/controller/v1/dev-1";
const PATH: &str = "/LAB/controller/v1/dev-1/softwaremodules/1/artifacts/edge%201.bin";

async fn offered() -> anyhow::Result<(TestServer, tidegate_core::id::UpdateId)> {
    let server = TestServer::anonymous().await?;
    server.send(get(BASE)).await?;
    let update = server.offer("dev-1", "1.1.0").await?;
    Ok((server, update))
}

#[tokio::test]
async fn a_file_is_downloaded_whole_and_in_parts() -> anyhow::Result<()> {
    let (server, _) = offered().await?;
    let whole = server.send(get(PATH)).await?;
    assert_eq!((whole.status, whole.body.as_slice()), (200, FILE));
    for (name, expected) in [
        ("content-length", "23"),
        ("content-type", "application/octet-stream"),
        ("content-disposition", "attachment;filename=\"edge 1.bin\""),
        ("accept-ranges", "bytes"),
        ("last-modified", "Tue, 14 Nov 2023 22:13:20 GMT"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(whole.header(name), Some(expected), "{name}");
    }
    assert_eq!(
        whole.header("cache-control"),
        None,
        "files keep their headers"
    );
    let tag = whole.header("etag").expect("an entity tag");

    let head = server.send(request("HEAD", PATH)).await?;
    assert_eq!((head.status, head.body.as_slice()), (200, &b""[..]));
    for name in ["content-length", "etag", "last-modified", "accept-ranges"] {
        assert_eq!(head.header(name), whole.header(name), "{name}");
    }
    let part = server
        .send(
            get(PATH)
                .header("Range", "bytes=4-8")
                .header("If-Range", tag),
        )
        .await?;
    assert_eq!((part.status, part.text().as_str()), (206, "bytes"));
    assert_eq!(part.header("content-range"), Some("bytes 4-8/23"));
    assert_eq!(part.header("content-length"), Some("5"));
    let range = get(PATH).header("Range", "bytes=4-8,0-2");
    let parts = server.send(range).await?;
    assert_eq!(parts.status, 206);
    let length = parts.body.len().to_string();
    assert_eq!(parts.header("content-length"), Some(length.as_str()));
    let text = parts.text();
    let (first, second) = (text.find("\r\n\r\nthe\r\n"), text.find("\r\n\r\nbytes\r\n"));
    assert!(
        first.is_some() && first < second,
        "the ranges are not sorted: {text}"
    );
    // As hawkBit, unlike the REST API.
    for range in ["bytes=8-4", "bytes=a-b", "bytes=0-2,2-4", "bytes=0-2,99-"] {
        let refused = server.send(get(PATH).header("Range", range)).await?;
        let size = refused.header("content-range");
        assert_eq!((refused.status, size), (416, Some("bytes */23")), "{range}");
        assert!(refused.body.is_empty());
    }
    let beyond = server.send(get(PATH).header("Range", "bytes=23-")).await?;
    assert_eq!(
        (beyond.status, beyond.header("content-range")),
        (416, Some("bytes */23"))
    );
    let known = server.send(get(PATH).header("If-None-Match", tag)).await?;
    assert_eq!((known.status, known.body.as_slice()), (304, &b""[..]));
    let md5 = server.send(get(format!("{PATH}.MD5SUM"))).await?;
    assert_eq!(md5.text(), "497654b400a8a028bfe0be55506b7c20  edge 1.bin");
    assert_eq!(
        md5.header("content-type"),
        Some("text/plain;charset=US-ASCII")
    );
    Ok(())
}

/// Why the device of the offered update has not got it.
async fn explain(server: &TestServer) -> anyhow::Result<String> {
    let ctx = server.ctx::<Admin>();
    let first = PageRequest {
        limit: 1,
        offset: 0,
    };
    let explained = campaigns::explain(&ctx, server.engine.store(), "dev-1", None, first).await?;
    Ok(explained.items[0].reasons.join("\n"))
}

/// The explanation once it says that the device could not fetch a file, which is recorded in the background.
async fn explained_failure(server: &TestServer) -> anyhow::Result<String> {
    let recorded = async {
        loop {
            let reasons = explain(server).await?;
            if reasons.contains("could not fetch") {
                return Ok(reasons);
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(30), recorded).await?
}

#[tokio::test]
async fn a_lost_file_is_named_in_the_log_and_in_the_explanation() -> anyhow::Result<()> {
    let log = CapturedLog::start();
    let (server, update) = offered().await?;
    assert!(!explain(&server).await?.contains("could not fetch"));
    server.lose_file().await?;
    assert_eq!(server.send(get(PATH)).await?.status, 500);
    let named = "edge 1.bin (sha256:63212cc06daf4b21eff708f872166e580bd6af4287f4a32e01c236f4078b65b8): \
        the artifact store has lost the file";
    let logged = log.events("device request failed");
    assert_eq!(logged[0]["error"], named, "{logged:?}");
    let reasons = explained_failure(&server).await?;
    let expected = format!(
        "the device could not fetch a file, 0 s ago, because the server could not read it: {named}"
    );
    assert!(reasons.contains(&expected), "{reasons}");
    // The update continues when the file is there again.
    let polled = server.send(get(BASE)).await?.json();
    let link = polled["_links"]["deploymentBase"]["href"].as_str();
    let path = format!("/deploymentBase/{update}?");
    assert!(link.is_some_and(|link| link.contains(&path)), "{polled}");
    Ok(())
}

#[tokio::test]
async fn a_damaged_file_is_named_in_the_log() -> anyhow::Result<()> {
    let log = CapturedLog::start();
    let (server, _) = offered().await?;
    server.overwrite_file(&FILE[..10])?;
    assert_eq!(server.send(get(PATH)).await?.status, 500);
    let logged = log.events("device request failed");
    let error = logged[0]["error"].as_str().unwrap_or_default();
    let named =
        "edge 1.bin (sha256:63212cc06daf4b21eff708f872166e580bd6af4287f4a32e01c236f4078b65b8): ";
    assert!(
        error.starts_with(named) && error.ends_with("ends at byte 10"),
        "{logged:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_file_whose_bytes_changed_is_not_sent_to_its_end() -> anyhow::Result<()> {
    let log = CapturedLog::start();
    let (server, _) = offered().await?;
    server.overwrite_file(b"the bytes of a firmwxre")?;
    // The first download finds out. hyper may drop the head with the connection.
    if let Ok(cut) = server.send(get(PATH)).await {
        assert_eq!(
            (cut.status, cut.header("content-length")),
            (200, Some("23"))
        );
        assert!(cut.body.len() < FILE.len(), "{}", cut.text());
    }
    let named = "edge 1.bin (sha256:63212cc06daf4b21eff708f872166e580bd6af4287f4a32e01c236f4078b65b8): \
        its content does not match its hash; upload the file again";
    let reasons = explained_failure(&server).await?;
    assert!(reasons.contains(named), "{reasons}");
    let logged = log.events("stored file is damaged; upload it again");
    assert_eq!(logged.len(), 1, "{logged:?}");
    assert!(named.contains(logged[0]["file"].as_str().unwrap_or("none")));
    let whole = server.send(get(PATH)).await?;
    let part = server.send(get(PATH).header("Range", "bytes=4-8")).await?;
    assert_eq!((whole.status, part.status), (500, 500));
    let logged = log.events("device request failed");
    assert_eq!(logged[0]["error"], named, "{logged:?}");

    // Another server of the same folder received the file again.
    server.overwrite_file(FILE)?;
    server.clock.advance(60);
    let whole = server.send(get(PATH)).await?;
    assert_eq!((whole.status, whole.body.as_slice()), (200, FILE));

    // An intact file is read again after a day.
    server.overwrite_file(b"the bytes of a firmwxre")?;
    let unchecked = server.send(get(PATH)).await?;
    assert_eq!(unchecked.status, 200);
    assert_eq!(unchecked.body.len(), FILE.len());
    server.clock.advance(24 * 60 * 60);
    if let Ok(cut) = server.send(get(PATH)).await {
        assert!(cut.body.len() < FILE.len(), "{}", cut.text());
    }
    Ok(())
}

#[tokio::test]
async fn files_of_every_open_update_can_be_downloaded() -> anyhow::Result<()> {
    let (server, first) = offered().await?;
    let second = server.offer("dev-1", "1.2.0").await?;
    let path = PATH.replace("/1/", "/2/");
    assert_eq!(server.send(get(PATH)).await?.status, 200);
    assert_eq!(server.send(get(path.as_str())).await?.status, 200);
    server.cancel_campaign_of(first).await?;
    assert_eq!(server.send(get(PATH)).await?.status, 404, "cancelled");
    assert_eq!(server.send(get(path.as_str())).await?.status, 200);
    server.cancel_campaign_of(second).await?;
    assert_eq!(
        server.send(get(path.as_str())).await?.status,
        404,
        "cancelled"
    );
    Ok(())
}

#[tokio::test]
async fn files_can_be_downloaded_until_the_version_is_attested() -> anyhow::Result<()> {
    let server = TestServer::anonymous().await?;
    server.send(get(BASE)).await?;
    let update = server.offer_attested("dev-1", "1.1.0").await?;
    let closed = json!({"status": {"execution": "closed", "result": {"finished": "success"}}});
    let path = format!("{BASE}/deploymentBase/{update}");
    let feedback = request("POST", format!("{path}/feedback")).json(&closed);
    assert_eq!(server.send(feedback).await?.status, 200);
    let polled = server.send(get(BASE)).await?.json();
    assert!(polled["_links"]["deploymentBase"].is_null(), "{polled}");
    for path in [path.as_str(), PATH] {
        assert_eq!(server.send(get(path)).await?.status, 200, "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn files_are_limited_to_devices_with_the_firmware() -> anyhow::Result<()> {
    let (server, update) = offered().await?;
    let elsewhere = "/LAB/controller/v1/dev-2";
    server.send(get(elsewhere)).await?;
    let other = format!("{elsewhere}/softwaremodules/1/artifacts/edge%201.bin");
    assert_eq!(server.send(get(other)).await?.status, 404);
    for name in ["other.bin", "edge%201.bin.MD5", "..%2Fedge%201.bin", "%00"] {
        let path = format!("{BASE}/softwaremodules/1/artifacts/{name}");
        assert_eq!(server.send(get(path)).await?.status, 404, "{name}");
    }

    let closed = json!({"status": {"execution": "closed", "result": {"finished": "success"}}});
    let path = format!("{BASE}/deploymentBase/{update}/feedback");
    server.send(request("POST", path).json(&closed)).await?;
    assert_eq!(
        server.send(get(PATH)).await?.status,
        200,
        "installed files can be downloaded again"
    );

    let next = server.offer("dev-1", "1.2.0").await?;
    let new = PATH.replace("/1/", "/2/");
    assert_eq!(server.send(get(new.as_str())).await?.status, 200);
    server.cancel_campaign_of(next).await?;
    assert_eq!(server.send(get(new)).await?.status, 404, "cancelled");
    assert_eq!(server.send(get(PATH)).await?.status, 200);
    Ok(())
}
