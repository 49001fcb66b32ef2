use std::{sync::Arc, time::Duration};

use axum::{extract::State, response::Response};
use http::HeaderMap;
use tidegate_core::id::CampaignId;
use tidegate_engine::{
    Ctx, Engine, campaigns,
    ports::{PageRequest, RunRef},
    tenants::ActorCredential,
};

use super::{
    body::{CampaignBody, read_detail},
    journal::EntryBody,
};
use crate::{
    AppState,
    problem::Result,
    rest::{
        event_stream::{EventBatch, EventSource, NextPoll, event_stream, json_event},
        extract::{PathParams, parse_id},
    },
};

/// Maximum number of journal entries read in one poll.
const JOURNAL_PAGE: PageRequest = PageRequest {
    limit: 100,
    offset: 0,
};

/// Streams a campaign as Server-Sent Events. `campaign` events carry the campaign with its waves, `decision` events an
/// entry of its journal. The id of an event is the `seq` of the last entry; with `Last-Event-ID` the stream continues
/// after that entry, without it the stream begins with the current campaign.
#[utoipa::path(
    get, path = "/campaigns/{campaign_id}/events", tag = "campaigns",
    params(("campaign_id" = i64, Path), ("Last-Event-ID" = Option<i64>, Header)),
    responses((
        status = 200, description = "A stream of events, which stays open.",
        content_type = "text/event-stream", body = String,
    )),
)]
pub(crate) async fn follow_campaign(
    ctx: Ctx,
    credential: ActorCredential,
    State(state): State<AppState>,
    PathParams(campaign): PathParams<String>,
    headers: HeaderMap,
) -> Result<Response> {
    let campaign = parse_id("campaign", &campaign)?;
    let signals = state.engine.signals().watch();
    let after = match last_event_id(&headers) {
        Some(seq) => seq,
        None => last_seq(&ctx, &state, campaign).await?,
    };
    campaigns::get(&ctx, state.engine.store(), campaign).await?;
    let tenant = ctx.tenant;
    let source = CampaignEvents {
        run: RunRef { tenant, campaign },
        engine: state.engine.clone(),
        ctx: ctx.clone(),
        after,
        last_sent: None,
    };
    event_stream(&state, &ctx, credential, signals, source)
}

/// Event source for one client of a campaign.
struct CampaignEvents {
    run: RunRef,
    engine: Arc<Engine>,
    ctx: Ctx,
    /// The `seq` of the last journal entry sent.
    after: i64,
    /// The last state of the campaign sent.
    last_sent: Option<CampaignBody>,
}

impl EventSource for CampaignEvents {
    type Topic = RunRef;

    const MAX_POLL_INTERVAL: Duration = Duration::from_secs(15);

    fn topic(&self) -> RunRef {
        self.run
    }

    async fn poll(&mut self) -> Result<EventBatch> {
        let (ctx, engine) = (&self.ctx, &self.engine);
        // Before the journal: a campaign that is shown as ended has had its last decision.
        let campaign = read_detail(ctx, engine, self.run.campaign).await?;
        let page = campaigns::journal(
            ctx,
            engine.store(),
            self.run.campaign,
            self.after,
            JOURNAL_PAGE,
        )
        .await?;
        let is_last = page.items.len() < JOURNAL_PAGE.limit as usize;
        let mut events = Vec::new();
        for entry in page.items {
            let entry = EntryBody::from(entry);
            self.after = entry.seq;
            events.push(json_event("decision", self.after.to_string(), &entry)?);
        }
        if !is_last {
            let next = NextPoll::Immediately;
            return Ok(EventBatch { events, next });
        }
        if self.last_sent.as_ref() != Some(&campaign) {
            events.push(json_event("campaign", self.after.to_string(), &campaign)?);
            self.last_sent = Some(campaign);
        }
        let next = NextPoll::OnChange;
        Ok(EventBatch { events, next })
    }
}

fn last_event_id(headers: &HeaderMap) -> Option<i64> {
    let seq: i64 = headers.get("last-event-id")?.to_str().ok()?.parse().ok()?;
    (seq >= 0).then_some(seq)
}

/// Entries are numbered from 1 without gaps, so the total is the last number.
async fn last_seq(ctx: &Ctx, state: &AppState, campaign: CampaignId) -> Result<i64> {
    let first = PageRequest {
        limit: 1,
        offset: 0,
    };
    let page = campaigns::journal(ctx, state.engine.store(), campaign, 0, first).await?;
    Ok(i64::try_from(page.total).unwrap_or(i64::MAX))
}
