//! Downloads of a large file, from the server and from nginx.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::{
    Bench,
    certificate::Certificate,
    http1::{end_of_head, length, request},
    process::{Process, anonymous_memory, create_empty_dir},
    report::{Figure, median},
    tidegate::Tidegate,
};

/// Size of the writes during the upload.
const CHUNK_BYTES: usize = 1 << 20;

pub(crate) async fn measure(bench: &Bench, nginx: &Path) -> Result<Vec<Figure>> {
    let pieces = bench.size(1024, 128) as u64;
    let size = pieces * CHUNK_BYTES as u64;
    let mut server = Tidegate::start(bench, "download", None)?;
    let piece: Vec<u8> = (0..CHUNK_BYTES).map(|at| ((at * 31) >> 3) as u8).collect();
    let firmware = server.upload("1.0.0", &piece, pieces).await?;
    let file = stored_path(&server, firmware).await?;
    ensure!(
        fs::metadata(&file)?.len() == size,
        "the stored file has another size"
    );

    let theirs = start_nginx(bench, nginx, &file, None)?;
    let name = file.file_name().and_then(|name| name.to_str());
    let paths = DownloadPaths {
        nginx: format!("/{}", name.context("the file has no name")?),
        tidegate: format!("/api/v1/firmware/{firmware}/download"),
    };
    let from_nginx = request("GET", &paths.nginx, theirs.addr, "", b"");
    let ours = request("GET", &paths.tidegate, server.addr(), &server.admin(), b"");

    // Once each, so that the file is in the page cache for both.
    fetch_plain(theirs.addr, &from_nginx, size)?;
    fetch_plain(server.addr(), &ours, size)?;
    let before = anonymous_memory(server.process.id())?;
    let (mut at_nginx, mut at_ours, mut cpu, mut most) =
        (Vec::new(), Vec::new(), Vec::new(), before);
    for _ in 0..bench.size(5, 3) {
        at_nginx.push(fetch_plain(theirs.addr, &from_nginx, size)?);
        let busy = server.process.cpu()?;
        let (rate, peak) =
            with_peak_memory(&server.process, || fetch_plain(server.addr(), &ours, size))?;
        cpu.push((server.process.cpu()? - busy) / (size as f64 / 1e9));
        at_ours.push(rate);
        most = most.max(peak);
    }
    let after = anonymous_memory(server.process.id())?;
    let megabytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let what = format!("download of {} MiB", size >> 20);
    drop(theirs);
    let over_tls = measure_tls(bench, nginx, &mut server, &file, &paths, size)?;
    Ok(vec![
        Figure::new(what.clone(), median(at_ours), "MB/s")
            .compared_to("nginx, same file", median(at_nginx), "MB/s")
            .ratio_at_least(0.9)
            .note(format!(
                "one connection; the server used {:.2} s of CPU time per GB; nginx uses sendfile",
                median(cpu)
            )),
        Figure::new(
            format!("{what}: peak memory of the server"),
            megabytes(most),
            "MiB",
        )
        .compared_to("before", megabytes(before), "MiB")
        .compared_to("after", megabytes(after), "MiB")
        .below(megabytes(before) + 16.0)
        .note("anonymous memory, without mapped files"),
        over_tls,
    ])
}

/// The paths of the same file on both servers.
struct DownloadPaths {
    nginx: String,
    tidegate: String,
}

/// Downloads over TLS, from both servers with the same certificate.
fn measure_tls(
    bench: &Bench,
    nginx: &Path,
    server: &mut Tidegate,
    file: &Path,
    paths: &DownloadPaths,
    size: u64,
) -> Result<Figure> {
    let certificate = Certificate::create(&server.data_dir)?;
    server.restart_with_tls(bench, &certificate)?;
    let theirs = start_nginx(bench, nginx, file, Some(&certificate))?;
    let from_nginx = request("GET", &paths.nginx, theirs.addr, "", b"");
    let ours = request("GET", &paths.tidegate, server.addr(), &server.admin(), b"");
    let download = |process: &Process, request: &[u8]| {
        let before = process.cpu()?;
        let stream = certificate.connect(TcpStream::connect(process.addr)?)?;
        let rate = fetch(stream, request, size)?;
        let seconds_per_gb = (process.cpu()? - before) / (size as f64 / 1e9);
        anyhow::Ok((rate, seconds_per_gb))
    };
    let (mut at_nginx, mut at_ours) = (Vec::new(), Vec::new());
    // The first round is a warm-up.
    for round in 0..=bench.size(5, 3) {
        let (theirs, ours) = (
            download(&theirs, &from_nginx)?,
            download(&server.process, &ours)?,
        );
        if round > 0 {
            at_nginx.push(theirs);
            at_ours.push(ours);
        }
    }
    let rate = |rounds: &[(f64, f64)]| median(rounds.iter().map(|round| round.0));
    let cost = |rounds: &[(f64, f64)]| median(rounds.iter().map(|round| round.1));
    let what = format!("download of {} MiB over TLS", size >> 20);
    Ok(Figure::new(what, rate(&at_ours), "MB/s")
        .compared_to("nginx, same file and certificate", rate(&at_nginx), "MB/s")
        .ratio_at_least(0.75)
        .note(format!(
            "one connection; the server used {:.2} s of CPU time per GB, nginx {:.2} s",
            cost(&at_ours),
            cost(&at_nginx)
        )))
}

/// The path of the firmware's only file in the server's storage.
async fn stored_path(server: &Tidegate, firmware: i64) -> Result<PathBuf> {
    let path = format!("firmware/{firmware}");
    let shown = server.rest("GET", &path, &Value::Null).await?;
    let text = shown.to_string();
    let (_, rest) = text.split_once("\"sha256\":\"").context("no sha256")?;
    let sha256 = rest.get(..64).context("no sha256")?;
    let folder = server.data_dir.join("artifacts/sha256").join(&sha256[..2]);
    Ok(folder.join(sha256))
}

/// Downloads a file without TLS, as [`fetch`] does.
fn fetch_plain(addr: SocketAddr, request: &[u8], size: u64) -> Result<f64> {
    fetch(TcpStream::connect(addr)?, request, size)
}

/// Downloads a file without storing it. Returns megabytes (10^6) per second.
fn fetch(mut stream: impl Read + Write, request: &[u8], size: u64) -> Result<f64> {
    let mut buffer = vec![0; 256 << 10];
    let began = Instant::now();
    stream.write_all(request)?;
    let mut filled = 0;
    let head = loop {
        filled += stream.read(&mut buffer[filled..])?;
        if let Some(head) = end_of_head(&buffer[..filled]) {
            break head;
        }
        ensure!(filled < buffer.len(), "the response header is too long");
    };
    let text = String::from_utf8_lossy(&buffer[..head]);
    ensure!(text.starts_with("HTTP/1.1 200"), "{text}");
    ensure!(
        length(&buffer[..head])? as u64 == size,
        "the response has another length"
    );
    let mut got = (filled - head) as u64;
    while got < size {
        let read = stream.read(&mut buffer)?;
        ensure!(read > 0, "the connection was closed after {got} bytes");
        got += read as u64;
    }
    Ok(size as f64 / 1e6 / began.elapsed().as_secs_f64())
}

/// Runs a function. Returns its result and the peak of the server's memory meanwhile.
fn with_peak_memory<T: Send>(
    server: &Process,
    act: impl FnOnce() -> Result<T> + Send,
) -> Result<(T, u64)> {
    let process = server.id();
    thread::scope(|scope| {
        let acting = scope.spawn(act);
        let mut most = 0;
        while !acting.is_finished() {
            most = most.max(anonymous_memory(process)?);
            thread::sleep(Duration::from_millis(20));
        }
        let Ok(done) = acting.join() else {
            bail!("the download thread panicked");
        };
        Ok((done?, most))
    })
}

/// nginx with Debian's settings, except for the paths and a single process: one connection uses only one process,
/// and this program kills only the process that it started.
fn start_nginx(
    bench: &Bench,
    program: &Path,
    file: &Path,
    certificate: Option<&Certificate>,
) -> Result<Process> {
    let folder = bench.work.join("nginx");
    create_empty_dir(&folder)?;
    let folder = fs::canonicalize(folder)?;
    let root = fs::canonicalize(file)?;
    let root = root.parent().context("the file has no folder")?;
    let addr = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
    let config = folder.join("nginx.conf");
    let user = if fs::read_to_string("/proc/self/status")?.contains("\nUid:\t0\t") {
        "user root;"
    } else {
        ""
    };
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {}/{kind};", folder.display()))
        .concat();
    let (tls, keys) = match certificate {
        None => ("", String::new()),
        Some(certificate) => (
            " ssl",
            format!(
                "ssl_certificate {}; ssl_certificate_key {};",
                certificate.chain_file.display(),
                certificate.key_file.display()
            ),
        ),
    };
    let text = format!(
        "{user} daemon off; master_process off; pid {0}/pid; error_log {0}/error.log;
        events {{ worker_connections 768; }}
        http {{ {temporary} access_log off; sendfile on; tcp_nopush on;
            server {{ listen {addr}{tls}; {keys} root {1}; }} }}",
        folder.display(),
        root.display(),
    );
    fs::write(&config, text)?;
    let child = Command::new(program)
        .args(["-e", "stderr", "-p"])
        .arg(&folder)
        .arg("-c")
        .arg(&config)
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| format!("start {}", program.display()))?;
    let process = Process::of(child, addr);
    for _ in 0..500 {
        if TcpStream::connect(addr).is_ok() {
            return Ok(process);
        }
        thread::sleep(Duration::from_millis(10));
    }
    bail!("nginx did not start to listen")
}
