//! Use cases of tenants: creation, API keys, roles, settings, statistics.

mod authenticate;
mod bootstrap;
mod create;
mod issue;
mod keys;
mod settings;
mod stats;

pub use authenticate::{authenticate, by_name};
pub use bootstrap::{Bootstrap, DEFAULT_TENANT, bootstrap};
pub use create::create;
pub use issue::{NewApiKey, issue_key};
pub use keys::{key_id, keys, revoke_key};
pub use settings::{change_settings, settings};
pub use stats::{stats, stats_of_all};
