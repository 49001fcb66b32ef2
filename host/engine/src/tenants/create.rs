use crate::{Actor, Engine, Error, Result, ports::Tenant};

/// Maximum length of a tenant name, in characters.
const MAX_NAME: usize = 64;

/// Creates a tenant. Its name is stored in upper case, because the device API ignores case.
/// [`crate::plugins::install_builtins`] installs the built-in plugins for it.
pub async fn create(engine: &Engine, name: &str) -> Result<Tenant> {
    let new = engine.new_tenant(normalize_name(name)?, Actor::command_line());
    Ok(engine.store().create_tenant(new).await?)
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
