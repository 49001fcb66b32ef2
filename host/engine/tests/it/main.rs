//! The engine on a real database, with a scripted sandbox and a manual clock.

mod approvals;
mod built_ins;
mod commands;
mod compatibility;
mod contract;
mod engine_fixture;
mod error_logs;
mod garbage_collection;
mod idempotency;
mod late_success;
mod latest;
mod names;
mod plugin_usage;
mod recheck;
mod replay;
mod reporting_clock;
mod retries;
mod rollback;
mod rollout;
mod scripted_sandbox;
mod single_updates;
mod spans;
mod tenant_shares;
mod test_adapters;
mod use_cases;
mod windows;
