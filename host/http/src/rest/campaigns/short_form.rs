//! The short form of a strategy: a few fields instead of a plugin and its config.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tidegate_core::plugin::FieldError;
use tidegate_engine::campaigns::PluginChoice;
use utoipa::ToSchema;

/// The canary strategy's default percentages after the canary wave.
const CANARY_STEPS: [u8; 3] = [25, 50, 100];

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
#[derive(Debug, Default)]
pub(super) struct ShortForm {
    pub(super) deployment_strategy: Option<DeploymentStrategy>,
    pub(super) rollout_percentage: Option<u8>,
    pub(super) batch_size: Option<u32>,
    pub(super) rollout_stages: Option<Vec<RolloutStage>>,
    pub(super) canary_percentage: Option<f64>,
    pub(super) canary_duration_minutes: Option<f64>,
    pub(super) blue_group: Option<Vec<String>>,
    pub(super) green_group: Option<Vec<String>>,
}

impl ShortForm {
    /// The JSON pointer of the first field of the short form that is present.
    pub(super) fn first_field(&self) -> Option<&'static str> {
        let strategy = self.deployment_strategy.map(|_| "/deployment_strategy");
        strategy.or_else(|| {
            self.presence()
                .into_iter()
                .find_map(|(field, is_present)| is_present.then_some(field))
        })
    }

    /// The plugin and its config; none if no field of the short form is present.
    pub(super) fn to_choice(&self) -> Result<Option<PluginChoice>, Vec<FieldError>> {
        use DeploymentStrategy as S;
        let Some(strategy) = self.deployment_strategy else {
            return match self.first_field() {
                Some(field) => Err(vec![error(field, "requires `deployment_strategy`")]),
                None => Ok(None),
            };
        };
        let (plugin, supported): (_, &[&str]) = match strategy {
            S::Immediate => ("immediate", &["/batch_size"]),
            S::Staged => ("staged", &["/rollout_stages", "/rollout_percentage"]),
            S::Canary => (
                "canary",
                &[
                    "/canary_percentage",
                    "/canary_duration_minutes",
                    "/rollout_percentage",
                ],
            ),
            S::BlueGreen => ("blue-green", &["/blue_group", "/green_group"]),
            S::Scheduled => {
                let message =
                    "`scheduled` is not supported; start the campaign at the planned time";
                return Err(vec![error("/deployment_strategy", message)]);
            }
        };
        let mut errors = self.unsupported_fields(plugin, supported);
        self.check_bounds(&mut errors);
        let config = match strategy {
            S::Staged => self.staged_config(&mut errors),
            S::Canary => self.canary_config(),
            _ => Value::Object(self.verbatim_fields()),
        };
        if !errors.is_empty() {
            return Err(errors);
        }
        let config = config.to_string();
        Ok(Some(PluginChoice {
            plugin: plugin.to_owned(),
            revision: None,
            config,
        }))
    }

    fn presence(&self) -> [(&'static str, bool); 7] {
        [
            ("/rollout_percentage", self.rollout_percentage.is_some()),
            ("/batch_size", self.batch_size.is_some()),
            ("/rollout_stages", self.rollout_stages.is_some()),
            ("/canary_percentage", self.canary_percentage.is_some()),
            (
                "/canary_duration_minutes",
                self.canary_duration_minutes.is_some(),
            ),
            ("/blue_group", self.blue_group.is_some()),
            ("/green_group", self.green_group.is_some()),
        ]
    }

    /// Errors for fields that this strategy does not support.
    fn unsupported_fields(&self, plugin: &str, supported: &[&str]) -> Vec<FieldError> {
        let present = self
            .presence()
            .into_iter()
            .filter(|(_, is_present)| *is_present);
        let unsupported_fields = present.filter(|(field, _)| !supported.contains(field));
        unsupported_fields
            .map(|(field, _)| error(field, &format!("is not supported by the strategy {plugin}")))
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

    fn staged_config(&self, errors: &mut Vec<FieldError>) -> Value {
        match (&self.rollout_stages, self.rollout_percentage) {
            (Some(stages), None) => {
                let mut stages = stages.clone();
                stages.sort_by_key(|stage| stage.stage);
                json!({"stages": stages})
            }
            (None, Some(percentage)) => json!({"stages": [{"percentage": percentage}]}),
            _ => {
                let message =
                    "`staged` requires exactly one of `rollout_stages` and `rollout_percentage`";
                errors.push(error("/rollout_stages", message));
                Value::Null
            }
        }
    }

    fn canary_config(&self) -> Value {
        let mut config = self.verbatim_fields();
        if let Some(last) = self.rollout_percentage {
            let before = CANARY_STEPS.into_iter().filter(|step| *step < last);
            config.insert("steps".to_owned(), before.chain([last]).collect());
        }
        Value::Object(config)
    }

    /// The fields that the plugin's config has under the same name.
    fn verbatim_fields(&self) -> Map<String, Value> {
        let fields = [
            ("batch_size", self.batch_size.map(Value::from)),
            ("canary_percentage", self.canary_percentage.map(Value::from)),
            (
                "canary_duration_minutes",
                self.canary_duration_minutes.map(Value::from),
            ),
            ("blue_group", self.blue_group.clone().map(Value::from)),
            ("green_group", self.green_group.clone().map(Value::from)),
        ];
        let present = fields
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)));
        present.collect()
    }
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

    fn config(form: &ShortForm) -> (String, Value) {
        let choice = form
            .to_choice()
            .expect("a valid strategy")
            .expect("a strategy");
        let config = serde_json::from_str(&choice.config).expect("JSON");
        (choice.plugin, config)
    }

    fn fields(form: &ShortForm) -> Vec<String> {
        let errors = form.to_choice().expect_err("an error");
        errors.into_iter().map(|error| error.path).collect()
    }

    fn form(strategy: DeploymentStrategy) -> ShortForm {
        ShortForm {
            deployment_strategy: Some(strategy),
            ..ShortForm::default()
        }
    }

    #[test]
    fn every_strategy_has_its_config() {
        use DeploymentStrategy as S;
        assert_eq!(
            config(&form(S::Immediate)),
            ("immediate".to_owned(), json!({}))
        );
        let batches = ShortForm {
            batch_size: Some(50),
            ..form(S::Immediate)
        };
        assert_eq!(config(&batches).1, json!({"batch_size": 50}));
        let canary = ShortForm {
            canary_percentage: Some(5.0),
            canary_duration_minutes: Some(30.0),
            rollout_percentage: Some(40),
            ..form(S::Canary)
        };
        let expected =
            json!({"canary_percentage": 5.0, "canary_duration_minutes": 30.0, "steps": [25, 40]});
        assert_eq!(config(&canary), ("canary".to_owned(), expected));
        let green = ShortForm {
            green_group: Some(vec!["lab".to_owned()]),
            ..form(S::BlueGreen)
        };
        assert_eq!(
            config(&green),
            ("blue-green".to_owned(), json!({"green_group": ["lab"]}))
        );
    }

    #[test]
    fn stages_are_sorted_by_number() {
        let stage = |stage, percentage, duration_hours| RolloutStage {
            stage,
            percentage,
            duration_hours,
        };
        let staged = ShortForm {
            rollout_stages: Some(vec![stage(2, 100.0, 0.0), stage(1, 10.0, 24.0)]),
            ..form(DeploymentStrategy::Staged)
        };
        let expected = json!({"stages": [
            {"percentage": 10.0, "duration_hours": 24.0}, {"percentage": 100.0, "duration_hours": 0.0},
        ]});
        assert_eq!(config(&staged), ("staged".to_owned(), expected));
        let third = ShortForm {
            rollout_percentage: Some(33),
            ..form(DeploymentStrategy::Staged)
        };
        assert_eq!(config(&third).1, json!({"stages": [{"percentage": 33}]}));
    }

    #[test]
    fn fields_of_another_strategy_are_refused() {
        use DeploymentStrategy as S;
        let wrong = ShortForm {
            batch_size: Some(0),
            ..form(S::Canary)
        };
        assert_eq!(fields(&wrong), ["/batch_size", "/batch_size"]);
        assert_eq!(fields(&form(S::Scheduled)), ["/deployment_strategy"]);
        assert_eq!(fields(&form(S::Staged)), ["/rollout_stages"]);
        let without_strategy = ShortForm {
            canary_percentage: Some(1.0),
            ..ShortForm::default()
        };
        assert_eq!(fields(&without_strategy), ["/canary_percentage"]);
        assert_eq!(ShortForm::default().to_choice(), Ok(None));
    }
}
