use ring::{
    aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, Salt},
};

use crate::{Error, Result, ports::Ticket};

/// Seals an answer, so that only whoever has the client's key can read it.
pub(super) fn seal(client_key: &str, ticket: Ticket, mut answer: Vec<u8>) -> Result<Vec<u8>> {
    let key = key(client_key, ticket)?;
    key.seal_in_place_append_tag(nonce(), Aad::from(ticket.digest), &mut answer)
        .map_err(|error| Error::internal("seal an answer", error.to_string()))?;
    Ok(answer)
}

/// Opens it again.
pub(super) fn open(client_key: &str, ticket: Ticket, mut sealed: Vec<u8>) -> Result<Vec<u8>> {
    let key = key(client_key, ticket)?;
    let opened = key
        .open_in_place(nonce(), Aad::from(ticket.digest), &mut sealed)
        .map_err(|error| Error::internal("open a kept answer", error.to_string()))?;
    let length = opened.len();
    sealed.truncate(length);
    Ok(sealed)
}

fn key(client_key: &str, ticket: Ticket) -> Result<LessSafeKey> {
    let salt = Salt::new(HKDF_SHA256, &ticket.salt);
    let derived = salt.extract(client_key.as_bytes());
    let derived = derived
        .expand(&[b"tidegate answer"], &CHACHA20_POLY1305)
        .map_err(|error| Error::internal("derive the key of an answer", error.to_string()))?;
    Ok(LessSafeKey::new(UnboundKey::from(derived)))
}

/// A key seals one answer, for every reservation has a salt of its own: no nonce is needed to tell answers apart.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICKET: Ticket = Ticket {
        digest: [1; 32],
        salt: [2; 16],
    };

    #[test]
    fn only_the_clients_key_opens_it() {
        let answer = b"the token is tgw_secret".to_vec();
        let sealed = seal("key", TICKET, answer.clone()).expect("it is sealed");
        let contains = |part: &[u8]| sealed.windows(part.len()).any(|found| found == part);
        assert!(!contains(b"tgw_") && !contains(b"token"));
        assert_eq!(
            open("key", TICKET, sealed.clone()).expect("it opens"),
            answer
        );
        let mut broken = sealed.clone();
        broken[3] ^= 1;
        for (key, ticket, sealed) in [
            ("Key", TICKET, &sealed),
            (
                "key",
                Ticket {
                    digest: [7; 32],
                    ..TICKET
                },
                &sealed,
            ),
            (
                "key",
                Ticket {
                    salt: [7; 16],
                    ..TICKET
                },
                &sealed,
            ),
            ("key", TICKET, &broken),
            ("key", TICKET, &Vec::new()),
        ] {
            assert!(open(key, ticket, sealed.clone()).is_err());
        }
    }
}
