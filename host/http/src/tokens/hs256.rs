//! The HMAC with SHA-256 that signs and verifies JWTs.
//!
//! `jsonwebtoken` has no implementation with ring. Its own features compile RSA and three elliptic curves for this one
//! algorithm.

use std::result;

use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, EncodingKey,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::{ErrorKind, Result},
    signature::{Error, Signer, Verifier},
};
use ring::hmac;

/// HS256 is the only algorithm. JSON Web Keys are not supported: the key is always a shared secret.
static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| {
        check(*algorithm, key.family())?;
        Ok(Box::new(Hs256::new(EncodingKey::as_bytes(key))))
    },
    verifier_factory: |algorithm, key| {
        check(*algorithm, key.family())?;
        Ok(Box::new(Hs256::new(DecodingKey::try_get_as_bytes(key)?)))
    },
    key_utils: KeyUtils::new_unimplemented(),
};

/// Sets the implementation for this process. Calls after the first one have no effect.
pub(super) fn install() {
    let _ = PROVIDER.install_default();
}

fn check(algorithm: Algorithm, key: AlgorithmFamily) -> Result<()> {
    if algorithm != Algorithm::HS256 {
        return Err(ErrorKind::InvalidAlgorithm.into());
    }
    if key != AlgorithmFamily::Hmac {
        return Err(ErrorKind::InvalidKeyFormat.into());
    }
    Ok(())
}

struct Hs256(hmac::Key);

impl Hs256 {
    fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }
}

impl Signer<Vec<u8>> for Hs256 {
    fn try_sign(&self, message: &[u8]) -> result::Result<Vec<u8>, Error> {
        Ok(hmac::sign(&self.0, message).as_ref().to_vec())
    }
}

impl Verifier<Vec<u8>> for Hs256 {
    /// Compares in constant time.
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> result::Result<(), Error> {
        hmac::verify(&self.0, message, signature).map_err(|_| Error::new())
    }
}

impl JwtSigner for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl JwtVerifier for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::crypto;

    use super::*;

    const SECRET: &[u8] = b"your-256-bit-secret";
    /// The example of <https://jwt.io>, made by another implementation.
    const MESSAGE: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ";
    const SIGNATURE: &str = "SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c";

    #[test]
    fn signatures_are_those_of_other_implementations() {
        install();
        let key = EncodingKey::from_secret(SECRET);
        let signed = crypto::sign(MESSAGE.as_bytes(), &key, Algorithm::HS256).expect("a signature");
        assert_eq!(signed, SIGNATURE);
    }

    #[test]
    fn a_signature_is_of_one_message_and_one_secret() {
        install();
        let verify = |signature: &str, message: &str, secret: &[u8]| {
            let key = DecodingKey::from_secret(secret);
            crypto::verify(signature, message.as_bytes(), &key, Algorithm::HS256).expect("a result")
        };
        assert!(verify(SIGNATURE, MESSAGE, SECRET));
        assert!(!verify(SIGNATURE, &MESSAGE[1..], SECRET));
        assert!(!verify(SIGNATURE, MESSAGE, b"your-256-bit-secreT"));
        assert!(!verify(&SIGNATURE[..40], MESSAGE, SECRET));
        assert!(!verify("", MESSAGE, SECRET));
    }

    #[test]
    fn other_algorithms_and_keys_are_rejected() {
        install();
        let secret = EncodingKey::from_secret(SECRET);
        for algorithm in [Algorithm::HS384, Algorithm::RS256, Algorithm::ES256] {
            assert!(
                crypto::sign(b"", &secret, algorithm).is_err(),
                "{algorithm:?}"
            );
        }
        let rsa = EncodingKey::from_rsa_der(SECRET);
        assert!(crypto::sign(b"", &rsa, Algorithm::HS256).is_err());
        let rsa = DecodingKey::from_rsa_der(SECRET);
        assert!(crypto::verify(SIGNATURE, MESSAGE.as_bytes(), &rsa, Algorithm::HS256).is_err());
    }
}
