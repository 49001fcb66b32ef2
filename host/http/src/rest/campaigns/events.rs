use std::{collections::VecDeque, convert::Infallible, time::Duration};

use axum::{
    extract::State,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures::{Stream, stream};
use http::{HeaderMap, HeaderValue};
use tidegate_core::id::CampaignId;
use tidegate_engine::{
    campaigns,
    ports::{PageRequest, RunRef},
    tenants::Actor,
};
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::{Instant, sleep_until, timeout},
};

use super::{journal::EntryBody, shape::whole};
use crate::{
    AppState,
    limits::StreamPlace,
    problem::{Problem, Result},
    rest::{
        access::Viewer,
        segments::{Segments, id},
    },
};

/// Shortest time between two looks at a campaign: a busy one would be read for every feedback.
const PAUSE: Duration = Duration::from_millis(250);
/// Longest time between two looks: another host may have changed it.
const FALLBACK: Duration = Duration::from_secs(15);
/// Longest life of a stream: then the client shows its credentials again.
const LIFE: Duration = Duration::from_hours(1);
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
    let place = state.limits.event_stream(actor.tenant)?;
    // Listened to before the first look, so that nothing falls in between.
    let changes = state.engine.signals.watch();
    let after = match last_event_id(&headers) {
        Some(seq) => seq,
        None => last_seq(&state, &actor, campaign).await?,
    };
    campaigns::get(&state.engine, &actor, campaign).await?;
    let watch = Watch {
        run: RunRef {
            tenant: actor.tenant,
            campaign,
        },
        state,
        actor,
        changes,
        after,
        shown: String::new(),
        waiting: VecDeque::new(),
        looked_at: None,
        ends_at: Instant::now() + LIFE,
        _place: place,
    };
    let keep_alive = KeepAlive::new().interval(FALLBACK);
    let mut response = Sse::new(watch.events())
        .keep_alive(keep_alive)
        .into_response();
    // A proxy that gathers an answer before it passes it on would show nothing.
    response
        .headers_mut()
        .insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// A campaign as one client follows it.
struct Watch {
    run: RunRef,
    state: AppState,
    actor: Actor,
    changes: Receiver<RunRef>,
    /// The last journal entry that was shown.
    after: i64,
    /// The campaign as it was last shown.
    shown: String,
    waiting: VecDeque<Event>,
    looked_at: Option<Instant>,
    ends_at: Instant,
    _place: StreamPlace,
}

impl Watch {
    fn events(self) -> impl Stream<Item = Result<Event, Infallible>> {
        stream::unfold(self, |mut watch| async move {
            let stopping = watch.state.stopping.clone();
            let ends_at = watch.ends_at;
            let event = tokio::select! {
                event = watch.next() => event?,
                () = stopping.cancelled() => return None,
                () = sleep_until(ends_at) => return None,
            };
            Some((Ok(event), watch))
        })
    }

    /// The next event; none when the campaign cannot be read: the client asks again.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            if let Some(looked_at) = self.looked_at {
                self.changed().await;
                sleep_until(looked_at + PAUSE).await;
            }
            self.looked_at = Some(Instant::now());
            if let Err(problem) = self.look().await {
                tracing::debug!(?problem, "event stream ended");
                return None;
            }
        }
    }

    /// Returns when there may be something new.
    async fn changed(&mut self) {
        let run = self.run;
        let signalled = async {
            loop {
                match self.changes.recv().await {
                    Ok(changed) if changed != run => {}
                    Ok(_) | Err(RecvError::Lagged(_) | RecvError::Closed) => return,
                }
            }
        };
        // Being late is a reason to look, not a failure.
        let _ = timeout(FALLBACK, signalled).await;
    }

    async fn look(&mut self) -> Result<()> {
        let (engine, actor) = (&self.state.engine, &self.actor);
        let page = campaigns::journal(engine, actor, self.run.campaign, self.after, PAGE).await?;
        let is_last = page.items.len() < PAGE.limit as usize;
        for entry in page.items {
            let entry = EntryBody::from(entry);
            self.after = entry.seq;
            self.waiting
                .push_back(event("decision", self.after, &json(&entry)?));
        }
        if !is_last {
            // A long journal waits until the client has taken this part, and then goes on at once.
            self.looked_at = None;
            return Ok(());
        }
        let campaign = campaigns::get(engine, actor, self.run.campaign).await?;
        let campaign = json(&whole(engine, actor, campaign).await?)?;
        if campaign != self.shown {
            self.waiting
                .push_back(event("campaign", self.after, &campaign));
            self.shown = campaign;
        }
        Ok(())
    }
}

fn event(kind: &str, seq: i64, json: &str) -> Event {
    Event::default().event(kind).id(seq.to_string()).data(json)
}

fn json(body: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(body).map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "write event");
        Problem::internal()
    })
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
