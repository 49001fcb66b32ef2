//! The versions of an image and its module must be equal; otherwise a device would report another version than the
//! server expects.

use tidegate_core::{
    plugin::FieldError,
    version::{self, sort_key},
};

use super::{
    image_summary::{NamedImage, summarize},
    spec::FirmwareSpec,
    upload_error::UploadError,
};
use crate::ports::NewModule;

/// Checks that each image has the version of its module.
pub(super) fn check_versions(
    spec: &FirmwareSpec,
    modules: &[NewModule],
    images: &[NamedImage],
) -> Result<(), UploadError> {
    let mut errors = Vec::new();
    for (at, module) in modules.iter().enumerate() {
        for file in &module.artifacts {
            let image = images.iter().find(|(name, _)| *name == file.filename);
            let Some(version) = image.and_then(|(_, image)| summarize(image).version) else {
                continue;
            };
            // A version that SemVer cannot express may have any other name in the metadata.
            if version::semver(version)
                .is_none_or(|semver| sort_key(&semver) == sort_key(&module.version))
            {
                continue;
            }
            let own = spec
                .modules
                .get(at)
                .is_some_and(|module| module.version.is_some());
            errors.push(FieldError {
                path: if own {
                    format!("modules.{at}.version")
                } else {
                    "details.version".to_owned()
                },
                message: format!(
                    "is {}, but the image {} has version {version}",
                    module.version, file.filename
                ),
            });
        }
    }
    if errors.is_empty() {
        return Ok(());
    }
    let code = "image_contradicts";
    Err(UploadError::of_fields(code, errors))
}

#[cfg(test)]
mod tests {
    use tidegate_core::firmware::{Artifact, Hashes};
    use tidegate_images::{Image, SwDescription};

    use super::*;
    use crate::firmware::{Checksums, FileSpec, ModuleSpec};

    fn image(version: &str) -> NamedImage {
        let description = SwDescription {
            version: version.to_owned(),
            ..SwDescription::default()
        };
        ("a.swu".to_owned(), Image::Swu(description))
    }

    #[test]
    fn a_module_version_must_equal_the_image_version() {
        let file = |filename: &str| Artifact {
            filename: filename.to_owned(),
            size: 1,
            hashes: Hashes {
                sha1: [1; 20],
                md5: [2; 16],
                sha256: [3; 32],
            },
        };
        let paths = |claimed: &str, own: Option<&str>, image: &NamedImage| -> Vec<String> {
            let contents = FileSpec {
                filename: image.0.clone(),
                checksums: Checksums::default(),
            };
            let module = ModuleSpec {
                part: "os".to_owned(),
                name: None,
                version: own.map(str::to_owned),
                files: vec![contents],
                ..ModuleSpec::default()
            };
            let mut spec = FirmwareSpec {
                modules: vec![module],
                ..FirmwareSpec::default()
            };
            spec.details.name = "edge".to_owned();
            spec.details.version = claimed.to_owned();
            let modules = spec.build_modules(&[file(&image.0)]).expect("a valid spec");
            let error = check_versions(&spec, &modules, std::slice::from_ref(image)).err();
            error.map_or_else(Vec::new, |error| {
                error.errors.into_iter().map(|error| error.path).collect()
            })
        };
        assert_eq!(paths("1.2.0", None, &image("1.2")), [""; 0]);
        assert_eq!(paths("1.3.0", None, &image("1.2")), ["details.version"]);
        assert_eq!(paths("9.0.0", Some("1.2"), &image("1.2")), [""; 0]);
        assert_eq!(
            paths("1.2.0", Some("9"), &image("1.2")),
            ["modules.0.version"]
        );
        assert_eq!(paths("7.0.0", None, &image("2016.08-1")), [""; 0]);
    }
}
