//! Credentials of devices, gateways and certificate authorities.

pub(crate) mod authorities;
pub(crate) mod gateways;
pub(crate) mod tokens;

#[cfg(test)]
mod tests;

pub(crate) use tokens::old_token;
