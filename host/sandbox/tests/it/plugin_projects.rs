//! The projects that `tidegate plugin new` writes. `cargo xtask test --only projects` writes and builds them.

use std::{env, fs, io::Write as _, path::Path};

use anyhow::{Context as _, Result, ensure};
use tidegate_core::{
    id::Digest,
    measurement::Durations,
    plugin::PluginKind,
    wave::{Counts, WaveReport},
};
use tidegate_engine::ports::{CallFailure, Sandbox as _};
use tidegate_sandbox::ComponentInterface;

use crate::{
    components::check_goldens,
    support::{SandboxFixture, TENANT, observation, plan_input},
};

/// How a README names the limit on the size of a component.
const COMPONENT_BYTES: &str = "export TIDEGATE_SANDBOX__COMPONENT_BYTES=";

#[tokio::test]
async fn plugin_projects_pass_their_goldens() -> Result<()> {
    let Some(folder) = env::var_os("TIDEGATE_TEST_PLUGIN_PROJECTS") else {
        // Not `eprintln!`: its output is captured.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: the projects of `tidegate plugin new` (run `cargo xtask test --only projects`)"
        );
        return Ok(());
    };
    let folder = Path::new(&folder);
    let mut projects = Vec::new();
    for entry in fs::read_dir(folder.join("projects"))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        check_project(folder, &name, &entry.path())
            .await
            .with_context(|| name.clone())?;
        projects.push(name);
    }
    for kind in ["strategy", "compatibility-policy", "health-policy"] {
        let project = format!("rust-{kind}");
        ensure!(projects.contains(&project), "no {project}: {projects:?}");
    }
    Ok(())
}

/// A sandbox with the code that `tidegate plugin check` has compiled for a project, and with the limit of a server that takes
/// its component: the one that its README names, else the default.
fn fixture(folder: &Path, project: &Path) -> Result<SandboxFixture> {
    let readme = fs::read_to_string(project.join("README.md")).context("read README.md")?;
    let named = readme
        .lines()
        .find_map(|line| line.strip_prefix(COMPONENT_BYTES)?.split(' ').next());
    let component_bytes = named.map(str::parse).transpose().context(COMPONENT_BYTES)?;
    SandboxFixture::with(|config| {
        config.code_folder = folder.join("cache/tidegate/plugins");
        if let Some(bytes) = component_bytes {
            config.limits.component_bytes = bytes;
        }
    })
}

async fn check_project(folder: &Path, name: &str, project: &Path) -> Result<()> {
    let fixture = fixture(folder, project)?;
    let component = fs::read(project.join("component.wasm")).context("read component.wasm")?;
    // Interpreters grow their memory in every call.
    let interface = ComponentInterface::read(&component).map_err(anyhow::Error::msg)?;
    let is_compiled = ["rust-", "c-"].iter().any(|it| name.starts_with(it));
    let memory = is_compiled.then_some(interface.initial_memory);
    let inspection = fixture.upload(component).await?;
    let named = inspection.description.name.to_string();
    ensure!(named == format!("acme/{name}"), "it is named {named}");
    let plugin = fixture.sandbox.plugin(inspection.digest).await?;
    let goldens = check_goldens(&fixture, &plugin, &project.join("golden"), memory)?;
    ensure!(goldens > 0, "it has no goldens");
    if inspection.kind == PluginKind::Strategy {
        check_strategy(&fixture, inspection.digest).await?;
    }
    Ok(())
}

/// What the goldens of all languages cannot say alike: errors, and numbers of more than 32 bits.
async fn check_strategy(fixture: &SandboxFixture, digest: Digest) -> Result<()> {
    let sandbox = &fixture.sandbox;
    let errors = sandbox.validate(TENANT, digest, r#"{"other": 1}"#).await;
    let errors = errors.outcome?;
    ensure!(errors.len() == 1, "the schema refuses it: {errors:?}");

    let broken = sandbox.plan(TENANT, digest, plan_input("no JSON")).await;
    let failure = broken.outcome.err().context("the config is invalid")?;
    ensure!(matches!(failure, CallFailure::PluginError(_)), "{failure}");

    let mut observed = observation("{}");
    observed.context.max_in_flight = None;
    let devices = 1 << 40;
    observed.waves = vec![WaveReport {
        name: "all".to_owned(),
        size: devices,
        released: 0,
        counts: Counts {
            pending: devices,
            ..Counts::default()
        },
        opened_at: None,
        last_progress_at: None,
        advanced_at: None,
        failures: Vec::new(),
        durations: Durations::default(),
    }];
    let decision = sandbox.decide(TENANT, digest, observed).await.outcome?;
    ensure!(
        decision.releases.len() == 1 && decision.releases[0].devices == devices,
        "{decision:?}"
    );
    Ok(())
}
