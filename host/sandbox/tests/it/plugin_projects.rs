//! The projects that `tidegate plugin new` writes. `cargo xtask test --only projects` writes and builds them.

use std::{env, fs, io::Write as _, path::Path};

use anyhow::{Context as _, Result, ensure};

use tidegate_sandbox::ComponentInterface;

use crate::{components::check_goldens, support::SandboxFixture};

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
    let fixture = SandboxFixture::new()?;
    let mut projects = Vec::new();
    for entry in fs::read_dir(Path::new(&folder).join("projects"))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // 18 MB of Python take minutes to compile by a compiler that is not optimised. Its goldens have been run natively.
        if name.starts_with("python-") {
            continue;
        }
        check_project(&fixture, &name, &entry.path())
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

async fn check_project(fixture: &SandboxFixture, name: &str, project: &Path) -> Result<()> {
    let component = fs::read(project.join("component.wasm")).context("read component.wasm")?;
    // Interpreters grow their memory in every call.
    let interface = ComponentInterface::read(&component).map_err(anyhow::Error::msg)?;
    let memory = name
        .starts_with("rust-")
        .then_some(interface.initial_memory);
    let inspection = fixture.upload(component).await?;
    let named = inspection.description.name.to_string();
    ensure!(named == format!("acme/{name}"), "it is named {named}");
    let plugin = fixture.sandbox.plugin(inspection.digest).await?;
    let goldens = check_goldens(fixture, &plugin, &project.join("golden"), memory)?;
    ensure!(goldens > 0, "it has no goldens");
    Ok(())
}
