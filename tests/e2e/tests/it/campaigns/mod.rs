//! Campaigns from their making to their end, with devices that speak the device API.

mod approval;
mod canary;
mod ceiling;
mod consent;
mod events;
mod explain;
mod figures;
mod priority;
mod proof;
mod replay;
mod rollback;
mod silence;
mod steering;
mod strategies;
mod tries;
