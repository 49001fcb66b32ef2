use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::details;
use crate::{
    client::{RestClient, segment},
    command::{print, show},
};

/// Confirm all updates of a device in advance.
#[derive(Debug, Args)]
pub(super) struct AutoConfirm {
    /// Id of the device
    id: String,
    /// Remark
    #[arg(long)]
    remark: Option<String>,
    /// Deactivate auto-confirm, regardless of who activated it
    #[arg(long, conflicts_with = "remark")]
    off: bool,
}

impl AutoConfirm {
    pub(super) async fn run(self, rest: &RestClient) -> Result<()> {
        let path = format!("devices/{}/auto-confirm", segment(&self.id));
        if self.off {
            rest.delete(&path).await?;
            if !rest.wants_json() {
                print(format_args!("{}: auto-confirm is off", self.id));
            }
            return Ok(());
        }
        let device = rest.put(&path, &json!({ "remark": self.remark })).await?;
        show(rest, &device, details);
        Ok(())
    }
}
