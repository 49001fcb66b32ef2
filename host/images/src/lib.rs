//! Reads what update images say of themselves: `SWUpdate`'s `.swu` and RAUC's `.raucb`.
//!
//! Nobody here checks signatures: devices do, with keys that this server does not have. An image is read through a
//! [`Source`], a little at a time and only where something of interest stands, so memory does not grow with it; every
//! size, count and depth that an image states is held against a limit before anything is made of it. Whatever the
//! bytes are, the answer is what they say or an [`ImageError`].

mod error;
mod rauc;
mod source;
mod swu;

pub use error::ImageError;
pub use rauc::{Bundle, Format, Manifest};
pub use source::Source;
pub use swu::SwDescription;

/// Longest `sw-description` or manifest, in bytes.
pub const MAX_DESCRIPTION_BYTES: usize = 1 << 20;

/// What a file is, by the end of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
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

impl Kind {
    /// None: no image that can be read.
    pub fn of(filename: &str) -> Option<Self> {
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
pub fn read(kind: Kind, source: &mut dyn Source) -> Result<Image, ImageError> {
    match kind {
        Kind::Swu => swu::read(source).map(Image::Swu),
        Kind::Rauc => rauc::read(source).map(Image::Rauc),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_known_by_the_end_of_its_name() {
        assert_eq!(Kind::of("edge-1.2.0.swu"), Some(Kind::Swu));
        assert_eq!(Kind::of("EDGE.RAUCB"), Some(Kind::Rauc));
        assert_eq!(Kind::of("edge.swu.txt"), None);
        assert_eq!(Kind::of("swu"), None);
    }
}
