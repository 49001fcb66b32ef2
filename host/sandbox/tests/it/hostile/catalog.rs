//! Every component of the catalog meets the host as the catalog says, and leaves it unharmed.

use std::{collections::BTreeSet, fmt::Write as _, fs, time::Duration};

use anyhow::{Context as _, Result, ensure};
use tidegate_core::{Named as _, id::Digest};
use tidegate_engine::ports::{Call, CallFailure, CallQuota, Rejection, Sandbox as _, Wants};
use tidegate_hostile::{Function, HostileCase, HostileKind, HostilePlugin, Stage};

use crate::support::{
    SandboxFixture, TENANT, check_input, health_input, observation, page, plan_input,
};

#[tokio::test]
async fn loops() -> Result<()> {
    meet(HostileKind::Loops).await
}

#[tokio::test]
async fn memory() -> Result<()> {
    meet(HostileKind::Memory).await
}

#[tokio::test]
async fn compile_bombs() -> Result<()> {
    meet(HostileKind::CompileBombs).await
}

#[tokio::test]
async fn answers() -> Result<()> {
    meet(HostileKind::Answers).await
}

#[tokio::test]
async fn rules() -> Result<()> {
    meet(HostileKind::Rules).await
}

#[tokio::test]
async fn texts() -> Result<()> {
    meet(HostileKind::Texts).await
}

#[tokio::test]
async fn imports() -> Result<()> {
    meet(HostileKind::Imports).await
}

#[tokio::test]
async fn names() -> Result<()> {
    meet(HostileKind::Names).await
}

#[tokio::test]
async fn schemas() -> Result<()> {
    meet(HostileKind::Schemas).await
}

#[tokio::test]
async fn features() -> Result<()> {
    meet(HostileKind::Features).await
}

#[tokio::test]
async fn files() -> Result<()> {
    meet(HostileKind::Files).await
}

/// A component that was rejected before would not be inspected again.
#[test]
fn every_row_has_a_name_and_a_component_of_its_own() -> Result<()> {
    let (mut names, mut components) = (BTreeSet::new(), BTreeSet::new());
    for kind in HostileKind::ALL {
        for case in kind.cases()? {
            let is_new = components.insert(Digest::of(&case.component));
            ensure!(is_new, "{} has the component of another row", case.name);
            ensure!(names.insert(case.name.clone()), "twice: {}", case.name);
        }
    }
    ensure!(names.len() > 300, "{} components", names.len());
    Ok(())
}

/// What became of a component: `ok`, `rejected`, `unavailable` or the class of a failure, and the message.
struct Met {
    class: &'static str,
    message: String,
}

impl Met {
    fn of<T>(outcome: Result<T, CallFailure>) -> Self {
        match outcome {
            Ok(_) => Self::ok(),
            Err(failure) => Self {
                class: failure.as_str(),
                message: failure.to_string(),
            },
        }
    }

    fn ok() -> Self {
        Self {
            class: "ok",
            message: String::new(),
        }
    }
}

/// Uploads the components of a kind and calls them. Reports all that end in another way than the catalog says.
async fn meet(kind: HostileKind) -> Result<()> {
    let fixture = SandboxFixture::with(|config| {
        match kind {
            HostileKind::CompileBombs => {
                config.limits.compile_cpu = Duration::from_secs(1);
                // The default bounds the time on a fast machine already.
                config.limits.component_bytes = 32 << 20;
            }
            // Less than the default, so that a machine with little memory can run the tests.
            HostileKind::Memory => config.limits.compile_memory_bytes = 512 << 20,
            _ => {}
        }
    })?;
    let honest = HostilePlugin::Honest.component()?;
    let honest = fixture.upload(honest).await?.digest;
    let sound = fixture
        .sandbox
        .decide(TENANT, honest, observation("{}"))
        .await;
    let mut differing = String::new();
    for case in kind.cases()? {
        let met = run(&fixture, &case).await;
        let met = met.with_context(|| case.name.clone())?;
        if met.class != case.class || !met.message.contains(&case.message) {
            writeln!(
                differing,
                "{}: {} {:?}, not {} {:?}",
                case.name, met.class, met.message, case.class, case.message
            )?;
        }
        let call = fixture
            .sandbox
            .decide(TENANT, honest, observation("{}"))
            .await;
        ensure!(
            is_same(&call, &sound),
            "after {}: {:?}",
            case.name,
            call.outcome
        );
    }
    ensure!(differing.is_empty(), "{differing}");
    Ok(())
}

fn is_same<T: PartialEq>(call: &Call<T>, other: &Call<T>) -> bool {
    call.outcome == other.outcome && call.fuel == other.fuel && call.record == other.record
}

/// Uploads a component, and calls the function of its stage although the upload may have been rejected.
async fn run(fixture: &SandboxFixture, case: &HostileCase) -> Result<Met> {
    let digest = Digest::of(&case.component);
    let uploaded = match fixture.upload(case.component.clone()).await {
        Ok(inspection) => {
            ensure!(inspection.digest == digest, "it has another digest");
            Met::ok()
        }
        Err(Rejection::Invalid(message)) => {
            let files = files_of(fixture, digest)?;
            let is_remembered = |name: &String| name.ends_with(".rejected");
            ensure!(
                files.iter().all(is_remembered),
                "it was rejected, and left {files:?}"
            );
            let class = "rejected";
            Met { class, message }
        }
        Err(other) => anyhow::bail!("the upload is no verdict: {other:?}"),
    };
    Ok(match case.stage {
        Stage::Upload => uploaded,
        Stage::Call(function) => call(fixture, digest, function).await,
    })
}

/// The files of a component in the folder of compiled code, and all that are incomplete.
fn files_of(fixture: &SandboxFixture, digest: Digest) -> Result<Vec<String>> {
    let digits = hex::encode(digest.0);
    let mut files = Vec::new();
    for entry in fs::read_dir(fixture.code_folder())? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.starts_with(&digits) || name.ends_with(".partial") {
            files.push(name);
        }
    }
    Ok(files)
}

async fn call(fixture: &SandboxFixture, digest: Digest, function: Function) -> Met {
    let sandbox = &fixture.sandbox;
    match function {
        Function::Describe => {
            let plugin = sandbox.plugin(digest).await;
            Met::of(plugin.and_then(|plugin| plugin.describe()))
        }
        Function::Validate => Met::of(sandbox.validate(TENANT, digest, "{}").await.outcome),
        Function::Wants => {
            let wants = sandbox.wants(TENANT, CallQuota::Decisions, digest, "{}");
            match wants.await {
                Wants::Known(interests) => Met::of(Ok(interests)),
                Wants::Called(call) => Met::of(call.outcome),
            }
        }
        Function::Plan => Met::of(sandbox.plan(TENANT, digest, plan_input("{}")).await.outcome),
        Function::Assign => Met::of(sandbox.assign(TENANT, digest, page(8)).await.outcome),
        Function::Decide => {
            let call = sandbox.decide(TENANT, digest, observation("{}"));
            Met::of(call.await.outcome)
        }
        Function::Check => Met::of(sandbox.check(TENANT, digest, check_input()).await.outcome),
        Function::Evaluate => {
            let call = sandbox.evaluate(TENANT, digest, health_input());
            Met::of(call.await.outcome)
        }
    }
}
