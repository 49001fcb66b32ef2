//! Files that are large, broken off, or fetched in parts; and the memory that they take.

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
    Alone, Answer, Database, FirmwareForm, Ground, Program, Rest, Setup, Stage as _,
    both_databases, files_below, plain, until,
};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

const SIZE: usize = 64 << 20;
/// What transfers may take, several at once, however large the file is.
const ROOM: u64 = 40 << 20;

both_databases!(what_breaks_off_leaves_nothing, the_same_bytes_are_kept_once);

#[test]
fn memory_does_not_grow_with_a_file() -> Result<()> {
    plain(async || {
        let ground = Ground::set(Database::Sqlite).await?;
        let program = Program::start(&ground)?;
        let rest = Rest::anonymous(reqwest::Client::new(), &program.url);
        let token = rest
            .post("auth/dev-token", &json!({ "user_id": "maker" }))
            .await?
            .is(200)?
            .json()?;
        let rest = rest.with_token(token["token"].as_str().context("a token")?);
        // What the first upload and download take once is not the file's.
        let small = FirmwareForm::new("1.0.0").upload(&rest).await?;
        rest.get(&format!("firmware/{small}/download"))
            .await?
            .is(200)?;

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
            let moved = up_and_down(&rest).await;
            over.store(true, Ordering::SeqCst);
            moved
        };
        let (watched, moved) = tokio::join!(watch, transfers);
        moved?;
        watched?;
        let grown = most.load(Ordering::SeqCst).saturating_sub(before);
        ensure!(
            grown < ROOM,
            "memory grew by {} KiB with a file of {} KiB",
            grown >> 10,
            SIZE >> 10
        );
        Ok(())
    })
}

async fn up_and_down(rest: &Rest) -> Result<()> {
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
    let made = Answer::of(request).await?.is(201)?.json()?;
    ensure!(made["file_size"] == SIZE, "{made}");
    let path = format!("firmware/{}/download", made["firmware_id"]);

    let head = Answer::of(rest.request(Method::HEAD, &path))
        .await?
        .is(200)?;
    ensure!(
        head.header("content-length") == SIZE.to_string(),
        "{:?}",
        head.headers
    );
    let etag = head.header("etag").to_owned();
    try_join_all((0..3).map(|_| whole(rest, &path))).await?;

    // Parts from everywhere, and the whole where it is another file by now.
    let part = |range: String, etag: &str| {
        let request = rest.request(Method::GET, &path);
        request.header("Range", range).header("If-Range", etag)
    };
    for from in [0, 1, (5 << 20) - 1, SIZE / 2 - 3, SIZE - 7] {
        let answer = part(format!("bytes={from}-{}", from + 6), &etag);
        let answer = Answer::of(answer).await?.is(206)?;
        ensure!(
            answer.body == LARGE[from..from + 7],
            "from {from} came {:?}",
            answer.body
        );
        let range = format!("bytes {from}-{}/{SIZE}", from + 6);
        ensure!(
            answer.header("content-range") == range,
            "{:?}",
            answer.headers
        );
    }
    let changed = part("bytes=0-6".to_owned(), "\"x\"").send().await?;
    let size = changed.content_length();
    ensure!(
        changed.status() == 200 && size == Some(SIZE as u64),
        "{changed:?}"
    );
    let beyond = Answer::of(part(format!("bytes={SIZE}-"), &etag)).await?;
    beyond.problem(416, "range_not_satisfiable")?;
    Ok(())
}

async fn whole(rest: &Rest, path: &str) -> Result<()> {
    let mut answer = rest
        .request(Method::GET, path)
        .send()
        .await?
        .error_for_status()?;
    let mut size = 0;
    while let Some(bytes) = answer.chunk().await? {
        let same = LARGE.get(size..size + bytes.len()) == Some(&bytes[..]);
        ensure!(same, "other bytes came from {size} on");
        size += bytes.len();
    }
    ensure!(size == SIZE, "{size} bytes came");
    Ok(())
}

/// A file that repeats itself nowhere near a power of two.
static LARGE: LazyLock<Bytes> = LazyLock::new(|| {
    let bytes = (0..251_u8).cycle().enumerate();
    bytes
        .map(|(at, byte)| byte ^ (at >> 18) as u8)
        .take(SIZE)
        .collect()
});

async fn what_breaks_off_leaves_nothing(lab: Alone) -> Result<()> {
    let files = lab.server.folder().join("artifacts");
    let before = files_below(&files).len();
    let form = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n";
    for (what, head, body) in [
        (
            "amid a file",
            "Content-Length: 1000000\r\n",
            format!("{form}{}", "x".repeat(100_000)),
        ),
        (
            "amid a chunk",
            "Transfer-Encoding: chunked\r\n",
            format!("186a0\r\n{form}{}", "x".repeat(50_000)),
        ),
        (
            "before anything",
            "Content-Length: 1000000\r\n",
            String::new(),
        ),
    ] {
        let address = lab.server.url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).await?;
        let key = lab.publisher.request(Method::GET, "").build()?.headers()["x-api-key"].clone();
        let request = format!(
            "POST /api/v1/firmware HTTP/1.1\r\nHost: {address}\r\nX-API-Key: {}\r\n\
             Content-Type: multipart/form-data; boundary=b\r\n{head}\r\n{body}",
            key.to_str()?
        );
        stream.write_all(request.as_bytes()).await?;
        if !body.is_empty() {
            until("the server has begun to store it", async || {
                Ok((files_below(&files).len() > before).then_some(()))
            })
            .await?;
        }
        drop(stream);
        until(
            &format!("nothing is left of what broke off {what}"),
            async || Ok((files_below(&files).len() == before).then_some(())),
        )
        .await?;
    }
    ensure!(
        lab.viewer.list("firmware").await?.is_empty(),
        "there is firmware"
    );
    Ok(())
}

async fn the_same_bytes_are_kept_once(lab: Alone) -> Result<()> {
    let files = lab.server.folder().join("artifacts");
    let before = files_below(&files).len();
    // The same file twice is kept once, and goes only when both are gone.
    let form = |version: &str| FirmwareForm::new(version).files(&[("same.bin", b"the same bytes")]);
    form("1.0.0").upload(&lab.publisher).await?;
    form("2.0.0").upload(&lab.publisher).await?;
    ensure!(
        files_below(&files).len() == before + 1,
        "the same bytes are kept twice"
    );
    let refused = form("3.0.0")
        .with(json!({ "checksum_md5": "0" }))
        .send(&lab.publisher)
        .await?;
    refused.problem(422, "checksum_mismatch")?;
    for firmware in lab.viewer.list("firmware").await? {
        let path = format!("firmware/{}/download", firmware["firmware_id"]);
        let file = lab.viewer.get(&path).await?.is(200)?;
        ensure!(file.body == "the same bytes", "{file}");
    }
    Ok(())
}

/// A file over the server's limit is refused, wherever it is over it, and nothing of it is kept.
#[test]
fn what_is_too_large_leaves_nothing() -> Result<()> {
    plain(async || {
        let setup = Setup {
            max_artifact_bytes: Some(1000),
            ..Setup::default()
        };
        let lab = Alone::with(Database::Sqlite, setup).await?;
        let files = lab.server.folder().join("artifacts");
        let before = files_below(&files).len();
        for size in [1001, 6 << 20] {
            let large = vec![b'x'; size];
            let form = FirmwareForm::new("1.0.0").files(&[("fits", b"x"), ("does not", &large)]);
            form.send(&lab.publisher).await?.problem(413, "too_large")?;
            until("nothing is left of it", async || {
                Ok((files_below(&files).len() == before).then_some(()))
            })
            .await?;
        }
        let fits = FirmwareForm::new("1.0.0").files(&[("fits", &[b'x'; 1000])]);
        fits.upload(&lab.publisher).await?;
        Ok(())
    })
}
