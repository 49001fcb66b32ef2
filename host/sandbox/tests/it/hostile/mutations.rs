//! Components with changed bytes: each is accepted or refused as invalid, and never brings the host down.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tidegate_engine::ports::{Rejection, Sandbox as _};
use tidegate_hostile::{Hooks, World};

use crate::support::{SandboxFixture, TENANT, observation};

/// The same components in every run.
const SEED: u64 = 20_261_130;
const MUTATIONS: u32 = 300;
/// A busy machine tries fewer.
const MAX_TIME: Duration = Duration::from_secs(15);

#[tokio::test]
async fn mutated_components_are_accepted_or_refused() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    let mut random = StdRng::seed_from_u64(SEED);
    let sound = [World::Strategy, World::Compatibility, World::Health]
        .map(|world| Hooks::of(world).component());
    let sound: Vec<Vec<u8>> = sound.into_iter().collect::<Result<_>>()?;
    let honest = fixture.upload(sound[0].clone()).await?.digest;
    let (began, mut refused) = (Instant::now(), 0);
    for number in 0..MUTATIONS {
        if began.elapsed() > MAX_TIME {
            break;
        }
        let mutated = mutate(&mut random, &sound);
        match fixture.upload(mutated).await {
            Ok(_) => {}
            Err(Rejection::Invalid(why)) => {
                ensure!(!why.is_empty(), "mutation {number} has no reason");
                refused += 1;
            }
            Err(other) => anyhow::bail!("mutation {number} of seed {SEED}: {other:?}"),
        }
    }
    ensure!(refused > 0, "no mutation was refused");
    let call = fixture
        .sandbox
        .decide(TENANT, honest, observation("{}"))
        .await;
    call.outcome?;
    Ok(())
}

/// Flips bits, changes, removes or repeats bytes, or joins two components.
fn mutate(random: &mut StdRng, sound: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = sound[random.random_range(0..sound.len())].clone();
    for _ in 0..random.random_range(1..4) {
        let at = random.random_range(8..bytes.len());
        let end = (at + random.random_range(1..64)).min(bytes.len());
        match random.random_range(0..6) {
            0 | 1 => bytes[at] ^= 1 << random.random_range(0..8),
            2 => bytes[at] = random.random(),
            3 => drop(bytes.drain(at..end)),
            4 => {
                let repeated = bytes[at..end].to_vec();
                bytes.splice(at..at, repeated);
            }
            _ => {
                let other = &sound[random.random_range(0..sound.len())];
                bytes.truncate(at);
                bytes.extend(&other[at.min(other.len())..]);
            }
        }
        if bytes.len() < 16 {
            return bytes;
        }
    }
    bytes
}
