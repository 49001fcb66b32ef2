//! Damaged files, and sections that no component needs.

use anyhow::Result;

use super::{HostileCase, accepted, custom_section, rejected};
use crate::build::Hooks;

pub(super) fn cases() -> Result<Vec<HostileCase>> {
    let mut cases = sections()?;
    let whole = Hooks::default().component()?;
    for part in 1..16 {
        let length = whole.len() * part / 16;
        cases.push(rejected(
            format!("it ends after {part} sixteenths"),
            Ok(whole[..length].to_vec()),
            "",
        )?);
    }
    for (name, change, message) in damages() {
        let mut bytes = whole.clone();
        change(&mut bytes);
        cases.push(rejected(name, Ok(bytes), message)?);
    }
    Ok(cases)
}

fn sections() -> Result<Vec<HostileCase>> {
    let with = |section: &[u8]| Ok([&Hooks::default().component()?, section].concat());
    let names = |payload: &[u8]| custom_section("name", payload);
    [
        accepted(
            "a custom section has 3 MiB",
            with(&custom_section("padding", &vec![0x5a; 3 << 20])),
        ),
        rejected(
            "a custom section has 5 MiB",
            with(&custom_section("padding", &vec![0x5a; 5 << 20])),
            "`sandbox.component_bytes`",
        ),
        accepted(
            "there are 20,000 custom sections",
            with(&custom_section("", b"").repeat(20_000)),
        ),
        accepted(
            "its name section is noise",
            with(&names(b"\xff\xff\xff\xff\xff\xff")),
        ),
        accepted(
            "its name section says that it is longer",
            with(&names(b"\x00\xff\xff\xff\xff\x07x")),
        ),
        accepted(
            "the names of its parts are noise",
            with(&custom_section(
                "component-name",
                b"\x01\xff\xff\xff\xff\x0f",
            )),
        ),
        accepted(
            "its producers are noise",
            with(&custom_section("producers", b"\xff\xfe\x1b[2J")),
        ),
        rejected(
            "the name of a custom section is not UTF-8",
            with(b"\x00\x04\x02\xff\xfe\x00"),
            "malformed UTF-8 encoding",
        ),
        rejected(
            "a section is longer than the file",
            with(b"\x00\xff\xff\xff\xff\x07"),
            "unexpected end-of-file",
        ),
        rejected(
            "the length of a section does not end",
            with(b"\x00\xff\xff\xff\xff\xff\xff\xff\xff"),
            "integer representation too long",
        ),
        rejected(
            "a section has an unknown number",
            with(b"\x7f\x01\x00"),
            "malformed section id",
        ),
        rejected(
            "a whole component follows",
            with(&Hooks::default().component()?),
            "got wasm magic number",
        ),
        rejected("text follows", with(b"more"), "unexpected end-of-file"),
    ]
    .into_iter()
    .collect()
}

/// The name of a damage, what it changes, and a part of the reason for which the component is refused.
type Damage = (&'static str, fn(&mut Vec<u8>), &'static str);

/// Changes of an honest component.
fn damages() -> [Damage; 7] {
    let magic_number = "the magic number is missing";
    [
        ("it is empty", Vec::clear, magic_number),
        (
            "it is a text",
            |bytes| *bytes = b"(component)".to_vec(),
            magic_number,
        ),
        (
            "it is a program",
            |bytes| bytes[..4].copy_from_slice(b"\x7fELF"),
            magic_number,
        ),
        (
            "its magic number is wrong",
            |bytes| bytes[0] = 1,
            magic_number,
        ),
        (
            "its version is wrong",
            |bytes| bytes[4] = 0xff,
            "unknown binary version",
        ),
        (
            "its layer is wrong",
            |bytes| bytes[6] = 9,
            "unknown binary version",
        ),
        (
            "it is zero behind its header",
            |bytes| bytes[8..].fill(0),
            "unexpected end-of-file",
        ),
    ]
}
