//! `.raucb`: a squashfs, behind it a signature (CMS), behind that the signature's length in eight bytes.
//!
//! The manifest is a file in the squashfs (format `plain`) or what the signature signs (formats `verity` and `crypt`).

mod ber;
mod manifest;
mod squashfs;

pub use manifest::{BundleFormat, Manifest};

use self::{ber::SignedContent, squashfs::FileLookup};
use crate::{
    ImageSource,
    error::{ImageError, Result},
    source::BufferedSource,
};

const LENGTH_BYTES: u64 = 8;
/// Longest signature, in bytes. It holds the manifest and the certificates up to a root.
const MAX_SIGNATURE_BYTES: u64 = 1 << 20;

/// A bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// None where nobody but the device can read it: the signature is encrypted, or the squashfs compressed in a way
    /// that is not known here.
    pub manifest: Option<Manifest>,
}

/// Reads the manifest of a bundle.
pub(crate) fn read(source: &mut dyn ImageSource) -> Result<Bundle> {
    let size = source.size();
    let Some(signature_end) = size.checked_sub(LENGTH_BYTES) else {
        return Err(ImageError::damaged("it is too short for a RAUC bundle"));
    };
    let mut buffered = BufferedSource::new(source, size);
    let length = u64::from_be_bytes(buffered.array(signature_end)?);
    let start = signature_end.checked_sub(length);
    let Some(start) = start.filter(|_| (1..=MAX_SIGNATURE_BYTES).contains(&length)) else {
        let message = "its last eight bytes are not the length of a signature: it is no RAUC bundle, or cut off";
        return Err(ImageError::damaged(message));
    };
    let manifest = match ber::read_signed_content(buffered.bytes(start, length as usize)?)? {
        SignedContent::Content(text) => {
            let manifest = manifest::read(&text)?;
            match manifest.format {
                BundleFormat::Crypt => {}
                BundleFormat::Verity => squashfs::check_superblock(source, start)?,
                BundleFormat::Plain => {
                    let message =
                        "its manifest is in the signature but says that the format is plain";
                    return Err(ImageError::damaged(message));
                }
            }
            Some(manifest)
        }
        SignedContent::Detached => match squashfs::find(source, start, "manifest.raucm")? {
            FileLookup::File(text) => Some(plain(manifest::read(&text)?)?),
            FileLookup::Unreadable => None,
        },
        SignedContent::Encrypted => None,
    };
    Ok(Bundle { manifest })
}

fn plain(manifest: Manifest) -> Result<Manifest> {
    match manifest.format {
        BundleFormat::Plain => Ok(manifest),
        BundleFormat::Verity | BundleFormat::Crypt => {
            let message =
                "its manifest is in the squashfs but says that the format is verity or crypt";
            Err(ImageError::damaged(message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fuzz_raucb() {
        bolero::check!(name = "raucb").for_each(|bytes: &[u8]| {
            let mut source = bytes;
            if let Err(ImageError::Io(error)) = read(&mut source) {
                panic!("it reads past the end: {error}");
            }
        });
    }
}
