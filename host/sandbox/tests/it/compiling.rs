//! The compiler process and its limits.

use std::time::Duration;

use anyhow::Result;
use tidegate_engine::ports::{Rejection, Sandbox as _};
use tidegate_hostile::{HostilePlugin, compile_bomb, many_functions};

use crate::support::{SandboxFixture, TENANT, observation};

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
    let fixture = SandboxFixture::with(|config| config.limits.compile_memory_bytes = 256 << 20)?;
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
