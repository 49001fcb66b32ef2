//! Bearer tokens: JWTs that this server signs and verifies itself (HS256).

mod hs256;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use tidegate_core::{Named as _, time::Timestamp};
use tidegate_engine::Role;

/// Signs and verifies tokens.
pub(crate) struct Tokens {
    signing_key: EncodingKey,
    verifying_key: DecodingKey,
    validation: Validation,
    is_dev: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenIdentity {
    /// The tenant's name, in upper case.
    pub(crate) tenant: String,
    pub(crate) user: String,
    pub(crate) role: Role,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    sub: String,
    tenant: String,
    role: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    /// Seconds since 1970, like all times in a JWT.
    iat: i64,
    exp: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<i64>,
    /// Issued by the dev token operation; rejected unless the server runs in development mode.
    #[serde(default)]
    dev: bool,
}

impl Tokens {
    pub(crate) fn new(secret: &[u8], is_dev: bool) -> Self {
        hs256::install();
        let mut validation = Validation::new(Algorithm::HS256);
        // Times are verified below, with the caller's clock.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        Self {
            signing_key: EncodingKey::from_secret(secret),
            verifying_key: DecodingKey::from_secret(secret),
            validation,
            is_dev,
        }
    }

    /// Signs a dev token that expires at `until`.
    pub(crate) fn sign(
        &self,
        identity: &TokenIdentity,
        email: Option<String>,
        now: Timestamp,
        until: Timestamp,
    ) -> jsonwebtoken::errors::Result<String> {
        let claims = Claims {
            sub: identity.user.clone(),
            tenant: identity.tenant.clone(),
            role: identity.role.as_str().to_owned(),
            email,
            iat: now.0 / 1000,
            exp: until.0 / 1000,
            nbf: None,
            dev: true,
        };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.signing_key)
    }

    /// The identity in a token, and when the token expires; none if the signature is invalid or the token is not valid
    /// at `now`.
    pub(crate) fn verify(&self, token: &str, now: Timestamp) -> Option<(TokenIdentity, Timestamp)> {
        let claims = jsonwebtoken::decode::<Claims>(token, &self.verifying_key, &self.validation);
        let claims = claims.ok()?.claims;
        let seconds = now.0 / 1000;
        if claims.dev && !self.is_dev {
            return None;
        }
        if claims.exp <= seconds || claims.nbf.is_some_and(|from| from > seconds) {
            return None;
        }
        let identity = TokenIdentity {
            tenant: claims.tenant,
            user: claims.sub,
            role: claims.role.parse().ok()?,
        };
        Some((identity, Timestamp(claims.exp.checked_mul(1000)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"a secret of thirty-two bytes, no less";

    fn identity() -> TokenIdentity {
        TokenIdentity {
            tenant: "DEFAULT".into(),
            user: "maker".into(),
            role: Role::Operator,
        }
    }

    fn token(secret: &[u8]) -> String {
        Tokens::new(secret, true)
            .sign(&identity(), None, Timestamp(0), Timestamp(60_000))
            .expect("a token")
    }

    #[test]
    fn a_token_works_until_it_expires() {
        let tokens = Tokens::new(SECRET, true);
        let token = token(SECRET);
        assert_eq!(
            tokens.verify(&token, Timestamp(59_999)),
            Some((identity(), Timestamp(60_000)))
        );
        assert_eq!(tokens.verify(&token, Timestamp(60_000)), None);
    }

    #[test]
    fn a_dev_token_is_rejected_without_dev_mode() {
        let token = token(SECRET);
        assert_eq!(
            Tokens::new(SECRET, false).verify(&token, Timestamp(0)),
            None
        );
        let claims = serde_json::json!({
            "sub": "maker", "tenant": "DEFAULT", "role": "operator", "iat": 0, "exp": 60,
        });
        let key = EncodingKey::from_secret(SECRET);
        let signed = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key);
        let signed = signed.expect("a token");
        assert_eq!(
            Tokens::new(SECRET, false).verify(&signed, Timestamp(0)),
            Some((identity(), Timestamp(60_000)))
        );
    }

    #[test]
    fn a_foreign_or_unsigned_token_is_rejected() {
        let tokens = Tokens::new(SECRET, true);
        let good = token(SECRET);
        let unsigned = format!(
            "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{}.",
            good.split('.').nth(1).expect("a token has three parts")
        );
        for bad in [
            &*token(b"another secret of thirty-two bytes.."),
            &unsigned,
            "",
            "a.b.c",
            &good[1..],
        ] {
            assert_eq!(tokens.verify(bad, Timestamp(0)), None, "{bad}");
        }
    }
}
