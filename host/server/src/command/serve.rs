use anyhow::{Context as _, Result};
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::{
    config_args::{ConfigArgs, ServeFlags},
    print,
};
use crate::{
    app::{App, Environment},
    logging,
};

/// Run the server until SIGTERM or SIGINT.
#[derive(Debug, Args)]
pub(super) struct Serve {
    #[command(flatten)]
    config_args: ConfigArgs,
    #[command(flatten)]
    flags: ServeFlags,
}

impl Serve {
    pub(super) async fn run(self) -> Result<()> {
        let mut config = self.config_args.config()?;
        self.flags.apply(&mut config);
        logging::start(&config.log)?;
        // Before anything else: who stops the server while it starts gets a clean end too.
        let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;

        let dev = config.dev;
        let app = App::start(config, Environment::default()).await?;
        if dev {
            tracing::warn!(
                "--dev: devices need no token, and whoever asks is handed one; never on a network"
            );
        }
        if let Some(key) = &app.first_key {
            print(format_args!(
                "The first admin's key, shown this once: {key}"
            ));
        }
        tracing::info!(addr = %app.addr, version = env!("CARGO_PKG_VERSION"), "listening");
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
            _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
        }
        // A second signal does not wait for anybody.
        tokio::select! {
            stopped = app.shutdown() => stopped?,
            _ = terminate.recv() => anyhow::bail!("stopped before everything was finished"),
            _ = interrupt.recv() => anyhow::bail!("stopped before everything was finished"),
        }
        tracing::info!("stopped");
        Ok(())
    }
}
