//! The folder of compiled code: what is there is used, and only what this host put there.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};
use tidegate_core::id::Digest;
use tidegate_engine::ports::Sandbox as _;
use tidegate_hostile::Hostile;

use crate::support::{Rig, observation};

/// Whether the plugin can be called.
async fn answers(rig: &Rig, digest: Digest) -> bool {
    rig.sandbox
        .decide(digest, observation("{}"))
        .await
        .outcome
        .is_ok()
}

fn files(folder: &Path, kind: &str) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == kind) {
            files.push(path);
        }
    }
    Ok(files)
}

fn the_file(rig: &Rig) -> Result<PathBuf> {
    files(&rig.code_folder(), "code")?
        .pop()
        .context("there is no code")
}

#[tokio::test]
async fn code_survives_a_restart() -> Result<()> {
    let rig = Rig::new()?;
    let digest = rig.shop.put(Hostile::Honest.component()?);
    assert!(answers(&rig, digest).await);
    assert!(answers(&rig.again_without_components()?, digest).await);
    assert_eq!(files(&rig.code_folder(), "partial")?, Vec::<PathBuf>::new());
    Ok(())
}

#[tokio::test]
async fn what_nothing_can_use_is_swept_at_the_next_start() -> Result<()> {
    let rig = Rig::new()?;
    let digest = rig.shop.put(Hostile::Honest.component()?);
    assert!(answers(&rig, digest).await);
    let ours = the_file(&rig)?;
    let folder = rig.code_folder();
    let older = folder.join(format!("{}-0123456789abcdef.code", "0".repeat(64)));
    let (dead, alive) = (folder.join("dead.partial"), folder.join("alive.partial"));
    for path in [&older, &dead, &alive] {
        fs::write(path, b"code")?;
    }
    let long_ago = UNIX_EPOCH + Duration::from_hours(1);
    fs::File::options()
        .write(true)
        .open(&dead)?
        .set_modified(long_ago)?;
    let after = rig.again_without_components()?;
    assert!(answers(&after, digest).await);
    for (path, stays) in [(ours, true), (older, false), (dead, false), (alive, true)] {
        assert_eq!(path.exists(), stays, "{}", path.display());
    }
    Ok(())
}

#[tokio::test]
async fn a_lost_or_damaged_file_is_made_again() -> Result<()> {
    let rig = Rig::new()?;
    let digest = rig.shop.put(Hostile::Honest.component()?);
    assert!(answers(&rig, digest).await);
    let path = the_file(&rig)?;
    let sound = fs::read(&path)?;
    let damages: [fn(&mut Vec<u8>); 5] = [
        |bytes| bytes.truncate(100),
        Vec::clear,
        |bytes| bytes[0] ^= 1,
        |bytes| bytes.push(0),
        |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        },
    ];
    for damage in damages {
        let mut bytes = sound.clone();
        damage(&mut bytes);
        fs::write(&path, bytes)?;
        let after = rig.again()?;
        assert!(answers(&after, digest).await);
        assert!(fs::read(&path)? == sound, "it was made again, the same");
    }
    fs::remove_file(&path)?;
    assert!(answers(&rig.again()?, digest).await);
    Ok(())
}

#[tokio::test]
async fn code_of_another_component_is_not_taken_for_this_ones() -> Result<()> {
    let rig = Rig::new()?;
    let honest = rig.shop.put(Hostile::Honest.component()?);
    let trapping = rig.shop.put(Hostile::Trap.component()?);
    assert!(!answers(&rig, trapping).await);
    let stranger = the_file(&rig)?;
    assert!(answers(&rig, honest).await);
    for path in files(&rig.code_folder(), "code")? {
        if path != stranger {
            fs::copy(&stranger, path)?;
        }
    }
    assert!(answers(&rig.again()?, honest).await);
    Ok(())
}

#[tokio::test]
async fn code_under_another_secret_is_foreign() -> Result<()> {
    let rig = Rig::new()?;
    let digest = rig.shop.put(Hostile::Honest.component()?);
    assert!(answers(&rig, digest).await);
    let before = fs::read(the_file(&rig)?)?;

    let secret = rig.code_folder().join("secret");
    assert_eq!(fs::metadata(&secret)?.permissions().mode() & 0o777, 0o600);
    fs::write(&secret, [7; 32])?;
    assert!(answers(&rig.again()?, digest).await);
    assert!(fs::read(the_file(&rig)?)? != before, "it was signed anew");

    // One that others can read is none.
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644))?;
    assert!(answers(&rig.again()?, digest).await);
    assert_ne!(fs::read(&secret)?, [7; 32]);
    assert_eq!(fs::metadata(&secret)?.permissions().mode() & 0o777, 0o600);
    Ok(())
}

#[tokio::test]
async fn a_component_that_is_nowhere_is_the_hosts_failure() -> Result<()> {
    let rig = Rig::new()?;
    let call = rig
        .sandbox
        .decide(Digest::of(b"nothing"), observation("{}"))
        .await;
    let failure = call.outcome.err().context("it answered")?;
    assert_eq!(failure.class(), "host");
    Ok(())
}
