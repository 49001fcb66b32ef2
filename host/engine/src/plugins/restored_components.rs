use std::{io, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use tidegate_core::id::Digest;

use super::component_files;
use crate::{
    chain,
    ports::{Artifacts, ComponentSource, PutError},
};

/// The stored components. One whose file is missing or damaged is stored again if a folder of plugins has it.
pub struct RestoredComponents {
    stored: Arc<dyn ComponentSource>,
    artifacts: Arc<dyn Artifacts>,
    folders: Vec<PathBuf>,
}

impl RestoredComponents {
    /// The components of a store, and the folders (`*.wasm`) that may have the same ones.
    pub fn new(
        stored: Arc<dyn ComponentSource>,
        artifacts: Arc<dyn Artifacts>,
        folders: Vec<PathBuf>,
    ) -> Self {
        Self {
            stored,
            artifacts,
            folders,
        }
    }

    /// The file with this digest in one of the folders. A folder or a file that cannot be read is logged and skipped.
    async fn find(&self, digest: Digest) -> Option<(PathBuf, Bytes)> {
        for folder in &self.folders {
            let paths = component_files::list(folder).await.unwrap_or_else(|error| {
                tracing::warn!(folder = %folder.display(), error = %chain(&error), "folder of plugins cannot be read");
                Vec::new()
            });
            for path in paths {
                match component_files::read(&path).await {
                    Ok(component) if Digest::of(&component) == digest => {
                        return Some((path, component.into()));
                    }
                    Ok(_) => {}
                    Err(error) => {
                        tracing::warn!(path = %path.display(), error = %chain(&error), "component cannot be read");
                    }
                }
            }
        }
        None
    }

    /// Needs no lease: the row of the revision, for which a component is read, refers to the file.
    async fn store_again(&self, component: Bytes) -> Result<(), PutError> {
        let size = component.len() as u64;
        let body = stream::iter([Ok(component)]).boxed();
        let received = self.artifacts.receive(body, size).await?;
        received.publish().await.map(drop)
    }
}

#[async_trait]
impl ComponentSource for RestoredComponents {
    async fn component(&self, digest: Digest) -> io::Result<Option<Bytes>> {
        let stored = self.stored.component(digest).await;
        let is_needed = match &stored {
            Ok(component) => component.is_none(),
            Err(error) => error.kind() == io::ErrorKind::InvalidData,
        };
        if !is_needed {
            return stored;
        }
        let Some((path, component)) = self.find(digest).await else {
            return stored;
        };
        let path = path.display();
        match self.store_again(component.clone()).await {
            Ok(()) => {
                tracing::warn!(%path, revision = %digest, "component was missing from storage or damaged; stored again");
            }
            Err(error) => {
                tracing::error!(%path, revision = %digest, error = %chain(&error), "component not stored again");
            }
        }
        Ok(Some(component))
    }
}
