//! Reads what update images say of themselves: `SWUpdate`'s `.swu` and RAUC's `.raucb`.
//!
//! Nobody here checks signatures: devices do, with keys that this server does not have. An image is read through a
//! [`ImageSource`], a little at a time and only where something of interest stands, so memory does not grow with it; every
//! size, count and depth that an image states is held against a limit before anything is made of it. Whatever the
//! bytes are, the answer is what they say or an [`ImageError`].

mod error;
mod rauc;
mod source;
mod swu;

pub use error::ImageError;
pub use rauc::{Bundle, BundleFormat, Manifest};
pub use source::ImageSource;
pub use swu::SwDescription;

/// Longest `sw-description` or manifest, in bytes.
pub const MAX_DESCRIPTION_BYTES: usize = 1 << 20;

/// What a file is, by the end of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageFormat {
    /// `.swu`
    Swu,
    /// `.raucb`
    Rauc,
}

/// What an image says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Image {
    /// Of `SWUpdate`.
    Swu(SwDescription),
    /// Of RAUC.
    Rauc(Bundle),
}

impl ImageFormat {
    /// None: no image that can be read.
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

/// Reads an image.
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
