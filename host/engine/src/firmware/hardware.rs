use std::collections::BTreeSet;

use serde_json::Value;
use tidegate_core::firmware::FirmwareDetails;

/// Metadata key for the policy `hardware`: a JSON list of revisions, or of `#RE:` followed by a regular expression.
pub(super) const SWU_HARDWARE: &str = "swu.hardware_compatibility";
/// Metadata key for the policy `hardware`: a JSON object with such a list for each board name.
pub(super) const SWU_BOARDS: &str = "swu.boards";
/// Metadata key for the policy `hardware`: `true` if the image has content for boards that it does not list. Such an
/// image names no model for them, so that mode `latest` does not choose it for them.
pub(super) const SWU_OTHER_BOARDS: &str = "swu.other_boards";
/// Metadata key for the policy `hardware`: the system that a RAUC bundle is compatible with.
pub(super) const RAUC_COMPATIBLE: &str = "rauc.compatible";

/// The hardware models that a firmware may be for, as far as its metadata says. The policy `hardware` decides whether a
/// device is compatible.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TargetModels {
    /// The names of the models.
    pub models: BTreeSet<String>,
    /// Whether other models are possible too: the metadata lists revisions without a board.
    pub any: bool,
}

impl TargetModels {
    /// From the uploader's device model, or else from the image's metadata. Empty: the metadata says nothing about
    /// hardware.
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

    /// Whether the metadata says nothing about hardware.
    pub fn is_empty(&self) -> bool {
        self.models.is_empty() && !self.any
    }
}

fn non_blank(model: String) -> Option<String> {
    (!model.trim().is_empty()).then_some(model)
}

/// Unreadable JSON counts as absent.
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
        check(
            None,
            &[boards, (SWU_OTHER_BOARDS, "true")],
            &["a", "b"],
            false,
        );
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
