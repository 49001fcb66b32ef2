use sha2::{Digest as _, Sha256};

use crate::ports::Entropy;

/// Generates a secret: 32 random bytes in hexadecimal digits, after a prefix that names its purpose.
pub(crate) fn generate_secret(entropy: &dyn Entropy, prefix: &str) -> String {
    let mut bytes = [0; 32];
    entropy.fill(&mut bytes);
    format!("{prefix}{}", hex::encode(bytes))
}

/// The sha256 of a key or token, under which it is stored. Secrets are random, so they need no salt.
pub fn fingerprint(secret: &str) -> [u8; 32] {
    Sha256::digest(secret).into()
}
