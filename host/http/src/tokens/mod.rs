//! Bearer tokens: JWTs that this server signs and verifies itself (HS256).

mod hs256;
mod numeric_date;
mod strict;

use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use tidegate_core::{Named as _, time::Timestamp, user_name::is_user_name};
use tidegate_engine::Role;

use numeric_date::NumericDate;
use strict::{Audience, has_critical_extensions, not_null};

/// How much the clocks of this server and of an issuer may differ.
const LEEWAY: Duration = Duration::from_mins(1);

/// Which bearer tokens are accepted, besides their signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSettings {
    /// The audience that `aud` has to contain; `None`: tokens with an `aud` are refused.
    pub audience: Option<String>,
    /// The issuer that `iss` has to be; `None`: any.
    pub issuer: Option<String>,
    /// Maximum time until a token expires.
    pub max_lifetime: Duration,
}

impl Default for TokenSettings {
    fn default() -> Self {
        Self {
            audience: None,
            issuer: None,
            max_lifetime: Duration::from_hours(30 * 24),
        }
    }
}

/// Signs and verifies tokens.
pub(crate) struct Tokens {
    signing_key: EncodingKey,
    verifying_key: DecodingKey,
    validation: Validation,
    settings: TokenSettings,
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
    iat: NumericDate,
    exp: NumericDate,
    #[serde(
        default,
        deserialize_with = "not_null",
        skip_serializing_if = "Option::is_none"
    )]
    nbf: Option<NumericDate>,
    #[serde(
        default,
        deserialize_with = "not_null",
        skip_serializing_if = "Option::is_none"
    )]
    aud: Option<Audience>,
    #[serde(
        default,
        deserialize_with = "not_null",
        skip_serializing_if = "Option::is_none"
    )]
    iss: Option<String>,
    /// Issued by the dev token operation; rejected unless the server runs in development mode.
    #[serde(default)]
    dev: bool,
}

impl Tokens {
    pub(crate) fn new(secret: &[u8], is_dev: bool, settings: &TokenSettings) -> Self {
        hs256::install();
        let mut validation = Validation::new(Algorithm::HS256);
        // Times are verified below, with the caller's clock.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        // `Validation` accepts a token without a claim that is not required, and ignores one of another type.
        if let Some(audience) = &settings.audience {
            validation.set_audience(&[audience]);
            validation.required_spec_claims.insert("aud".to_owned());
        }
        if let Some(issuer) = &settings.issuer {
            validation.set_issuer(&[issuer]);
            validation.required_spec_claims.insert("iss".to_owned());
        }
        Self {
            signing_key: EncodingKey::from_secret(secret),
            verifying_key: DecodingKey::from_secret(secret),
            validation,
            settings: settings.clone(),
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
            iat: NumericDate(now),
            exp: NumericDate(until),
            nbf: None,
            aud: self.settings.audience.clone().map(Audience::One),
            iss: self.settings.issuer.clone(),
            dev: true,
        };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.signing_key)
    }

    /// The identity in a token, and when the token expires; none if the signature is invalid or the token is not valid
    /// at `now`.
    pub(crate) fn verify(&self, token: &str, now: Timestamp) -> Option<(TokenIdentity, Timestamp)> {
        let decoded = jsonwebtoken::decode::<Claims>(token, &self.verifying_key, &self.validation);
        let claims = decoded.ok()?.claims;
        // No extension is implemented, so none that is critical (RFC 7515, section 4.1.11).
        if has_critical_extensions(token) {
            return None;
        }
        if claims.dev && !self.is_dev || !is_user_name(&claims.sub) {
            return None;
        }
        // `Validation` accepts an empty list.
        if claims.aud.is_some() && self.settings.audience.is_none() {
            return None;
        }
        let (NumericDate(expiry), latest) = (claims.exp, now.plus(LEEWAY));
        let expires_at = expiry.plus(LEEWAY);
        let is_early = claims.nbf.is_some_and(|NumericDate(from)| from > latest);
        if expires_at <= now || is_early || expiry > latest.plus(self.settings.max_lifetime) {
            return None;
        }
        let identity = TokenIdentity {
            tenant: claims.tenant,
            user: claims.sub,
            role: claims.role.parse().ok()?,
        };
        Some((identity, expires_at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"a secret of thirty-two bytes, no less";

    fn identity() -> TokenIdentity {
        TokenIdentity {
            tenant: "DEFAULT".into(),
            user: "creator".into(),
            role: Role::Operator,
        }
    }

    fn token(secret: &[u8]) -> String {
        Tokens::new(secret, true, &TokenSettings::default())
            .sign(&identity(), None, Timestamp(0), Timestamp(60_000))
            .expect("a token")
    }

    #[test]
    fn a_token_works_until_it_expires() {
        let tokens = Tokens::new(SECRET, true, &TokenSettings::default());
        let token = token(SECRET);
        // A minute of leeway.
        let valid = Some((identity(), Timestamp(120_000)));
        assert_eq!(tokens.verify(&token, Timestamp(59_999)), valid);
        assert_eq!(tokens.verify(&token, Timestamp(119_999)), valid);
        assert_eq!(tokens.verify(&token, Timestamp(120_000)), None);
    }

    #[test]
    fn a_dev_token_is_rejected_without_dev_mode() {
        let token = token(SECRET);
        assert_eq!(
            Tokens::new(SECRET, false, &TokenSettings::default()).verify(&token, Timestamp(0)),
            None
        );
        let claims = serde_json::json!({
            "sub": "creator", "tenant": "DEFAULT", "role": "operator", "iat": 0, "exp": 60,
        });
        let key = EncodingKey::from_secret(SECRET);
        let signed = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key);
        let signed = signed.expect("a token");
        assert_eq!(
            Tokens::new(SECRET, false, &TokenSettings::default()).verify(&signed, Timestamp(0)),
            Some((identity(), Timestamp(120_000)))
        );
        // It would be stored as another name, whose work its user could approve.
        let mut other = claims;
        for user in [
            "crea\0tor",
            "creator ",
            " creator",
            "creator\u{200b}",
            "creator\u{a0}",
            "cre\u{301}ator",
        ] {
            other["sub"] = user.into();
            let signed = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &other, &key);
            let signed = signed.expect("a token");
            let tokens = Tokens::new(SECRET, false, &TokenSettings::default());
            assert_eq!(tokens.verify(&signed, Timestamp(0)), None, "{user:?}");
        }
    }

    #[test]
    fn a_foreign_or_unsigned_token_is_rejected() {
        let tokens = Tokens::new(SECRET, true, &TokenSettings::default());
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

    /// Whether a token with these claims in addition, signed by another program, is accepted at second 1000.
    fn accepts(settings: &TokenSettings, header: &Header, claims: serde_json::Value) -> bool {
        let mut all = serde_json::json!({
            "sub": "creator", "tenant": "DEFAULT", "role": "operator", "iat": 1000, "exp": 1060,
        });
        if let (Some(all), serde_json::Value::Object(claims)) = (all.as_object_mut(), claims) {
            all.extend(claims);
        }
        let tokens = Tokens::new(SECRET, false, settings);
        let signed = jsonwebtoken::encode(header, &all, &tokens.signing_key).expect("a token");
        tokens.verify(&signed, Timestamp(1_000_000)).is_some()
    }

    #[test]
    fn a_token_with_a_critical_extension_is_refused() {
        let settings = TokenSettings::default();
        let header = |crit: Option<&[&str]>| Header {
            crit: crit.map(|names| names.iter().map(|&name| name.to_owned()).collect()),
            ..Header::new(Algorithm::HS256)
        };
        let none = serde_json::json!({});
        assert!(accepts(&settings, &header(None), none.clone()));
        for crit in [&["b64"][..], &["exp", "unknown"], &[]] {
            assert!(
                !accepts(&settings, &header(Some(crit)), none.clone()),
                "{crit:?}"
            );
        }
    }

    /// Whether a token with this header and these claims is accepted, by any settings.
    fn accepts_json(header: &str, claims: &str) -> bool {
        let set = TokenSettings {
            audience: Some("tidegate".to_owned()),
            issuer: Some("https://sso.example".to_owned()),
            ..TokenSettings::default()
        };
        [TokenSettings::default(), set].iter().any(|settings| {
            let tokens = Tokens::new(SECRET, false, settings);
            let [header, claims] = [header, claims].map(base64_url);
            let message = format!("{header}.{claims}");
            let key = EncodingKey::from_secret(SECRET);
            let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256);
            let token = format!("{message}.{}", signature.expect("a signature"));
            tokens.verify(&token, Timestamp(1_000_000)).is_some()
        })
    }

    /// Without padding.
    fn base64_url(text: &str) -> String {
        const DIGITS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let digits = text.as_bytes().chunks(3).flat_map(|chunk| {
            let [a, b, c] = [0, 1, 2].map(|at| u32::from(*chunk.get(at).unwrap_or(&0)));
            let bits = a << 16 | b << 8 | c;
            let digits = [18, 12, 6, 0].map(|shift| DIGITS[(bits >> shift & 63) as usize]);
            digits.into_iter().take(chunk.len() + 1)
        });
        digits.map(char::from).collect()
    }

    const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

    /// Claims that any settings accept, with one of them replaced by this JSON.
    fn claims_with(name: &str, value: &str, audience: bool) -> String {
        let mut claims = serde_json::json!({
            "sub": "maker", "tenant": "DEFAULT", "role": "operator", "iat": 1000, "nbf": 1000, "exp": 1060,
        });
        if audience {
            claims["aud"] = "tidegate".into();
            claims["iss"] = "https://sso.example".into();
        }
        claims[name] = serde_json::from_str(value).expect("JSON");
        claims.to_string()
    }

    #[test]
    fn malformed_claims_are_refused_whatever_the_settings_are() {
        for (name, valid, malformed) in [
            (
                "aud",
                r#""tidegate""#,
                &[
                    "5",
                    "null",
                    "true",
                    "{}",
                    "[5]",
                    r#"["tidegate", 5]"#,
                    r#"["tidegate", null]"#,
                    "[]",
                    r#"[["tidegate"]]"#,
                ][..],
            ),
            (
                "iss",
                r#""https://sso.example""#,
                &[
                    "5",
                    "null",
                    "true",
                    "{}",
                    "[]",
                    r#"["https://sso.example"]"#,
                ],
            ),
            (
                "exp",
                "1060",
                &["null", r#""1060""#, "true", "[1060]", "{}", "1e300"],
            ),
            (
                "nbf",
                "1000",
                &["null", r#""1000""#, "true", "[1000]", "{}", "-1e300"],
            ),
            (
                "iat",
                "1000",
                &["null", r#""1000""#, "true", "[1000]", "{}", "1e300"],
            ),
            ("sub", r#""maker""#, &["null", "5", r#"["maker"]"#]),
            ("tenant", r#""DEFAULT""#, &["null", "5", r#"["DEFAULT"]"#]),
            ("role", r#""operator""#, &["null", "5", r#"["operator"]"#]),
            ("dev", "false", &["null", "0", r#""no""#]),
        ] {
            for audience in [false, true] {
                // Without an audience in the settings, any is refused.
                let is_accepted = accepts_json(HEADER, &claims_with(name, valid, audience));
                assert!(is_accepted || name == "aud" && !audience, "{name}");
                for value in malformed {
                    let claims = claims_with(name, value, audience);
                    assert!(!accepts_json(HEADER, &claims), "{claims}");
                }
            }
        }
    }

    #[test]
    fn a_malformed_header_is_refused() {
        let claims = claims_with("sub", r#""maker""#, false);
        assert!(accepts_json(HEADER, &claims));
        for member in [
            r#""crit":null"#,
            r#""crit":5"#,
            r#""crit":"exp""#,
            r#""crit":[]"#,
            r#""crit":[5]"#,
            r#""crit":["exp"]"#,
            r#""crit":{}"#,
            r#""alg":"none""#,
            r#""typ":5"#,
        ] {
            let header = format!(r#"{{"alg":"HS256",{member}}}"#);
            assert!(!accepts_json(&header, &claims), "{header}");
        }
        for header in ["", "{}", "null", "[]", "5", r#""HS256""#] {
            assert!(!accepts_json(header, &claims), "{header}");
        }
    }

    #[test]
    fn audience_and_issuer_are_those_of_the_settings() {
        let default = TokenSettings::default();
        let set = TokenSettings {
            audience: Some("tidegate".to_owned()),
            issuer: Some("https://sso.example".to_owned()),
            ..TokenSettings::default()
        };
        for (claims, by_default, when_set) in [
            (serde_json::json!({}), true, false),
            (serde_json::json!({"aud": "tidegate"}), false, false),
            (
                serde_json::json!({"iss": "https://sso.example"}),
                true,
                false,
            ),
            (
                serde_json::json!({"aud": "tidegate", "iss": "https://sso.example"}),
                false,
                true,
            ),
            (
                serde_json::json!({"aud": ["a", "tidegate"], "iss": "https://sso.example"}),
                false,
                true,
            ),
            (
                serde_json::json!({"aud": "other", "iss": "https://sso.example"}),
                false,
                false,
            ),
            (
                serde_json::json!({"aud": ["a", "b"], "iss": "https://sso.example"}),
                false,
                false,
            ),
            (
                serde_json::json!({"aud": "tidegate", "iss": "https://other.example"}),
                false,
                false,
            ),
            (
                serde_json::json!({"aud": 5, "iss": "https://sso.example"}),
                false,
                false,
            ),
        ] {
            let header = Header::new(Algorithm::HS256);
            let accepted = [&default, &set].map(|it| accepts(it, &header, claims.clone()));
            assert_eq!(accepted, [by_default, when_set], "{claims}");
        }
        let tokens = Tokens::new(SECRET, true, &set);
        let own = tokens.sign(&identity(), None, Timestamp(0), Timestamp(60_000));
        assert!(
            tokens
                .verify(&own.expect("a token"), Timestamp(0))
                .is_some()
        );
    }

    #[test]
    fn dates_may_have_fractions_and_differ_by_a_minute() {
        let settings = TokenSettings {
            max_lifetime: Duration::from_mins(10),
            ..TokenSettings::default()
        };
        for (claims, expected) in [
            (
                serde_json::json!({"iat": 999.5, "nbf": 999.5, "exp": 1000.5}),
                true,
            ),
            (serde_json::json!({"exp": 940.001}), true),
            (serde_json::json!({"exp": 940}), false),
            (serde_json::json!({"exp": 939.999}), false),
            (serde_json::json!({"nbf": 1060}), true),
            (serde_json::json!({"nbf": 1060.5}), false),
            // The lifetime that the settings allow.
            (serde_json::json!({"exp": 1660}), true),
            (serde_json::json!({"exp": 1660.5}), false),
            (serde_json::json!({"exp": 1e300}), false),
            (serde_json::json!({"exp": "1060"}), false),
            (serde_json::json!({"exp": null}), false),
        ] {
            let header = Header::new(Algorithm::HS256);
            assert_eq!(
                accepts(&settings, &header, claims.clone()),
                expected,
                "{claims}"
            );
        }
    }
}
