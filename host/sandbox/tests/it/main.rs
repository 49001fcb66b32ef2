//! The sandbox from the outside: the port, real components, a real process that compiles.

mod assignment;
mod cache;
mod compiling;
mod components;
mod hostile;
mod polyglot;
mod schemas;
mod support;
mod uploads;
