//! Loading of plugins whose code is compiled already, as after a restart.

use std::time::Instant;

use anyhow::{Context as _, Result};
use tidegate_engine::ports::Sandbox as _;

use super::{built_in, open};
use crate::{
    Bench,
    report::{Figure, median},
};

pub(crate) async fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let component = built_in(bench, "canary")?;
    let revisions = bench.size(100, 20) as u8;
    let mut digests = Vec::new();
    let compiling = open(bench)?;
    for number in 0..revisions {
        // A custom section makes it another component with the same code.
        let revision = [&component[..], b"\x00\x06\x04load", &[number]].concat();
        let inspected = compiling.inspect(None, revision.into()).await;
        digests.push(inspected.context("compile a revision")?.digest);
    }
    drop(compiling);
    let mut seconds = Vec::new();
    for _ in 0..bench.size(9, 3) {
        // It has no components: it cannot compile.
        let sandbox = open(bench)?;
        let began = Instant::now();
        for digest in &digests {
            sandbox.plugin(*digest).await.context("load a revision")?;
        }
        seconds.push(began.elapsed().as_secs_f64());
    }
    Ok(vec![
        Figure::new(
            format!("{revisions} compiled revisions of canary: until all are loaded"),
            median(seconds),
            "s",
        )
        .below(1.0)
        .note("one after the other, read and authenticated from the folder of compiled code"),
    ])
}
