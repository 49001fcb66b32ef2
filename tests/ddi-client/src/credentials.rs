use std::fmt;

/// What a device authenticates with, unless it has a certificate.
#[derive(Clone, PartialEq, Eq, Default)]
pub enum Credentials {
    /// No token.
    #[default]
    Anonymous,
    /// The token of one device.
    Target(String),
    /// The token of a gateway, which is valid for many devices.
    Gateway(String),
}

impl Credentials {
    /// The value of the header field `Authorization`; `None` without a token.
    pub fn authorization(&self) -> Option<String> {
        match self {
            Self::Anonymous => None,
            Self::Target(token) => Some(format!("TargetToken {token}")),
            Self::Gateway(token) => Some(format!("GatewayToken {token}")),
        }
    }
}

/// Without the token, so that logs do not contain it.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anonymous => "Anonymous",
            Self::Target(_) => "Target(..)",
            Self::Gateway(_) => "Gateway(..)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_does_not_contain_the_token() {
        for credentials in [
            Credentials::Target("secret".to_owned()),
            Credentials::Gateway("secret".to_owned()),
        ] {
            assert!(!format!("{credentials:?}").contains("secret"));
            let sent = credentials.authorization().expect("a token");
            assert!(sent.ends_with("Token secret"), "{sent}");
        }
    }
}
