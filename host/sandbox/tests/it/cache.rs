//! The cache of compiled code.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};
use tidegate_captured_log::CapturedLog;
use tidegate_core::{Named as _, id::Digest};
use tidegate_engine::ports::Sandbox as _;
use tidegate_faults::SmallDisk;
use tidegate_hostile::HostilePlugin;

use crate::support::{SandboxFixture, TENANT, observation};

/// True if the plugin can be called.
async fn is_callable(fixture: &SandboxFixture, digest: Digest) -> bool {
    fixture
        .sandbox
        .decide(TENANT, digest, observation("{}"))
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

fn code_file(fixture: &SandboxFixture) -> Result<PathBuf> {
    files(&fixture.code_folder(), "code")?
        .pop()
        .context("no code file")
}

#[tokio::test]
async fn code_survives_a_restart() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    let digest = fixture.components.put(HostilePlugin::Honest.component()?);
    assert!(is_callable(&fixture, digest).await);
    assert!(is_callable(&fixture.reopen_without_components()?, digest).await);
    assert_eq!(
        files(&fixture.code_folder(), "partial")?,
        Vec::<PathBuf>::new()
    );
    Ok(())
}

#[tokio::test]
async fn a_plugin_is_called_although_its_code_cannot_be_cached() -> Result<()> {
    let Some(disk) = SmallDisk::mount(8 << 20)? else {
        return Ok(());
    };
    let fixture = SandboxFixture::with(|config| config.code_folder = disk.path().join("code"))?;
    let digest = fixture.components.put(HostilePlugin::Honest.component()?);
    disk.fill(0)?;
    let log = CapturedLog::start();
    assert!(is_callable(&fixture, digest).await);
    let warnings = log.events("cannot cache compiled code; it will be compiled again");
    assert_eq!(warnings.len(), 1);
    assert!(is_callable(&fixture, digest).await, "from memory");
    let stored = fs::read_dir(disk.path().join("code"))?
        .flatten()
        .map(|file| file.file_name());
    assert_eq!(stored.collect::<Vec<_>>(), ["secret"]);
    Ok(())
}

#[tokio::test]
async fn unusable_code_is_removed_at_the_next_start() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    let digest = fixture.components.put(HostilePlugin::Honest.component()?);
    assert!(is_callable(&fixture, digest).await);
    let ours = code_file(&fixture)?;
    let folder = fixture.code_folder();
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
    let after = fixture.reopen_without_components()?;
    assert!(is_callable(&after, digest).await);
    for (path, stays) in [(ours, true), (older, false), (dead, false), (alive, true)] {
        assert_eq!(path.exists(), stays, "{}", path.display());
    }
    Ok(())
}

#[tokio::test]
async fn discarded_code_is_deleted() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    let digest = fixture.components.put(HostilePlugin::Honest.component()?);
    assert!(is_callable(&fixture, digest).await);
    let ours = code_file(&fixture)?;
    fixture
        .sandbox
        .discard_code(Digest::of(b"another component"))
        .await;
    assert!(ours.exists());
    fixture.sandbox.discard_code(digest).await;
    assert!(!ours.exists());
    assert!(is_callable(&fixture, digest).await, "it is compiled again");
    assert!(ours.exists(), "and not called from memory");
    Ok(())
}

/// What is needed again is compiled again.
#[tokio::test]
async fn the_code_that_was_used_least_recently_is_deleted_when_the_cache_is_full() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    let honest = HostilePlugin::Honest.component()?;
    let variant = |name: &[u8; 5]| {
        // A custom section makes it another component with the same code.
        let component = [&honest[..], b"\x00\x06\x05", name].concat();
        fixture.components.put(component)
    };
    let [first, second, third] = [b"first", b"other", b"third"].map(variant);
    assert!(is_callable(&fixture, first).await);
    let size = fs::metadata(code_file(&fixture)?)?.len();

    // Two fit.
    let small = fixture.reopen_with(|config| config.code_cache_bytes = 2 * size + size / 2)?;
    assert!(is_callable(&small, second).await);
    let name = |digest: Digest| hex::encode(digest.0);
    let path = |digest: Digest| -> Result<PathBuf> {
        let found = files(&small.code_folder(), "code")?.into_iter();
        let mut found = found.filter(|path| path.to_string_lossy().contains(&name(digest)));
        found.next().context("it is not cached")
    };
    let long_ago = UNIX_EPOCH + Duration::from_hours(1);
    for (digest, hours) in [(first, 0), (second, 1)] {
        let file = fs::File::options().write(true).open(path(digest)?)?;
        file.set_modified(long_ago + Duration::from_hours(hours))?;
    }
    // Its use makes the second one the oldest.
    assert!(is_callable(&small, first).await);
    assert!(is_callable(&small, third).await);
    assert!(path(first).is_ok() && path(second).is_err() && path(third).is_ok());
    let again = fixture.reopen_with(|config| config.code_cache_bytes = 2 * size + size / 2)?;
    assert!(is_callable(&again, second).await);
    assert!(path(second).is_ok());

    // Code that is larger than the cache is not cached, and neither is one that is larger than all that is loaded.
    let tiny = fixture.reopen_with(|config| {
        config.code_cache_bytes = size / 2;
        config.max_loaded_code_bytes = 1;
    })?;
    for _ in 0..2 {
        let log = CapturedLog::start();
        assert!(is_callable(&tiny, variant(b"large")).await);
        let warnings = log.events("cannot cache compiled code; it will be compiled again");
        assert_eq!(warnings.len(), 1);
    }
    Ok(())
}

#[tokio::test]
async fn a_lost_or_damaged_file_is_recompiled() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    let digest = fixture.components.put(HostilePlugin::Honest.component()?);
    assert!(is_callable(&fixture, digest).await);
    let path = code_file(&fixture)?;
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
        let after = fixture.reopen()?;
        assert!(is_callable(&after, digest).await);
        assert!(
            fs::read(&path)? == sound,
            "it was recompiled with the same result"
        );
    }
    fs::remove_file(&path)?;
    assert!(is_callable(&fixture.reopen()?, digest).await);
    Ok(())
}

#[tokio::test]
async fn code_of_another_component_is_not_loaded() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    let honest = fixture.components.put(HostilePlugin::Honest.component()?);
    let trapping = fixture.components.put(HostilePlugin::Trap.component()?);
    assert!(!is_callable(&fixture, trapping).await);
    let stranger = code_file(&fixture)?;
    assert!(is_callable(&fixture, honest).await);
    for path in files(&fixture.code_folder(), "code")? {
        if path != stranger {
            fs::copy(&stranger, path)?;
        }
    }
    assert!(is_callable(&fixture.reopen()?, honest).await);
    Ok(())
}

#[tokio::test]
async fn code_authenticated_with_another_secret_is_not_loaded() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    let digest = fixture.components.put(HostilePlugin::Honest.component()?);
    assert!(is_callable(&fixture, digest).await);
    let before = fs::read(code_file(&fixture)?)?;

    let secret = fixture.code_folder().join("secret");
    assert_eq!(fs::metadata(&secret)?.permissions().mode() & 0o777, 0o600);
    fs::write(&secret, [7; 32])?;
    assert!(is_callable(&fixture.reopen()?, digest).await);
    assert!(
        fs::read(code_file(&fixture)?)? != before,
        "it was authenticated with the new secret"
    );

    // A secret that other users can read is replaced.
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644))?;
    assert!(is_callable(&fixture.reopen()?, digest).await);
    assert_ne!(fs::read(&secret)?, [7; 32]);
    assert_eq!(fs::metadata(&secret)?.permissions().mode() & 0o777, 0o600);
    Ok(())
}

#[tokio::test]
async fn a_missing_component_is_a_host_failure() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    let call = fixture
        .sandbox
        .decide(TENANT, Digest::of(b"nothing"), observation("{}"))
        .await;
    let failure = call.outcome.err().context("the call succeeded")?;
    assert_eq!(failure.as_str(), "host");
    Ok(())
}

/// As after the restart of a server with many plugins.
#[tokio::test]
async fn compiled_revisions_are_loaded_without_a_compiler() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    let honest = HostilePlugin::Honest.component()?;
    let mut digests = Vec::new();
    for number in 0..20 {
        // A custom section makes it another component with the same code.
        let revision = [&honest[..], b"\x00\x06\x04load", &[number]].concat();
        digests.push(fixture.upload(revision).await?.digest);
    }
    let restarted = fixture.reopen_with(|config| {
        config.child_command.program = "/no/such/program".into();
    })?;
    for digest in digests {
        assert!(is_callable(&restarted, digest).await);
    }
    Ok(())
}

#[tokio::test]
async fn a_rejected_component_takes_the_place_of_no_other() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    let honest = fixture.upload(HostilePlugin::Honest.component()?).await?;
    let size = fs::metadata(code_file(&fixture)?)?.len();
    // One fits.
    let small = fixture.reopen_with(|config| config.code_cache_bytes = size + size / 2)?;
    let trapping = HostilePlugin::Trap.component()?;
    small.refusal(trapping).await?;
    let kept = code_file(&small)?;
    let name = hex::encode(honest.digest.0);
    assert!(kept.to_string_lossy().contains(&name), "{}", kept.display());
    Ok(())
}
