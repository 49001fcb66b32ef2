//! The uploader's description of a firmware.

use tidegate_core::firmware::{Artifact, FirmwareDetails, ModuleMetadata};

/// The uploader's description of a firmware. Paths of errors have the names of its fields, separated by dots.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FirmwareSpec {
    /// Name, version and other metadata.
    pub details: FirmwareDetails,
    /// The checksums of the only file; with several modules, each file has its own.
    pub checksums: Checksums,
    /// How files form modules; empty: all files form one module `os`.
    pub modules: Vec<ModuleSpec>,
}

/// The uploader's description of a module.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModuleSpec {
    /// DDI's `part`: 1 to 64 characters without white space.
    pub part: String,
    /// `None`: the firmware's name.
    pub name: Option<String>,
    /// `None`: the firmware's version.
    pub version: Option<String>,
    /// Metadata that devices see: at most 50 entries with distinct keys.
    pub metadata: Vec<ModuleMetadata>,
    /// Whether its files are encrypted.
    pub is_encrypted: bool,
    /// Its files, whose names are unique in the module. Each uploaded file belongs to exactly one module.
    pub files: Vec<FileSpec>,
}

/// The uploader's description of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSpec {
    /// The name under which it was uploaded. Several uploaded files of one name go to the modules that list it, in order,
    /// except that a file goes where its checksums are expected.
    pub filename: String,
    /// Its expected checksums.
    pub checksums: Checksums,
}

/// Expected checksums in hexadecimal digits of either case; `None`: not checked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the names of the hashes")]
pub struct Checksums {
    pub md5: Option<String>,
    pub sha1: Option<String>,
    pub sha256: Option<String>,
}

impl Checksums {
    /// The expected checksums that the file does not have: name, expected and actual value.
    pub(super) fn mismatches(&self, file: &Artifact) -> Vec<(&'static str, &str, String)> {
        let hashes = &file.hashes;
        let all = [
            ("md5", &self.md5, hex::encode(hashes.md5)),
            ("sha1", &self.sha1, hex::encode(hashes.sha1)),
            ("sha256", &self.sha256, hex::encode(hashes.sha256)),
        ];
        let given = all.into_iter().filter_map(|(name, expected, actual)| {
            let expected = expected.as_deref()?;
            Some((name, expected, actual))
        });
        given
            .filter(|(_, expected, actual)| !expected.eq_ignore_ascii_case(actual))
            .collect()
    }
}
