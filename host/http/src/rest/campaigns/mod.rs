//! Campaigns: creating, controlling and watching them.

mod advance;
mod approve;
mod body;
mod change;
mod command;
mod create;
mod delete;
mod etag;
mod events;
mod get;
mod journal;
mod list;
mod merged;
mod move_revision;
mod question;
mod replay;
mod replay_journal;
mod short_form;
mod updates;
mod waves;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::AppState;

/// Routes with a time limit.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list::list_campaigns, create::create_campaign))
        .routes(routes!(
            get::get_campaign,
            change::change_campaign,
            delete::delete_campaign
        ))
        .routes(routes!(approve::approve_campaign))
        .routes(routes!(command::start_campaign))
        .routes(routes!(command::pause_campaign))
        .routes(routes!(command::resume_campaign))
        .routes(routes!(command::cancel_campaign))
        .routes(routes!(command::roll_back_campaign))
        .routes(routes!(waves::list_waves))
        .routes(routes!(advance::advance_campaign))
        .routes(routes!(advance::advance_campaign_past_gate))
        .routes(routes!(updates::list_campaign_updates))
        .routes(routes!(journal::list_journal))
        .routes(routes!(question::get_question))
        .routes(routes!(replay::replay_decision))
        .routes(routes!(replay_journal::replay_journal))
        .routes(routes!(move_revision::move_campaign))
}

/// Event streams, which stay open.
pub(super) fn slow_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(events::follow_campaign))
}
