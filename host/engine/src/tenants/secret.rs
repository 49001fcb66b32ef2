use sha2::{Digest as _, Sha256};

use crate::ports::Entropy;

/// A secret that nobody guesses: 32 random bytes in hexadecimal digits behind a prefix that says what it is for.
pub(crate) fn generate_secret(entropy: &dyn Entropy, prefix: &str) -> String {
    let mut bytes = [0; 32];
    entropy.fill(&mut bytes);
    format!("{prefix}{}", hex::encode(bytes))
}

/// What is stored of a key or token: the sha256 of its text. The secrets are random, so they need no salt.
pub fn fingerprint(secret: &str) -> [u8; 32] {
    Sha256::digest(secret).into()
}
