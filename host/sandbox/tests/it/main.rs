//! Tests of the sandbox through its port, with real components and a real compiler process.

mod assignment;
mod cache;
mod compiling;
mod components;
mod goldens;
mod hostile;
mod plugin_projects;
mod replay;
mod schemas;
mod spans;
mod support;
mod uploads;
mod versions;
