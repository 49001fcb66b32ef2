//! Uploads of hostile components to a server process: each is answered, and the server keeps nothing of what it rejects.
//! The tests of the sandbox have all components, and call them too.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use reqwest::{
    Method,
    multipart::{Form, Part},
};
use tidegate_e2e::{
    HttpResponse, RestClient, RestResponse as _, ServerProcess, ServerStorage, both_databases,
    files_below,
};
use tidegate_hostile::{HostileCase, HostileKind, HostilePlugin, Stage};

use crate::start_and_shutdown::authenticated;

both_databases!(hostile_uploads_leave_nothing_behind);

/// One of this many components of each kind is uploaded.
const STEP: usize = 6;
/// Open files beyond those of the first upload: connections of the client and of the database.
const MORE_FILES: usize = 16;
/// Memory beyond that of the first upload, in bytes. One compilation's output can be as large.
const MORE_MEMORY: u64 = 96 << 20;

async fn hostile_uploads_leave_nothing_behind(storage: ServerStorage) -> Result<()> {
    // A folder of its own for compiled code, and no built-in plugins to compile.
    fs::remove_file(storage.dir().join("compiled"))?;
    let built_ins = storage.dir().join("components");
    fs::create_dir(&built_ins)?;
    let settings = [
        ("TIDEGATE_DEV", "true".into()),
        ("TIDEGATE_COMPONENTS", built_ins.into_os_string()),
        // On a busy machine fuel still ends a call before the deadline does.
        ("TIDEGATE_SANDBOX__DEADLINE", "2s".into()),
        ("TIDEGATE_SANDBOX__PLANNING_DEADLINE", "30s".into()),
    ];
    let process = ServerProcess::start_with(&storage, &settings)?;
    let rest = RestClient::anonymous(reqwest::Client::new(), &process.url);
    let rest = authenticated(&rest).await?;
    for plugin in [HostilePlugin::Honest, HostilePlugin::Trap] {
        upload(&rest, plugin.component()?).await?;
    }
    let (open, memory) = (open_files(&process)?, process.memory()?);
    for kind in HostileKind::ALL {
        // Each takes the whole time that a compilation may take.
        if kind == HostileKind::CompileBombs {
            continue;
        }
        for case in kind.cases()?.into_iter().step_by(STEP) {
            let before = kept_files(storage.dir());
            let rejected = is_rejected(&rest, &case).await;
            if rejected.with_context(|| case.name.clone())? {
                let kept = kept_files(storage.dir());
                let new: Vec<_> = kept.difference(&before).collect();
                ensure!(new.is_empty(), "{} left {new:?}", case.name);
            }
            let (open_now, memory_now) = (open_files(&process)?, process.memory()?);
            ensure!(
                open_now <= open + MORE_FILES,
                "{} files are open after {}, and {open} were",
                open_now,
                case.name
            );
            ensure!(
                memory_now <= memory + MORE_MEMORY,
                "{} MiB are in use after {}, and {} were",
                memory_now >> 20,
                case.name,
                memory >> 20
            );
        }
    }
    rest.get("/readyz").await?.expect_status(200)?;
    Ok(())
}

/// Uploads a component, and checks the response. Returns whether it was rejected.
async fn is_rejected(rest: &RestClient, case: &HostileCase) -> Result<bool> {
    let response = upload(rest, case.component.clone()).await?;
    if response.status == 201 {
        ensure!(
            case.class == "ok" || case.stage != Stage::Upload,
            "it was accepted"
        );
        return Ok(false);
    }
    if response.status == 409 {
        // It is a valid plugin, with the name of a built-in one, or the version of the one that was uploaded first.
        let code = response.json()?["code"].clone();
        ensure!(case.class == "ok", "{code}");
        ensure!(
            code == "reserved_name" || code == "version_exists",
            "{code}"
        );
        return Ok(false);
    }
    let problem = response.expect_problem(422, "plugin_rejected")?;
    let detail = problem["detail"].as_str().unwrap_or_default();
    ensure!(
        case.stage != Stage::Upload || detail.contains(&case.message),
        "{detail:?} lacks {:?}",
        case.message
    );
    Ok(true)
}

async fn upload(rest: &RestClient, component: Vec<u8>) -> Result<HttpResponse> {
    let part = Part::bytes(component).file_name("hostile.wasm");
    let form = Form::new().part("component", part);
    let request = rest.request(Method::POST, "plugins");
    Ok(HttpResponse::fetch(request.multipart(form)).await?)
}

fn open_files(process: &ServerProcess) -> Result<usize> {
    let folder = format!("/proc/{}/fd", process.id());
    Ok(fs::read_dir(folder)?.count())
}

/// The files of the data directory, without the database and the reasons of rejections.
fn kept_files(folder: &Path) -> BTreeSet<PathBuf> {
    let is_kept = |file: &PathBuf| {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        !name.ends_with(".rejected") && !name.starts_with("tidegate.db")
    };
    files_below(folder).into_iter().filter(is_kept).collect()
}
