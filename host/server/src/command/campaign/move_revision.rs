use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;

use super::{
    replay::{count, replay_journal, report},
    step,
};
use crate::{
    client::RestClient,
    command::{print_error, revision::AnyRevision, visible_value},
};

/// Move a campaign to another revision of one of its plugins.
#[derive(Debug, Args)]
pub(super) struct Move {
    /// Id of the campaign
    id: i64,
    /// The revision: `VENDOR/NAME@VERSION`, or `sha256:...`
    #[arg(long)]
    revision: AnyRevision,
    /// Move it although the revision decides otherwise than the plugin has decided so far
    #[arg(long)]
    accept_differences: bool,
    /// Let the plugin begin with an empty state
    #[arg(long)]
    discard_state: bool,
}

impl Move {
    /// Replays the journal with the revision, shows what differs, and moves the campaign.
    pub(super) async fn run(self, rest: &RestClient) -> Result<()> {
        let revision = self.revision.digest(rest).await?;
        let replay = replay_journal(rest, self.id, Some(revision)).await?;
        print_error(report(&visible_value(&replay)));
        let different = count(&replay, "different");
        if different == 0 && replay["same"] == 0 {
            print_error(
                "no answer was compared: the journal does not show how the revision decides",
            );
        }
        if different > 0 && !self.accept_differences {
            bail!(
                "the campaign is not moved, because its decisions would have been others; `--accept-differences` moves it"
            );
        }
        let body = json!({
            "revision": revision.to_string(),
            "replayed_until": replay["replayed_until"],
            "accept_differences": self.accept_differences,
            "discard_state": self.discard_state,
        });
        step::take(rest, self.id, "move", &body).await
    }
}
