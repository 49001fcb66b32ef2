//! Reads the metadata of update images: `SWUpdate`'s `.swu` and RAUC's `.raucb`.
//!
//! Signatures are not verified here: devices do so, with keys that the server does not have. An image is read through
//! an [`ImageSource`], in small parts and only where metadata is stored, so memory use does not depend on its size.
//! Every size, count and depth that an image declares is checked against a limit before it is used. For any input the
//! result is the metadata or an [`ImageError`].

mod error;
mod rauc;
mod source;
mod swu;

pub use error::ImageError;
pub use rauc::{Bundle, BundleFormat, Manifest};
pub use source::ImageSource;
pub use swu::SwDescription;

/// Maximum size of a `sw-description` or manifest, in bytes.
pub const MAX_DESCRIPTION_BYTES: usize = 1 << 20;

/// Format of an image, by file name extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageFormat {
    /// `.swu`
    Swu,
    /// `.raucb`
    Rauc,
}

/// Metadata of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Image {
    /// Metadata of a `.swu` image.
    Swu(SwDescription),
    /// Metadata of a `.raucb` bundle.
    Rauc(Bundle),
}

impl ImageFormat {
    /// The format of a file; `None`: not an update image.
    pub fn from_filename(filename: &str) -> Option<Self> {
        let (_, ending) = filename.rsplit_once('.')?;
        if ending.eq_ignore_ascii_case("swu") {
            Some(Self::Swu)
        } else if ending.eq_ignore_ascii_case("raucb") {
            Some(Self::Rauc)
        } else {
            None
        }
    }
}

/// Reads the metadata of an image.
pub fn read(kind: ImageFormat, source: &mut dyn ImageSource) -> Result<Image, ImageError> {
    match kind {
        ImageFormat::Swu => swu::read(source).map(Image::Swu),
        ImageFormat::Rauc => rauc::read(source).map(Image::Rauc),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_formats_are_detected_by_extension() {
        assert_eq!(
            ImageFormat::from_filename("edge-1.2.0.swu"),
            Some(ImageFormat::Swu)
        );
        assert_eq!(
            ImageFormat::from_filename("EDGE.RAUCB"),
            Some(ImageFormat::Rauc)
        );
        assert_eq!(ImageFormat::from_filename("edge.swu.txt"), None);
        assert_eq!(ImageFormat::from_filename("swu"), None);
    }
}
