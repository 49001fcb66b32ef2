pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod list;
pub(crate) mod models;
pub(crate) mod read;

#[cfg(test)]
mod tests;

pub(crate) use read::id_by_version;
