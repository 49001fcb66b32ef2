use std::ops::RangeInclusive;

use sha2::{Digest as _, Sha256};

use crate::{Admin, Ctx, Result, ports::Entropy, rules::Rules};

/// Length of a chosen token.
const TOKEN_LENGTH: RangeInclusive<usize> = 16..=128;

/// Generates a secret: 32 random bytes in hexadecimal digits, after a prefix that names its purpose.
pub(crate) fn generate_secret(entropy: &dyn Entropy, prefix: &str) -> String {
    let mut bytes = [0; 32];
    entropy.fill(&mut bytes);
    format!("{prefix}{}", hex::encode(bytes))
}

/// The token that an administrator chose, for example one that devices have from another server, or a new one.
pub(crate) fn chosen_or_new(
    ctx: &Ctx,
    entropy: &dyn Entropy,
    chosen: Option<String>,
    prefix: &str,
) -> Result<String> {
    let Some(token) = chosen else {
        return Ok(generate_secret(entropy, prefix));
    };
    ctx.require::<Admin>()?;
    Ok(token)
}

/// The rules of a chosen token: it has to fit an `Authorization` header, and must not be guessed.
pub(crate) fn check_token(rules: &mut Rules, token: &str) {
    let is_plain = token
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte));
    rules.require(
        is_plain && TOKEN_LENGTH.contains(&token.len()),
        "token",
        "must have 16 to 128 characters: letters, digits and `-._~+/=`",
    );
}

/// The sha256 of a key or token, under which it is stored. Secrets are random or long, so they need no
/// salt.
pub fn fingerprint(secret: &str) -> [u8; 32] {
    Sha256::digest(secret).into()
}
