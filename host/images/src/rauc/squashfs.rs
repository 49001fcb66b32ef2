//! Finds one file in the root directory of a squashfs 4.0, reading only what leads to it.
//!
//! The superblock refers to the root's inode, the inode to its directory, the directory to the file's inode, and that
//! to the data: blocks of its own, or a fragment shared with other files. Inodes and directories are stored in
//! metadata blocks of 8 KiB before compression.

use std::io::Read as _;

use flate2::read::ZlibDecoder;

use crate::{
    ImageSource, MAX_DESCRIPTION_BYTES,
    error::{ImageError, Result},
    source::BufferedSource,
};

/// Result of a search.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FileLookup {
    /// Content of the file.
    File(Vec<u8>),
    /// The squashfs uses another compression than gzip.
    Unreadable,
}

const SUPERBLOCK_BYTES: u64 = 96;
const METADATA_BLOCK_BYTES: usize = 8 << 10;
/// Maximum size of the searched directory, in bytes.
const MAX_DIRECTORY_BYTES: usize = 1 << 20;
/// Maximum block size of a squashfs.
const MAX_BLOCK_BYTES: usize = 1 << 20;
const GZIP: u16 = 1;
/// Fragment index of a file without a fragment.
const NO_FRAGMENT: u32 = u32::MAX;
/// Flag in the length of an uncompressed data block.
const UNCOMPRESSED_DATA: u32 = 1 << 24;
/// Flag in the length of an uncompressed metadata block.
const UNCOMPRESSED_METADATA: u16 = 1 << 15;

/// Checks that the source starts with a squashfs superblock and is not truncated.
pub(super) fn check_superblock(source: &mut dyn ImageSource, end: u64) -> Result<()> {
    Squashfs::open(source, end).map(drop)
}

/// Finds a file in the root directory by name.
pub(super) fn find(source: &mut dyn ImageSource, end: u64, name: &str) -> Result<FileLookup> {
    let mut squashfs = Squashfs::open(source, end)?;
    if squashfs.compression != GZIP {
        return Ok(FileLookup::Unreadable);
    }
    let root = squashfs.root;
    let directory = squashfs.directory(root)?;
    match find_inode(&directory, name)? {
        Some(inode) => squashfs.file(inode).map(FileLookup::File),
        None => Err(ImageError::damaged(format!(
            "its squashfs contains no {name}"
        ))),
    }
}

struct Squashfs<'a> {
    buffered: BufferedSource<'a>,
    block_bytes: usize,
    compression: u16,
    root: InodeRef,
    inodes: u64,
    directories: u64,
    fragments: u64,
}

/// Position in a metadata table: offset of the block from the start of the table, and offset in the decompressed
/// block.
#[derive(Debug, Clone, Copy)]
struct InodeRef {
    block: u64,
    offset: usize,
}

impl<'a> Squashfs<'a> {
    fn open(source: &'a mut dyn ImageSource, end: u64) -> Result<Self> {
        let mut buffered = BufferedSource::new(source, end);
        let head: [u8; SUPERBLOCK_BYTES as usize] = buffered.array(0)?;
        let head = LittleEndian(&head);
        let (major, used) = (head.u16(28)?, head.u64(40)?);
        if &head.0[..4] != b"hsqs" || major != 4 {
            return Err(ImageError::damaged("its content is not a squashfs 4.0"));
        }
        if used > end {
            return Err(ImageError::damaged("its squashfs is truncated"));
        }
        let (block_bytes, root) = (head.u32(12)? as usize, head.u64(32)?);
        if !(4096..=MAX_BLOCK_BYTES).contains(&block_bytes) {
            return Err(damaged());
        }
        Ok(Self {
            block_bytes,
            compression: head.u16(20)?,
            root: InodeRef {
                block: root >> 16,
                offset: (root & 0xffff) as usize,
            },
            inodes: head.u64(64)?,
            directories: head.u64(72)?,
            fragments: head.u64(80)?,
            buffered,
        })
    }

    /// Reads the listing of a directory.
    fn directory(&mut self, inode: InodeRef) -> Result<Vec<u8>> {
        let bytes = self.metadata(self.inodes, inode, 40)?;
        let fields = LittleEndian(&bytes);
        let (block, offset, length) = match fields.u16(0)? {
            1 => (fields.u32(16)?, fields.u16(26)?, u32::from(fields.u16(24)?)),
            8 => (fields.u32(24)?, fields.u16(34)?, fields.u32(20)?),
            _ => return Err(damaged()),
        };
        // The length includes three bytes for `.` and `..`, which are not stored.
        let length = (length as usize).saturating_sub(3);
        if length > MAX_DIRECTORY_BYTES {
            return Err(ImageError::damaged(
                "the root directory of its squashfs is too large",
            ));
        }
        let start = InodeRef {
            block: u64::from(block),
            offset: usize::from(offset),
        };
        let listing = self.metadata(self.directories, start, length)?;
        if listing.len() < length {
            return Err(damaged());
        }
        Ok(listing)
    }

    /// Reads a file of at most [`MAX_DESCRIPTION_BYTES`].
    fn file(&mut self, inode: InodeRef) -> Result<Vec<u8>> {
        let head = LittleEndian(&self.metadata(self.inodes, inode, 56)?).file()?;
        if head.size > MAX_DESCRIPTION_BYTES as u64 {
            let message = format!("its manifest is larger than {MAX_DESCRIPTION_BYTES} bytes");
            return Err(ImageError::damaged(message));
        }
        let size = head.size as usize;
        let has_tail = head.fragment != NO_FRAGMENT;
        let blocks = if has_tail {
            size / self.block_bytes
        } else {
            size.div_ceil(self.block_bytes)
        };
        let inode = self.metadata(self.inodes, inode, head.bytes + 4 * blocks)?;
        let mut at = head.start;
        let mut content = Vec::new();
        for block in 0..blocks {
            let word = LittleEndian(&inode).u32(head.bytes + 4 * block)?;
            let block_size = (size - content.len()).min(self.block_bytes);
            let (bytes, length) = self.data(at, word, block_size)?;
            content.extend(bytes.get(..block_size).ok_or_else(damaged)?);
            at = at.checked_add(length).ok_or_else(damaged)?;
        }
        if has_tail {
            let tail = self.fragment(head.fragment)?;
            let tail_size = size - content.len();
            let tail = tail
                .get(head.offset..)
                .and_then(|tail| tail.get(..tail_size));
            content.extend(tail.ok_or_else(damaged)?);
        }
        Ok(content)
    }

    /// Reads the block that contains a fragment.
    fn fragment(&mut self, index: u32) -> Result<Vec<u8>> {
        let (block, offset) = (u64::from(index) / 512, (index % 512) as usize * 16);
        let at = self.fragments.checked_add(8 * block).ok_or_else(damaged)?;
        let table = u64::from_le_bytes(self.buffered.array(at)?);
        let entry = self.metadata(table, InodeRef { block: 0, offset }, 12)?;
        let (start, word) = (LittleEndian(&entry).u64(0)?, LittleEndian(&entry).u32(8)?);
        Ok(self.data(start, word, self.block_bytes)?.0)
    }

    /// Reads a data block; also returns its stored size. `sparse` is the size of a block that is not stored.
    fn data(&mut self, at: u64, word: u32, sparse: usize) -> Result<(Vec<u8>, u64)> {
        let length = word & (UNCOMPRESSED_DATA - 1);
        if length == 0 {
            return Ok((vec![0; sparse], 0));
        }
        if length as usize > self.block_bytes {
            return Err(damaged());
        }
        let stored = self.buffered.bytes(at, length as usize)?;
        let bytes = if word & UNCOMPRESSED_DATA == 0 {
            inflate(stored, self.block_bytes)?
        } else {
            stored.to_vec()
        };
        Ok((bytes, u64::from(length)))
    }

    /// Reads up to `count` bytes of metadata; fewer at the end of the image.
    fn metadata(&mut self, table: u64, start: InodeRef, count: usize) -> Result<Vec<u8>> {
        let mut at = table.checked_add(start.block).ok_or_else(damaged)?;
        let mut skip = start.offset;
        let mut metadata = Vec::new();
        // All blocks but the last are full.
        for _ in 0..count / METADATA_BLOCK_BYTES + 2 {
            let is_past = !metadata.is_empty() && at.saturating_add(2) > self.buffered.end();
            if metadata.len() >= count || is_past {
                break;
            }
            let word = u16::from_le_bytes(self.buffered.array(at)?);
            let length = usize::from(word & (UNCOMPRESSED_METADATA - 1));
            if !(1..=METADATA_BLOCK_BYTES).contains(&length) {
                // Other data follows the last block.
                if metadata.is_empty() {
                    return Err(damaged());
                }
                break;
            }
            let stored = self.buffered.bytes(at + 2, length)?;
            let bytes = if word & UNCOMPRESSED_METADATA == 0 {
                inflate(stored, METADATA_BLOCK_BYTES)?
            } else {
                stored.to_vec()
            };
            metadata.extend(bytes.get(skip..).ok_or_else(damaged)?);
            skip = 0;
            at += 2 + length as u64;
        }
        metadata.truncate(count);
        Ok(metadata)
    }
}

/// Finds the inode of a name in a directory listing.
fn find_inode(listing: &[u8], name: &str) -> Result<Option<InodeRef>> {
    let fields = LittleEndian(listing);
    let mut at = 0;
    while at < listing.len() {
        let (count, block) = (fields.u32(at)?, fields.u32(at + 4)?);
        at += 12;
        // The stored count is one less than the number of entries, at most 256.
        if count >= 256 {
            return Err(damaged());
        }
        for _ in 0..=count {
            let (offset, length) = (fields.u16(at)?, usize::from(fields.u16(at + 6)?) + 1);
            let entry_name = listing.get(at + 8..at + 8 + length).ok_or_else(damaged)?;
            if entry_name == name.as_bytes() {
                let (block, offset) = (u64::from(block), usize::from(offset));
                return Ok(Some(InodeRef { block, offset }));
            }
            at += 8 + length;
        }
    }
    Ok(None)
}

/// Little-endian fields by offset.
struct LittleEndian<'a>(&'a [u8]);

/// Fields of a file's inode.
struct FileInode {
    start: u64,
    size: u64,
    fragment: u32,
    /// Offset of the content in the fragment's block.
    offset: usize,
    /// Size of the inode without its block list.
    bytes: usize,
}

impl LittleEndian<'_> {
    fn u16(&self, at: usize) -> Result<u16> {
        self.array(at).map(u16::from_le_bytes)
    }

    fn u32(&self, at: usize) -> Result<u32> {
        self.array(at).map(u32::from_le_bytes)
    }

    fn u64(&self, at: usize) -> Result<u64> {
        self.array(at).map(u64::from_le_bytes)
    }

    fn array<const COUNT: usize>(&self, at: usize) -> Result<[u8; COUNT]> {
        let bytes = self.0.get(at..).and_then(|rest| rest.first_chunk());
        bytes.copied().ok_or_else(damaged)
    }

    fn file(&self) -> Result<FileInode> {
        match self.u16(0)? {
            2 => Ok(FileInode {
                start: u64::from(self.u32(16)?),
                fragment: self.u32(20)?,
                offset: self.u32(24)? as usize,
                size: u64::from(self.u32(28)?),
                bytes: 32,
            }),
            9 => Ok(FileInode {
                start: self.u64(16)?,
                size: self.u64(24)?,
                fragment: self.u32(44)?,
                offset: self.u32(48)? as usize,
                bytes: 56,
            }),
            _ => Err(ImageError::damaged("its manifest is not a regular file")),
        }
    }
}

/// Decompresses a block of at most `limit` bytes.
fn inflate(bytes: &[u8], limit: usize) -> Result<Vec<u8>> {
    let mut inflate = Vec::new();
    let mut reader = ZlibDecoder::new(bytes).take(limit as u64 + 1);
    reader.read_to_end(&mut inflate).map_err(|_| damaged())?;
    if inflate.len() > limit {
        return Err(damaged());
    }
    Ok(inflate)
}

fn damaged() -> ImageError {
    ImageError::damaged("its squashfs is damaged")
}
