use std::{sync::Arc, time::Duration};

use axum::{extract::State, response::Response};
use http::HeaderMap;
use tidegate_core::id::CampaignId;
use tidegate_engine::{
    Engine, campaigns,
    ports::{PageRequest, RunRef},
    tenants::Actor,
};

use super::{
    journal::EntryBody,
    shape::{CampaignBody, whole},
};
use crate::{
    AppState,
    problem::Result,
    rest::{
        access::Viewer,
        event_stream::{Followed, Look, Next, event, event_stream},
        segments::{Segments, id},
    },
};

/// Most decisions that are read at once.
const PAGE: PageRequest = PageRequest {
    limit: 100,
    offset: 0,
};

/// Follows a campaign as Server-Sent Events. `campaign` events carry the campaign with its waves, `decision` events an
/// entry of its journal; the event's id is the `seq` of the last entry, and `Last-Event-ID` goes on after it. Without
/// one the stream begins with the campaign as it stands.
#[utoipa::path(
    get, path = "/campaigns/{campaign_id}/events", tag = "campaigns",
    params(("campaign_id" = i64, Path), ("Last-Event-ID" = Option<i64>, Header)),
    responses((status = 200, content_type = "text/event-stream", body = String)),
)]
pub(crate) async fn follow_campaign(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    Segments(campaign): Segments<String>,
    headers: HeaderMap,
) -> Result<Response> {
    let campaign = id("campaign", &campaign)?;
    let signals = state.engine.signals.watch();
    let after = match last_event_id(&headers) {
        Some(seq) => seq,
        None => last_seq(&state, &actor, campaign).await?,
    };
    campaigns::get(&state.engine, &actor, campaign).await?;
    let tenant = actor.tenant;
    let followed = FollowedCampaign {
        run: RunRef { tenant, campaign },
        engine: state.engine.clone(),
        actor,
        after,
        shown: None,
    };
    event_stream(&state, tenant, signals, followed)
}

/// A campaign as one client follows it.
struct FollowedCampaign {
    run: RunRef,
    engine: Arc<Engine>,
    actor: Actor,
    /// The last journal entry that was shown.
    after: i64,
    /// The campaign as it was last shown.
    shown: Option<CampaignBody>,
}

impl Followed for FollowedCampaign {
    type Name = RunRef;

    const FALLBACK: Duration = Duration::from_secs(15);

    fn name(&self) -> RunRef {
        self.run
    }

    async fn look(&mut self) -> Result<Look> {
        let (engine, actor) = (&self.engine, &self.actor);
        let page = campaigns::journal(engine, actor, self.run.campaign, self.after, PAGE).await?;
        let is_last = page.items.len() < PAGE.limit as usize;
        let mut events = Vec::new();
        for entry in page.items {
            let entry = EntryBody::from(entry);
            self.after = entry.seq;
            events.push(event("decision", self.after.to_string(), &entry)?);
        }
        if !is_last {
            let next = Next::AtOnce;
            return Ok(Look { events, next });
        }
        let campaign = campaigns::get(engine, actor, self.run.campaign).await?;
        let campaign = whole(engine, actor, campaign).await?;
        if self.shown.as_ref() != Some(&campaign) {
            events.push(event("campaign", self.after.to_string(), &campaign)?);
            self.shown = Some(campaign);
        }
        let next = Next::Changed;
        Ok(Look { events, next })
    }
}

fn last_event_id(headers: &HeaderMap) -> Option<i64> {
    let seq: i64 = headers.get("last-event-id")?.to_str().ok()?.parse().ok()?;
    (seq >= 0).then_some(seq)
}

/// Entries count from 1 without gaps, so the last one's number is how many there are.
async fn last_seq(state: &AppState, actor: &Actor, campaign: CampaignId) -> Result<i64> {
    let first = PageRequest {
        limit: 1,
        offset: 0,
    };
    let page = campaigns::journal(&state.engine, actor, campaign, 0, first).await?;
    Ok(i64::try_from(page.total).unwrap_or(i64::MAX))
}
