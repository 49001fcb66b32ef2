//! Images made by `cpio` and `rauc`, see `fixtures/make.sh`.

use std::path::Path;

use tidegate_images::{
    Bundle, BundleFormat, Image, ImageError, ImageFormat, Manifest, SwDescription, read,
};

fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn image(name: &str, bytes: &[u8]) -> Result<Image, ImageError> {
    let mut source = bytes;
    read(
        ImageFormat::from_filename(name).expect("an image"),
        &mut source,
    )
}

const IMAGES: [&str; 8] = [
    "newc.swu",
    "crc.swu",
    "plain.raucb",
    "plain-no-fragments.raucb",
    "plain-xz.raucb",
    "verity.raucb",
    "crypt.raucb",
    "encrypted.raucb",
];

#[test]
fn swupdate_images_are_read() {
    for name in ["newc.swu", "crc.swu"] {
        let expected = SwDescription {
            version: "1.4.0".to_owned(),
            description: Some("First of May".to_owned()),
            hardware: vec!["1.0".to_owned(), "1.2".to_owned()],
            ..SwDescription::default()
        };
        let found = image(name, &fixture(name)).expect(name);
        assert_eq!(found, Image::Swu(expected), "{name}");
    }
}

#[test]
fn rauc_bundles_are_read() {
    for (name, format) in [
        ("plain.raucb", Some(BundleFormat::Plain)),
        ("plain-no-fragments.raucb", Some(BundleFormat::Plain)),
        ("verity.raucb", Some(BundleFormat::Verity)),
        ("crypt.raucb", Some(BundleFormat::Crypt)),
        // Encrypted, or compressed with xz.
        ("encrypted.raucb", None),
        ("plain-xz.raucb", None),
    ] {
        let manifest = format.map(|format| Manifest {
            compatible: "Tide Dock".to_owned(),
            version: Some("1.4.0".to_owned()),
            description: Some("First of May".to_owned()),
            build: Some("20260501".to_owned()),
            format,
        });
        let found = image(name, &fixture(name)).expect(name);
        assert_eq!(found, Image::Rauc(Bundle { manifest }), "{name}");
    }
}

#[test]
fn truncated_bundles_are_refused() {
    for name in IMAGES.into_iter().filter(|name| name.ends_with("raucb")) {
        let whole = fixture(name);
        for length in (0..whole.len()).step_by(7).chain([whole.len() - 1]) {
            assert!(
                image(name, &whole[..length]).is_err(),
                "{length} bytes of {name}"
            );
        }
        // Truncated at the start.
        assert!(
            image(name, &whole[4096..]).is_err() || name.starts_with(['c', 'e']),
            "{name}"
        );
    }
}

/// With any byte corrupted the result is metadata or an error, never a read out of bounds.
#[test]
fn corrupted_bytes_never_read_out_of_bounds() {
    for name in IMAGES {
        let mut bytes = fixture(name);
        for at in (0..bytes.len()).step_by(3) {
            let was = bytes[at];
            for other in [0xff, was ^ 0x80] {
                bytes[at] = other;
                if let Err(ImageError::Io(error)) = image(name, &bytes) {
                    panic!("{name}, byte {at}: {error}");
                }
            }
            bytes[at] = was;
        }
    }
}
