//! Hardware requirements of an update image, which the host stores in the firmware's metadata.

use std::collections::BTreeMap;

use regex_lite::Regex;
use serde::de::DeserializeOwned;
use tidegate_plugin_sdk::prelude::*;

use crate::Incompatibility;

/// Metadata key: JSON list of revisions.
const REVISIONS: &str = "swu.hardware_compatibility";
/// Metadata key: JSON object of such lists by board name. Null: the list for boards without one of their own applies.
const BOARDS: &str = "swu.boards";
/// Metadata key: `true` if the image has content for boards that it does not list.
const OTHER_BOARDS: &str = "swu.other_boards";
/// Metadata key: the system that a bundle is for.
const COMPATIBLE: &str = "rauc.compatible";
/// Prefix of a revision that is a regular expression.
const EXPRESSION_PREFIX: &str = "#RE:";

/// Requirements of an image, parsed once for all classes of a call.
#[derive(Debug, Default)]
pub(crate) struct ImageRequirements {
    /// The system that a bundle is for.
    pub(crate) model: Option<String>,
    /// Revisions for boards without a list of their own.
    revisions: Option<Revisions>,
    boards: BTreeMap<String, Option<Revisions>>,
    /// True if boards that are not listed are supported too.
    other_boards: bool,
    /// Parse error; metadata may have been edited by hand.
    unreadable: Option<String>,
}

impl ImageRequirements {
    pub(crate) fn read(firmware: &Firmware) -> Self {
        let read = || -> Result<Self, String> {
            let revisions: Option<Vec<String>> = json(firmware, REVISIONS)?;
            let boards: Option<BTreeMap<String, Option<Vec<String>>>> = json(firmware, BOARDS)?;
            let boards = boards.unwrap_or_default().into_iter();
            Ok(Self {
                model: value(firmware, COMPATIBLE).map(str::to_owned),
                // An uploader lifts the image's list by an empty one.
                revisions: revisions
                    .filter(|list| !list.is_empty())
                    .map(Revisions::new),
                boards: boards
                    .map(|(board, list)| (board, list.map(Revisions::new)))
                    .collect(),
                other_boards: value(firmware, OTHER_BOARDS).map(str::trim) == Some("true"),
                unreadable: None,
            })
        };
        read().unwrap_or_else(|unreadable| Self {
            unreadable: Some(unreadable),
            ..Self::default()
        })
    }

    /// Why a class does not meet the requirements; `None`: it does.
    pub(crate) fn incompatibility(&self, class: &DeviceClass) -> Option<Incompatibility> {
        if let Some(unreadable) = &self.unreadable {
            return Some(Incompatibility::Unknown(unreadable.clone()));
        }
        let model = class.hardware_model.as_deref().map(str::trim);
        let own = model.and_then(|model| self.boards.get(model));
        let own_list = own.and_then(Option::as_ref);
        if let Some(revisions) = own_list.or(self.revisions.as_ref()) {
            return revisions.incompatibility(class);
        }
        if self.boards.is_empty() || self.other_boards || own.is_some() {
            return None;
        }
        let listed = self.boards.keys().map(String::as_str).collect::<Vec<_>>();
        let listed = listed.join(", ");
        Some(match model {
            None | Some("") => Incompatibility::Unknown(format!(
                "The device reports no hardware model; the image is for {listed}."
            )),
            Some(model) => Incompatibility::Mismatch(format!(
                "The hardware is {model}; the image is for {listed}."
            )),
        })
    }
}

/// Revisions in an image.
#[derive(Debug)]
struct Revisions {
    /// Comma-separated, for explanations.
    listed: String,
    plain: Vec<String>,
    expressions: Vec<Regex>,
    /// True if an expression cannot be compiled.
    has_unsupported_expressions: bool,
}

impl Revisions {
    fn new(list: Vec<String>) -> Self {
        let listed = list.join(", ");
        let (expressions, plain): (Vec<String>, Vec<String>) = list
            .into_iter()
            .partition(|revision| revision.starts_with(EXPRESSION_PREFIX));
        let expected_models = expressions.len();
        let expressions: Vec<_> = expressions
            .iter()
            .filter_map(|text| Regex::new(&text[EXPRESSION_PREFIX.len()..]).ok())
            .collect();
        Self {
            listed,
            plain,
            has_unsupported_expressions: expressions.len() < expected_models,
            expressions,
        }
    }

    fn incompatibility(&self, class: &DeviceClass) -> Option<Incompatibility> {
        let listed = &self.listed;
        let revision = class.hardware_revision.as_deref().map(str::trim);
        let Some(revision) = revision.filter(|revision| !revision.is_empty()) else {
            return Some(Incompatibility::Unknown(format!(
                "The device reports no hardware revision; the image is for {listed}."
            )));
        };
        let is_listed = self.plain.iter().any(|plain| plain.trim() == revision)
            || self.expressions.iter().any(|of| of.is_match(revision));
        let reason = format!("The hardware revision is {revision}; the image is for {listed}.");
        match (is_listed, self.has_unsupported_expressions) {
            (true, _) => None,
            (false, true) => Some(Incompatibility::Unknown(reason)),
            (false, false) => Some(Incompatibility::Mismatch(reason)),
        }
    }
}

fn value<'a>(firmware: &'a Firmware, key: &str) -> Option<&'a str> {
    let entry = firmware.metadata.iter().find(|entry| entry.key == key)?;
    Some(&entry.value)
}

fn json<T: DeserializeOwned>(firmware: &Firmware, key: &str) -> Result<Option<T>, String> {
    let read = value(firmware, key).map(serde_json::from_str).transpose();
    read.map_err(|error| format!("The metadata {key} of the firmware cannot be parsed: {error}."))
}
