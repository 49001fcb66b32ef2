use std::sync::Arc;

use strum::{IntoStaticStr, VariantNames};
use tidegate_core::{id::TenantId, time::Timestamp};

use crate::Role;

/// The context of a request: who asks for what tenant, with which permission, and when. The first argument of every use
/// case of an actor; use cases of devices have a [`Caller`](crate::devices::Caller) instead. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ctx {
    /// The tenant whose data the actor can access.
    pub tenant: TenantId,
    /// Who makes the request.
    pub actor: Actor,
    /// The actor's role.
    pub role: Role,
    /// Identifies the request in responses, in the log and in the audit trail.
    pub request_id: Arc<str>,
    /// Time of the request.
    pub now: Timestamp,
}

/// The context of a request that concerns the whole server, not one tenant. The operators of the server make such
/// requests, on its machine; no API key or token of a tenant allows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerCtx {
    actor: Actor,
    request_id: Arc<str>,
    now: Timestamp,
}

impl ServerCtx {
    /// `None` unless the actor is the command line or the server itself.
    pub fn new(actor: Actor, request_id: impl Into<Arc<str>>, now: Timestamp) -> Option<Self> {
        match actor.kind {
            ActorKind::CommandLine | ActorKind::Server => Some(Self {
                actor,
                request_id: request_id.into(),
                now,
            }),
            ActorKind::Key | ActorKind::Token => None,
        }
    }

    /// The context of the same request in one tenant, with every role.
    pub fn in_tenant(&self, tenant: TenantId) -> Ctx {
        Ctx {
            tenant,
            actor: self.actor.clone(),
            role: Role::Admin,
            request_id: self.request_id.clone(),
            now: self.now,
        }
    }

    /// Time of the request.
    pub fn now(&self) -> Timestamp {
        self.now
    }
}

/// Who makes a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// How the actor was authenticated.
    pub kind: ActorKind,
    /// The user's name.
    pub name: Arc<str>,
}

/// How an actor was authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum ActorKind {
    /// By an API key.
    Key,
    /// By a bearer token.
    Token,
    /// Not at all: `tidegate` run by an operator with access to the database.
    CommandLine,
    /// Not at all: the server itself.
    Server,
}

impl Actor {
    /// The user of a key or token.
    pub fn new(kind: ActorKind, name: impl Into<Arc<str>>) -> Self {
        Self {
            kind,
            name: name.into(),
        }
    }

    /// The server itself, by the name under which it publishes the built-in plugins.
    pub fn server() -> Self {
        Self::new(ActorKind::Server, "tidegate")
    }

    /// The operator of the command line.
    pub fn command_line() -> Self {
        Self::new(ActorKind::CommandLine, "command line")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_credential_of_a_tenant_makes_a_context_of_the_server() {
        let is_allowed = |actor| ServerCtx::new(actor, "1", Timestamp(0)).is_some();
        assert!(is_allowed(Actor::command_line()));
        assert!(is_allowed(Actor::server()));
        assert!(!is_allowed(Actor::new(ActorKind::Key, "admin")));
        assert!(!is_allowed(Actor::new(ActorKind::Token, "admin")));
    }
}
