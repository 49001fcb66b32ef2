//! The tenants of the server, for its operators.

use crate::{
    Error, Result, ServerCtx,
    ports::{Store, Tenant},
};

/// Maximum length of a tenant name, in characters.
const MAX_NAME: usize = 64;

/// Creates a tenant. Its name is stored in upper case, because the device API ignores case.
/// [`crate::plugins::install_built_ins`] installs the built-in plugins for it.
pub async fn create(ctx: &ServerCtx, store: &dyn Store, name: &str) -> Result<Tenant> {
    let name = normalize_name(name)?;
    Ok(store.create_tenant(ctx, &name).await?)
}

/// All tenants, ordered by id.
pub async fn list(_: &ServerCtx, store: &dyn Store) -> Result<Vec<Tenant>> {
    Ok(store.tenants().await?)
}

fn normalize_name(name: &str) -> Result<String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let good = (1..=MAX_NAME).contains(&name.len())
        && name.chars().all(is_plain)
        && name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !good {
        let message =
            "must have 1 to 64 letters, digits, `-`, `_` or `.`, and start with a letter or digit";
        return Err(Error::invalid("invalid_tenant", "name", message));
    }
    Ok(name.to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_and_upper_case() {
        for (name, expected) in [
            ("acme", Some("ACME")),
            ("Lab-7.b", Some("LAB-7.B")),
            ("", None),
            ("../etc", None),
            ("a b", None),
            ("ä", None),
            (&"x".repeat(65), None),
        ] {
            assert_eq!(normalize_name(name).ok().as_deref(), expected, "{name}");
        }
    }
}
