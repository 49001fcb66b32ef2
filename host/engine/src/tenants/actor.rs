use tidegate_core::id::TenantId;

use crate::{Error, Result, ports::Role};

/// An authenticated user of the REST API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The tenant whose data the user can access.
    pub tenant: TenantId,
    /// The user's name.
    pub user: String,
    /// The user's role.
    pub role: Role,
}

impl Actor {
    /// Fails unless the actor has this role. Every role includes `viewer`; `admin` includes all.
    pub fn require(&self, role: Role) -> Result<()> {
        if role == Role::Viewer || self.role == Role::Admin || self.role == role {
            return Ok(());
        }
        let message = format!(
            "this requires the role {}; {} has the role {}",
            role.as_str(),
            self.user,
            self.role.as_str()
        );
        Err(Error::Forbidden {
            code: "role_missing",
            message,
        })
    }
}
