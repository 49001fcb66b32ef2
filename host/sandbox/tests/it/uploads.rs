//! Uploads: what is accepted, and why others are refused.

use anyhow::Result;
use tidegate_core::plugin::PluginKind;
use tidegate_engine::ports::{Rejection, Sandbox as _};
use tidegate_hostile::{Hooks, HostilePlugin, strategy_with};
use tidegate_sandbox::{SandboxConfig, WasmSandbox};

use crate::support::{SandboxFixture, TENANT, observation};

#[tokio::test]
async fn an_honest_component_is_accepted() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    let component = HostilePlugin::Honest.component()?;
    let inspection = fixture.upload(component.clone()).await?;
    assert_eq!(inspection.kind, PluginKind::Strategy);
    assert_eq!(inspection.contract, "1.0.0-draft.2");
    assert_eq!(fixture.sandbox.contracts(), [inspection.contract.as_str()]);
    assert_eq!(inspection.description.name.to_string(), "acme/hostile");
    assert_eq!(inspection.description.config_schema, "{}");
    assert_eq!(
        fixture.upload(component).await?,
        inspection,
        "a second upload gives the same result"
    );
    Ok(())
}

#[tokio::test]
async fn an_invalid_component_is_refused_with_a_reason() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    let sound = HostilePlugin::Honest.component()?;
    for (name, component, message) in [
        ("nothing", Vec::new(), "not a WebAssembly component"),
        (
            "noise",
            b"not wasm at all".to_vec(),
            "not a WebAssembly component",
        ),
        ("half a component", sound[..sound.len() / 2].to_vec(), ""),
        (
            "a core module",
            tidegate_hostile::core_module()?,
            "core module",
        ),
        (
            "an import",
            tidegate_hostile::forbidden_import()?,
            "`wasi:clocks/monotonic-clock@0.2.3`",
        ),
        (
            "an empty component",
            wat::parse_str("(component)")?,
            "meta@1.0.0",
        ),
        (
            "no world",
            wat::parse_str(
                r#"(component (instance $i) (export "tidegate:plugin/meta@1.0.0" (instance $i)))"#,
            )?,
            "exports none of",
        ),
        (
            "exports without functions",
            wat::parse_str(
                r#"(component (instance $i)
                    (export "tidegate:plugin/meta@1.0.0" (instance $i))
                    (export "tidegate:plugin/rollout@1.0.0" (instance $i)))"#,
            )?,
            "has no `describe`",
        ),
        (
            "another shape",
            tidegate_hostile::wrong_signature()?,
            "type mismatch",
        ),
        ("trailing bytes", [sound.as_slice(), b"more"].concat(), ""),
    ] {
        let why = fixture
            .refusal(component)
            .await
            .map_err(|error| error.context(name))?;
        assert!(why.contains(message), "{name}: {why}");
    }
    Ok(())
}

#[tokio::test]
async fn a_log_with_other_functions_is_refused() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    let component = wat::parse_str(
        r#"(component
            (import "tidegate:plugin/log@1.0.0" (instance
                (export "clock" (func (result u64)))))
            (instance $i)
            (export "tidegate:plugin/meta@1.0.0" (instance $i))
            (export "tidegate:plugin/health@1.0.0" (instance $i)))"#,
    )?;
    let why = fixture.refusal(component).await?;
    assert!(why.contains("clock"), "{why}");
    Ok(())
}

#[tokio::test]
async fn a_component_that_fails_its_trial_is_refused() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    for (hostile, message) in [
        (
            HostilePlugin::EndlessLoop,
            "calling its `decide`: the plugin ran out of fuel",
        ),
        (
            HostilePlugin::LoopInStart,
            "instantiating it: the plugin ran out of fuel",
        ),
        (
            HostilePlugin::MemoryBomb,
            "calling its `decide`: the plugin exceeded its memory limit",
        ),
        (
            HostilePlugin::Trap,
            "calling its `decide`: the plugin trapped",
        ),
        (
            HostilePlugin::HugeAnswer,
            "calling its `decide`: the plugin's output is larger",
        ),
        (
            HostilePlugin::ImpossibleShare,
            "calling its `plan`: the plugin's output violates",
        ),
    ] {
        let why = fixture.refusal(hostile.component()?).await?;
        assert!(why.starts_with(message), "{hostile:?}: {why}");
    }
    Ok(())
}

#[tokio::test]
async fn a_plugin_may_refuse_the_trial_campaign() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    // The schema has no examples or defaults, so there is no config for a trial call.
    let component = strategy_with(
        &Hooks::default()
            .schema(r#"{"required": ["percent"]}"#)
            .decide("unreachable"),
    )?;
    fixture.upload(component).await?;
    // The plugin may return an error.
    let component = strategy_with(&Hooks::default().decide(
        "(i32.store8 (i32.const 640) (i32.const 1))
         (i32.store (i32.const 648) (i32.const 1024))
         (i32.store (i32.const 652) (i32.const 7))
         (i32.const 640)",
    ))?;
    let inspection = fixture.upload(component).await?;
    let call = fixture
        .sandbox
        .decide(TENANT, inspection.digest, observation("{}"))
        .await;
    assert_eq!(
        call.outcome
            .err()
            .map(|failure| failure.to_string())
            .as_deref(),
        Some("the plugin returned an error: hostile")
    );
    assert_eq!(
        fixture.sandbox.record_json(&call.record.output)?,
        r#"{"call":"decide","answer":{"Err":"hostile"}}"#
    );
    Ok(())
}

#[tokio::test]
async fn the_size_is_checked_first() -> Result<()> {
    let fixture = SandboxFixture::with(|config| config.limits.component_bytes = 100)?;
    let why = fixture.refusal(HostilePlugin::Honest.component()?).await?;
    assert!(why.contains("may have at most 100"), "{why}");
    assert!(why.contains("`sandbox.component_bytes`"), "{why}");
    Ok(())
}

#[tokio::test]
async fn a_missing_compiler_does_not_reject_the_component() -> Result<()> {
    let fixture = SandboxFixture::with(|config| {
        config.child_command.program = "/nowhere/to/be/found".into();
    })?;
    let refused = fixture.upload(HostilePlugin::Honest.component()?).await;
    assert!(
        matches!(refused, Err(Rejection::Unavailable(_))),
        "{refused:?}"
    );
    Ok(())
}

/// Neither at each start, if it is in a folder of the server, nor at each upload, if it was rejected for what it is.
#[tokio::test]
async fn a_rejected_component_is_not_inspected_again() -> Result<()> {
    let component = HostilePlugin::Panic.component()?;
    let fixture = SandboxFixture::new()?;
    let inspect = async |sandbox: &WasmSandbox, tenant| {
        let inspected = sandbox.inspect(tenant, component.clone().into()).await;
        inspected.map(|_| ()).expect_err("it is rejected")
    };
    let rejected = inspect(&fixture.sandbox, None).await;
    assert!(matches!(rejected, Rejection::Invalid(_)), "{rejected:?}");

    // No component can be inspected by a sandbox whose child processes do not start.
    let without_children = |config: &mut SandboxConfig| {
        config.child_command.program = "/no/such/program".into();
    };
    let restarted = fixture.reopen_with(without_children)?;
    assert_eq!(inspect(&restarted.sandbox, None).await, rejected);
    assert_eq!(inspect(&restarted.sandbox, Some(TENANT)).await, rejected);

    // Other limits may accept it. What failed for another reason is tried again.
    let with_other_limits = fixture.reopen_with(|config| {
        without_children(config);
        config.limits.fuel += 1;
    })?;
    for _ in 0..2 {
        let rejected = inspect(&with_other_limits.sandbox, Some(TENANT)).await;
        assert!(
            matches!(rejected, Rejection::Unavailable(_)),
            "{rejected:?}"
        );
    }
    Ok(())
}
