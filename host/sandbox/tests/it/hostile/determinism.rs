//! Plugins that try to learn what differs between calls, servers or processors: they see the same every time.

use anyhow::Result;
use tidegate_engine::ports::Sandbox as _;
use tidegate_hostile::{Function, Hooks, HostilePlugin};

use crate::support::{SandboxFixture, TENANT, observation};

/// What a plugin can look at, and the bytes of state that it makes of it, from address 131072 to `$at`.
const LOOKS: [(&str, &str); 7] = [
    (
        "memory that was never written",
        "(drop (memory.grow $memory (i32.const 4)))
         (memory.copy $memory $memory (i32.const 131072) (i32.const 262144) (i32.const 32768))
         (local.set $at (i32.const 163840))",
    ),
    (
        "the results of growing",
        "(i32.store (i32.const 131072) (memory.grow $memory (i32.const 3)))
         (i32.store (i32.const 131076) (memory.grow $memory (i32.const 60000)))
         (i32.store (i32.const 131080) (memory.size $memory))
         (i32.store (i32.const 131084) (table.grow $many (ref.null func) (i32.const 100)))
         (i32.store (i32.const 131088) (table.grow $many (ref.null func) (i32.const 1000000)))
         (local.set $at (i32.const 131092))",
    ),
    (
        "the bits of numbers that are none",
        "(f64.store (i32.const 131072) (f64.div (f64.const 0) (f64.const 0)))
         (f64.store (i32.const 131080) (f64.sqrt (f64.const -1)))
         (f64.store (i32.const 131088) (f64.add (f64.const nan:0x123) (f64.const -nan:0x456)))
         (f32.store (i32.const 131096) (f32.mul (f32.const -nan:0x7) (f32.const 2)))
         (f32.store (i32.const 131100) (f32.demote_f64 (f64.const nan:0x4000000000001)))
         (v128.store (i32.const 131104) (f64x2.min (v128.const i64x2 0x7ff0000000000001 -1) (v128.const f64x2 1 2)))
         (local.set $at (i32.const 131120))",
    ),
    (
        "a counter of calls",
        "(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
         (i32.store (i32.const 131072) (global.get $calls))
         (i32.store (i32.const 131076) (i32.load (i32.const 200000)))
         (i32.store (i32.const 200000) (i32.const 1))
         (local.set $at (i32.const 131080))",
    ),
    (
        "the input and all that the host wrote",
        "(memory.copy $memory $memory (i32.const 131072) (i32.const 65536) (i32.const 65536))
         (local.set $at (i32.const 196608))",
    ),
    (
        "rounding",
        "(f64.store (i32.const 131072) (f64.sqrt (f64.const 2)))
         (f64.store (i32.const 131080) (f64.div (f64.const 1) (f64.const 3)))
         (f64.store (i32.const 131088) (f64.mul (f64.const 0x1p-1000) (f64.const 0x1.8p-70)))
         (f32.store (i32.const 131096) (f32.nearest (f32.const -2.5)))
         (local.set $at (i32.const 131100))",
    ),
    (
        "an empty memory of its own",
        "(i32.store (i32.const 131072) (i32.load $second (i32.const 65532)))
         (local.set $at (i32.const 131076))",
    ),
];

/// Each is called between other calls, in a new sandbox, and after the pool has other instances' memory.
#[tokio::test]
async fn plugins_see_the_same_in_every_call_and_on_every_server() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    let dirty = fixture.components.put(
        Hooks::default()
            .decide(
                "(drop (memory.grow $memory (i32.const 600)))
                 (memory.fill $memory (i32.const 65536) (i32.const 0xa5) (i32.const 30000000))
                 (i32.const 640)",
            )
            .component()?,
    );
    for (what, look) in LOOKS {
        let hooks = Hooks::default()
            .decide(format!(
                "{look}
                 (i32.store (i32.const 696) (i32.const 131072))
                 (i32.store (i32.const 700) (i32.sub (local.get $at) (i32.const 131072)))
                 (i32.const 640)"
            ))
            .extra("(table $many 1 funcref) (memory $second 1) (global $calls (mut i32) (i32.const 0))");
        let component = hooks.component()?;
        let digest = fixture.components.put(component);
        let first = fixture
            .sandbox
            .decide(TENANT, digest, observation("{}"))
            .await;
        assert!(first.outcome.is_ok(), "{what}: {:?}", first.outcome);
        let other_server = fixture.reopen()?;
        for sandbox in [&fixture.sandbox, &other_server.sandbox, &fixture.sandbox] {
            let filled = sandbox.decide(TENANT, dirty, observation("{}")).await;
            assert!(filled.outcome.is_ok(), "{:?}", filled.outcome);
            let again = sandbox.decide(TENANT, digest, observation("{}")).await;
            assert_eq!(again.outcome, first.outcome, "{what}");
            assert_eq!(again.record, first.record, "{what}");
            assert_eq!(again.fuel, first.fuel, "{what}");
            assert_eq!(again.peak_memory, first.peak_memory, "{what}");
        }
        let state = first.outcome?.state;
        if what.contains("never written") || what.contains("of its own") {
            assert!(state.iter().all(|byte| *byte == 0), "{what}");
        }
        if what.contains("that are none") {
            let canonical = |bytes: &[u8]| bytes == f64::NAN.to_bits().to_le_bytes();
            assert!(state[..24].chunks(8).all(canonical), "{state:?}");
            let canonical = |bytes: &[u8]| bytes == f32::NAN.to_bits().to_le_bytes();
            assert!(state[24..32].chunks(4).all(canonical), "{state:?}");
        }
    }
    Ok(())
}

/// The instance that counts is dropped after each call.
#[tokio::test]
async fn a_plugin_describes_itself_in_the_same_way_at_every_call() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    // Its first description would have the summary "a", its second one "b", and so on.
    let hooks = Hooks::at(
        Function::Describe,
        "(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
         (i32.store8 (i32.const 131072) (i32.add (i32.const 96) (global.get $calls)))
         (i32.store (i32.const 276) (i32.const 131072))
         (i32.store (i32.const 280) (i32.const 1))
         (i32.const 256)",
    )
    .extra("(global $calls (mut i32) (i32.const 0))");
    let inspection = fixture.upload(hooks.component()?).await?;
    assert_eq!(inspection.description.summary, "a");
    let plugin = fixture.sandbox.plugin(inspection.digest).await?;
    for _ in 0..3 {
        assert_eq!(plugin.describe()?, inspection.description);
    }
    let honest = fixture.upload(HostilePlugin::Honest.component()?).await?;
    assert_eq!(honest.description.summary, "means harm");
    Ok(())
}
