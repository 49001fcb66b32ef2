use std::collections::BTreeSet;

use serde_json::Value;
use tidegate_core::firmware::FirmwareDetails;

/// What the hardware policy reads: a JSON list of revisions, or of `#RE:` and an expression.
pub(super) const SWU_HARDWARE: &str = "swu.hardware_compatibility";
/// What it reads too: a JSON object, by the name of a board, of such lists.
pub(super) const SWU_BOARDS: &str = "swu.boards";
/// And this: the system that a bundle is for.
pub(super) const RAUC_COMPATIBLE: &str = "rauc.compatible";

/// The hardware models that a firmware may be for, as far as it says so. Whether a device fits, the hardware policy
/// decides.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TargetModels {
    /// By name.
    pub models: BTreeSet<String>,
    /// Models that are not named too: it lists revisions for whatever has them.
    pub any: bool,
}

impl TargetModels {
    /// Of its uploader's word, or else of what its image said of itself. Empty: it says nothing of hardware.
    pub fn of(details: &FirmwareDetails) -> Self {
        let system = details.metadata.get(RAUC_COMPATIBLE);
        if let Some(model) = details.device_model.as_ref().or(system) {
            return Self {
                models: non_blank(model.clone()).into_iter().collect(),
                any: false,
            };
        }
        let boards = match json(details, SWU_BOARDS) {
            Some(Value::Object(boards)) => boards,
            _ => serde_json::Map::new(),
        };
        let revisions = json(details, SWU_HARDWARE);
        Self {
            models: boards
                .into_iter()
                .filter_map(|(board, _)| non_blank(board))
                .collect(),
            any: revisions.is_some_and(|list| list.as_array().is_some_and(|list| !list.is_empty())),
        }
    }

    /// Whether it says nothing of hardware.
    pub fn is_empty(&self) -> bool {
        self.models.is_empty() && !self.any
    }
}

fn non_blank(model: String) -> Option<String> {
    (!model.trim().is_empty()).then_some(model)
}

/// What cannot be read says nothing.
fn json(details: &FirmwareDetails, key: &str) -> Option<Value> {
    serde_json::from_str(details.metadata.get(key)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_models_come_from_the_uploader_or_the_image() {
        let check = |model: Option<&str>, metadata: &[(&str, &str)], models: &[&str], any: bool| {
            let details = FirmwareDetails {
                device_model: model.map(str::to_owned),
                metadata: metadata
                    .iter()
                    .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                    .collect(),
                ..FirmwareDetails::default()
            };
            let expected = TargetModels {
                models: models.iter().map(|&model| model.to_owned()).collect(),
                any,
            };
            assert_eq!(TargetModels::of(&details), expected, "{metadata:?}");
        };
        let (revisions, boards) = (
            (SWU_HARDWARE, r#"["1.0"]"#),
            (SWU_BOARDS, r#"{"a":[],"b":["2"],"":[]}"#),
        );
        check(None, &[], &[], false);
        check(Some("edge"), &[revisions, boards], &["edge"], false);
        check(
            None,
            &[(RAUC_COMPATIBLE, "Tide Dock")],
            &["Tide Dock"],
            false,
        );
        check(None, &[boards], &["a", "b"], false);
        check(None, &[revisions], &[], true);
        check(None, &[revisions, boards], &["a", "b"], true);
        check(
            None,
            &[
                (SWU_HARDWARE, "[]"),
                (SWU_BOARDS, "no"),
                (RAUC_COMPATIBLE, " "),
            ],
            &[],
            false,
        );
    }
}
