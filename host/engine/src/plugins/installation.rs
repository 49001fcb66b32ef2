use std::{collections::HashMap, path::Path, time::Duration};

use bytes::Bytes;
use tidegate_core::{
    id::{Digest, TenantId},
    plugin::{Origin, RevisionState},
};
use tokio::time::timeout;

use super::{component_files, upload::store_component};
use crate::{Actor, Engine, Error, Publisher, Result, chain, ports::Inspection};

/// Maximum time to inspect a component. Each step of the inspection has a limit of its own; this one holds for what they
/// overlook.
const INSPECTION_TIMEOUT: Duration = Duration::from_mins(3);

/// What became of a component that was to be installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ComponentOutcome {
    /// Every tenant has it.
    Installed,
    /// It cannot be read, is no plugin, or a tenant's plugins exclude it. The log has the reason.
    Refused,
    /// It could not be installed now; a retry may help.
    Unavailable,
}

/// Installs components of the server's operator for all tenants.
pub(super) struct Installation<'a> {
    engine: &'a Engine,
    /// The tenants, each with the revisions that it has.
    tenants: Vec<(TenantId, HashMap<Digest, RevisionState>)>,
    installed: usize,
    /// Why a component could not be installed now.
    unavailable: Option<Error>,
}

impl<'a> Installation<'a> {
    pub(super) async fn begin(engine: &'a Engine) -> Result<Self> {
        let mut tenants = Vec::new();
        for tenant in engine.store().tenants().await? {
            let revisions = engine.store().revisions(tenant.id).await?;
            let states = revisions
                .iter()
                .map(|revision| (revision.stored.digest, revision.state));
            tenants.push((tenant.id, states.collect()));
        }
        Ok(Self {
            engine,
            tenants,
            installed: 0,
            unavailable: None,
        })
    }

    /// The number of installed revisions, or the error of one that could not be installed now.
    pub(super) fn finish(self) -> Result<usize> {
        match self.unavailable {
            Some(error) => Err(error),
            None => Ok(self.installed),
        }
    }

    /// Reads a component and installs it.
    pub(super) async fn install_file(&mut self, path: &Path) -> ComponentOutcome {
        match component_files::read(path).await {
            Ok(component) => self.install(path, component.into()).await,
            Err(error) => {
                tracing::error!(path = %path.display(), error = %chain(&error), "component cannot be read");
                ComponentOutcome::Refused
            }
        }
    }

    /// Installs a component for the tenants that do not have it, or have it as a candidate. If all have it, it is put back
    /// into storage if it is missing there.
    pub(super) async fn install(&mut self, path: &Path, component: Bytes) -> ComponentOutcome {
        let engine = self.engine;
        let digest = Digest::of(&component);
        let is_missing = |revisions: &HashMap<Digest, RevisionState>| {
            matches!(
                revisions.get(&digest),
                None | Some(RevisionState::Candidate)
            )
        };
        let tenants = self.tenants.iter();
        let missing = tenants.filter(|(_, revisions)| is_missing(revisions));
        let missing: Vec<TenantId> = missing.map(|(tenant, _)| *tenant).collect();
        if missing.is_empty() {
            return self.restore(path, digest, component).await;
        }
        let inspection = match inspect(engine, &component).await {
            Ok(inspection) => inspection,
            Err(error @ Error::Unavailable { .. }) => {
                tracing::warn!(path = %path.display(), error = %chain(&error), "component not inspected");
                self.unavailable = Some(error);
                return ComponentOutcome::Unavailable;
            }
            Err(error) => {
                tracing::error!(path = %path.display(), error = %chain(&error), "component rejected");
                return ComponentOutcome::Refused;
            }
        };
        let plugin = &inspection.description.name;
        if let Err(error) = engine.plugins.built_ins().check_name(plugin, digest) {
            let path = path.display();
            tracing::error!(%path, error = %chain(&error), "component not installed");
            engine.files.discard(digest.0).await;
            return ComponentOutcome::Refused;
        }
        self.store(path, &missing, &component, &inspection).await
    }

    async fn store(
        &mut self,
        path: &Path,
        tenants: &[TenantId],
        component: &Bytes,
        inspection: &Inspection,
    ) -> ComponentOutcome {
        let engine = self.engine;
        let origin = if inspection.description.name.is_built_in() {
            Origin::BuiltIn
        } else {
            Origin::Folder
        };
        let mut outcome = ComponentOutcome::Installed;
        for &tenant in tenants {
            let ctx = engine.trusted_ctx::<Publisher>(tenant, Actor::server());
            let (store, files) = (engine.store(), &engine.files);
            let (component, inspection) = (component.clone(), inspection.clone());
            let stored = store_component(&ctx, store, files, component, inspection, origin);
            match stored.await {
                Ok(()) => self.installed += 1,
                // The database or the file is not ready, whatever the component is.
                Err(error @ Error::Unavailable { .. }) => {
                    self.unavailable = Some(error);
                    return ComponentOutcome::Unavailable;
                }
                Err(error) => {
                    let path = path.display();
                    tracing::error!(error = %chain(&error), %path, %tenant, "component not installed");
                    outcome = ComponentOutcome::Refused;
                }
            }
        }
        outcome
    }

    /// Stores the component again if its file is missing or damaged. Campaigns that are pinned to it need it when its
    /// compiled code is lost.
    async fn restore(&mut self, path: &Path, digest: Digest, component: Bytes) -> ComponentOutcome {
        match self.engine.files.restore(digest.0, component).await {
            Ok(false) => ComponentOutcome::Installed,
            Ok(true) => {
                let path = path.display();
                tracing::warn!(%path, revision = %digest, "component was missing from storage or damaged; stored again");
                ComponentOutcome::Installed
            }
            Err(error) => {
                let path = path.display();
                tracing::error!(%path, error = %chain(&error), "component not stored again");
                self.unavailable = Some(error);
                ComponentOutcome::Unavailable
            }
        }
    }
}

async fn inspect(engine: &Engine, component: &Bytes) -> Result<Inspection> {
    let inspecting = engine.plugins.inspect(None, component);
    timeout(INSPECTION_TIMEOUT, inspecting).await.map_err(|_| {
        Error::unavailable(format!(
            "the inspection took longer than {INSPECTION_TIMEOUT:?}"
        ))
    })?
}
