//! `tidegate plugin new`: writes the project of a new plugin. Its files are part of this program, so that neither a
//! checkout of Tidegate nor a network is needed.

use std::{
    fs,
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use include_dir::{Dir, DirEntry, include_dir};
use strum::{Display, EnumString, IntoStaticStr, VariantNames};
use tidegate_core::plugin::PluginName;

use crate::command::{enum_value, print};

/// Folders of files of a project, by the names in [`New::templates`].
static TEMPLATES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/templates/plugin");
/// The SDK for Rust, with its copy of the contract.
static SDK: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../plugins/sdk");
/// The contract, in [`SDK`].
const CONTRACT: &str = "wit/package.wit";

/// The name of a file that begins so begins with a dot in the project.
const HIDDEN: &str = "_";

/// Write the project of a new plugin, with everything that its build needs
#[derive(Debug, Args)]
pub(in crate::command::plugin) struct New {
    /// Name of the plugin, `VENDOR/NAME`: each of 1 to 64 characters of a-z, 0-9 and -
    name: PluginName,
    /// Folder of the project, which is created [default: NAME without its vendor]
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Programming language
    #[arg(long, default_value = "rust", value_parser = enum_value::<Language>())]
    language: Language,
    /// Kind of plugin
    #[arg(long, default_value = "strategy", value_parser = enum_value::<Kind>())]
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "lowercase")]
enum Language {
    Rust,
    C,
    JavaScript,
    Python,
}

/// A kind of plugin, named as the world of the contract that it exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "kebab-case")]
enum Kind {
    Strategy,
    CompatibilityPolicy,
    HealthPolicy,
}

impl Kind {
    /// The call that answers the question of this kind.
    fn call(self) -> &'static str {
        match self {
            Self::Strategy => "decide",
            Self::CompatibilityPolicy => "check",
            Self::HealthPolicy => "evaluate",
        }
    }

    fn words(self) -> String {
        self.to_string().replace('-', " ")
    }
}

impl New {
    pub(super) fn run(self) -> Result<()> {
        ensure!(
            !self.name.is_built_in(),
            "the vendor `{}` is reserved for built-in plugins: name the plugin VENDOR/NAME, such as acme/{}",
            PluginName::BUILT_IN_VENDOR,
            self.name.name()
        );
        let templates = self.templates()?;
        let folder = match &self.folder {
            Some(folder) => folder.clone(),
            None => self.name.name().into(),
        };
        create_empty(&folder)?;
        let values = self.values();
        for template in templates {
            let files = TEMPLATES.get_dir(&template);
            let files = files.with_context(|| format!("no template {template}"))?;
            write_all(files, files.path(), &folder, &|text| fill(text, &values))?;
        }
        if self.language == Language::Rust {
            write_all(&SDK, Path::new(""), &folder.join("sdk"), &str::to_owned)?;
        } else {
            let contract = SDK.get_file(CONTRACT).and_then(|file| file.contents_utf8());
            write_new(&folder.join(CONTRACT), contract.context("no contract")?)?;
        }
        self.print_next_steps(&folder)
    }

    /// The names of the templates that make the project.
    fn templates(&self) -> Result<Vec<String>> {
        let Self { language, kind, .. } = self;
        let mut templates = vec![language.to_string()];
        match (language, kind) {
            (Language::Rust, kind) => templates.push(format!("rust-{kind}")),
            (_, Kind::Strategy) => templates.push("strategy-goldens".to_owned()),
            (language, kind) => bail!(
                "there is no template of a {} in {language}: use --language rust, or --kind strategy as an example of \
                 the language; wit/package.wit, which every project has, defines the world `{kind}`",
                kind.words()
            ),
        }
        // The others have it in their source.
        if let (Language::Rust | Language::C, Kind::Strategy) = (language, kind) {
            templates.push("strategy-schema".to_owned());
        }
        Ok(templates)
    }

    /// What replaces `{{key}}` in templates.
    fn values(&self) -> [(&'static str, String); 5] {
        let name = &self.name;
        let mut package = format!("{}-{}", name.vendor(), name.name());
        // The names of packages begin with a letter.
        if !package.starts_with(|first: char| first.is_ascii_lowercase()) {
            package = format!("plugin-{package}");
        }
        [
            ("name", name.to_string()),
            ("crate", package.replace('-', "_")),
            ("package", package),
            ("kind", self.kind.words()),
            ("call", self.kind.call().to_owned()),
        ]
    }

    /// Prints the commands that the project's README has.
    fn print_next_steps(&self, folder: &Path) -> Result<()> {
        let readme = folder.join("README.md");
        let readme =
            fs::read_to_string(&readme).with_context(|| format!("read {}", readme.display()))?;
        let blocks = readme.split("```sh\n").skip(1);
        let blocks = blocks.filter_map(|block| block.split("\n```").next());
        let commands: Vec<_> = blocks.flat_map(str::lines).collect();
        print(format_args!(
            "the {} {} is in {}; its README.md explains the next steps:\n\n  cd {}\n  {}",
            self.kind.words(),
            self.name,
            folder.display(),
            folder.display(),
            commands.join("\n  ")
        ));
        Ok(())
    }
}

/// Creates the folder, unless it exists and is empty.
fn create_empty(folder: &Path) -> Result<()> {
    let shown = folder.display();
    match fs::read_dir(folder) {
        Ok(mut entries) => ensure!(
            entries.next().is_none(),
            "the folder {shown} is not empty: name another one after the name of the plugin"
        ),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            fs::create_dir_all(folder).with_context(|| format!("create the folder {shown}"))?;
        }
        Err(error) => {
            return Err(error).with_context(|| format!("read the folder {shown}"));
        }
    }
    Ok(())
}

/// Writes the files of a template, whose path in the template begins with `base`.
fn write_all(
    files: &Dir<'_>,
    base: &Path,
    folder: &Path,
    fill: &dyn Fn(&str) -> String,
) -> Result<()> {
    for entry in files.entries() {
        match entry {
            DirEntry::Dir(files) => write_all(files, base, folder, fill)?,
            DirEntry::File(template) => {
                let path = template
                    .path()
                    .strip_prefix(base)
                    .context("another template")?;
                let path: PathBuf = path
                    .iter()
                    .map(|part| project_name(&part.to_string_lossy()))
                    .collect();
                let text = template.contents_utf8().context("a template is not text")?;
                write_new(&folder.join(path), &fill(text))?;
            }
        }
    }
    Ok(())
}

fn project_name(name: &str) -> String {
    match name.strip_prefix(HIDDEN) {
        Some(hidden) => format!(".{hidden}"),
        None => name.to_owned(),
    }
}

fn fill(text: &str, values: &[(&str, String)]) -> String {
    values.iter().fold(text.to_owned(), |text, (key, value)| {
        text.replace(&format!("{{{{{key}}}}}"), value)
    })
}

/// Writes a file that must not exist yet.
fn write_new(path: &Path, text: &str) -> Result<()> {
    let write = || {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::File::create_new(path)?.write_all(text.as_bytes())
    };
    write().with_context(|| format!("write {}", path.display()))
}
