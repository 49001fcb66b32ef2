//! The modules of a firmware, built from its description and the uploaded files.

use std::collections::BTreeMap;

use tidegate_core::{firmware::Artifact, settings::VersionScheme};

use super::{
    Checksums, FileSpec, FirmwareSpec, ModuleSpec,
    spec_check::{MAX_MODULES, SpecCheck},
    upload_error::UploadError,
};
use crate::ports::NewModule;

/// The part of a module by default.
const DEFAULT_PART: &str = "os";

impl FirmwareSpec {
    /// Builds the modules from the uploaded files, or reports all errors.
    pub(super) fn build_modules(
        &self,
        files: &[Artifact],
        versions: VersionScheme,
    ) -> Result<Vec<NewModule>, UploadError> {
        let mut check = SpecCheck::default();
        check.details(&self.details, versions);
        check.files(files, &self.modules);
        let modules = match (&self.modules[..], files) {
            ([], [unanimous]) => {
                check.checksums("checksums", &self.checksums, unanimous);
                vec![self.module(&default_module(), files.to_vec())]
            }
            ([], _) => {
                check.no_checksums(&self.checksums);
                vec![self.module(&default_module(), files.to_vec())]
            }
            (modules, _) => {
                check.no_checksums(&self.checksums);
                self.build_named_modules(modules, files, &mut check)
            }
        };
        check.finish()?;
        Ok(modules)
    }

    fn module(&self, module: &ModuleSpec, artifacts: Vec<Artifact>) -> NewModule {
        let (name, version) = (&module.name, &module.version);
        NewModule {
            part: module.part.clone(),
            name: name.as_ref().unwrap_or(&self.details.name).clone(),
            version: version.as_ref().unwrap_or(&self.details.version).clone(),
            metadata: module.metadata.clone(),
            is_encrypted: module.is_encrypted,
            artifacts,
        }
    }

    fn build_named_modules(
        &self,
        modules: &[ModuleSpec],
        files: &[Artifact],
        check: &mut SpecCheck,
    ) -> Vec<NewModule> {
        check.rule(
            modules.len() <= MAX_MODULES,
            "modules",
            "must be at most 32",
        );
        let mut assignment = assign(modules, files);
        let mut built = Vec::with_capacity(modules.len());
        for (index, module) in modules.iter().take(MAX_MODULES).enumerate() {
            let path = format!("modules.{index}");
            check.module(&path, module);
            let mut artifacts = Vec::with_capacity(module.files.len());
            for (at, file_spec) in module.files.iter().enumerate() {
                let path = format!("{path}.files.{at}");
                let Some(file) = assignment.files.remove(&(index, at)) else {
                    let message = "no uploaded file has this name, or all that have it belong to other modules";
                    check.rule(false, &format!("{path}.filename"), message);
                    continue;
                };
                check.checksums(&path, &file_spec.checksums, file);
                artifacts.push(file.clone());
            }
            built.push(self.module(module, artifacts));
        }
        for file in assignment.remaining {
            let message = format!("the file {} belongs to no module", file.filename);
            check.rule(false, "modules", &message);
        }
        built
    }
}

/// Which uploaded file is which file of which module.
struct Assignment<'a> {
    /// By the index of the module, and of the file in it.
    files: BTreeMap<(usize, usize), &'a Artifact>,
    /// The files that belong to no module.
    remaining: Vec<&'a Artifact>,
}

/// Assigns the uploaded files by their names. Where several have one name, files with the expected checksums are assigned
/// first, and the others in the order of modules and uploads.
fn assign<'a>(modules: &[ModuleSpec], files: &'a [Artifact]) -> Assignment<'a> {
    let mut assignment = Assignment {
        files: BTreeMap::new(),
        remaining: files.iter().collect(),
    };
    let is_right: [fn(&FileSpec, &Artifact) -> bool; 2] = [
        |wanted, file| {
            wanted.checksums != Checksums::default() && wanted.checksums.mismatches(file).is_empty()
        },
        |_, _| true,
    ];
    for is_right in is_right {
        for (index, module) in modules.iter().enumerate() {
            for (at, wanted) in module.files.iter().enumerate() {
                if assignment.files.contains_key(&(index, at)) {
                    continue;
                }
                let mut remaining = assignment.remaining.iter();
                let found = remaining
                    .position(|file| file.filename == wanted.filename && is_right(wanted, file));
                if let Some(found) = found {
                    let file = assignment.remaining.remove(found);
                    assignment.files.insert((index, at), file);
                }
            }
        }
    }
    assignment
}

fn default_module() -> ModuleSpec {
    ModuleSpec {
        part: DEFAULT_PART.to_owned(),
        ..ModuleSpec::default()
    }
}

#[cfg(test)]
mod tests {
    use tidegate_core::firmware::{FirmwareDetails, Hashes, ModuleMetadata};

    use super::*;

    fn file(filename: &str) -> Artifact {
        let hashes = Hashes {
            sha1: [1; 20],
            md5: [2; 16],
            sha256: [3; 32],
        };
        Artifact {
            filename: filename.to_owned(),
            size: 1,
            hashes,
        }
    }

    fn spec() -> FirmwareSpec {
        let details = FirmwareDetails {
            name: "edge".to_owned(),
            version: "1.1.0".to_owned(),
            ..FirmwareDetails::default()
        };
        FirmwareSpec {
            details,
            ..FirmwareSpec::default()
        }
    }

    fn module(part: &str, files: &[&str]) -> ModuleSpec {
        let contents = |filename: &&str| FileSpec {
            filename: (*filename).to_owned(),
            checksums: Checksums::default(),
        };
        ModuleSpec {
            part: part.to_owned(),
            files: files.iter().map(contents).collect(),
            ..ModuleSpec::default()
        }
    }

    fn paths(spec: &FirmwareSpec, files: &[&str]) -> (&'static str, Vec<String>) {
        let files: Vec<_> = files.iter().map(|name| file(name)).collect();
        let error = spec
            .build_modules(&files, VersionScheme::Semver)
            .expect_err("an invalid spec");
        (
            error.code,
            error.errors.into_iter().map(|error| error.path).collect(),
        )
    }

    #[test]
    fn files_make_one_module_by_default() {
        let modules = spec()
            .build_modules(&[file("a.bin"), file("b.bin")], VersionScheme::Semver)
            .expect("a valid spec");
        assert_eq!(modules.len(), 1);
        assert_eq!((&*modules[0].part, &*modules[0].version), ("os", "1.1.0"));

        let sorted = FirmwareSpec {
            modules: vec![module("bApp", &["b.bin"]), module("os", &["a.bin"])],
            ..spec()
        };
        let modules = sorted
            .build_modules(&[file("a.bin"), file("b.bin")], VersionScheme::Semver)
            .expect("a valid spec");
        let names: Vec<_> = modules
            .iter()
            .map(|module| (&*module.part, &*module.artifacts[0].filename))
            .collect();
        assert_eq!(names, [("bApp", "b.bin"), ("os", "a.bin")]);

        let bare = FirmwareSpec {
            modules: vec![module("os", &["a.bin"]), module("licence", &[])],
            ..spec()
        };
        let modules = bare
            .build_modules(&[file("a.bin")], VersionScheme::Semver)
            .expect("a valid spec");
        assert!(modules[1].part == "licence" && modules[1].artifacts.is_empty());

        let fetched_elsewhere = FirmwareSpec {
            modules: vec![module("ostree", &[])],
            ..spec()
        };
        let modules = fetched_elsewhere
            .build_modules(&[], VersionScheme::Semver)
            .expect("a valid spec");
        assert!(modules[0].part == "ostree" && modules[0].artifacts.is_empty());
    }

    #[test]
    fn a_wrong_checksum_is_named() {
        let with = |sha256: &str| FirmwareSpec {
            checksums: Checksums {
                sha256: Some(sha256.to_owned()),
                ..Checksums::default()
            },
            ..spec()
        };
        assert!(
            with(&"03".repeat(32))
                .build_modules(&[file("a")], VersionScheme::Semver)
                .is_ok()
        );
        assert_eq!(
            paths(&with("00"), &["a"]),
            ("checksum_mismatch", vec!["checksums.sha256".to_owned()])
        );
        assert_eq!(
            paths(&with(&"03".repeat(32)), &["a", "b"]),
            ("invalid_firmware", vec!["checksums.sha256".to_owned()])
        );
    }

    #[test]
    fn module_metadata_is_bounded() {
        let with = |metadata: Vec<(&str, String)>| {
            let metadata = metadata.into_iter().map(|(key, value)| ModuleMetadata {
                key: key.to_owned(),
                value,
            });
            let described = ModuleSpec {
                metadata: metadata.collect(),
                ..module("os", &["a"])
            };
            FirmwareSpec {
                modules: vec![described],
                ..spec()
            }
        };
        let good = with(vec![("a", String::new()), ("b", "x".repeat(4000))]);
        let modules = good
            .build_modules(&[file("a")], VersionScheme::Semver)
            .expect("a valid spec");
        assert_eq!(modules[0].metadata.len(), 2);
        let long = "k".repeat(129);
        for (metadata, path) in [
            (vec![("", String::new())], ".0.key"),
            (vec![(&*long, String::new())], ".0.key"),
            (vec![("a", String::new()), ("a", String::new())], ".1.key"),
            (vec![("a", "x".repeat(4001))], ".0.value"),
        ] {
            let path = format!("modules.0.metadata{path}");
            assert_eq!(paths(&with(metadata), &["a"]).1, [path]);
        }
        let keys: Vec<_> = (0..51).map(|n| n.to_string()).collect();
        let many = keys.iter().map(|key| (&**key, String::new())).collect();
        assert_eq!(paths(&with(many), &["a"]).1, ["modules.0.metadata"]);
    }

    #[test]
    fn every_file_is_in_one_module_under_its_own_plain_name() {
        let repeated = FirmwareSpec {
            modules: vec![module("os", &["a", "a"])],
            ..spec()
        };
        assert_eq!(
            paths(&repeated, &["a", "b"]).1,
            [
                "modules.0.files.1.filename",
                "modules.0.files.1.filename",
                "modules"
            ]
        );
        assert_eq!(paths(&spec(), &["a", "../a", "a"]).1, ["files", "files"]);
        assert_eq!(paths(&spec(), &[]).1, ["files"]);
    }

    #[test]
    fn no_file_has_the_name_of_the_checksum_of_another_file_of_its_module() {
        for files in [["a.bin", "a.bin.MD5SUM"], ["a.bin.MD5SUM", "a.bin"]] {
            let error = spec()
                .build_modules(&files.map(file), VersionScheme::Semver)
                .expect_err("two files of one name");
            let errors: Vec<_> = error.errors.iter().map(|it| &*it.path).collect();
            assert_eq!(errors, ["files"]);
            assert!(error.errors[0].message.contains("rename"), "{error:?}");

            let listed = FirmwareSpec {
                modules: vec![module("os", &files)],
                ..spec()
            };
            let at = usize::from(files[1].ends_with("SUM"));
            let path = format!("modules.0.files.{at}.filename");
            assert_eq!(paths(&listed, &files).1, [path]);

            let separate = FirmwareSpec {
                modules: vec![module("os", &files[..1]), module("bApp", &files[1..])],
                ..spec()
            };
            let built = separate.build_modules(&files.map(file), VersionScheme::Semver);
            assert!(built.is_ok(), "{built:?}");
        }
        let alone = ["a.MD5SUM", "b.bin", "b.bin.md5sum"].map(file);
        assert!(spec().build_modules(&alone, VersionScheme::Semver).is_ok());
    }

    #[test]
    fn files_of_one_name_go_to_the_modules_that_list_it() {
        let part = |number: u8| Artifact {
            hashes: Hashes {
                sha256: [number; 32],
                ..file("").hashes
            },
            ..file("config.json")
        };
        let (first, second, third) = (part(7), part(8), part(9));
        let uploaded = [first, second, third];
        let with = |expected: [Option<u8>; 3]| FirmwareSpec {
            modules: expected
                .into_iter()
                .map(|sha256| {
                    let mut module = module("bApp", &["config.json"]);
                    module.files[0].checksums.sha256 = sha256.map(|n| hex::encode([n; 32]));
                    module
                })
                .collect(),
            ..spec()
        };
        let assigned = |expected| {
            let modules = with(expected).build_modules(&uploaded, VersionScheme::Semver);
            let modules = modules.expect("a valid spec");
            let parts = modules
                .iter()
                .map(|module| module.artifacts[0].hashes.sha256[0]);
            parts.collect::<Vec<_>>()
        };
        assert_eq!(assigned([None, None, None]), [7, 8, 9]);
        assert_eq!(assigned([None, None, Some(7)]), [8, 9, 7]);
        assert_eq!(assigned([None, Some(9), Some(8)]), [7, 9, 8]);

        let wrong = with([Some(8), Some(8), None]);
        let error = wrong
            .build_modules(&uploaded, VersionScheme::Semver)
            .expect_err("no");
        let fields: Vec<_> = error.errors.iter().map(|error| &*error.path).collect();
        assert_eq!(
            (error.code, fields),
            ("checksum_mismatch", vec!["modules.1.files.0.sha256"])
        );
        let names = ["config.json"; 4];
        assert_eq!(paths(&with([None; 3]), &names).1, ["modules"]);
        assert_eq!(
            paths(&with([None; 3]), &names[..2]).1,
            ["modules.2.files.0.filename"]
        );
        let twice = FirmwareSpec {
            modules: vec![module("os", &["a", "a"])],
            ..spec()
        };
        assert_eq!(paths(&twice, &["a", "a"]).1, ["modules.0.files.1.filename"]);
    }
}
