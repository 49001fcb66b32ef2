//! The short form of a strategy: a few fields instead of a plugin and its config. The plugin's config schema tells which
//! of them it supports, and their defaults.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tidegate_core::plugin::{FieldError, PluginName};
use tidegate_engine::{
    Ctx, Engine, Error,
    plugins::{self, PluginChoice},
};
use utoipa::ToSchema;

use crate::{problem::Result, rest::from_json::is_below};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DeploymentStrategy {
    Immediate,
    /// Not supported: start the campaign at the planned time instead.
    Scheduled,
    Staged,
    Canary,
    BlueGreen,
}

/// One stage of `staged`.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, ToSchema)]
pub(crate) struct RolloutStage {
    /// Stages are ordered by this number.
    #[serde(skip_serializing)]
    stage: u32,
    /// Share of all devices covered by this stage and those before it.
    percentage: f64,
    /// Minimum time from the opening of this stage to the opening of the next.
    #[serde(default)]
    duration_hours: f64,
}

/// The fields of the short form.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub(crate) struct ShortForm {
    deployment_strategy: Option<DeploymentStrategy>,
    /// With `staged` and `canary`: the share of devices that the campaign covers in the end, 1 to 100 percent.
    rollout_percentage: Option<u8>,
    /// With `immediate`: 1 to 500.
    batch_size: Option<u32>,
    /// With `staged`.
    rollout_stages: Option<Vec<RolloutStage>>,
    /// With `canary`.
    canary_percentage: Option<f64>,
    /// With `canary`.
    canary_duration_minutes: Option<f64>,
    /// With `blue_green`: names of groups.
    blue_group: Option<Vec<String>>,
    /// With `blue_green`: names of groups.
    green_group: Option<Vec<String>>,
}

/// All fields of the short form.
pub(super) const SHORT_FORM_FIELDS: [&str; 8] = [
    "/deployment_strategy",
    "/rollout_percentage",
    "/batch_size",
    "/rollout_stages",
    "/canary_percentage",
    "/canary_duration_minutes",
    "/blue_group",
    "/green_group",
];

/// The field of a plugin's config that a field of the short form sets.
struct ConfigField {
    /// The field of the short form, a JSON pointer.
    field: &'static str,
    /// The name in the config.
    name: &'static str,
    value: Value,
}

/// A strategy in its short form.
#[derive(Debug)]
pub(super) struct ShortStrategy {
    pub(super) choice: PluginChoice,
    /// The names in the config that come from a field of the short form.
    fields: Vec<(&'static str, &'static str)>,
}

impl ShortStrategy {
    /// The field of the short form for a field of the strategy and its config.
    pub(super) fn rename(&self, field: String) -> String {
        if !is_below(&field, "/strategy") {
            return field;
        }
        let config = field.strip_prefix("/strategy/config/").unwrap_or_default();
        let (name, rest) = config.split_at(config.find('/').unwrap_or(config.len()));
        match self.fields.iter().find(|(known, _)| *known == name) {
            // A value that is passed on unchanged has the same parts.
            Some((name, field)) if field[1..] == **name => format!("{field}{rest}"),
            Some((_, field)) => (*field).to_owned(),
            None => "/deployment_strategy".to_owned(),
        }
    }
}

impl DeploymentStrategy {
    /// The plugin that implements it.
    fn plugin(self) -> Option<PluginName> {
        let name = match self {
            Self::Immediate => "immediate",
            Self::Staged => "staged",
            Self::Canary => "canary",
            Self::BlueGreen => "blue-green",
            Self::Scheduled => return None,
        };
        Some(PluginName::built_in(name))
    }
}

impl ShortForm {
    /// The JSON pointer of the first field of the short form that is present.
    pub(super) fn first_field(&self) -> Option<&'static str> {
        let strategy = self.deployment_strategy.map(|_| "/deployment_strategy");
        strategy.or_else(|| self.values().first().map(|(field, _)| *field))
    }

    /// The plugin and its config. `None`: it is invalid; the reasons were added to `errors`.
    pub(super) async fn into_strategy(
        self,
        ctx: &Ctx,
        engine: &Engine,
        errors: &mut Vec<FieldError>,
    ) -> Result<Option<ShortStrategy>> {
        let Some(plugin) = self.plugin(errors) else {
            return Ok(None);
        };
        let revision =
            plugins::default_revision(ctx, engine.store(), engine.plugins(), &plugin).await?;
        let schema = match revision {
            Some(revision) => serde_json::from_str(&revision.stored.description.config_schema)
                .map_err(|error| Error::internal("read config schema", error))?,
            // The engine reports that the plugin does not exist.
            None => Value::Null,
        };
        Ok(Some(self.configure(&plugin, &schema, errors)))
    }

    fn plugin(&self, errors: &mut Vec<FieldError>) -> Option<PluginName> {
        let Some(strategy) = self.deployment_strategy else {
            let field = self.first_field();
            errors.extend(field.map(|field| error(field, "requires `deployment_strategy`")));
            return None;
        };
        let plugin = strategy.plugin();
        if plugin.is_none() {
            let message = "`scheduled` is not supported; start the campaign at the planned time";
            errors.push(error("/deployment_strategy", message));
        }
        plugin
    }

    /// The config for a plugin with this config schema.
    fn configure(
        &self,
        plugin: &PluginName,
        schema: &Value,
        errors: &mut Vec<FieldError>,
    ) -> ShortStrategy {
        self.check_bounds(errors);
        let mut config = Map::new();
        let mut fields: Vec<(&'static str, &'static str)> = Vec::new();
        for (field, value) in self.values() {
            match config_field(field, value, schema) {
                Some(set) if config.contains_key(set.name) => {
                    let (_, other) = fields
                        .iter()
                        .find(|(name, _)| *name == set.name)
                        .copied()
                        .unwrap_or_default();
                    let other = other.trim_start_matches('/');
                    let message = format!("cannot be combined with `{other}`");
                    errors.push(error(field, &message));
                }
                Some(set) => {
                    fields.push((set.name, set.field));
                    config.insert(set.name.to_owned(), set.value);
                }
                None if schema.is_null() => {}
                None => {
                    let message = format!("is not supported by the strategy {plugin}");
                    errors.push(error(field, &message));
                }
            }
        }
        ShortStrategy {
            choice: PluginChoice {
                plugin: plugin.to_string(),
                revision: None,
                config: Value::Object(config).to_string(),
            },
            fields,
        }
    }

    /// The fields that are present, as JSON.
    fn values(&self) -> Vec<(&'static str, Value)> {
        let stages = self.rollout_stages.clone().map(|mut stages| {
            stages.sort_by_key(|stage| stage.stage);
            json!(stages)
        });
        let fields = [
            ("/rollout_stages", stages),
            (
                "/rollout_percentage",
                self.rollout_percentage.map(Value::from),
            ),
            ("/batch_size", self.batch_size.map(Value::from)),
            (
                "/canary_percentage",
                self.canary_percentage.map(Value::from),
            ),
            (
                "/canary_duration_minutes",
                self.canary_duration_minutes.map(Value::from),
            ),
            ("/blue_group", self.blue_group.clone().map(Value::from)),
            ("/green_group", self.green_group.clone().map(Value::from)),
        ];
        let present = fields.into_iter();
        present
            .filter_map(|(field, value)| Some((field, value?)))
            .collect()
    }

    fn check_bounds(&self, errors: &mut Vec<FieldError>) {
        if self
            .rollout_percentage
            .is_some_and(|percentage| !(1..=100).contains(&percentage))
        {
            errors.push(error("/rollout_percentage", "must be between 1 and 100"));
        }
        if self
            .batch_size
            .is_some_and(|size| !(1..=500).contains(&size))
        {
            errors.push(error("/batch_size", "must be between 1 and 500"));
        }
    }
}

/// The part of the config that a field sets; `None`: the schema does not declare it.
fn config_field(field: &'static str, value: Value, schema: &Value) -> Option<ConfigField> {
    let properties = &schema["properties"];
    let (name, value) = match field {
        "/rollout_stages" => ("stages", value),
        // The default steps below the percentage, and the percentage as the last one.
        "/rollout_percentage" if properties["steps"].is_object() => {
            let last = value.as_f64()?;
            let defaults = properties["steps"]["default"].as_array();
            let below = |step: &&Value| step.as_f64().is_some_and(|step| step < last);
            let steps = defaults.into_iter().flatten().filter(below).cloned();
            ("steps", steps.chain([value]).collect())
        }
        "/rollout_percentage" => ("stages", json!([{ "percentage": value }])),
        same => (&same[1..], value),
    };
    properties[name]
        .is_object()
        .then_some(ConfigField { field, name, value })
}

fn error(field: &str, message: &str) -> FieldError {
    FieldError {
        path: field.to_owned(),
        message: message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The config schema of a built-in plugin.
    fn schema(plugin: &str) -> Value {
        let text = match plugin {
            "immediate" => include_str!("../../../../../plugins/immediate/schema.json"),
            "staged" => include_str!("../../../../../plugins/staged/schema.json"),
            "canary" => include_str!("../../../../../plugins/canary/schema.json"),
            _ => include_str!("../../../../../plugins/blue-green/schema.json"),
        };
        serde_json::from_str(text).expect("JSON")
    }

    fn form(body: Value) -> ShortForm {
        serde_json::from_value(body).expect("a short form")
    }

    /// The plugin, its config and the fields with errors.
    fn strategy(body: Value) -> (String, Value, Vec<String>) {
        let (form, mut errors) = (form(body), Vec::new());
        let Some(plugin) = form.plugin(&mut errors) else {
            return (String::new(), Value::Null, paths(errors));
        };
        let strategy = form.configure(&plugin, &schema(plugin.name()), &mut errors);
        let config = serde_json::from_str(&strategy.choice.config).expect("JSON");
        (strategy.choice.plugin, config, paths(errors))
    }

    fn paths(errors: Vec<FieldError>) -> Vec<String> {
        errors.into_iter().map(|error| error.path).collect()
    }

    #[test]
    fn every_strategy_has_its_config() {
        let stages = json!([
            {"stage": 2, "percentage": 100.0},
            {"stage": 1, "percentage": 10.0, "duration_hours": 24.0},
        ]);
        let sorted = json!([
            {"percentage": 10.0, "duration_hours": 24.0},
            {"percentage": 100.0, "duration_hours": 0.0},
        ]);
        for (body, plugin, config) in [
            (
                json!({"deployment_strategy": "immediate"}),
                "immediate",
                json!({}),
            ),
            (
                json!({"deployment_strategy": "immediate", "batch_size": 50}),
                "immediate",
                json!({"batch_size": 50}),
            ),
            (
                json!({
                    "deployment_strategy": "canary", "canary_percentage": 5.0,
                    "canary_duration_minutes": 30.0, "rollout_percentage": 40,
                }),
                "canary",
                json!({"canary_percentage": 5.0, "canary_duration_minutes": 30.0, "steps": [25, 40]}),
            ),
            (
                json!({"deployment_strategy": "blue_green", "green_group": ["lab"]}),
                "blue-green",
                json!({"green_group": ["lab"]}),
            ),
            (
                json!({"deployment_strategy": "staged", "rollout_stages": stages}),
                "staged",
                json!({"stages": sorted}),
            ),
            (
                json!({"deployment_strategy": "staged", "rollout_percentage": 33}),
                "staged",
                json!({"stages": [{"percentage": 33}]}),
            ),
        ] {
            assert_eq!(
                strategy(body),
                (format!("tidegate/{plugin}"), config, vec![])
            );
        }
    }

    #[test]
    fn default_steps_come_from_the_schema() {
        let mut schema = schema("canary");
        schema["properties"]["steps"]["default"] = json!([1, 2.5, 50]);
        let form = form(json!({"deployment_strategy": "canary", "rollout_percentage": 7}));
        let strategy = form.configure(&PluginName::built_in("canary"), &schema, &mut Vec::new());
        assert_eq!(strategy.choice.config, r#"{"steps":[1,2.5,7]}"#);
    }

    #[test]
    fn fields_that_a_schema_does_not_declare_are_rejected() {
        for (body, fields) in [
            (
                json!({"deployment_strategy": "canary", "batch_size": 0}),
                vec!["/batch_size", "/batch_size"],
            ),
            (
                json!({"deployment_strategy": "blue_green", "rollout_percentage": 5}),
                vec!["/rollout_percentage"],
            ),
            (
                json!({"deployment_strategy": "scheduled"}),
                vec!["/deployment_strategy"],
            ),
            (
                json!({"deployment_strategy": "staged", "rollout_stages": [], "rollout_percentage": 5}),
                vec!["/rollout_percentage"],
            ),
            (
                json!({"canary_percentage": 1.0}),
                vec!["/canary_percentage"],
            ),
        ] {
            assert_eq!(strategy(body.clone()).2, fields, "{body}");
        }
        assert_eq!(form(json!({})).first_field(), None);
    }

    #[test]
    fn errors_in_the_config_name_the_field_of_the_short_form() {
        let form = form(json!({
            "deployment_strategy": "blue_green", "green_group": ["lab"], "rollout_percentage": 5,
        }));
        let mut schema = schema("blue-green");
        schema["properties"]["steps"] = json!({});
        let strategy = form.configure(
            &PluginName::built_in("blue-green"),
            &schema,
            &mut Vec::new(),
        );
        for (path, field) in [
            ("/strategy/config/green_group/0", "/green_group/0"),
            ("/strategy/config/steps/1", "/rollout_percentage"),
            ("/strategy/config/stages", "/deployment_strategy"),
            ("/strategy/plugin", "/deployment_strategy"),
            ("/name", "/name"),
        ] {
            assert_eq!(strategy.rename(path.to_owned()), field, "{path}");
        }
    }
}
