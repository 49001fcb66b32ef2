//! The uploader's own word wins over the image's. A note in the firmware's metadata says what was replaced.

use std::collections::BTreeMap;

use tidegate_core::{firmware::FirmwareDetails, settings::VersionScheme, version};

use super::{
    hardware::{SWU_BOARDS, SWU_HARDWARE, SWU_OTHER_BOARDS},
    image_summary::{MAX_VALUE, NamedImage, summarize},
    spec::FirmwareSpec,
};
use crate::ports::NewModule;

/// Metadata key: the fields of images that the uploader replaced.
const NOTE: &str = "image.note";
/// A revision that matches any other, for boards whose list the uploader replaced.
const ANY_REVISION: &str = r##"["#RE:."]"##;

/// Removes the image's requirements on hardware that fields of the uploader replace. Returns what they replaced.
pub(super) fn replace_hardware(
    stated: &FirmwareDetails,
    of_images: &mut BTreeMap<&'static str, String>,
) -> Vec<String> {
    let mut notes = Vec::new();
    of_images.retain(|key, _| !stated.metadata.contains_key(*key));
    let boards = of_images.get(SWU_BOARDS).and_then(|json| parse(json));
    if let (Some(model), Some(boards)) = (&stated.device_model, &boards)
        && !boards.contains_key(model)
        && !of_images.contains_key(SWU_OTHER_BOARDS)
    {
        of_images.remove(SWU_BOARDS);
        let listed: Vec<_> = boards.keys().map(String::as_str).collect();
        let listed = listed.join(", ");
        notes.push(format!(
            "device_model {model} replaces the boards of the image: {listed}"
        ));
    }
    let bounds = [
        ("min_hardware_version", &stated.min_hardware_version),
        ("max_hardware_version", &stated.max_hardware_version),
    ];
    let stated_bounds = bounds.into_iter().filter_map(|(field, bound)| {
        let bound = bound.as_ref()?;
        Some(format!("{field} {bound}"))
    });
    let stated_bounds: Vec<_> = stated_bounds.collect();
    if !stated_bounds.is_empty() {
        let mut lists = Vec::new();
        lists.extend(of_images.remove(SWU_HARDWARE));
        if let Some(json) = of_images.get_mut(SWU_BOARDS)
            && let Some(boards) = parse(json)
            && boards.values().any(|list| !list.is_null())
        {
            lists.push(std::mem::take(json));
            let any: serde_json::Value = serde_json::from_str(ANY_REVISION).unwrap_or_default();
            let boards: serde_json::Map<_, _> = boards
                .into_iter()
                .map(|(board, _)| (board, any.clone()))
                .collect();
            *json = serde_json::Value::Object(boards).to_string();
        }
        if !lists.is_empty() {
            let (bounds, lists) = (stated_bounds.join(" and "), lists.join(" and "));
            notes.push(format!(
                "{bounds} replaces the revisions of the image: {lists}"
            ));
        }
    }
    notes
}

fn parse(json: &str) -> Option<serde_json::Map<String, serde_json::Value>> {
    serde_json::from_str(json).ok()
}

/// The modules whose version the uploader gave another than their image has. Their devices may report the image's.
pub(super) fn replaced_versions(
    modules: &[NewModule],
    images: &[NamedImage],
    versions: VersionScheme,
) -> Vec<String> {
    let files = modules.iter().flat_map(|module| {
        let artifacts = module.artifacts.iter();
        artifacts.map(move |file| (module, file))
    });
    let replaced = files.filter_map(|(module, file)| {
        let (_, image) = images.iter().find(|(of_image, _)| of_image == file)?;
        let version = summarize(image).version?;
        let is_same = match (version::semver(version), versions) {
            (Some(semver), _) => version::is_same(&semver, &module.version),
            // The uploader had to give another, because SemVer cannot express the image's, which is in the metadata.
            (None, VersionScheme::Semver) => true,
            (None, VersionScheme::Loose) => version::is_same(version, &module.version),
        };
        (!is_same).then(|| {
            format!(
                "version {} replaces {version} of {}; a device that reports {version} does not run this firmware",
                module.version, file.filename
            )
        })
    });
    replaced.collect()
}

/// Adds the notes to the metadata.
pub(super) fn add_notes(spec: &mut FirmwareSpec, notes: &[String]) {
    if notes.is_empty() {
        return;
    }
    let note: String = notes.join(". ").chars().take(MAX_VALUE).collect();
    let metadata = &mut spec.details.metadata;
    metadata.entry(NOTE.to_owned()).or_insert(note);
}

#[cfg(test)]
mod tests {
    use tidegate_core::firmware::{Artifact, Hashes};
    use tidegate_images::{Image, SwDescription};

    use super::*;

    #[test]
    fn fields_of_the_uploader_replace_the_images_hardware() {
        const BOARDS: &str = r#"{"a":["1.0"],"b":null}"#;
        let image = |boards: &str, hardware: Option<&str>, has_fallback: bool| {
            let hardware = hardware.map(|list| (SWU_HARDWARE, list.to_owned()));
            let fallback = has_fallback.then(|| (SWU_OTHER_BOARDS, "true".to_owned()));
            let boards = [(SWU_BOARDS, boards.to_owned())];
            let all = boards.into_iter().chain(hardware).chain(fallback);
            all.collect::<BTreeMap<_, _>>()
        };
        let stated = |model: Option<&str>, max: Option<&str>| FirmwareDetails {
            device_model: model.map(str::to_owned),
            max_hardware_version: max.map(str::to_owned),
            ..FirmwareDetails::default()
        };
        for (stated, before, boards, hardware, note) in [
            (
                stated(None, None),
                image(BOARDS, None, false),
                Some(BOARDS),
                None,
                "",
            ),
            (
                stated(Some("a"), None),
                image(BOARDS, None, false),
                Some(BOARDS),
                None,
                "",
            ),
            (
                stated(Some("c"), None),
                image(BOARDS, None, true),
                Some(BOARDS),
                None,
                "",
            ),
            (
                stated(Some("c"), None),
                image(BOARDS, Some(r#"["2"]"#), false),
                None,
                Some(r#"["2"]"#),
                "device_model c replaces the boards of the image: a, b",
            ),
            (
                stated(Some("a"), Some("3")),
                image(BOARDS, Some(r#"["2"]"#), false),
                Some(r##"{"a":["#RE:."],"b":["#RE:."]}"##),
                None,
                r#"max_hardware_version 3 replaces the revisions of the image: ["2"] and {"a":["1.0"],"b":null}"#,
            ),
        ] {
            let mut after = before;
            let notes = replace_hardware(&stated, &mut after);
            assert_eq!(after.get(SWU_BOARDS).map(String::as_str), boards, "{note}");
            assert_eq!(
                after.get(SWU_HARDWARE).map(String::as_str),
                hardware,
                "{note}"
            );
            assert_eq!(notes.join(". "), note);
        }
        let mut by_metadata = stated(None, Some("3"));
        let own = [(SWU_HARDWARE.to_owned(), "[]".to_owned())];
        by_metadata.metadata = BTreeMap::from(own);
        let mut of_image = BTreeMap::from([(SWU_HARDWARE, r#"["2"]"#.to_owned())]);
        assert_eq!(replace_hardware(&by_metadata, &mut of_image), [""; 0]);
        assert!(of_image.is_empty());
    }

    fn file(content: u8) -> Artifact {
        Artifact {
            filename: "a.swu".to_owned(),
            size: 1,
            hashes: Hashes {
                sha1: [1; 20],
                md5: [2; 16],
                sha256: [content; 32],
            },
        }
    }

    #[test]
    fn another_version_than_the_images_is_noted() {
        let module = |version: &str| NewModule {
            part: "os".to_owned(),
            name: "edge".to_owned(),
            version: version.to_owned(),
            metadata: Vec::new(),
            is_encrypted: false,
            artifacts: vec![file(3)],
        };
        let image = |version: &str| {
            let version = version.to_owned();
            let description = SwDescription {
                version,
                ..SwDescription::default()
            };
            (file(3), Image::Swu(description))
        };
        for (stated, of_image, versions, is_noted) in [
            ("1.2.0", "1.2", VersionScheme::Semver, false),
            ("1.3.0", "1.2", VersionScheme::Semver, true),
            ("9", "1.2", VersionScheme::Semver, true),
            ("7.0.0", "2016.08-1", VersionScheme::Semver, false),
            ("7.0.0", "2016.08-1", VersionScheme::Loose, true),
            ("2016.08-1", "2016.08-1", VersionScheme::Loose, false),
            ("2016.8-1", "2016.08-1", VersionScheme::Loose, false),
            ("v1.2.0", "1.2", VersionScheme::Loose, false),
            ("1.3", "1.2", VersionScheme::Loose, true),
            ("rev B", "rev B", VersionScheme::Loose, false),
            ("rev C", "rev B", VersionScheme::Loose, true),
        ] {
            let notes = replaced_versions(&[module(stated)], &[image(of_image)], versions);
            assert_eq!(notes.len(), usize::from(is_noted), "{stated} {of_image}");
            let start = format!("version {stated} replaces {of_image} of a.swu");
            assert!(
                notes.iter().all(|note| note.starts_with(&start)),
                "{notes:?}"
            );
        }
    }

    #[test]
    fn images_of_one_name_are_compared_with_their_own_modules() {
        let module = |version: &str, content| NewModule {
            part: "os".to_owned(),
            name: "edge".to_owned(),
            version: version.to_owned(),
            metadata: Vec::new(),
            is_encrypted: false,
            artifacts: vec![file(content)],
        };
        let image = |version: &str, content| {
            let description = SwDescription {
                version: version.to_owned(),
                ..SwDescription::default()
            };
            (file(content), Image::Swu(description))
        };
        let images = [image("1.2", 3), image("1.3", 4)];
        let notes = |modules: [NewModule; 2]| {
            replaced_versions(&modules, &images, VersionScheme::Semver).len()
        };
        assert_eq!(notes([module("1.2.0", 3), module("1.3.0", 4)]), 0);
        assert_eq!(notes([module("1.2.0", 4), module("1.3.0", 3)]), 2);
    }
}
