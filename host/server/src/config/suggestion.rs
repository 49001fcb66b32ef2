//! The known setting that an unknown one resembles most.

use figment::{
    Figment,
    value::{Dict, Value},
};

/// The least similarity at which a setting is suggested, from 0 to 1.
const MIN_SIMILARITY: f64 = 0.5;

/// The known setting that resembles `path` most; `None` if none is similar. Settings with the same last part in another
/// table count as similar: `polling_interval` suggests `devices.polling_interval`.
pub(super) fn nearest(path: &str, defaults: &Figment) -> Option<String> {
    let known = defaults.extract::<Dict>().ok()?;
    let mut keys = Vec::new();
    collect("", &known, &mut keys);
    let similarity = |key: &str| {
        let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
        let whole = strsim::normalized_damerau_levenshtein(path, key);
        whole.max(0.95 * strsim::normalized_damerau_levenshtein(&last(path), &last(key)))
    };
    keys.into_iter()
        .map(|key| (similarity(&key), key))
        .filter(|(similarity, _)| *similarity >= MIN_SIMILARITY)
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map(|(_, key)| key)
}

/// The settings below a table, each with its tables before it.
fn collect(table: &str, settings: &Dict, keys: &mut Vec<String>) {
    for (name, value) in settings {
        let key = match table {
            "" => name.clone(),
            table => format!("{table}.{name}"),
        };
        match value {
            Value::Dict(_, settings) => collect(&key, settings, keys),
            _ => keys.push(key),
        }
    }
}

#[cfg(test)]
mod tests {
    use figment::providers::Serialized;

    use super::*;
    use crate::config::Config;

    #[test]
    fn the_most_similar_setting_is_suggested() {
        let defaults = Figment::from(Serialized::defaults(Config::default()));
        for (path, expected) in [
            ("lsiten", Some("listen")),
            ("devices.poling_interval", Some("devices.polling_interval")),
            ("polling_interval", Some("devices.polling_interval")),
            ("database.uri", Some("database.url")),
            ("http.trusted_proxy", Some("http.trusted_proxies")),
            ("zzzzzzzz", None),
        ] {
            assert_eq!(nearest(path, &defaults).as_deref(), expected, "{path}");
        }
    }
}
