//! cpio archives in the formats that `SWUpdate` accepts: "newc" (070701) and "crc" (070702).
//!
//! A header is 110 ASCII characters: the magic number and thirteen fields of eight hexadecimal digits. The name
//! follows, with a terminating zero byte, then the content; both are padded to a multiple of four bytes. The entry
//! `TRAILER!!!` ends the archive.

use crate::{
    ImageSource,
    error::{ImageError, Result},
    source::BufferedSource,
};

const HEADER_BYTES: usize = 110;
const TRAILER: &str = "TRAILER!!!";
/// Maximum length of a name, in bytes.
const MAX_NAME_BYTES: u32 = 255;

/// Sequential reader of an archive.
pub(super) struct Archive<'a> {
    buffered: BufferedSource<'a>,
    at: u64,
}

/// A file of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    /// Size in bytes.
    pub(super) size: u32,
    start: u64,
    /// Sum of all bytes; only in the format "crc".
    sum: Option<u32>,
}

impl<'a> Archive<'a> {
    pub(super) fn new(source: &'a mut dyn ImageSource) -> Self {
        let end = source.size();
        Self {
            buffered: BufferedSource::new(source, end),
            at: 0,
        }
    }

    /// The next file, with its complete content in the archive; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Entry>> {
        let at = self.at;
        let header: [u8; HEADER_BYTES] = self.buffered.array(at)?;
        let has_sum = match &header[..6] {
            b"070701" => false,
            b"070702" => true,
            _ => {
                let message =
                    format!("no cpio header of the formats 070701 and 070702 at byte {at}");
                return Err(ImageError::damaged(message));
            }
        };
        let (size, name_bytes) = (field(&header, 6)?, field(&header, 11)?);
        let sum = has_sum.then(|| field(&header, 12)).transpose()?;
        if name_bytes > MAX_NAME_BYTES + 1 {
            let message =
                format!("the file name at byte {at} is longer than {MAX_NAME_BYTES} bytes");
            return Err(ImageError::damaged(message));
        }
        let after_header = at + HEADER_BYTES as u64;
        let name = name(self.buffered.bytes(after_header, name_bytes as usize)?, at)?;
        if name == TRAILER {
            return Ok(None);
        }
        let start = align(after_header + u64::from(name_bytes));
        let end = start + u64::from(size);
        if end > self.buffered.end() {
            let message = format!("truncated within {name:?}");
            return Err(ImageError::damaged(message));
        }
        self.at = align(end);
        Ok(Some(Entry {
            name,
            size,
            start,
            sum,
        }))
    }

    /// Content of a file. The caller has checked its size against a limit.
    pub(super) fn content(&mut self, entry: &Entry) -> Result<&[u8]> {
        let bytes = self.buffered.bytes(entry.start, entry.size as usize)?;
        let add = |sum: u32, byte: &u8| sum.wrapping_add(u32::from(*byte));
        match entry.sum {
            Some(sum) if bytes.iter().fold(0, add) != sum => {
                let message = format!(
                    "the checksum of {:?} does not match its content",
                    entry.name
                );
                Err(ImageError::damaged(message))
            }
            _ => Ok(bytes),
        }
    }
}

/// Parses one of the thirteen fields.
fn field(header: &[u8; HEADER_BYTES], index: usize) -> Result<u32> {
    let digits = &header[6 + 8 * index..][..8];
    let number = digits.iter().try_fold(0_u32, |number, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(number << 4 | digit)
    });
    number.ok_or_else(|| ImageError::damaged("a cpio header contains an invalid number"))
}

/// Parses a name that stays inside the archive.
fn name(bytes: &[u8], at: u64) -> Result<String> {
    let text = bytes
        .strip_suffix(&[0])
        .and_then(|name| str::from_utf8(name).ok());
    let Some(name) = text.filter(|name| !name.chars().any(char::is_control)) else {
        let message =
            format!("the file name at byte {at} is not UTF-8 text with a terminating zero byte");
        return Err(ImageError::damaged(message));
    };
    if name.is_empty() {
        return Err(ImageError::damaged(format!(
            "the file name at byte {at} is empty"
        )));
    }
    if name.starts_with('/') || name.split(['/', '\\']).any(|part| part == "..") {
        return Err(ImageError::damaged(format!(
            "the file name {name:?} leads out of the archive"
        )));
    }
    Ok(name.to_owned())
}

fn align(at: u64) -> u64 {
    at.next_multiple_of(4)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) enum CpioFormat {
        Newc,
        Crc,
    }

    /// An archive of these files, padded to blocks of 512 bytes as `cpio` does.
    pub(crate) fn archive(format: CpioFormat, files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let trailer = (TRAILER, &b""[..]);
        for (index, (name, content)) in files.iter().chain([&trailer]).enumerate() {
            let sum = content
                .iter()
                .fold(0_u32, |sum, byte| sum + u32::from(*byte));
            let (magic, sum) = match format {
                CpioFormat::Newc => ("070701", 0),
                CpioFormat::Crc => ("070702", sum),
            };
            let fields = [
                index as u32,
                0o100_644,
                0,
                0,
                1,
                0,
                content.len() as u32,
                0,
                0,
                0,
                0,
                name.len() as u32 + 1,
                sum,
            ];
            let mut header = magic.to_owned();
            for field in fields {
                write!(header, "{field:08x}").expect("writing to a string");
            }
            bytes.extend(header.as_bytes());
            bytes.extend(name.as_bytes());
            bytes.push(0);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            bytes.extend(*content);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }

    #[test]
    fn files_are_listed_in_order() {
        for format in [CpioFormat::Newc, CpioFormat::Crc] {
            let bytes = archive(
                format,
                &[("a", b"one"), ("dir/b", b""), ("c.img", &vec![9; 70_000])],
            );
            let mut source = &bytes[..];
            let mut archive = Archive::new(&mut source);
            let mut found = Vec::new();
            while let Some(entry) = archive.next().expect("a valid archive") {
                let content = archive.content(&entry).expect("its content");
                found.push((entry.name.clone(), content.len()));
            }
            let expected = [("a", 3), ("dir/b", 0), ("c.img", 70_000)];
            assert_eq!(found, expected.map(|(name, size)| (name.to_owned(), size)));
        }
    }

    #[test]
    fn numbers_are_eight_hexadecimal_digits() {
        let mut bytes = archive(CpioFormat::Newc, &[("a", b"x")]);
        for digits in ["+0000001", "0x000001", "       1", "0000000g"] {
            bytes[6..14].copy_from_slice(b"00000000");
            bytes[6 + 48..6 + 56].copy_from_slice(digits.as_bytes());
            let mut source = &bytes[..];
            assert!(Archive::new(&mut source).next().is_err(), "{digits}");
        }
        bytes[6 + 48..6 + 56].copy_from_slice(b"FFFFFFFF");
        let mut source = &bytes[..];
        let refused = Archive::new(&mut source)
            .next()
            .expect_err("a truncated archive");
        assert!(refused.to_string().contains("truncated"), "{refused}");
    }
}
