use anyhow::Result;
use serde_json::json;
use tidegate_captured_log::CapturedLog;
use tidegate_core::id::Digest;
use tidegate_engine::ports::Sandbox as _;

use crate::support::{SandboxFixture, TENANT};

#[tokio::test]
async fn a_plugin_call_has_a_span_with_its_outcome() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    let absent = Digest::of(b"absent");
    let log = CapturedLog::start();
    fixture.sandbox.validate(TENANT, absent, "{}").await;
    fixture.sandbox.replay(TENANT, absent, b"", None).await;
    let spans = log.ended_spans("plugin_call", 2).await;
    let span = |call| json!({"name": "plugin_call", "call": call, "revision": absent.to_string(), "outcome": "host", "fuel": 0});
    assert_eq!(spans, [span("validate"), span("replay")]);
    Ok(())
}
