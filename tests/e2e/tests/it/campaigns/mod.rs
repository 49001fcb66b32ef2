//! Campaigns from their making to their end, with devices that speak the device API.

mod canary;
