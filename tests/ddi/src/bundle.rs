use hex::encode;

/// A firmware that cases install.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bundle {
    /// Its name, one word.
    pub name: &'static str,
    /// `SemVer`.
    pub version: &'static str,
    /// Its modules.
    pub modules: &'static [Module],
}

/// A module of a firmware.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Module {
    /// `os` or `bApp`, as devices see it.
    pub part: &'static str,
    /// Its name.
    pub name: &'static str,
    /// `SemVer`.
    pub version: &'static str,
    /// Its files.
    pub files: &'static [File],
    /// Metadata that devices see.
    pub visible: &'static [(&'static str, &'static str)],
    /// Metadata that devices do not see.
    pub hidden: &'static [(&'static str, &'static str)],
}

/// A file of a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct File {
    /// Its name.
    pub name: &'static str,
    /// Its contents.
    pub bytes: &'static [u8],
}

/// 1000 digits, each the last digit of its offset: `0123456789012...`
const DIGITS: &[u8] = &{
    let mut bytes = [0; 1000];
    let mut at = 0;
    while at < bytes.len() {
        bytes[at] = b'0' + (at % 10) as u8;
        at += 1;
    }
    bytes
};

const OS: Module = Module {
    part: "os",
    name: "edge-os",
    version: "2.0.0",
    files: &[File {
        name: "edge-2.0.0.bin",
        bytes: DIGITS,
    }],
    visible: &[],
    hidden: &[],
};

/// One module `os` with one file. Most cases install it.
pub(crate) const SINGLE_FILE: Bundle = Bundle {
    name: "plain",
    version: "2.0.0",
    modules: &[OS],
};

/// The update after [`SINGLE_FILE`].
pub(crate) const NEXT: Bundle = Bundle {
    name: "next",
    version: "3.0.0",
    modules: &[Module {
        name: "edge-os-next",
        version: "3.0.0",
        files: &[File {
            name: "edge-3.0.0.bin",
            bytes: b"the next one",
        }],
        ..OS
    }],
};

const TWO_FILE_MODULE: Module = Module {
    part: "bApp",
    name: "pair-app",
    version: "0.3.1",
    files: &[
        File {
            name: "app one.bin",
            bytes: b"one",
        },
        File {
            name: "app+two.bin",
            bytes: b"two",
        },
    ],
    ..OS
};

/// Two modules, one of them with two files.
pub(crate) const TWO_MODULES: Bundle = Bundle {
    name: "pair",
    version: "2.0.0",
    modules: &[
        Module {
            name: "pair-os",
            ..OS
        },
        TWO_FILE_MODULE,
    ],
};

/// One module with two files of three bytes each, whose names must be percent-encoded.
pub(crate) const ENCODED_NAMES: Bundle = Bundle {
    name: "odd",
    version: "2.0.0",
    modules: &[Module {
        name: "odd-app",
        ..TWO_FILE_MODULE
    }],
};

/// One module `bApp` with one file, as Zephyr requires. Names are short because Zephyr limits the size of
/// responses.
pub(crate) const ZEPHYR_APP: Bundle = Bundle {
    name: "app",
    version: "1.1.0",
    modules: &[Module {
        part: "bApp",
        name: "app",
        version: "1.1.0",
        files: &[File {
            name: "app.bin",
            bytes: DIGITS,
        }],
        ..OS
    }],
};

/// A module with metadata.
pub(crate) const WITH_METADATA: Bundle = Bundle {
    name: "labelled",
    version: "2.0.0",
    modules: &[Module {
        name: "labelled-os",
        visible: &[("colour", "green"), ("size", "xl")],
        hidden: &[("price", "7")],
        ..OS
    }],
};

/// Two modules, one of them without files.
pub(crate) const EMPTY_MODULE: Bundle = Bundle {
    name: "bare",
    version: "2.0.0",
    modules: &[
        Module {
            name: "bare-os",
            ..OS
        },
        Module {
            part: "bApp",
            name: "bare-app",
            files: &[],
            ..OS
        },
    ],
};

/// One module with one file whose name is longer than 78 characters.
pub(crate) const LONG_NAME: Bundle = Bundle {
    name: "long",
    version: "2.0.0",
    modules: &[Module {
        name: "long-os",
        files: &[File {
            name: "a-gateway-for-cold-rooms-with-a-modem-and-two-relays-for-the-plant-in-the-north.\
                   release-2026.05.01-build-1234567.signed.bin",
            bytes: b"long",
        }],
        ..OS
    }],
};

impl File {
    pub(crate) fn md5(&self) -> String {
        use md5::Digest as _;
        encode(md5::Md5::digest(self.bytes))
    }

    pub(crate) fn sha1(&self) -> String {
        use sha1::Digest as _;
        encode(sha1::Sha1::digest(self.bytes))
    }

    pub(crate) fn sha256(&self) -> String {
        use sha2::Digest as _;
        encode(sha2::Sha256::digest(self.bytes))
    }
}
