//! The compiler process and its limits.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result};
use tidegate_engine::ports::{Rejection, Sandbox as _};
use tidegate_hostile::{HostilePlugin, compile_bomb, many_functions};

use crate::support::{CHILD_PROGRAM, OTHER_TENANT, SandboxFixture, TENANT, observation};

#[tokio::test]
async fn a_compile_bomb_is_refused_with_a_reason() -> Result<()> {
    let fixture =
        SandboxFixture::with(|config| config.limits.compile_cpu = Duration::from_secs(1))?;
    let why = fixture.refusal(compile_bomb(40, 3_000)?).await?;
    assert_eq!(why, "compiling it took more than 1 s of CPU time");
    // The sandbox still works.
    let inspection = fixture.upload(HostilePlugin::Honest.component()?).await?;
    let call = fixture
        .sandbox
        .decide(TENANT, inspection.digest, observation("{}"))
        .await;
    assert!(call.outcome.is_ok());
    Ok(())
}

#[tokio::test]
async fn a_component_that_needs_too_much_memory_is_refused_with_a_reason() -> Result<()> {
    let fixture = SandboxFixture::with(|config| {
        config.limits.compile_memory_bytes = 256 << 20;
        // A debug build of the compiler, on one thread, needs that long to fill the memory.
        config.limits.compile_cpu = Duration::from_mins(1);
    })?;
    let why = fixture.refusal(many_functions(40_000)?).await?;
    assert!(
        why.starts_with("compiling it needed more than 256 MiB of memory"),
        "{why}"
    );
    Ok(())
}

#[tokio::test]
async fn a_killed_compiler_does_not_reject_the_component() -> Result<()> {
    let fixture = SandboxFixture::with(|config| {
        config.child_command.program = "/bin/sh".into();
        config.child_command.args = ["-c", "kill -9 $$"].map(Into::into).to_vec();
    })?;
    match fixture.upload(HostilePlugin::Honest.component()?).await {
        Err(Rejection::Unavailable(why)) => assert!(why.contains("memory"), "{why}"),
        other => anyhow::bail!("{other:?}"),
    }
    Ok(())
}

/// The machine is busy: the component is not to blame.
#[tokio::test(start_paused = true)]
async fn a_compilation_that_gets_no_cpu_time_is_no_verdict() -> Result<()> {
    let fixture = SandboxFixture::with(|config| {
        config.child_command.program = "/bin/sh".into();
        config.child_command.args = ["-c", "exec sleep 1000"].map(Into::into).to_vec();
    })?;
    let component = HostilePlugin::Honest.component()?;
    for tenant in [None, Some(TENANT)] {
        let inspected = fixture.sandbox.inspect(tenant, component.clone().into());
        match inspected.await {
            Err(Rejection::Unavailable(why)) => assert!(why.contains("try again"), "{why}"),
            other => anyhow::bail!("{other:?}"),
        }
    }
    // Nothing is remembered.
    tokio::time::resume();
    let with_compiler = fixture.reopen()?;
    with_compiler.upload(component).await?;
    Ok(())
}

#[tokio::test]
async fn a_campaign_does_not_wait_for_the_compilation_of_uploads() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (stop, started) = (folder.path().join("stop"), folder.path().join("started"));
    // Inspections hang until the test ends them, calls do not.
    let script = format!(
        "if [ \"$COMPILE_NICENESS\" = 19 ]; then echo > {started}; while [ ! -e {stop} ]; do sleep 0.05; done; fi; \
         exec {CHILD_PROGRAM} \"$@\"",
        started = started.display(),
        stop = stop.display()
    );
    let fixture = SandboxFixture::with(|config| {
        config.child_command.program = "/bin/sh".into();
        config.child_command.args = ["-c", &script, "sh"].map(Into::into).to_vec();
    })?;
    let honest = HostilePlugin::Honest.component()?;
    // Each has other bytes, by a custom section.
    let upload = |number: u8| {
        let component = [&honest[..], b"\x00\x06\x05other", &[0, 2, 1, number]].concat();
        fixture.upload(component)
    };
    let uploads = async { tokio::join!(upload(b'1'), upload(b'2'), upload(b'3'), upload(b'4')) };
    let installed = fixture.components.put(honest.clone());
    let others = async {
        while !started.exists() {
            tokio::task::yield_now().await;
        }
        let call = fixture.sandbox.decide(TENANT, installed, observation("{}"));
        let called = call.await.outcome;
        // The place of a fifth component is taken; another tenant has places of its own.
        let refused = upload(b'5').await;
        fs::write(&stop, "")?;
        let other = [&honest[..], b"\x00\x06\x05third"].concat();
        let other = fixture.upload_as(OTHER_TENANT, other).await;
        anyhow::Ok((called, refused, other))
    };
    let (uploaded, others) = tokio::join!(uploads, others);
    let (called, refused, other) = others?;
    called.context("the call of the installed plugin")?;
    let limit = Duration::from_secs(20);
    assert_eq!(refused, Err(Rejection::QueueFull(limit)));
    other?;
    let (one, two, three, four) = uploaded;
    for uploaded in [one, two, three, four] {
        uploaded?;
    }
    upload(b'5').await?;
    Ok(())
}

#[tokio::test]
async fn invalid_code_is_refused() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    // The component is well-formed, but its core module is invalid.
    let mut component = wat::parse_str(
        r#"(component (core module (func (result i32) (i32.const 1)))
            (instance $i)
            (export "tidegate:plugin/meta@1.0.0" (instance $i))
            (export "tidegate:plugin/health@1.0.0" (instance $i)))"#,
    )?;
    let body = [0x41, 0x01, 0x0b];
    let at = component
        .windows(3)
        .position(|window| window == body)
        .ok_or_else(|| anyhow::anyhow!("the function body is not in the component"))?;
    component[at] = 0x42; // i64.const, which does not match the function's result type
    let why = fixture.refusal(component).await?;
    assert!(why.starts_with("it does not compile: "), "{why}");
    Ok(())
}

#[tokio::test]
async fn another_programs_output_is_not_trusted() -> Result<()> {
    for (program, args) in [("/bin/echo", vec!["tidegate"]), ("/bin/cat", vec![])] {
        let fixture = SandboxFixture::with(|config| {
            config.child_command.program = program.into();
            config.child_command.args = args.into_iter().map(Into::into).collect();
        })?;
        let refused = fixture.upload(HostilePlugin::Honest.component()?).await;
        assert!(
            matches!(refused, Err(Rejection::Unavailable(_))),
            "{refused:?}"
        );
    }
    Ok(())
}
