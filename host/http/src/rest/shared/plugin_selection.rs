use serde::Deserialize;
use serde_json::Value;
use tidegate_core::{id::Digest, plugin::FieldError};
use tidegate_engine::plugins::PluginChoice;
use utoipa::ToSchema;

/// A plugin by name, with its config.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct PluginSelection {
    /// `vendor/name`; without a vendor it is a built-in plugin.
    plugin: String,
    /// `sha256:...`; the plugin's `default_revision` when left out.
    revision: Option<String>,
    /// Must match the plugin's config schema; `{}` when left out.
    config: Option<Value>,
}

impl PluginSelection {
    /// Converts to the engine's choice and adds what is invalid to `errors`, with paths below `path`.
    pub(crate) fn into_choice(self, path: &str, errors: &mut Vec<FieldError>) -> PluginChoice {
        let revision = self.revision.map(|text| text.parse::<Digest>()).transpose();
        let revision = revision.unwrap_or_else(|error| {
            let path = format!("{path}/revision");
            errors.push(FieldError {
                path,
                message: error.to_string(),
            });
            None
        });
        let config = self
            .config
            .map_or_else(|| "{}".to_owned(), |config| config.to_string());
        PluginChoice {
            plugin: self.plugin,
            revision,
            config,
        }
    }
}
