use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::libconfig;
use crate::error::{ImageError, Result};

/// Metadata in a `sw-description`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SwDescription {
    /// `software.version`, unparsed.
    pub version: String,
    /// `software.name`.
    pub name: Option<String>,
    /// `software.description`.
    pub description: Option<String>,
    /// `software.hardware-compatibility`: revisions, or `#RE:` followed by a regular expression over them.
    pub hardware: Vec<String>,
    /// `software.<board>.hardware-compatibility`, which replaces the general list for that board.
    pub boards: BTreeMap<String, Vec<String>>,
}

/// Maximum length of a text, in characters.
const MAX_TEXT_CHARS: usize = 1000;
/// Maximum entries of one list, and maximum boards.
const MAX_LIST_ITEMS: usize = 256;
/// Maximum chain of references between sections.
const MAX_REF_DEPTH: usize = 8;

/// Parses either syntax: JSON starts with a brace, libconfig with a name.
pub(super) fn read(bytes: &[u8]) -> Result<SwDescription> {
    let bytes = bytes.strip_suffix(&[0]).unwrap_or(bytes);
    let text = str::from_utf8(bytes).map_err(|_| {
        let message = "its sw-description is not UTF-8 (encrypted ones cannot be read)";
        ImageError::damaged(message)
    })?;
    let root = if text.trim_start().starts_with('{') {
        serde_json::from_str(text).map_err(|error| error.to_string())
    } else {
        libconfig::parse(text).map(Value::Object)
    };
    let root = root.map_err(|error| {
        ImageError::damaged(format!(
            "its sw-description is neither libconfig nor JSON: {error}"
        ))
    })?;
    match root.get("software") {
        Some(Value::Object(software)) => from_software(software),
        _ => Err(ImageError::damaged(
            "its sw-description has no section `software`",
        )),
    }
}

fn from_software(software: &Map<String, Value>) -> Result<SwDescription> {
    let Some(version) = text(software, "version")? else {
        return Err(ImageError::damaged(
            "its sw-description has no software.version",
        ));
    };
    let hardware = hardware(software, "software")?.unwrap_or_default();
    let mut boards = BTreeMap::new();
    for (name, section) in software {
        let Value::Object(section) = section else {
            continue;
        };
        if let Some(list) = self::hardware(resolve_ref(software, section), name)? {
            boards.insert(name.clone(), list);
        }
        if boards.len() > MAX_LIST_ITEMS {
            return Err(ImageError::damaged(format!(
                "it lists more than {MAX_LIST_ITEMS} boards"
            )));
        }
    }
    Ok(SwDescription {
        version,
        name: text(software, "name")?,
        description: text(software, "description")?,
        hardware,
        boards,
    })
}

/// Follows `ref = "#./name"` to the sibling section.
fn resolve_ref<'a>(
    software: &'a Map<String, Value>,
    section: &'a Map<String, Value>,
) -> &'a Map<String, Value> {
    let mut section = section;
    for _ in 0..MAX_REF_DEPTH {
        let link = section.get("ref").and_then(Value::as_str);
        let target = link.and_then(|link| link.strip_prefix("#./"));
        match target.and_then(|name| software.get(name)) {
            Some(Value::Object(other)) => section = other,
            _ => break,
        }
    }
    section
}

fn text(section: &Map<String, Value>, name: &str) -> Result<Option<String>> {
    match section.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if text.chars().count() <= MAX_TEXT_CHARS => {
            let text = text.trim();
            Ok((!text.is_empty()).then(|| text.to_owned()))
        }
        Some(Value::String(_)) => {
            let message = format!("its software.{name} is longer than {MAX_TEXT_CHARS} characters");
            Err(ImageError::damaged(message))
        }
        Some(_) => Err(ImageError::damaged(format!(
            "its software.{name} is not a string"
        ))),
    }
}

fn hardware(section: &Map<String, Value>, name: &str) -> Result<Option<Vec<String>>> {
    let Some(list) = section.get("hardware-compatibility") else {
        return Ok(None);
    };
    let revision = |value: &Value| {
        let text = value
            .as_str()
            .filter(|text| text.chars().count() <= MAX_TEXT_CHARS);
        text.map(str::to_owned)
    };
    let list = list.as_array().filter(|list| list.len() <= MAX_LIST_ITEMS);
    let list = list.and_then(|list| list.iter().map(revision).collect::<Option<Vec<_>>>());
    let list = list.ok_or_else(|| {
        let message = format!(
            "the hardware-compatibility of {name} is not a list of at most {MAX_LIST_ITEMS} strings"
        );
        ImageError::damaged(message)
    })?;
    Ok(Some(
        list.into_iter().filter(|text| !text.is_empty()).collect(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIBCONFIG: &str = r##"
        /* as a build system writes it */
        software =
        {
            version = "0.1.0";
            description = "Firmware for the dock";
            name = "dock";
            hardware-compatibility: [ "1.0", "1.2", "#RE:^2\\.[0-9]+$" ];
            images: ( { filename = "rootfs.img"; device = "/dev/mmcblk0p2"; sha256 = "@rootfs.img"; } );
            rpi4: { hardware-compatibility = [ "1.1" ]; images: ( ); };
            cm4: { ref = "#./rpi4"; };
            stable: { copy1: { images: ( ); }; };
        }
    "##;

    const JSON: &str = r##"{ "software": {
        "version": "0.1.0", "description": "Firmware for the dock", "name": "dock",
        "hardware-compatibility": ["1.0", "1.2", "#RE:^2\\.[0-9]+$"],
        "images": [{ "filename": "rootfs.img" }],
        "rpi4": { "hardware-compatibility": ["1.1"] },
        "cm4": { "ref": "#./rpi4" },
        "stable": { "copy1": { "images": [] } }
    } }"##;

    #[test]
    fn both_syntaxes_give_the_same_description() {
        let list = |items: &[&str]| {
            items
                .iter()
                .map(|&item| item.to_owned())
                .collect::<Vec<_>>()
        };
        let expected = SwDescription {
            version: "0.1.0".to_owned(),
            name: Some("dock".to_owned()),
            description: Some("Firmware for the dock".to_owned()),
            hardware: list(&["1.0", "1.2", r"#RE:^2\.[0-9]+$"]),
            boards: BTreeMap::from([
                ("rpi4".to_owned(), list(&["1.1"])),
                ("cm4".to_owned(), list(&["1.1"])),
            ]),
        };
        for text in [LIBCONFIG, JSON] {
            assert_eq!(read(text.as_bytes()).expect("a description"), expected);
        }
        let ended = [JSON.as_bytes(), b"\0"].concat();
        assert_eq!(read(&ended).expect("a description"), expected);
    }

    #[test]
    fn invalid_descriptions_are_refused() {
        let long = "x".repeat(1001);
        let deep = format!("{{\"software\": {}", "[".repeat(100_000));
        let many = format!(
            "software = {{ version = \"1\"; hardware-compatibility = [{}]; }};",
            "\"1\",".repeat(300) + "\"1\""
        );
        for (text, expected) in [
            ("", "no section"),
            ("{}", "no section"),
            ("software = \"1\";", "no section"),
            ("software = { };", "no software.version"),
            ("software = { version = \"\"; };", "no software.version"),
            ("software = { version = 1.0; };", "is not a string"),
            (
                &format!("software = {{ version = \"{long}\"; }};"),
                "longer than 1000",
            ),
            (
                "software = { version = \"1\"; hardware-compatibility = \"1\"; };",
                "is not a list",
            ),
            (
                "software = { version = \"1\"; hardware-compatibility = [1]; };",
                "is not a list",
            ),
            (&many, "is not a list"),
            ("software = { version", "neither"),
            ("{\"software\": {\"version\": \"1\"}", "neither"),
            (&deep, "neither"),
        ] {
            let reason = read(text.as_bytes()).expect_err(text).to_string();
            assert!(reason.contains(expected), "{text:.60}: {reason}");
        }
        let circle =
            r##"{"software": {"version": "1", "a": {"ref": "#./b"}, "b": {"ref": "#./a"}}}"##;
        assert_eq!(
            read(circle.as_bytes()).expect("a description").boards.len(),
            0
        );
    }

    #[test]
    fn fuzz_sw_description() {
        bolero::check!(name = "sw_description").for_each(|bytes: &[u8]| {
            if let Ok(description) = read(bytes) {
                assert!(
                    !description.version.is_empty() && description.boards.len() <= MAX_LIST_ITEMS
                );
            }
        });
    }
}
