//! Use cases of tenants: creation, API keys, roles, settings, statistics.

mod authenticate;
mod bootstrap;
mod credential;
mod issue;
mod keys;
mod registry;
mod settings;
mod stats;

pub use authenticate::{AuthenticatedActor, authenticate, by_name};
pub use bootstrap::{Bootstrap, DEFAULT_TENANT, bootstrap};
pub use credential::{ActorCredential, ended_credentials};
pub use issue::{NewApiKey, issue_key};
pub use keys::{flush_key_uses, generated_key_id, key, key_id, keys, revoke_key};
pub use registry::{create, list};
pub use settings::{change_settings, settings};
pub(crate) use stats::delete_old_hours;
pub use stats::{stats, stats_of_all};
