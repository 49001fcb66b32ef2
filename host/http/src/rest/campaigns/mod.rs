//! Campaigns: made, steered and watched.

mod advance;
mod approve;
mod cancel;
mod change;
mod create;
mod events;
mod get;
mod journal;
mod list;
mod pause;
mod reason;
mod replay;
mod resume;
mod rollback;
mod shape;
mod short_form;
mod start;
mod steered;
mod terms;
mod updates;
mod waves;

use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) use create::{PluginWish, Priority, SuccessCriteria};
pub(crate) use reason::checked;
pub(crate) use shape::total;
pub(crate) use terms::{OnDenied, RetryForm, TermsForm, UpdateType};
pub(crate) use waves::CountsBody;

use crate::AppState;

/// Answered at once.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list::list_campaigns, create::create_campaign))
        .routes(routes!(get::get_campaign, change::change_campaign))
        .routes(routes!(approve::approve_campaign))
        .routes(routes!(start::start_campaign))
        .routes(routes!(pause::pause_campaign))
        .routes(routes!(resume::resume_campaign))
        .routes(routes!(cancel::cancel_campaign))
        .routes(routes!(rollback::roll_back_campaign))
        .routes(routes!(waves::list_waves))
        .routes(routes!(advance::advance_campaign))
        .routes(routes!(updates::list_campaign_updates))
        .routes(routes!(journal::list_journal))
        .routes(routes!(replay::replay_decision))
}

/// Answered for as long as somebody watches.
pub(super) fn slow_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(events::follow_campaign))
}
