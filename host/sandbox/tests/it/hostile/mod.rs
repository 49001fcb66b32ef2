//! Hostile plugins: every call ends, its failure class tells the cause, and the host is unharmed.

mod busy;
mod catalog;
mod determinism;
mod isolation;
mod lies;
mod limits;
mod mutations;
mod operators;
