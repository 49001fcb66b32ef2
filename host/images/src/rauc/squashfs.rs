//! One file in the root of a squashfs 4.0, found without reading more than the way to it.
//!
//! The superblock names the root's inode; the inode says where its directory stands, the directory where the file's
//! inode stands, and that where its bytes are: in a block of its own, or in a fragment that it shares. Inodes and
//! directories stand in blocks of metadata, 8 KiB each before they were compressed.

use std::io::Read as _;

use flate2::read::ZlibDecoder;

use crate::{
    ImageSource, MAX_DESCRIPTION_BYTES,
    error::{ImageError, Result},
    source::BufferedSource,
};

/// What became of a search.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FileLookup {
    /// The file's bytes.
    File(Vec<u8>),
    /// It is compressed in another way than gzip's.
    Unreadable,
}

const SUPERBLOCK_BYTES: u64 = 96;
const METADATA_BLOCK_BYTES: usize = 8 << 10;
/// Longest directory that is searched, in bytes.
const MAX_DIRECTORY_BYTES: usize = 1 << 20;
/// Largest block that a squashfs may have.
const MAX_BLOCK_BYTES: usize = 1 << 20;
const GZIP: u16 = 1;
/// A file without a fragment has this number of one.
const NO_FRAGMENT: u32 = u32::MAX;
/// Marks the length of a block of data that is not compressed.
const UNCOMPRESSED_DATA: u32 = 1 << 24;
/// The same for metadata.
const UNCOMPRESSED_METADATA: u16 = 1 << 15;

/// Whether the source, up to this byte, begins as a squashfs does and is not cut off.
pub(super) fn check_superblock(source: &mut dyn ImageSource, end: u64) -> Result<()> {
    Squashfs::open(source, end).map(drop)
}

/// Finds a file by its name in the root.
pub(super) fn find(source: &mut dyn ImageSource, end: u64, name: &str) -> Result<FileLookup> {
    let mut squashfs = Squashfs::open(source, end)?;
    if squashfs.compression != GZIP {
        return Ok(FileLookup::Unreadable);
    }
    let root = squashfs.root;
    let directory = squashfs.directory(root)?;
    match find_inode(&directory, name)? {
        Some(inode) => squashfs.file(inode).map(FileLookup::File),
        None => Err(ImageError::damaged(format!("there is no {name} in it"))),
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

/// A byte of metadata: where its block starts behind the start of the table, and how far it is into what that block
/// holds.
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
            return Err(ImageError::damaged("its content is no squashfs 4.0"));
        }
        if used > end {
            return Err(ImageError::damaged("its squashfs is cut off"));
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

    /// The listing of a directory.
    fn directory(&mut self, inode: InodeRef) -> Result<Vec<u8>> {
        let bytes = self.metadata(self.inodes, inode, 40)?;
        let fields = LittleEndian(&bytes);
        let (block, offset, length) = match fields.u16(0)? {
            1 => (fields.u32(16)?, fields.u16(26)?, u32::from(fields.u16(24)?)),
            8 => (fields.u32(24)?, fields.u16(34)?, fields.u32(20)?),
            _ => return Err(damaged()),
        };
        // Three bytes are counted for `.` and `..`, which are not there.
        let length = (length as usize).saturating_sub(3);
        if length > MAX_DIRECTORY_BYTES {
            return Err(ImageError::damaged(
                "there are too many files in its squashfs",
            ));
        }
        let find_inode = InodeRef {
            block: u64::from(block),
            offset: usize::from(offset),
        };
        let listing = self.metadata(self.directories, find_inode, length)?;
        if listing.len() < length {
            return Err(damaged());
        }
        Ok(listing)
    }

    /// The bytes of a file, which may not be large.
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
            let wanted = (size - content.len()).min(self.block_bytes);
            let (bytes, length) = self.data(at, word, wanted)?;
            content.extend(bytes.get(..wanted).ok_or_else(damaged)?);
            at = at.checked_add(length).ok_or_else(damaged)?;
        }
        if has_tail {
            let tail = self.fragment(head.fragment)?;
            let wanted = size - content.len();
            let tail = tail.get(head.offset..).and_then(|tail| tail.get(..wanted));
            content.extend(tail.ok_or_else(damaged)?);
        }
        Ok(content)
    }

    /// The block that this fragment shares with others.
    fn fragment(&mut self, index: u32) -> Result<Vec<u8>> {
        let (block, offset) = (u64::from(index) / 512, (index % 512) as usize * 16);
        let at = self.fragments.checked_add(8 * block).ok_or_else(damaged)?;
        let table = u64::from_le_bytes(self.buffered.array(at)?);
        let entry = self.metadata(table, InodeRef { block: 0, offset }, 12)?;
        let (start, word) = (LittleEndian(&entry).u64(0)?, LittleEndian(&entry).u32(8)?);
        Ok(self.data(start, word, self.block_bytes)?.0)
    }

    /// A block of data, and how many bytes it takes where it stands.
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

    /// Up to so many bytes of metadata; fewer where the image ends before.
    fn metadata(&mut self, table: u64, find_inode: InodeRef, count: usize) -> Result<Vec<u8>> {
        let mut at = table.checked_add(find_inode.block).ok_or_else(damaged)?;
        let mut skip = find_inode.offset;
        let mut found = Vec::new();
        // Every block but the last is full.
        for _ in 0..count / METADATA_BLOCK_BYTES + 2 {
            let is_past = !found.is_empty() && at.saturating_add(2) > self.buffered.end();
            if found.len() >= count || is_past {
                break;
            }
            let word = u16::from_le_bytes(self.buffered.array(at)?);
            let length = usize::from(word & (UNCOMPRESSED_METADATA - 1));
            if !(1..=METADATA_BLOCK_BYTES).contains(&length) {
                // Behind the last block something else begins.
                if found.is_empty() {
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
            found.extend(bytes.get(skip..).ok_or_else(damaged)?);
            skip = 0;
            at += 2 + length as u64;
        }
        found.truncate(count);
        Ok(found)
    }
}

/// Where the inode of this name stands, by a directory's listing.
fn find_inode(listing: &[u8], name: &str) -> Result<Option<InodeRef>> {
    let fields = LittleEndian(listing);
    let mut at = 0;
    while at < listing.len() {
        let (count, block) = (fields.u32(at)?, fields.u32(at + 4)?);
        at += 12;
        // One less than there are, and never more than 256.
        if count >= 256 {
            return Err(damaged());
        }
        for _ in 0..=count {
            let (offset, length) = (fields.u16(at)?, usize::from(fields.u16(at + 6)?) + 1);
            let found = listing.get(at + 8..at + 8 + length).ok_or_else(damaged)?;
            if found == name.as_bytes() {
                let (block, offset) = (u64::from(block), usize::from(offset));
                return Ok(Some(InodeRef { block, offset }));
            }
            at += 8 + length;
        }
    }
    Ok(None)
}

/// Numbers, the least byte first, at their places.
struct LittleEndian<'a>(&'a [u8]);

/// What a file's inode says.
struct FileInode {
    start: u64,
    size: u64,
    fragment: u32,
    /// Of its bytes in the fragment.
    offset: usize,
    /// Of the inode before the list of its blocks.
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
            _ => Err(ImageError::damaged("its manifest is no file")),
        }
    }
}

/// Inflates a block that is not larger than this.
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
