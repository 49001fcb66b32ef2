//! `.raucb`: a squashfs, a CMS signature and the signature's length in eight bytes.
//!
//! The manifest is a file in the squashfs (format `plain`) or the signed content (formats `verity` and `crypt`).

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
/// Maximum size of the signature, in bytes. It includes the manifest and the certificate chain.
const MAX_SIGNATURE_BYTES: u64 = 1 << 20;

/// Metadata of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// The manifest; `None` if it is encrypted or in a squashfs with an unsupported compression.
    pub manifest: Option<Manifest>,
}

/// Reads the manifest of a bundle.
pub(crate) fn read(source: &mut dyn ImageSource) -> Result<Bundle> {
    let size = source.size();
    let Some(signature_end) = size.checked_sub(LENGTH_BYTES) else {
        return Err(ImageError::damaged("too short for a RAUC bundle"));
    };
    let mut buffered = BufferedSource::new(source, size);
    let length = u64::from_be_bytes(buffered.array(signature_end)?);
    let start = signature_end.checked_sub(length);
    let Some(start) = start.filter(|_| (1..=MAX_SIGNATURE_BYTES).contains(&length)) else {
        let message = "its last eight bytes are not the length of a signature: not a RAUC bundle, or truncated";
        return Err(ImageError::damaged(message));
    };
    let manifest = match ber::read_signed_content(buffered.bytes(start, length as usize)?)? {
        SignedContent::Content(text) => {
            let manifest = manifest::read(&text)?;
            match manifest.format {
                BundleFormat::Crypt => {}
                BundleFormat::Verity => squashfs::check_superblock(source, start)?,
                BundleFormat::Plain => {
                    let message = "its manifest is signed but declares the format plain";
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
            let message = "its manifest is in the squashfs but declares the format verity or crypt";
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
                panic!("read past the end: {error}");
            }
        });
    }
}
