//! The engine on a real database, with a scripted sandbox and a clock that tests move.

mod back;
mod forward;
mod idempotency;
mod latest;
mod scripted;
mod singles;
mod steering;
mod tries;
mod windows;
mod world;
