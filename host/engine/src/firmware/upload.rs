use tidegate_core::firmware::{Artifact, Firmware};

use super::Claims;
use crate::{
    Engine, Error, Result,
    files::{Fate, let_go, take},
    ports::{ByteStream, NewFirmware, Role, StoreError},
    tenants::Actor,
};

/// Most files of a firmware.
const MAX_FILES: usize = 64;

/// An upload under way. Files are stored as they arrive; [`Upload::finish`] makes them a firmware, and whoever does not
/// come that far calls [`Upload::abandon`], so that nothing is left behind.
pub struct Upload<'a> {
    engine: &'a Engine,
    actor: &'a Actor,
    files: Vec<Artifact>,
}

impl<'a> Upload<'a> {
    /// Begins an upload.
    pub fn begin(engine: &'a Engine, actor: &'a Actor) -> Result<Self> {
        actor.require(Role::Publisher)?;
        Ok(Self {
            engine,
            actor,
            files: Vec::new(),
        })
    }

    /// Stores one file as it arrives.
    pub async fn add(&mut self, filename: String, body: ByteStream) -> Result<()> {
        if self.files.len() == MAX_FILES {
            let message = format!("a firmware has at most {MAX_FILES} files");
            return Err(Error::invalid("invalid_firmware", "/file", message));
        }
        let stored = take(self.engine, body, self.engine.settings.max_artifact_bytes).await?;
        self.files.push(Artifact {
            filename,
            size: stored.size,
            hashes: stored.hashes,
        });
        Ok(())
    }

    /// Makes the files a firmware; when the claims do not hold, nothing is left of them.
    pub async fn finish(self, claims: Claims) -> Result<Firmware> {
        let modules = match claims.arrange(&self.files) {
            Ok(modules) => modules,
            Err(broken) => {
                self.let_go(Fate::Refused).await;
                let message = match &broken.errors[..] {
                    [one] => format!("{}: {}", one.path, one.message),
                    many => format!("{} things about the firmware are wrong", many.len()),
                };
                return Err(Error::Invalid {
                    code: broken.code,
                    message,
                    errors: broken.errors,
                });
            }
        };
        let firmware = NewFirmware {
            details: claims.details,
            modules,
            created_by: self.actor.user.clone(),
            created_at: self.engine.now(),
        };
        let store = self.engine.store();
        match store.create_firmware(self.actor.tenant, firmware).await {
            Ok(id) => {
                self.let_go(Fate::Kept).await;
                super::get(self.engine, self.actor, id).await
            }
            Err(StoreError::Conflict(message)) => {
                self.let_go(Fate::Refused).await;
                Err(Error::conflict("firmware_exists", message))
            }
            Err(error) => {
                // It may have been stored all the same, so its files stay.
                self.let_go(Fate::Kept).await;
                Err(error.into())
            }
        }
    }

    /// Gives the upload up.
    pub async fn abandon(self) {
        self.let_go(Fate::Refused).await;
    }

    async fn let_go(&self, fate: Fate) {
        for file in &self.files {
            let_go(self.engine, file.hashes.sha256, fate).await;
        }
    }
}
