use ring::{
    aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, Salt},
};

use crate::{Error, Result, ports::ReservationId};

/// Encrypts a response with a key that is derived from the client's idempotency key.
pub(super) fn encrypt(
    client_key: &str,
    reservation: ReservationId,
    mut response: Vec<u8>,
) -> Result<Vec<u8>> {
    let key = key(client_key, reservation)?;
    key.seal_in_place_append_tag(nonce(), Aad::from(reservation.digest), &mut response)
        .map_err(|error| Error::internal("encrypt response", error.to_string()))?;
    Ok(response)
}

/// Decrypts a stored response.
pub(super) fn decrypt(
    client_key: &str,
    reservation: ReservationId,
    mut encrypted: Vec<u8>,
) -> Result<Vec<u8>> {
    let key = key(client_key, reservation)?;
    let decrypted = key
        .open_in_place(nonce(), Aad::from(reservation.digest), &mut encrypted)
        .map_err(|error| Error::internal("decrypt response", error.to_string()))?;
    let length = decrypted.len();
    encrypted.truncate(length);
    Ok(encrypted)
}

fn key(client_key: &str, reservation: ReservationId) -> Result<LessSafeKey> {
    let salt = Salt::new(HKDF_SHA256, &reservation.salt);
    let derived = salt.extract(client_key.as_bytes());
    let derived = derived
        .expand(&[b"tidegate answer"], &CHACHA20_POLY1305)
        .map_err(|error| Error::internal("derive response key", error.to_string()))?;
    Ok(LessSafeKey::new(UnboundKey::from(derived)))
}

/// Every reservation has its own salt, so each derived key encrypts one response and a fixed nonce is safe.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESERVATION: ReservationId = ReservationId {
        digest: [1; 32],
        salt: [2; 16],
    };

    #[test]
    fn only_the_clients_key_decrypts_a_response() {
        let response = b"the token is tgw_secret".to_vec();
        let encrypted =
            encrypt("key", RESERVATION, response.clone()).expect("an encrypted response");
        let contains = |part: &[u8]| encrypted.windows(part.len()).any(|found| found == part);
        assert!(!contains(b"tgw_") && !contains(b"token"));
        assert_eq!(
            decrypt("key", RESERVATION, encrypted.clone()).expect("the response"),
            response
        );
        let mut broken = encrypted.clone();
        broken[3] ^= 1;
        for (key, reservation, encrypted) in [
            ("Key", RESERVATION, &encrypted),
            (
                "key",
                ReservationId {
                    digest: [7; 32],
                    ..RESERVATION
                },
                &encrypted,
            ),
            (
                "key",
                ReservationId {
                    salt: [7; 16],
                    ..RESERVATION
                },
                &encrypted,
            ),
            ("key", RESERVATION, &broken),
            ("key", RESERVATION, &Vec::new()),
        ] {
            assert!(decrypt(key, reservation, encrypted.clone()).is_err());
        }
    }
}
