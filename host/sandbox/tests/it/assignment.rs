//! Calls of `assign` and their records.

use anyhow::Result;
use tidegate_core::Named as _;
use tidegate_engine::ports::{CallFailure, Sandbox as _};
use tidegate_hostile::{Hooks, strategy_with};

use crate::support::{SandboxFixture, TENANT, deflate_stored, failure, page};

/// A strategy whose `assign` returns this number of rows, all of wave 0.
fn strategy_assigning(rows: usize) -> Result<Vec<u8>> {
    strategy_with(&Hooks::default().assign(format!(
        "(drop (memory.grow $memory (i32.const 40)))
         (i32.store (i32.const 512) (i32.const 0))
         (i32.store (i32.const 516) (i32.const 1048576))
         (i32.store (i32.const 520) (i32.const {rows}))
         (i32.const 512)"
    )))
}

#[tokio::test]
async fn pages_of_any_length_are_replayed() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    for rows in [8, 100_000] {
        let digest = fixture.components.put(strategy_assigning(rows)?);
        let call = fixture.sandbox.assign(TENANT, digest, page(rows)).await;
        let input = &call.record.input;
        let replayed = fixture.sandbox.replay(TENANT, digest, input, None).await;
        assert_eq!(replayed.record, call.record);
        assert_eq!(replayed.fuel, call.fuel);
        assert_eq!(call.outcome?.len(), rows);

        let mut other = page(rows);
        other.place[rows - 1] = 8;
        let other = fixture.sandbox.assign(TENANT, digest, other).await;
        assert_ne!(other.record.input_digest, call.record.input_digest);
    }
    Ok(())
}

/// Earlier versions recorded them so.
#[tokio::test]
async fn columns_that_were_recorded_as_digests_cannot_be_replayed() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    let digest = fixture.components.put(strategy_assigning(8)?);
    let call = fixture.sandbox.assign(TENANT, digest, page(8)).await;
    let json = fixture.sandbox.record_json(&call.record.input)?;
    let column = r#""place":[7,7,7,7,7,7,7,7]"#;
    assert!(json.contains(column), "{json}");
    let json = json.replace(
        column,
        r#""place":{"rows":5000,"digest":"sha256:2164d9126becf7c607110d9d4bdaa6dfb776e36f4b47111c31faed5e23afdc3a"}"#,
    );
    let input = deflate_stored(json.as_bytes());
    let replayed = failure(fixture.sandbox.replay(TENANT, digest, &input, None).await)?;
    assert_eq!(replayed.as_str(), "invalid-record");
    assert!(replayed.to_string().contains("as digests"), "{replayed}");
    Ok(())
}

#[tokio::test]
async fn every_row_needs_an_answer() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    let digest = fixture.components.put(strategy_assigning(9)?);
    assert_eq!(
        failure(fixture.sandbox.assign(TENANT, digest, page(8)).await)?,
        CallFailure::InvalidAnswer("it has 9 results for 8 rows".to_owned())
    );
    Ok(())
}

#[tokio::test]
async fn an_answer_may_be_as_long_as_the_page_allows() -> Result<()> {
    let fixture = SandboxFixture::with(|config| config.limits.answer_bytes = 1_000)?;
    // The output has four bytes a row; the limit grows by eight.
    let digest = fixture.components.put(strategy_assigning(10_000)?);
    assert_eq!(
        fixture
            .sandbox
            .assign(TENANT, digest, page(10_000))
            .await
            .outcome?
            .len(),
        10_000
    );
    assert_eq!(
        failure(fixture.sandbox.assign(TENANT, digest, page(1_000)).await)?,
        CallFailure::AnswerTooLarge(1_000 + 8 * 1_000)
    );
    Ok(())
}
