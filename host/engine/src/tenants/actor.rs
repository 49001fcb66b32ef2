use tidegate_core::id::TenantId;

use crate::{Error, Result, ports::Role};

/// Who asks, for which tenant, and what they may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// Whose things they see.
    pub tenant: TenantId,
    /// Who they are.
    pub user: String,
    /// What they may do.
    pub role: Role,
}

impl Actor {
    /// Refuses whoever may not do what this role may. Everybody may read; an admin may do everything.
    pub fn require(&self, role: Role) -> Result<()> {
        if role == Role::Viewer || self.role == Role::Admin || self.role == role {
            return Ok(());
        }
        let message = format!(
            "this needs the role {}; {} has the role {}",
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
