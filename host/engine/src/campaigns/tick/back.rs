//! A campaign on its way back. It is the host's own work: no plugin is asked.

use tidegate_core::{campaign::CampaignStatus, plugin::Scope, time::Timestamp};

use super::{CHUNK, CHUNKS, Tick};
use crate::{
    Result,
    campaigns::prepare::campaign_firmware,
    ports::{Applied, Ending, Run},
};

impl Tick<'_> {
    pub(super) async fn back(&self, run: Run) -> Result<()> {
        if self.call_back().await? || self.send_back(&run).await? {
            return self.again_soon().await;
        }
        // What was just done is read again, so that the end is not declared on old counters.
        let Some(run) = self.engine.store().run(self.run).await? else {
            return Ok(());
        };
        if run.campaign.status != CampaignStatus::RollingBack {
            return Ok(());
        }
        let ending = run.ending;
        if ending.open_forward + ending.to_look_at + ending.open_return > 0 {
            return self.rest(&run).await;
        }
        self.apply(self.arrived(&run, ending)).await?;
        Ok(())
    }

    /// Makes updates back for devices that need one; true when some may be left.
    async fn send_back(&self, run: &Run) -> Result<bool> {
        let firmware = campaign_firmware(self.engine, &run.campaign).await?;
        let scope = run
            .campaign
            .rollback
            .as_ref()
            .map_or(Scope::Everything, |rollback| rollback.scope);
        let offer = self.offer(run, &firmware);
        for _ in 0..CHUNKS {
            let returned = self
                .engine
                .store()
                .send_back(self.run, self.fence, scope, CHUNK, &offer)
                .await?;
            self.forget(&returned.touched);
            if returned.looked_at == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn arrived(&self, run: &Run, ending: Ending) -> Applied {
        let explain = summary(ending);
        Applied {
            status: Some(CampaignStatus::RolledBack),
            ended_at: Some(self.now),
            journal: self.host_journal("rolled_back", &explain),
            explain: Some(vec![explain]),
            wake_at: None::<Timestamp>,
            ..self.nothing(run)
        }
    }
}

fn summary(ending: Ending) -> String {
    let mut parts = vec![format!(
        "{} devices are back on what they had before",
        ending.returned
    )];
    if ending.not_returned > 0 {
        parts.push(format!("{} did not come back", ending.not_returned));
    }
    if ending.impossible > 0 {
        parts.push(format!(
            "for {} the server does not have what they had before",
            ending.impossible
        ));
    }
    if ending.pinned > 0 {
        parts.push(format!("{} stay on it: they are pinned", ending.pinned));
    }
    if ending.under_way > 0 {
        parts.push(format!(
            "{} were being brought back already, by updates of their own",
            ending.under_way
        ));
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_names_what_did_not_come_back() {
        let ending = Ending {
            returned: 7,
            not_returned: 2,
            impossible: 1,
            pinned: 3,
            under_way: 4,
            ..Ending::default()
        };
        assert_eq!(
            summary(ending),
            "7 devices are back on what they had before; 2 did not come back; for 1 the server does not have what they \
             had before; 3 stay on it: they are pinned; 4 were being brought back already, by updates of their own"
        );
    }
}
