//! Authorization, in one place.
//!
//! A use case declares the role that it requires in the type of its first argument: `&Authorized<Operator>`, or `&Ctx`
//! if every authenticated actor may run it. [`Authorized::new`] makes the only decision and is the only way to such a
//! value, so that a use case cannot run without it, and the caller learns the decision before it reads the rest of the
//! request.

use std::{fmt, marker::PhantomData, ops::Deref};

use tidegate_core::Named as _;

use crate::{Ctx, Error, Result, Role};

/// The context of a request whose actor has the role `R`.
pub struct Authorized<R> {
    ctx: Ctx,
    required: PhantomData<fn() -> R>,
}

/// A role as a type.
pub trait RequiredRole {
    /// The role.
    const ROLE: Role;
}

macro_rules! required_roles {
    ($($(#[$doc:meta])* $role:ident)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy)]
            pub enum $role {}

            impl RequiredRole for $role {
                const ROLE: Role = Role::$role;
            }
        )*
    };
}

required_roles! {
    /// May upload firmware and plugins.
    Publisher
    /// May approve campaigns.
    Approver
    /// May create and control devices, campaigns and updates.
    Operator
    /// May do everything.
    Admin
}

impl<R: RequiredRole> Authorized<R> {
    /// Fails unless the actor has the role `R`.
    pub fn new(ctx: Ctx) -> Result<Self> {
        ctx.require::<R>()?;
        let required = PhantomData;
        Ok(Self { ctx, required })
    }
}

impl Ctx {
    /// Fails unless the actor has the role `R`. For a part of a request that requires more than the request itself.
    pub(crate) fn require<R: RequiredRole>(&self) -> Result<()> {
        if self.role.includes(R::ROLE) {
            return Ok(());
        }
        let message = format!(
            "this requires the role {}; {} has the role {}",
            R::ROLE.as_str(),
            self.actor.name,
            self.role.as_str()
        );
        Err(Error::Forbidden {
            code: "role_missing",
            message,
        })
    }
}

impl<R> Authorized<R> {
    /// For a context that this process makes for itself, with every role.
    pub(crate) fn trusted(ctx: Ctx) -> Self {
        let required = PhantomData;
        Self { ctx, required }
    }
}

impl<R> Deref for Authorized<R> {
    type Target = Ctx;

    fn deref(&self) -> &Ctx {
        &self.ctx
    }
}

impl<R> Clone for Authorized<R> {
    fn clone(&self) -> Self {
        Self {
            ctx: self.ctx.clone(),
            required: PhantomData,
        }
    }
}

impl<R> fmt::Debug for Authorized<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ctx.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use tidegate_core::{id::TenantId, time::Timestamp};

    use super::*;
    use crate::{Actor, ActorKind};

    #[test]
    fn a_role_is_required_by_type() {
        let is_authorized = |role| {
            let ctx = Ctx {
                tenant: TenantId(1),
                actor: Actor::new(ActorKind::Key, "creator"),
                role,
                request_id: "1".into(),
                now: Timestamp(0),
            };
            [
                Authorized::<Publisher>::new(ctx.clone()).is_ok(),
                Authorized::<Approver>::new(ctx.clone()).is_ok(),
                Authorized::<Operator>::new(ctx.clone()).is_ok(),
                Authorized::<Admin>::new(ctx).is_ok(),
            ]
        };
        for (role, expected) in [
            (Role::Viewer, [false, false, false, false]),
            (Role::Publisher, [true, false, false, false]),
            (Role::Approver, [false, true, false, false]),
            (Role::Operator, [false, false, true, false]),
            (Role::Admin, [true, true, true, true]),
        ] {
            assert_eq!(is_authorized(role), expected, "{role:?}");
        }
    }
}
