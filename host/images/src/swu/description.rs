use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    libconfig,
    sections::{Section, Sections},
};
use crate::error::{ImageError, Result};

/// Metadata in a `sw-description`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SwDescription {
    /// The version of the boards, or else `software.version`; unparsed.
    pub version: String,
    /// `software.name`.
    pub name: Option<String>,
    /// `software.description`, cut to the length of a firmware's description.
    pub description: Option<String>,
    /// `software.hardware-compatibility`: revisions, or `#RE:` followed by a regular expression over them.
    pub hardware: Vec<String>,
    /// The `hardware-compatibility` of a board and of its modes, which replaces the general list for that board.
    pub boards: BTreeMap<String, Vec<String>>,
    /// Boards with content but without a list, if others have one: the general list applies to them.
    pub boards_without_list: BTreeSet<String>,
    /// True if the image has boards and also content beside them, which `SWUpdate` installs on any other board.
    pub other_boards: bool,
}

/// Maximum length of a text, in characters.
const MAX_TEXT_CHARS: usize = 1000;
/// Maximum entries of one list, and maximum boards.
const MAX_LIST_ITEMS: usize = 256;
/// Maximum length of a firmware's description, in characters.
const MAX_DESCRIPTION_CHARS: usize = 10_000;

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
        Some(software @ Value::Object(_)) => from_software(software),
        _ => Err(ImageError::damaged(
            "its sw-description has no section `software`",
        )),
    }
}

fn from_software(software: &Value) -> Result<SwDescription> {
    let sections = Sections::new(software);
    let root = sections.root();
    let mut boards = BTreeMap::new();
    let mut boards_without_list = BTreeSet::new();
    let mut versions = BTreeSet::new();
    let mut sets = Vec::new();
    for (name, section) in sections.children(&root) {
        match board_revisions(&sections, name, &section)? {
            Some(revisions) => {
                boards.insert(name.to_owned(), revisions);
                versions.extend(board_versions(&sections, &section)?);
            }
            None if sections.has_content(&section) || has_modes_of_sets(&sections, &section) => {
                boards_without_list.insert(name.to_owned());
                versions.extend(board_versions(&sections, &section)?);
            }
            None => sets.push((name, section)),
        }
        if boards.len() + boards_without_list.len() > MAX_LIST_ITEMS {
            return Err(ImageError::damaged(format!(
                "it lists more than {MAX_LIST_ITEMS} boards"
            )));
        }
    }
    let modes = SetModes::read(&sections, &sets)?;
    let has_common_content = modes.have_content || sections.has_content(&root);
    let mut hardware = modes.revisions;
    // `SWUpdate` reads the list of a mode instead of the common one.
    if !modes.all_have_revisions {
        hardware.extend(revisions(&sections, &root, "software")?.unwrap_or_default());
    }
    if boards.is_empty() {
        boards_without_list.clear();
    }
    if versions.is_empty() {
        versions = modes.versions;
    }
    let version = version(&sections, &root, versions);
    let name = text(&sections, &root, "name", MAX_TEXT_CHARS)?;
    let description = text(&sections, &root, "description", usize::MAX)?;
    // Entries may be missing only because of the limit.
    sections.check()?;
    Ok(SwDescription {
        version: version?,
        name,
        description: description.map(cut),
        hardware: distinct(hardware),
        other_boards: has_common_content && !boards.is_empty(),
        boards,
        boards_without_list,
    })
}

/// The version of the boards, which `SWUpdate` reads first, or else the common one. Boards of different versions have none
/// in common.
fn version(
    sections: &Sections<'_>,
    root: &Section<'_>,
    mut versions: BTreeSet<String>,
) -> Result<String> {
    let common = text(sections, root, "version", MAX_TEXT_CHARS)?;
    let is_single = versions.len() == 1;
    match (versions.pop_first(), common) {
        (Some(version), _) if is_single => Ok(version),
        (_, Some(common)) => Ok(common),
        (None, None) => Err(ImageError::damaged(
            "its sw-description has no software.version",
        )),
        (Some(first), None) => {
            let listed: Vec<String> = std::iter::once(first).chain(versions).collect();
            let message = format!(
                "its boards have different versions ({}) and no common one",
                listed.join(", ")
            );
            Err(ImageError::damaged(message))
        }
    }
}

fn board_versions(sections: &Sections<'_>, board: &Section<'_>) -> Result<Vec<String>> {
    let mut versions = Vec::new();
    for (_, set) in sections.children(board) {
        for (_, mode) in sections.children(&set) {
            versions.extend(text(sections, &mode, "version", MAX_TEXT_CHARS)?);
        }
    }
    if versions.is_empty() {
        versions.extend(text(sections, board, "version", MAX_TEXT_CHARS)?);
    }
    Ok(versions)
}

/// The revisions of a board; `None`: the section lists none, it may be a set of modes.
///
/// `SWUpdate` reads `board.set.mode` before `board`. Which set and mode a device uses is not known here, so the
/// revisions of all of them are taken.
fn board_revisions(
    sections: &Sections<'_>,
    name: &str,
    board: &Section<'_>,
) -> Result<Option<Vec<String>>> {
    let own = revisions(sections, board, name)?;
    let mut lists = Vec::new();
    for (set, inner) in sections.children(board) {
        let of_set = revisions(sections, &inner, &format!("{name}.{set}"))?;
        for (mode, inner) in sections.children(&inner) {
            let path = format!("{name}.{set}.{mode}");
            let of_mode = revisions(sections, &inner, &path)?;
            lists.push(of_mode.or_else(|| of_set.clone()));
        }
    }
    let some_lack_revisions = lists.iter().any(Option::is_none);
    let mut lists: Vec<Vec<String>> = lists.into_iter().flatten().collect();
    if lists.is_empty() || some_lack_revisions {
        lists.extend(own);
    }
    Ok((!lists.is_empty()).then(|| distinct(lists.concat())))
}

/// True if a section is a board whose sets have modes with content.
fn has_modes_of_sets(sections: &Sections<'_>, board: &Section<'_>) -> bool {
    let mut sets = sections.children(board).into_iter();
    sets.any(|(_, set)| {
        let mut modes = sections.children(&set).into_iter();
        modes.any(|(_, mode)| sections.has_content(&mode))
    })
}

/// What the modes of the sets say that are for any board.
#[derive(Default)]
struct SetModes {
    have_content: bool,
    all_have_revisions: bool,
    revisions: Vec<String>,
    versions: BTreeSet<String>,
}

impl SetModes {
    fn read<'a>(sections: &Sections<'a>, sets: &[(&str, Section<'a>)]) -> Result<Self> {
        let mut modes = Self::default();
        let mut some_lack_revisions = false;
        for (set, section) in sets {
            for (mode, section) in sections.children(section) {
                if !sections.has_content(&section) {
                    continue;
                }
                modes.have_content = true;
                modes
                    .versions
                    .extend(text(sections, &section, "version", MAX_TEXT_CHARS)?);
                match revisions(sections, &section, &format!("{set}.{mode}"))? {
                    Some(listed) => modes.revisions.extend(listed),
                    None => some_lack_revisions = true,
                }
            }
        }
        modes.all_have_revisions = modes.have_content && !some_lack_revisions;
        Ok(modes)
    }
}

/// Each revision once, in order.
fn distinct(revisions: Vec<String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut revisions = revisions;
    revisions.retain(|revision| seen.insert(revision.clone()));
    revisions
}

/// Cuts a text to the length that a firmware's description may have.
fn cut(text: String) -> String {
    match text.char_indices().nth(MAX_DESCRIPTION_CHARS) {
        Some((end, _)) => text[..end].trim_end().to_owned(),
        None => text,
    }
}

fn text(
    sections: &Sections<'_>,
    section: &Section<'_>,
    name: &str,
    max_chars: usize,
) -> Result<Option<String>> {
    let Some(found) = sections.entry(section, name) else {
        return Ok(None);
    };
    let path = section.path_of(name);
    match found.value {
        Value::String(text) if text.chars().count() <= max_chars => {
            let text = text.trim();
            Ok((!text.is_empty()).then(|| text.to_owned()))
        }
        Value::String(_) => {
            let message = format!("its {path} is longer than {max_chars} characters");
            Err(ImageError::damaged(message))
        }
        _ => Err(ImageError::damaged(format!("its {path} is not a string"))),
    }
}

fn revisions(
    sections: &Sections<'_>,
    section: &Section<'_>,
    name: &str,
) -> Result<Option<Vec<String>>> {
    let Some(found) = sections.entry(section, "hardware-compatibility") else {
        return Ok(None);
    };
    let revision = |value: &Value| {
        let text = value
            .as_str()
            .filter(|text| text.chars().count() <= MAX_TEXT_CHARS);
        text.map(str::to_owned)
    };
    let list = found
        .value
        .as_array()
        .filter(|list| list.len() <= MAX_LIST_ITEMS);
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
            boards_without_list: BTreeSet::new(),
            other_boards: true,
        };
        for text in [LIBCONFIG, JSON] {
            assert_eq!(read(text.as_bytes()).expect("a description"), expected);
        }
        let ended = [JSON.as_bytes(), b"\0"].concat();
        assert_eq!(read(&ended).expect("a description"), expected);
    }

    fn parsed(text: &str) -> SwDescription {
        read(text.as_bytes()).unwrap_or_else(|error| panic!("{text:.200}: {error}"))
    }

    #[test]
    fn the_version_follows_links_and_boards() {
        let images = "images: ( { filename = \"a\"; } );";
        let board = format!("hardware-compatibility: [ \"1.0\" ]; {images}");
        for (text, expected) in [
            ("version = { ref = \"#./v\"; }; v = \"1.0.12\";".to_owned(), "1.0.12"),
            (
                "version = { ref = \"#./common/v\"; }; common = { v = { ref = \"#./../../w\"; }; }; w = \"7\";"
                    .to_owned(),
                "7",
            ),
            (format!("a = {{ version = \"4.1.0\"; {board} }};"), "4.1.0"),
            (format!("version = \"1\"; a = {{ version = \"2\"; {board} }};"), "2"),
            // Other boards install the common content.
            (
                format!("version = \"1\"; a = {{ version = \"2\"; {board} }}; {images}"),
                "2",
            ),
            (
                format!("version = \"1\"; a = {{ version = \"2\"; {board} }}; b = {{ version = \"3\"; {board} }};"),
                "1",
            ),
            (format!("a = {{ s = {{ m = {{ version = \"6\"; {board} }}; }}; }};"), "6"),
            (format!("s = {{ m = {{ version = \"8\"; {images} }}; }};"), "8"),
        ] {
            assert_eq!(parsed(&format!("software = {{ {text} }}")).version, expected, "{text}");
        }
        let text = format!(
            "software = {{ a = {{ version = \"2\"; {board} }}; b = {{ version = \"3\"; {board} }}; }}"
        );
        let error = read(text.as_bytes()).expect_err("two versions").to_string();
        assert!(error.contains("different versions (2, 3)"), "{error}");
    }

    #[test]
    fn content_beside_boards_is_for_other_boards() {
        let images = "images: ( { filename = \"a\"; } );";
        let board = format!("gate = {{ hardware-compatibility: [ \"1.0\" ]; {images} }};");
        for (text, other_boards) in [
            (board.clone(), false),
            (format!("{board} images: ( );"), false),
            (format!("{board} {images}"), true),
            (format!("{board} bootenv: ( {{ name = \"a\"; }} );"), true),
            (
                format!("{board} stable = {{ copy-1 = {{ {images} }} }};"),
                true,
            ),
            (
                format!("{board} stable = {{ copy-1 = {{ ref = \"#./../gate\"; }} }};"),
                true,
            ),
            (format!("{board} dock = {{ {images} }};"), false),
            (images.to_owned(), false),
        ] {
            let description = parsed(&format!("software = {{ version = \"1\"; {text} }}"));
            assert_eq!(description.other_boards, other_boards, "{text}");
        }
    }

    #[test]
    fn boards_with_content_need_no_list() {
        let images = "images: ( { filename = \"a\"; } );";
        let gate = format!("gate = {{ hardware-compatibility: [ \"1.0\" ]; {images} }};");
        let set = format!("dock = {{ stable = {{ copy-1 = {{ {images} }} }} }};");
        for (text, boards) in [
            (gate.clone(), ""),
            (format!("{gate} dock = {{ {images} }};"), "dock"),
            (format!("{gate} {set}"), "dock"),
            // Without a list anywhere, an image is for any board.
            (set.clone(), ""),
        ] {
            let description = parsed(&format!("software = {{ version = \"1\"; {text} }}"));
            let found: Vec<_> = description.boards_without_list.into_iter().collect();
            assert_eq!(found.join(" "), boards, "{text}");
        }
    }

    #[test]
    fn revisions_of_modes_are_read() {
        let images = "images: ( { filename = \"a\"; } );";
        let list = |revisions: &str| format!("hardware-compatibility: [ {revisions} ];");
        let (one, two) = (list("\"1.0\", \"1.2\""), list("\"1.2\", \"2.0\""));
        for (text, of_board, general) in [
            (
                format!("gate = {{ s = {{ a: {{ {one} {images} }} }} }}"),
                Some("1.0 1.2"),
                "",
            ),
            (
                format!("gate = {{ s = {{ a: {{ {one} {images} }}; b: {{ {two} {images} }} }} }}"),
                Some("1.0 1.2 2.0"),
                "",
            ),
            (
                format!(
                    "gate = {{ {two} s = {{ a: {{ {} {images} }} }} }}",
                    list("\"1.0\"")
                ),
                Some("1.0"),
                "",
            ),
            (
                format!("gate = {{ {two} s = {{ a: {{ {one} {images} }}; b: {{ {images} }} }} }}"),
                Some("1.0 1.2 2.0"),
                "",
            ),
            (
                format!("gate = {{ s = {{ {one} a: {{ {images} }} }} }}"),
                Some("1.0 1.2"),
                "",
            ),
            (
                format!("{two} s = {{ a: {{ {one} {images} }} }}"),
                None,
                "1.0 1.2",
            ),
            (
                format!("{two} s = {{ a: {{ {one} {images} }}; b: {{ {images} }} }}"),
                None,
                "1.0 1.2 2.0",
            ),
            (
                "gate = { hardware-compatibility = { ref = \"#./../list\"; }; }; list = [ \"3\" ];"
                    .to_owned(),
                Some("3"),
                "",
            ),
        ] {
            let description = parsed(&format!("software = {{ version = \"1\"; {text} }}"));
            let found = description.boards.get("gate").map(|list| list.join(" "));
            assert_eq!(found.as_deref(), of_board, "{text}");
            assert_eq!(description.hardware.join(" "), general, "{text}");
        }
    }

    #[test]
    fn long_descriptions_are_cut() {
        for (length, expected) in [(1010, 1010), (6000, 6000), (12_000, 10_000)] {
            let text = "\u{e4}".repeat(length);
            let text = format!("software = {{ version = \"1\"; description = \"{text}\"; }}");
            let description = parsed(&text).description.expect("a description");
            assert_eq!(description.chars().count(), expected);
        }
    }

    #[test]
    fn links_cannot_multiply_the_work() {
        let wide: Vec<_> = (0..200)
            .map(|n| format!("s{n} = {{ ref = \"#./wide\"; }};"))
            .collect();
        let wide = wide.concat();
        let text = format!("software = {{ version = \"1\"; wide = {{ {wide} }}; {wide} }}");
        let error = read(text.as_bytes()).expect_err("too much").to_string();
        assert!(error.contains("more than 200000 lookups"), "{error}");
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
