use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::{segment, sheet};
use crate::{
    client::RestClient,
    command::{print, show},
};

/// Agree to all updates of a device beforehand.
#[derive(Debug, Args)]
pub(super) struct AutoConfirm {
    /// The device
    id: String,
    /// Why, for the others
    #[arg(long)]
    remark: Option<String>,
    /// Agree to no later ones, whoever agreed
    #[arg(long, conflicts_with = "remark")]
    off: bool,
}

impl AutoConfirm {
    pub(super) async fn run(self, rest: &RestClient) -> Result<()> {
        let path = format!("devices/{}/auto-confirm", segment(&self.id));
        if self.off {
            rest.delete(&path).await?;
            if !rest.wants_json() {
                print(format_args!("{} is asked again", self.id));
            }
            return Ok(());
        }
        let device = rest.put(&path, &json!({ "remark": self.remark })).await?;
        show(rest, &device, sheet);
        Ok(())
    }
}
