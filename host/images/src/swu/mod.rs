//! `.swu`: a cpio archive whose first file, `sw-description`, describes the others.

mod cpio;
mod description;
mod libconfig;
mod sections;

pub use description::SwDescription;

use self::cpio::Archive;
use crate::{
    ImageSource, MAX_DESCRIPTION_BYTES,
    error::{ImageError, Result},
};

const DESCRIPTION: &str = "sw-description";
/// Maximum files of an archive.
const MAX_ENTRIES: usize = 4096;

/// Reads the description and checks the headers of all other files.
pub(crate) fn read(source: &mut dyn ImageSource) -> Result<SwDescription> {
    let mut archive = Archive::new(source);
    let description = match archive.next()? {
        Some(first) if first.name == DESCRIPTION => {
            if first.size as usize > MAX_DESCRIPTION_BYTES {
                let message =
                    format!("its {DESCRIPTION} is larger than {MAX_DESCRIPTION_BYTES} bytes");
                return Err(ImageError::damaged(message));
            }
            description::read(archive.content(&first)?)?
        }
        Some(first) => {
            let message = format!(
                "its first file is {:?} instead of {DESCRIPTION}",
                first.name
            );
            return Err(ImageError::damaged(message));
        }
        None => return Err(ImageError::damaged("it contains no file")),
    };
    let mut count = 1;
    while let Some(entry) = archive.next()? {
        count += 1;
        if count > MAX_ENTRIES {
            let message = format!("it contains more than {MAX_ENTRIES} files");
            return Err(ImageError::damaged(message));
        }
        if entry.name == DESCRIPTION {
            return Err(ImageError::damaged(format!(
                "it contains {DESCRIPTION} twice"
            )));
        }
    }
    Ok(description)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{
        cpio::tests::{CpioFormat, archive},
        *,
    };

    const TEXT: &str = "software = { version = \"1.2.0\"; };";

    fn reason(image: &[u8]) -> String {
        let mut source = image;
        read(&mut source).expect_err("a damaged image").to_string()
    }

    #[test]
    fn both_cpio_formats_are_read() {
        for format in [CpioFormat::Newc, CpioFormat::Crc] {
            let image = archive(
                format,
                &[
                    (DESCRIPTION, TEXT.as_bytes()),
                    ("rootfs.img", &vec![7; 100_001]),
                ],
            );
            let mut source = &image[..];
            let description = read(&mut source).expect("a valid image");
            assert_eq!(description.version, "1.2.0");
        }
    }

    #[test]
    fn errors_name_the_cause() {
        let good = |files: &[(&str, &[u8])]| archive(CpioFormat::Newc, files);
        let description = (DESCRIPTION, TEXT.as_bytes());
        for (image, expected) in [
            (good(&[]), "contains no file"),
            (
                good(&[("rootfs.img", b"x"), description]),
                "its first file is",
            ),
            (good(&[description, description]), "sw-description twice"),
            (
                good(&[description, ("../../etc/passwd", b"x")]),
                "leads out of the archive",
            ),
            (
                good(&[description, ("a/../../b", b"x")]),
                "leads out of the archive",
            ),
            (
                good(&[description, ("/etc/passwd", b"x")]),
                "leads out of the archive",
            ),
            (good(&[description, ("", b"x")]), "is empty"),
            (
                good(&[(DESCRIPTION, &vec![b' '; MAX_DESCRIPTION_BYTES + 1])]),
                "is larger than",
            ),
            (good(&[(DESCRIPTION, b"\x90\x90")]), "is not UTF-8"),
            (b"not a cpio".to_vec(), "truncated"),
            (vec![b'x'; 500], "no cpio header"),
            (Vec::new(), "truncated"),
        ] {
            let reason = reason(&image);
            assert!(reason.contains(expected), "{reason}");
        }
    }

    #[test]
    fn truncation_is_detected_at_any_byte() {
        let whole = archive(
            CpioFormat::Crc,
            &[(DESCRIPTION, TEXT.as_bytes()), ("rootfs.img", &[7; 1000])],
        );
        let end = whole.len() - 512;
        for length in 0..end - 200 {
            let mut source = &whole[..length];
            assert!(read(&mut source).is_err(), "{length} of {}", whole.len());
        }
    }

    #[test]
    fn wrong_checksums_are_detected() {
        let mut image = archive(CpioFormat::Crc, &[(DESCRIPTION, TEXT.as_bytes())]);
        let at = image
            .windows(5)
            .position(|part| part == b"1.2.0")
            .expect("a version");
        image[at] = b'3';
        assert!(reason(&image).contains("checksum"), "{}", reason(&image));
    }

    #[test]
    fn too_many_files_are_refused() {
        let names: Vec<String> = (0..=MAX_ENTRIES).map(|n| n.to_string()).collect();
        let mut files = vec![(DESCRIPTION, TEXT.as_bytes())];
        files.extend(names.iter().map(|name| (name.as_str(), &b""[..])));
        assert!(reason(&archive(CpioFormat::Newc, &files)).contains("more than 4096"));
    }

    #[test]
    fn fuzz_swu() {
        bolero::check!(name = "swu").for_each(|bytes: &[u8]| {
            let mut source = bytes;
            if let Err(ImageError::Io(error)) = read(&mut source) {
                panic!("read past the end: {error}");
            }
        });
    }
}
