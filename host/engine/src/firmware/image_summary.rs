//! The metadata that update images of any kind contain.

use std::collections::BTreeSet;

use tidegate_core::{firmware::Artifact, version};
use tidegate_images::Image;

use super::{
    hardware::{RAUC_COMPATIBLE, SWU_BOARDS, SWU_HARDWARE, SWU_OTHER_BOARDS},
    upload_error::UploadError,
};

/// Maximum length of a metadata value, in characters.
pub(super) const MAX_VALUE: usize = 4000;

/// An uploaded image with its file. Several files may have one name.
pub(super) type NamedImage = (Artifact, Image);

/// The fields that all kinds of images have.
#[derive(Default)]
pub(super) struct ImageSummary<'a> {
    pub(super) name: Option<&'a str>,
    pub(super) version: Option<&'a str>,
    pub(super) description: Option<&'a str>,
}

pub(super) fn summarize(image: &Image) -> ImageSummary<'_> {
    match image {
        Image::Swu(of) => ImageSummary {
            name: of.name.as_deref(),
            version: Some(&of.version),
            description: of.description.as_deref(),
        },
        Image::Rauc(bundle) => bundle
            .manifest
            .as_ref()
            .map_or_else(ImageSummary::default, |of| ImageSummary {
                name: Some(&of.compatible),
                version: of.version.as_deref(),
                description: of.description.as_deref(),
            }),
    }
}

/// The metadata entries of a firmware that come from its images.
pub(super) fn metadata(images: &[NamedImage]) -> Result<Vec<(&'static str, String)>, UploadError> {
    let rows = images.iter().flat_map(|(_, image)| entries(image));
    let rows: BTreeSet<(&'static str, String)> = rows.collect();
    let rows: Vec<_> = rows.into_iter().collect();
    for pair in rows.windows(2) {
        if pair[0].0 == pair[1].0 {
            return Err(images_differ("files", pair[0].0));
        }
    }
    if let Some((key, _)) = rows
        .iter()
        .find(|(_, value)| value.chars().count() > MAX_VALUE)
    {
        let message = format!("the image's value for {key} has more than {MAX_VALUE} characters");
        return Err(UploadError::new("invalid_image", "files", message));
    }
    Ok(rows)
}

fn entries(image: &Image) -> Vec<(&'static str, String)> {
    let mut entries = Vec::new();
    let mut add = |key, value: Option<String>| entries.extend(value.map(|value| (key, value)));
    match image {
        Image::Swu(of) => {
            let json =
                |is_empty: bool, value: serde_json::Value| (!is_empty).then(|| value.to_string());
            add(
                SWU_HARDWARE,
                json(of.hardware.is_empty(), serde_json::json!(of.hardware)),
            );
            let mut boards = serde_json::json!(of.boards);
            for board in &of.boards_without_list {
                boards[board] = serde_json::Value::Null;
            }
            add(SWU_BOARDS, json(of.boards.is_empty(), boards));
            add(SWU_OTHER_BOARDS, of.other_boards.then(|| true.to_string()));
            add("swu.version", other_form(&of.version));
        }
        Image::Rauc(bundle) => {
            if let Some(of) = &bundle.manifest {
                add(RAUC_COMPATIBLE, Some(of.compatible.clone()));
                add("rauc.build", of.build.clone());
                add("rauc.version", of.version.as_deref().and_then(other_form));
            }
        }
    }
    entries
}

/// The version, if it is not in `SemVer` form and therefore differs from the firmware's.
fn other_form(version: &str) -> Option<String> {
    (version::semver(version).as_deref() != Some(version)).then(|| version.to_owned())
}

/// The error for images that contradict each other.
pub(super) fn images_differ(path: &str, what: &str) -> UploadError {
    UploadError::new(
        "image_contradicts",
        path,
        format!("the images contradict each other in {what}"),
    )
}
