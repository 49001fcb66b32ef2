//! The configuration of a server of a test.

use std::path::Path;

use anyhow::Result;
use tidegate::config::Config;

/// A server on a free port of this machine, with its data and no components below `folder`, and with this database; none:
/// SQLite.
pub(crate) fn test_config(folder: &Path, database_url: Option<String>) -> Result<Config> {
    // Fails if another test has installed it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let components = folder.join("components");
    std::fs::create_dir(&components)?;
    let mut config = Config {
        listen: ([127, 0, 0, 1], 0).into(),
        data_dir: folder.join("data"),
        components: Some(components),
        ..Config::default()
    };
    config.database.url = database_url;
    Ok(config)
}
