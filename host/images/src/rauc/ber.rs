//! Reads the signed content of a CMS signature (RFC 5652), encoded in BER.
//!
//! Only the path to the content is read: `ContentInfo`, `SignedData`, `EncapsulatedContentInfo`. Lengths may be
//! indefinite, as OpenSSL writes them when streaming. The certificates and signatures that follow are ignored.

use crate::error::{ImageError, Result};

/// Content of a CMS structure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SignedContent {
    /// The signed content.
    Content(Vec<u8>),
    /// The signature does not include its content.
    Detached,
    /// The structure is encrypted, so that only the recipients can read it.
    Encrypted,
}

const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// A string in segments.
const CONSTRUCTED_OCTET_STRING: u8 = 0x24;
/// `[0]`
const CONTEXT_0: u8 = 0xa0;

/// Object identifiers 1.2.840.113549.1.7.2, 1.2.840.113549.1.7.3 and 1.2.840.113549.1.9.16.1.23.
const SIGNED_DATA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02";
const ENVELOPED_DATA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03";
const AUTH_ENVELOPED_DATA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01\x17";

/// Reads the content that a CMS structure signs.
pub(super) fn read_signed_content(cms: &[u8]) -> Result<SignedContent> {
    parse(cms).ok_or_else(|| ImageError::damaged("its signature is not a CMS structure"))
}

fn parse(cms: &[u8]) -> Option<SignedContent> {
    let mut info = BerReader { rest: cms }.enter(SEQUENCE)?;
    match info.primitive(OBJECT_IDENTIFIER)? {
        SIGNED_DATA => {}
        ENVELOPED_DATA | AUTH_ENVELOPED_DATA => return Some(SignedContent::Encrypted),
        _ => return None,
    }
    let mut data = info.enter(CONTEXT_0)?.enter(SEQUENCE)?;
    data.primitive(INTEGER)?;
    data.primitive(SET)?;
    let mut encapsulated = data.enter(SEQUENCE)?;
    encapsulated.primitive(OBJECT_IDENTIFIER)?;
    if encapsulated.is_at_end() {
        return Some(SignedContent::Detached);
    }
    let mut content = encapsulated.enter(CONTEXT_0)?;
    if content.rest.first() == Some(&OCTET_STRING) {
        return content
            .primitive(OCTET_STRING)
            .map(|bytes| SignedContent::Content(bytes.to_vec()));
    }
    let mut pieces = content.enter(CONSTRUCTED_OCTET_STRING)?;
    let mut bytes = Vec::new();
    while !pieces.is_at_end() {
        bytes.extend(pieces.primitive(OCTET_STRING)?);
    }
    Some(SignedContent::Content(bytes))
}

/// Reads consecutive elements.
struct BerReader<'a> {
    rest: &'a [u8],
}

impl<'a> BerReader<'a> {
    /// The value of the next element, which must have this tag and a definite length.
    fn primitive(&mut self, kind: u8) -> Option<&'a [u8]> {
        let (length, rest) = self.header(kind)?;
        let (value, rest) = rest.split_at_checked(length?)?;
        self.rest = rest;
        Some(value)
    }

    /// A reader of the elements inside the next one, which must have this tag. Later elements are not read.
    fn enter(&self, kind: u8) -> Option<Self> {
        let (length, rest) = self.header(kind)?;
        let rest = match length {
            Some(length) => rest.get(..length)?,
            None => rest,
        };
        Some(Self { rest })
    }

    /// Also true at the end-of-contents marker of an indefinite length.
    fn is_at_end(&self) -> bool {
        self.rest.is_empty() || self.rest.starts_with(&[0, 0])
    }

    /// The length of the next element (`None`: indefinite) and the bytes after its header.
    fn header(&self, kind: u8) -> Option<(Option<usize>, &'a [u8])> {
        let (length, rest) = self.rest.strip_prefix(&[kind])?.split_first()?;
        match *length {
            short @ 0..0x80 => Some((Some(usize::from(short)), rest)),
            0x80 => Some((None, rest)),
            long => {
                let (digits, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
                // Longer lengths are not supported.
                let length = (digits.len() <= 4).then(|| {
                    digits
                        .iter()
                        .fold(0, |length, digit| length << 8 | usize::from(*digit))
                })?;
                Some((Some(length), rest))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(kind: u8, value: &[u8]) -> Vec<u8> {
        let mut bytes = vec![kind];
        match value.len() {
            short @ 0..0x80 => bytes.push(short as u8),
            long => {
                bytes.push(0x82);
                bytes.extend((long as u16).to_be_bytes());
            }
        }
        bytes.extend(value);
        bytes
    }

    fn open(kind: u8, value: &[u8]) -> Vec<u8> {
        [&[kind, 0x80], value, &[0, 0]].concat()
    }

    const DATA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01";

    fn cms(wrap: fn(u8, &[u8]) -> Vec<u8>, content: &[u8]) -> Vec<u8> {
        let encapsulated = wrap(
            SEQUENCE,
            &[&element(OBJECT_IDENTIFIER, DATA), content].concat(),
        );
        let rest = element(CONTEXT_0, b"certificates");
        let data = [
            element(INTEGER, &[1]),
            element(SET, b"hash"),
            encapsulated,
            rest,
        ]
        .concat();
        let data = wrap(CONTEXT_0, &wrap(SEQUENCE, &data));
        wrap(
            SEQUENCE,
            &[element(OBJECT_IDENTIFIER, SIGNED_DATA), data].concat(),
        )
    }

    #[test]
    fn definite_and_indefinite_lengths_are_read() {
        let text = vec![b'm'; 300];
        for wrap in [element, open] {
            let content = wrap(CONTEXT_0, &element(OCTET_STRING, &text));
            assert_eq!(
                parse(&cms(wrap, &content)),
                Some(SignedContent::Content(text.clone()))
            );
            let pieces = [
                element(OCTET_STRING, &text[..200]),
                element(OCTET_STRING, &text[200..]),
            ];
            let content = wrap(CONTEXT_0, &wrap(CONSTRUCTED_OCTET_STRING, &pieces.concat()));
            assert_eq!(
                parse(&cms(wrap, &content)),
                Some(SignedContent::Content(text.clone()))
            );
            assert_eq!(parse(&cms(wrap, &[])), Some(SignedContent::Detached));
        }
        let enveloped = element(SEQUENCE, &element(OBJECT_IDENTIFIER, ENVELOPED_DATA));
        assert_eq!(parse(&enveloped), Some(SignedContent::Encrypted));
    }

    #[test]
    fn truncated_or_foreign_data_is_refused() {
        let content = element(CONTEXT_0, &element(OCTET_STRING, b"manifest"));
        let whole = cms(element, &content);
        for length in 0..whole.len() {
            assert_eq!(parse(&whole[..length]), None, "{length}");
        }
        for bytes in [
            &b"\x30\x84\xff\xff\xff\xff"[..],
            b"\x30\x89123456789",
            b"\x30\xff",
            b"\x30\x03\x06\x01\x2a",
        ] {
            assert_eq!(parse(bytes), None);
        }
        assert!(read_signed_content(b"").is_err());
    }
}
