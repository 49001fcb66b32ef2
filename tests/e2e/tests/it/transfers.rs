//! Large files, aborted uploads and range requests, and the memory that transfers use.

use std::{
    sync::{
        LazyLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use futures::{future::try_join_all, stream};
use reqwest::{Body, Method, multipart};
use serde_json::json;
use tidegate_e2e::{
    Database, FirmwareForm, Fixture as _, HttpResponse, IsolatedTenant, RestClient,
    RestResponse as _, ServerOptions, ServerProcess, ServerStorage, both_databases, files_below,
    run_standalone, wait_until,
};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

const SIZE: usize = 64 << 20;
/// Maximum growth of memory during several concurrent transfers, whatever the size of the file.
const MAX_MEMORY_GROWTH: u64 = 40 << 20;

both_databases!(
    an_aborted_upload_leaves_no_files,
    identical_files_are_stored_once
);

#[test]
fn memory_use_does_not_depend_on_file_size() -> Result<()> {
    run_standalone(async || {
        let storage = ServerStorage::set_up(Database::Sqlite).await?;
        let program = ServerProcess::start(&storage)?;
        let rest = RestClient::anonymous(reqwest::Client::new(), &program.url);
        let token = rest
            .post("auth/dev-token", &json!({ "user_id": "creator" }))
            .await?
            .expect_status(200)?
            .json()?;
        let rest = rest.with_token(token["token"].as_str().context("no token")?);
        // Memory that the first upload and download allocate once does not depend on the file.
        let small = FirmwareForm::new("1.0.0").upload(&rest).await?;
        rest.get(&format!("firmware/{small}/download"))
            .await?
            .expect_status(200)?;

        let before = program.memory()?;
        let (most, over) = (AtomicU64::new(0), AtomicBool::new(false));
        let watch = async {
            while !over.load(Ordering::SeqCst) {
                most.fetch_max(program.memory()?, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            anyhow::Ok(())
        };
        let transfers = async {
            let moved = upload_and_download(&rest).await;
            over.store(true, Ordering::SeqCst);
            moved
        };
        let (watched, moved) = tokio::join!(watch, transfers);
        moved?;
        watched?;
        let grown = most.load(Ordering::SeqCst).saturating_sub(before);
        ensure!(
            grown < MAX_MEMORY_GROWTH,
            "memory grew by {} KiB with a file of {} KiB",
            grown >> 10,
            SIZE >> 10
        );
        Ok(())
    })
}

async fn upload_and_download(rest: &RestClient) -> Result<()> {
    let chunks = (0..SIZE)
        .step_by(256 << 10)
        .map(|from| LARGE.slice(from..from + (256 << 10)));
    let body = Body::wrap_stream(stream::iter(chunks.map(Ok::<_, std::io::Error>)));
    let metadata = FirmwareForm::new("2.0.0").metadata;
    let file = multipart::Part::stream_with_length(body, SIZE as u64).file_name("large.bin");
    let form = multipart::Form::new()
        .part("metadata", multipart::Part::text(metadata.to_string()))
        .part("file", file);
    let request = rest.request(Method::POST, "firmware").multipart(form);
    let created = HttpResponse::fetch(request)
        .await?
        .expect_status(201)?
        .json()?;
    ensure!(created["file_size"] == SIZE, "{created}");
    let path = format!("firmware/{}/download", created["firmware_id"]);

    let head = HttpResponse::fetch(rest.request(Method::HEAD, &path))
        .await?
        .expect_status(200)?;
    ensure!(
        head.header("content-length") == SIZE.to_string(),
        "{:?}",
        head.headers
    );
    let etag = head.header("etag").to_owned();
    try_join_all((0..3).map(|_| download_all(rest, &path))).await?;

    // Ranges all over the file, and the whole file if If-Range does not match.
    let part = |range: String, etag: &str| {
        let request = rest.request(Method::GET, &path);
        request.header("Range", range).header("If-Range", etag)
    };
    for from in [0, 1, (5 << 20) - 1, SIZE / 2 - 3, SIZE - 7] {
        let response = part(format!("bytes={from}-{}", from + 6), &etag);
        let response = HttpResponse::fetch(response).await?.expect_status(206)?;
        ensure!(
            response.body == LARGE[from..from + 7],
            "wrong bytes from offset {from}: {:?}",
            response.body
        );
        let range = format!("bytes {from}-{}/{SIZE}", from + 6);
        ensure!(
            response.header("content-range") == range,
            "{:?}",
            response.headers
        );
    }
    let changed = part("bytes=0-6".to_owned(), "\"x\"").send().await?;
    let size = changed.content_length();
    ensure!(
        changed.status() == 200 && size == Some(SIZE as u64),
        "{changed:?}"
    );
    let beyond = HttpResponse::fetch(part(format!("bytes={SIZE}-"), &etag)).await?;
    beyond.expect_problem(416, "range_not_satisfiable")?;
    Ok(())
}

async fn download_all(rest: &RestClient, path: &str) -> Result<()> {
    let mut response = rest
        .request(Method::GET, path)
        .send()
        .await?
        .error_for_status()?;
    let mut size = 0;
    while let Some(bytes) = response.chunk().await? {
        let same = LARGE.get(size..size + bytes.len()) == Some(&bytes[..]);
        ensure!(same, "wrong bytes from offset {size}");
        size += bytes.len();
    }
    ensure!(size == SIZE, "received {size} bytes");
    Ok(())
}

/// Bytes that do not repeat at a power of two.
static LARGE: LazyLock<Bytes> = LazyLock::new(|| {
    let bytes = (0..251_u8).cycle().enumerate();
    bytes
        .map(|(at, byte)| byte ^ (at >> 18) as u8)
        .take(SIZE)
        .collect()
});

async fn an_aborted_upload_leaves_no_files(tenant: IsolatedTenant) -> Result<()> {
    let files = tenant.server.dir().join("artifacts");
    let before = files_below(&files).len();
    let form = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n";
    for (what, head, body) in [
        (
            "during a file",
            "Content-Length: 1000000\r\n",
            format!("{form}{}", "x".repeat(100_000)),
        ),
        (
            "during a chunk",
            "Transfer-Encoding: chunked\r\n",
            format!("186a0\r\n{form}{}", "x".repeat(50_000)),
        ),
        (
            "before the body",
            "Content-Length: 1000000\r\n",
            String::new(),
        ),
    ] {
        let address = tenant.server.url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).await?;
        let key = tenant.publisher.request(Method::GET, "").build()?.headers()["x-api-key"].clone();
        let request = format!(
            "POST /api/v1/firmware HTTP/1.1\r\nHost: {address}\r\nX-API-Key: {}\r\n\
             Content-Type: multipart/form-data; boundary=b\r\n{head}\r\n{body}",
            key.to_str()?
        );
        stream.write_all(request.as_bytes()).await?;
        if !body.is_empty() {
            wait_until("the server has started to store the file", async || {
                Ok((files_below(&files).len() > before).then_some(()))
            })
            .await?;
        }
        drop(stream);
        wait_until(
            &format!("no file is left of the upload aborted {what}"),
            async || Ok((files_below(&files).len() == before).then_some(())),
        )
        .await?;
    }
    ensure!(
        tenant.viewer.list("firmware").await?.is_empty(),
        "firmware was created"
    );
    Ok(())
}

async fn identical_files_are_stored_once(tenant: IsolatedTenant) -> Result<()> {
    let files = tenant.server.dir().join("artifacts");
    let before = files_below(&files).len();
    // Identical files are stored once.
    let form = |version: &str| FirmwareForm::new(version).files(&[("same.bin", b"the same bytes")]);
    form("1.0.0").upload(&tenant.publisher).await?;
    form("2.0.0").upload(&tenant.publisher).await?;
    ensure!(
        files_below(&files).len() == before + 1,
        "the same bytes are stored twice"
    );
    let refused = form("3.0.0")
        .with(json!({ "checksum_md5": "0" }))
        .send(&tenant.publisher)
        .await?;
    refused.expect_problem(422, "checksum_mismatch")?;
    for firmware in tenant.viewer.list("firmware").await? {
        let path = format!("firmware/{}/download", firmware["firmware_id"]);
        let file = tenant.viewer.get(&path).await?.expect_status(200)?;
        ensure!(file.body == "the same bytes", "{file}");
    }
    Ok(())
}

/// A file over the size limit is rejected, however far it exceeds the limit, and nothing of it is stored.
#[test]
fn an_oversized_upload_leaves_no_files() -> Result<()> {
    run_standalone(async || {
        let options = ServerOptions {
            max_artifact_bytes: Some(1000),
            ..ServerOptions::default()
        };
        let tenant = IsolatedTenant::with(Database::Sqlite, options).await?;
        let files = tenant.server.dir().join("artifacts");
        let before = files_below(&files).len();
        for size in [1001, 6 << 20] {
            let large = vec![b'x'; size];
            let form = FirmwareForm::new("1.0.0").files(&[("fits", b"x"), ("does not", &large)]);
            form.send(&tenant.publisher)
                .await?
                .expect_problem(413, "too_large")?;
            wait_until("no file is left of the upload", async || {
                Ok((files_below(&files).len() == before).then_some(()))
            })
            .await?;
        }
        let fits = FirmwareForm::new("1.0.0").files(&[("fits", &[b'x'; 1000])]);
        fits.upload(&tenant.publisher).await?;
        Ok(())
    })
}
