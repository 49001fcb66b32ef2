//! Checks of a firmware's metadata and files.

use tidegate_core::{
    firmware::{Artifact, FirmwareDetails, ModuleMetadata, is_checksum_of, is_filename},
    plugin::FieldError,
    settings::VersionScheme,
    visible_text::is_harmful,
};

use super::{
    spec::{Checksums, FileSpec, FirmwareSpec, ModuleSpec},
    upload_error::UploadError,
};
use crate::rules::Rules;

/// Maximum number of modules of a firmware.
pub(super) const MAX_MODULES: usize = 32;
/// Maximum number of tags, and of metadata entries, which devices see.
const MAX_ENTRIES: usize = 50;

impl FirmwareSpec {
    /// The invalid fields, as far as they do not depend on the uploaded files. Name and version may be left out, because
    /// an image may have them.
    pub fn validate(&self, versions: VersionScheme) -> Vec<FieldError> {
        let mut check = SpecCheck::default();
        check.details(&self.details, versions);
        for (index, module) in self.modules.iter().take(MAX_MODULES).enumerate() {
            check.module(&format!("modules.{index}"), module);
        }
        let (has_name, has_version) = (
            !self.details.name.is_empty(),
            !self.details.version.is_empty(),
        );
        let mut errors = check.into_errors();
        errors.retain(|error| match &*error.path {
            "details.name" => has_name,
            "details.version" => has_version,
            _ => true,
        });
        errors
    }
}

/// The rules of a description and its files.
#[derive(Default)]
pub(super) struct SpecCheck {
    rules: Rules,
    mismatches: usize,
}

impl SpecCheck {
    pub(super) fn rule(&mut self, good: bool, path: &str, message: &str) {
        self.rules.require(good, path, message);
    }

    pub(super) fn into_errors(self) -> Vec<FieldError> {
        self.rules.into_errors()
    }

    pub(super) fn finish(self) -> Result<(), UploadError> {
        let errors = self.rules.into_errors();
        if errors.is_empty() {
            return Ok(());
        }
        let code = if self.mismatches == errors.len() {
            "checksum_mismatch"
        } else {
            "invalid_firmware"
        };
        Err(UploadError::of_fields(code, errors))
    }

    pub(super) fn details(&mut self, details: &FirmwareDetails, versions: VersionScheme) {
        for broken_rule in details.check(versions) {
            self.rule(
                false,
                &format!("details.{}", broken_rule.field),
                &broken_rule.message,
            );
        }
        let texts = [
            ("details.description", &details.description),
            ("details.changelog", &details.changelog),
        ];
        for (path, text) in texts {
            self.rule(
                text.chars().count() <= 10_000,
                path,
                "must have at most 10000 characters",
            );
        }
        let are_good = details
            .tags
            .iter()
            .all(|tag| (1..=100).contains(&tag.chars().count()));
        self.rule(
            are_good,
            "details.tags",
            "each must have 1 to 100 characters",
        );
        self.rule(
            details.tags.len() <= MAX_ENTRIES,
            "details.tags",
            "must be at most 50",
        );
        self.rule(
            details.metadata.len() <= MAX_ENTRIES,
            "details.metadata",
            "must have at most 50 keys",
        );
        let fits = |(key, value): (&String, &String)| {
            (1..=128).contains(&key.chars().count()) && value.chars().count() <= 4000
        };
        let message = "keys must have 1 to 128 characters, values at most 4000";
        self.rule(
            details.metadata.iter().all(fits),
            "details.metadata",
            message,
        );
    }

    pub(super) fn files(&mut self, files: &[Artifact], modules: &[ModuleSpec]) {
        self.rule(
            !files.is_empty() || !modules.is_empty(),
            "files",
            "a firmware must have at least one file, or name its modules",
        );
        for (at, file) in files.iter().enumerate() {
            let message =
                "must have 1 to 255 bytes, no path and no control or bidirectional characters";
            self.rule(is_filename(&file.filename), "files", message);
            let is_first = files
                .iter()
                .position(|other| other.filename == file.filename)
                == Some(at);
            // With modules, the names are unique in each of them.
            let message =
                "file names must be unique, unless `modules` assigns the files to several modules";
            self.rule(is_first || !modules.is_empty(), "files", message);
            if modules.is_empty() {
                let names = files.iter().map(|other| &*other.filename);
                self.checksum_name("files", &file.filename, names);
            }
        }
    }

    pub(super) fn module(&mut self, path: &str, module: &ModuleSpec) {
        let part = &module.part;
        let is_part = (1..=64).contains(&part.chars().count())
            && !part.chars().any(|c| c.is_whitespace() || is_harmful(c));
        let message = "must have 1 to 64 characters and no white space";
        self.rule(is_part, &format!("{path}.part"), message);
        let texts = [
            ("name", &module.name, 200),
            ("version", &module.version, 50),
        ];
        for (field, text, limit) in texts {
            let fits = text
                .as_ref()
                .is_none_or(|text| (1..=limit).contains(&text.chars().count()));
            let message = format!("must have 1 to {limit} characters");
            self.rule(fits, &format!("{path}.{field}"), &message);
        }
        self.module_metadata(&format!("{path}.metadata"), &module.metadata);
        self.module_files(&format!("{path}.files"), &module.files);
    }

    fn module_metadata(&mut self, path: &str, metadata: &[ModuleMetadata]) {
        let fits = metadata.len() <= MAX_ENTRIES;
        self.rule(fits, path, "must be at most 50");
        for (at, ModuleMetadata { key, value }) in metadata.iter().enumerate().take(MAX_ENTRIES) {
            let path = format!("{path}.{at}");
            let fits = (1..=128).contains(&key.chars().count());
            let message = "must have 1 to 128 characters";
            self.rule(fits, &format!("{path}.key"), message);
            let is_first = !metadata[..at].iter().any(|other| other.key == *key);
            let message = "is a duplicate";
            self.rule(is_first, &format!("{path}.key"), message);
            let fits = value.chars().count() <= 4000;
            let message = "must have at most 4000 characters";
            self.rule(fits, &format!("{path}.value"), message);
        }
    }

    pub(super) fn module_files(&mut self, path: &str, files: &[FileSpec]) {
        for (at, file) in files.iter().enumerate() {
            let is_first = !files[..at]
                .iter()
                .any(|other| other.filename == file.filename);
            let message = "is a duplicate: file names must be unique in a module";
            let path = format!("{path}.{at}.filename");
            self.rule(is_first, &path, message);
            let names = files.iter().map(|other| &*other.filename);
            self.checksum_name(&path, &file.filename, names);
        }
    }

    /// Refuses a file with the name of the checksum of another file of its module.
    fn checksum_name<'a>(
        &mut self,
        path: &str,
        name: &str,
        mut others: impl Iterator<Item = &'a str>,
    ) {
        if let Some(other) = others.find(|other| is_checksum_of(name, other)) {
            let message = format!(
                "{name} is the name under which devices get the checksum of {other}: rename one of them"
            );
            self.rule(false, path, &message);
        }
    }

    pub(super) fn checksums(&mut self, path: &str, claimed: &Checksums, file: &Artifact) {
        for (name, expected, actual) in claimed.mismatches(file) {
            let message = format!("is {expected}, but the uploaded bytes have {actual}");
            self.rule(false, &format!("{path}.{name}"), &message);
            self.mismatches += 1;
        }
    }

    pub(super) fn no_checksums(&mut self, claimed: &Checksums) {
        let message =
            "applies to a firmware with one file; for several files set checksums in `modules`";
        let claimed = [
            ("md5", &claimed.md5),
            ("sha1", &claimed.sha1),
            ("sha256", &claimed.sha256),
        ];
        for (name, _) in claimed.into_iter().filter(|(_, claimed)| claimed.is_some()) {
            self.rule(false, &format!("checksums.{name}"), message);
        }
    }
}
