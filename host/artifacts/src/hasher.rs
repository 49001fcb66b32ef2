use md5::Md5;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use tidegate_core::firmware::Hashes;

/// Computes all hashes of a file in one pass.
#[derive(Default)]
pub(crate) struct FileHasher {
    sha1: Sha1,
    md5: Md5,
    sha256: Sha256,
}

impl FileHasher {
    pub(crate) fn with(mut self, bytes: &[u8]) -> Self {
        self.sha1.update(bytes);
        self.md5.update(bytes);
        self.sha256.update(bytes);
        self
    }

    pub(crate) fn finish(self) -> Hashes {
        Hashes {
            sha1: self.sha1.finalize().into(),
            md5: self.md5.finalize().into(),
            sha256: self.sha256.finalize().into(),
        }
    }
}
