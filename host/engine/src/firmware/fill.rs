//! Fills fields that the uploader omitted from the update images. Fields of the uploader take precedence.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_core::{
    firmware::FirmwareDetails,
    settings::VersionScheme,
    version::{self, sort_key},
};
use tidegate_images::{Image, SwDescription};

use super::{
    hardware::{SWU_BOARDS, SWU_HARDWARE},
    image_summary::{NamedImage, images_differ, metadata, summarize},
    override_notes::replace_hardware,
    spec::FirmwareSpec,
    upload_error::UploadError,
};
use crate::Remedy;

/// The path of the version in the uploader's input.
const VERSION: &str = "details.version";

/// Maximum length of a firmware's name, in characters.
const MAX_NAME_CHARS: usize = 200;

/// Fills the omitted fields. Several images must agree. Returns which requirements of the images the uploader's fields
/// replace.
pub(super) fn fill(
    spec: &mut FirmwareSpec,
    images: &[NamedImage],
    versions: VersionScheme,
) -> Result<Vec<String>, UploadError> {
    let details = &mut spec.details;
    if details.version.is_empty()
        && let Some(version) = unanimous(images.iter().map(|(_, image)| summarize(image).version))
            .map_err(|()| {
            images_differ(VERSION, "the version").with_remedy(Remedy::SetField(VERSION))
        })?
    {
        details.version = match versions {
            VersionScheme::Semver => {
                version::semver(version).ok_or_else(|| not_semver(version, images))?
            }
            VersionScheme::Loose => version.to_owned(),
        };
    }
    if details.name.is_empty()
        && let Some((file, image)) = images.first()
    {
        let stem = || stem(&file.filename, summarize(image).version.unwrap_or_default());
        let name = summarize(image).name.map_or_else(stem, str::to_owned);
        details.name = name.chars().take(MAX_NAME_CHARS).collect();
    }
    if details.description.is_empty()
        && let Some(text) = images
            .iter()
            .find_map(|(_, image)| summarize(image).description)
    {
        text.clone_into(&mut details.description);
    }
    let mut of_images: BTreeMap<_, _> = metadata(images)?.into_iter().collect();
    let stated: BTreeSet<String> = details.metadata.keys().cloned().collect();
    let notes = replace_hardware(details, &mut of_images);
    for (key, value) in of_images {
        details.metadata.entry(key.to_owned()).or_insert(value);
    }
    let mut descriptions = images.iter().filter_map(|(_, image)| match image {
        Image::Swu(description) => Some(description),
        Image::Rauc(_) => None,
    });
    if let Some(description) = descriptions.next() {
        fill_hardware(details, description, &stated);
    }
    Ok(notes)
}

/// The common value, if all values that are present are equal.
fn unanimous<T: Ord>(values: impl Iterator<Item = Option<T>>) -> Result<Option<T>, ()> {
    let mut different: BTreeSet<T> = values.flatten().collect();
    match different.len() {
        0 | 1 => Ok(different.pop_first()),
        _ => Err(()),
    }
}

/// Sets the device model of an image for a single board and no other, or the lowest and highest revision of an image
/// that lists plain numbers. Metadata of the uploader replaces the image's lists, so that neither is set.
fn fill_hardware(
    details: &mut FirmwareDetails,
    description: &SwDescription,
    stated: &BTreeSet<String>,
) {
    let is_unbounded =
        details.min_hardware_version.is_none() && details.max_hardware_version.is_none();
    if description.boards.is_empty() {
        if is_unbounded
            && !stated.contains(SWU_HARDWARE)
            && let Some((lowest, highest)) = bounds(&description.hardware)
        {
            details.min_hardware_version = Some(lowest);
            details.max_hardware_version = Some(highest);
        }
        return;
    }
    let is_for_others = description.other_boards
        || !description.boards_without_list.is_empty()
        || !description.hardware.is_empty();
    if description.boards.len() == 1
        && !is_for_others
        && !stated.contains(SWU_BOARDS)
        && details.device_model.is_none()
    {
        details.device_model = description.boards.keys().next().cloned();
    }
}

fn bounds(revisions: &[String]) -> Option<(String, String)> {
    let is_plain = |revision: &String| {
        let mut parts = revision.split('.');
        revision.len() <= 50
            && parts.all(|part| {
                (1..=9).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit())
            })
    };
    if !revisions.iter().all(is_plain) {
        return None;
    }
    let lowest = revisions.iter().min_by_key(|revision| sort_key(revision))?;
    let highest = revisions.iter().max_by_key(|revision| sort_key(revision))?;
    Some((lowest.clone(), highest.clone()))
}

/// A file name without its extension and version.
fn stem(filename: &str, version: &str) -> String {
    let stem = filename.rsplit_once('.').map_or(filename, |(stem, _)| stem);
    let bare = stem
        .strip_suffix(version)
        .map(|bare| bare.trim_end_matches(['-', '_', '.', 'v']));
    bare.filter(|bare| !bare.is_empty())
        .unwrap_or(stem)
        .to_owned()
}

/// The error for an image whose version is not in `SemVer` form: the uploader must give one.
fn not_semver(version: &str, images: &[NamedImage]) -> UploadError {
    let mut with_version = images
        .iter()
        .filter(|(_, image)| summarize(image).version == Some(version));
    let filename = with_version
        .next()
        .map_or("the image", |(file, _)| &*file.filename);
    let message = format!("{filename} has version {version}, which is not SemVer (such as 1.4.0)");
    let error = UploadError::new("invalid_firmware", VERSION, message);
    error.with_remedy(Remedy::SetField(VERSION))
}

#[cfg(test)]
mod tests {
    use tidegate_core::firmware::{Artifact, Hashes};
    use tidegate_images::{Bundle, BundleFormat, Manifest};

    use super::*;
    use crate::firmware::hardware::{RAUC_COMPATIBLE, SWU_OTHER_BOARDS};

    fn file(filename: &str) -> Artifact {
        Artifact {
            filename: filename.to_owned(),
            size: 1,
            hashes: Hashes {
                sha1: [1; 20],
                md5: [2; 16],
                sha256: [3; 32],
            },
        }
    }

    fn swu(filename: &str, version: &str, hardware: &[&str]) -> NamedImage {
        let description = SwDescription {
            version: version.to_owned(),
            hardware: hardware
                .iter()
                .map(|&revision| revision.to_owned())
                .collect(),
            ..SwDescription::default()
        };
        (file(filename), Image::Swu(description))
    }

    fn rauc(version: &str) -> NamedImage {
        let manifest = Manifest {
            compatible: "Tide Dock".to_owned(),
            version: Some(version.to_owned()),
            description: None,
            build: Some("b7".to_owned()),
            format: BundleFormat::Verity,
        };
        let manifest = Some(manifest);
        (file("dock.raucb"), Image::Rauc(Bundle { manifest }))
    }

    fn filled(mut spec: FirmwareSpec, images: &[NamedImage]) -> FirmwareDetails {
        fill(&mut spec, images, VersionScheme::Semver).expect("consistent images");
        spec.details
    }

    #[test]
    fn missing_fields_come_from_the_image() {
        let details = filled(
            FirmwareSpec::default(),
            &[swu("edge_v1.2.swu", "1.2", &["1.10", "1.2", "1.9.0"])],
        );
        assert_eq!((&*details.name, &*details.version), ("edge", "1.2.0"));
        assert_eq!(details.min_hardware_version.as_deref(), Some("1.2"));
        assert_eq!(details.max_hardware_version.as_deref(), Some("1.10"));
        let expected = [
            (SWU_HARDWARE, r#"["1.10","1.2","1.9.0"]"#),
            ("swu.version", "1.2"),
        ];
        let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(details.metadata, BTreeMap::from(expected));

        let details = filled(FirmwareSpec::default(), &[rauc("2.0.0")]);
        assert_eq!((&*details.name, &*details.version), ("Tide Dock", "2.0.0"));
        assert_eq!(details.metadata[RAUC_COMPATIBLE], "Tide Dock");
        assert_eq!(details.metadata["rauc.build"], "b7");
        assert_eq!(details.device_model, None);
    }

    #[test]
    fn fields_of_the_uploader_win() {
        let details = FirmwareDetails {
            name: "dock".to_owned(),
            version: "3.0.0".to_owned(),
            description: "mine".to_owned(),
            max_hardware_version: Some("9".to_owned()),
            metadata: BTreeMap::from([(SWU_HARDWARE.to_owned(), "[]".to_owned())]),
            ..FirmwareDetails::default()
        };
        let spec = FirmwareSpec {
            details,
            ..FirmwareSpec::default()
        };
        let before = spec.details.clone();
        assert_eq!(filled(spec, &[swu("edge.swu", "3.0.0", &["1.0"])]), before);
    }

    #[test]
    fn metadata_of_the_uploader_lifts_the_images_requirements() {
        let mut image = swu("edge.swu", "1.0.0", &["1.0"]);
        let lifted = |key: &str, value: &str, image: &NamedImage| {
            let mut spec = FirmwareSpec::default();
            let metadata = &mut spec.details.metadata;
            metadata.insert(key.to_owned(), value.to_owned());
            let details = filled(spec, std::slice::from_ref(image));
            assert_eq!(details.metadata[key], value);
            details
        };
        let details = lifted(SWU_HARDWARE, "[]", &image);
        assert_eq!(details.min_hardware_version, None);
        assert_eq!(details.max_hardware_version, None);
        if let Image::Swu(description) = &mut image.1 {
            description.hardware.clear();
            let boards = &mut description.boards;
            boards.insert("rpi4".to_owned(), vec!["1.0".to_owned()]);
        }
        assert_eq!(lifted(SWU_BOARDS, "{}", &image).device_model, None);
    }

    #[test]
    fn one_board_is_a_model() {
        let mut image = swu("edge.swu", "1.0.0", &[]);
        if let Image::Swu(description) = &mut image.1 {
            description
                .boards
                .insert("rpi4".to_owned(), vec!["1.0".to_owned()]);
        }
        let details = filled(FirmwareSpec::default(), &[image.clone()]);
        assert_eq!(details.device_model.as_deref(), Some("rpi4"));
        assert_eq!(details.metadata[SWU_BOARDS], r#"{"rpi4":["1.0"]}"#);
        assert_eq!(details.min_hardware_version, None);
        if let Image::Swu(description) = &mut image.1 {
            description.other_boards = true;
        }
        let details = filled(FirmwareSpec::default(), &[image.clone()]);
        assert_eq!(details.device_model, None);
        assert_eq!(details.metadata[SWU_OTHER_BOARDS], "true");
        if let Image::Swu(description) = &mut image.1 {
            description.other_boards = false;
            description.boards_without_list.insert("cm4".to_owned());
        }
        let details = filled(FirmwareSpec::default(), &[image.clone()]);
        assert_eq!(details.device_model, None);
        assert_eq!(
            details.metadata[SWU_BOARDS],
            r#"{"cm4":null,"rpi4":["1.0"]}"#
        );
        if let Image::Swu(description) = &mut image.1 {
            description.boards_without_list.clear();
            description
                .boards
                .insert("cm4".to_owned(), vec!["1.0".to_owned()]);
        }
        assert_eq!(filled(FirmwareSpec::default(), &[image]).device_model, None);
    }

    #[test]
    fn a_version_that_is_not_semver_must_come_from_the_uploader() {
        let image = swu("edge.swu", "2024.05-rc1", &[]);
        let error = fill(
            &mut FirmwareSpec::default(),
            std::slice::from_ref(&image),
            VersionScheme::Semver,
        )
        .expect_err("no");
        assert_eq!(
            (error.code, &*error.errors[0].path),
            ("invalid_firmware", "details.version")
        );
        let message = &error.errors[0].message;
        assert!(
            message.starts_with("edge.swu has version 2024.05-rc1"),
            "{message}"
        );
        assert!(
            message.ends_with("which is not SemVer (such as 1.4.0)"),
            "{message}"
        );
        assert_eq!(error.remedy, Some(Remedy::SetField("details.version")));
        let mut loose = FirmwareSpec::default();
        fill(
            &mut loose,
            std::slice::from_ref(&image),
            VersionScheme::Loose,
        )
        .expect("any version");
        assert_eq!(loose.details.version, "2024.05-rc1");
        let mut spec = FirmwareSpec::default();
        spec.details.version = "2024.5.0-rc.1".to_owned();
        let details = filled(spec, &[image]);
        assert_eq!(details.metadata["swu.version"], "2024.05-rc1");
    }

    #[test]
    fn contradicting_images_are_refused() {
        for (one, other, path) in [
            (
                swu("a.swu", "1.0.0", &[]),
                swu("b.swu", "2.0.0", &[]),
                "details.version",
            ),
            (
                swu("a.swu", "1.0.0", &["1"]),
                swu("b.swu", "1.0.0", &["2"]),
                "files",
            ),
        ] {
            let error = fill(
                &mut FirmwareSpec::default(),
                &[one, other],
                VersionScheme::Semver,
            )
            .expect_err("they differ");
            assert_eq!(
                (error.code, &*error.errors[0].path),
                ("image_contradicts", path)
            );
        }
        let long: Vec<String> = (0..200).map(|n| format!("{n:030}")).collect();
        let long: Vec<&str> = long.iter().map(String::as_str).collect();
        let error = fill(
            &mut FirmwareSpec::default(),
            &[swu("a.swu", "1.0.0", &long)],
            VersionScheme::Semver,
        )
        .expect_err("too long");
        assert_eq!(error.code, "invalid_image");
    }
}
