//! The compression of the parts of a record.
//!
//! A short part is an LZ4 block after a header of five bytes: 7, the length of its text and that of the block, each two
//! bytes, little-endian. A long part is one DEFLATE stream, at its fastest level. No DEFLATE stream begins with 7, which
//! would be a block of the type that RFC 1951 reserves.
//!
//! DEFLATE saves more bytes, but to begin a stream, its compressor clears 128 KiB, which takes longer than the compression
//! of a few kilobytes.

use std::{cell::RefCell, io, io::Read as _};

use flate2::{Compress, Compression, FlushCompress, Status, bufread::DeflateDecoder};
use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};

/// Maximum size of a decompressed part.
const MAX_BYTES: u64 = 256 << 20;
/// Maximum size of a short part. Its block, if nothing can be saved, is a little longer.
const MAX_SHORT_BYTES: usize = 16 << 10;
/// What a short part begins with.
const SHORT: u8 = 7;

thread_local! {
    /// Reused, since creating one takes as long as compressing a few kilobytes.
    static TABLE: RefCell<CompressTable> = RefCell::new(CompressTable::small());
    static COMPRESSOR: RefCell<Compress> = RefCell::new(Compress::new(Compression::fast(), false));
}

/// Why a part cannot be decompressed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvalidPart {
    #[error("decompress the record: {0}")]
    Compression(#[source] io::Error),
    #[error("the decompressed record is larger than {MAX_BYTES} bytes")]
    TooLarge,
}

pub(super) fn compress(bytes: &[u8]) -> Vec<u8> {
    if bytes.len() <= MAX_SHORT_BYTES {
        compress_short(bytes)
    } else {
        deflate(bytes)
    }
}

/// The bytes of a part, and what follows it.
pub(super) fn decompress(part: &[u8]) -> Result<(Vec<u8>, &[u8]), InvalidPart> {
    match part {
        [SHORT, rest @ ..] => decompress_short(rest).map_err(InvalidPart::Compression),
        _ => inflate(part),
    }
}

fn compress_short(bytes: &[u8]) -> Vec<u8> {
    const HEADER: usize = 5;
    let mut part = vec![0; HEADER + get_maximum_output_size(bytes.len())];
    let compressed = TABLE
        .with_borrow_mut(|table| compress_into_with_table(bytes, &mut part[HEADER..], table))
        .unwrap_or_else(|error| unreachable!("there is space for the longest block: {error}"));
    part.truncate(HEADER + compressed);
    part[0] = SHORT;
    part[1..3].copy_from_slice(&(bytes.len() as u16).to_le_bytes());
    part[3..HEADER].copy_from_slice(&(compressed as u16).to_le_bytes());
    part.shrink_to_fit();
    part
}

/// What [`compress_short`] writes after its first byte.
fn decompress_short(part: &[u8]) -> io::Result<(Vec<u8>, &[u8])> {
    let cut_off = || io::Error::from(io::ErrorKind::UnexpectedEof);
    let (length, part) = part.split_first_chunk().ok_or_else(cut_off)?;
    let (compressed, part) = part.split_first_chunk().ok_or_else(cut_off)?;
    let compressed = usize::from(u16::from_le_bytes(*compressed));
    let (block, rest) = part.split_at_checked(compressed).ok_or_else(cut_off)?;
    let length = usize::from(u16::from_le_bytes(*length));
    let bytes = lz4_flex::block::decompress(block, length).map_err(io::Error::other)?;
    if bytes.len() != length {
        return Err(cut_off());
    }
    Ok((bytes, rest))
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    COMPRESSOR.with_borrow_mut(|compressor| {
        compressor.reset();
        // Incompressible input grows: stored blocks add five bytes per 16 KiB, and a few at the end.
        let mut out = Vec::with_capacity(bytes.len() / 2 + 64);
        loop {
            let done = compressor.total_in() as usize;
            match compressor.compress_vec(&bytes[done..], &mut out, FlushCompress::Finish) {
                Ok(Status::StreamEnd) => return out,
                Ok(Status::Ok | Status::BufError) => out.reserve(bytes.len() / 2 + 64),
                Err(error) => unreachable!("compression does not fail on any input: {error}"),
            }
        }
    })
}

fn inflate(stream: &[u8]) -> Result<(Vec<u8>, &[u8]), InvalidPart> {
    let mut decoder = DeflateDecoder::new(stream);
    let mut bytes = Vec::new();
    let limited = &mut decoder.by_ref().take(MAX_BYTES + 1);
    let read = limited.read_to_end(&mut bytes);
    read.map_err(InvalidPart::Compression)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(InvalidPart::TooLarge);
    }
    Ok((bytes, decoder.into_inner()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_round_trip() {
        let noise: Vec<u8> = (0..40_000_u32)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        let alike = vec![b'a'; 40_000];
        for bytes in [
            b"",
            &b"{}"[..],
            &alike[..MAX_SHORT_BYTES],
            &noise[..MAX_SHORT_BYTES],
            &noise[..=MAX_SHORT_BYTES],
            &alike,
        ] {
            let part = compress(bytes);
            assert_eq!(part[0] == SHORT, bytes.len() <= MAX_SHORT_BYTES);
            assert_eq!(compress(bytes), part, "compression is deterministic");
            let followed = [&part[..], b"next"].concat();
            let (decompressed, rest) = decompress(&followed).expect("the part is valid");
            assert!(decompressed == bytes && rest == b"next");
        }
    }

    /// Records that servers wrote before there were short parts.
    #[test]
    fn short_streams_are_read() {
        let text = br#"{"call":"decide"}"#;
        let stream = deflate(text);
        let (bytes, rest) = decompress(&stream).expect("the stream is valid");
        assert_eq!((&bytes[..], rest), (&text[..], &[][..]));
    }

    #[test]
    fn invalid_parts_are_refused() {
        let part = compress(&[b'a'; 500]);
        for length in 0..part.len() {
            assert!(decompress(&part[..length]).is_err(), "{length} bytes");
        }
        for (byte, other) in [(1, 0), (1, 255), (2, 255), (4, 255)] {
            let mut invalid = part.clone();
            invalid[byte] = other;
            assert!(decompress(&invalid).is_err(), "{other} as byte {byte}");
        }
        assert!(decompress(b"\xff\xff\xff").is_err());
    }
}
