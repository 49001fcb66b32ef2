use tidegate_core::{
    firmware::{Artifact, Firmware},
    settings::VersionScheme,
};

use super::{
    FirmwareSpec,
    fill::fill,
    image_summary::NamedImage,
    inspect_image::inspect,
    override_notes::{add_notes, replaced_versions},
    upload_error::UploadError,
};
use crate::{
    Authorized, Error, Files, Publisher, Result,
    files::FileLease,
    ports::{ByteStream, NewFirmware, NewModule, Store, StoreError},
    tenants,
};

/// Maximum number of files of a firmware.
const MAX_FILES: usize = 64;

/// An upload in progress. Files are stored as they arrive. [`Upload::finish`] creates the firmware; otherwise
/// [`Upload::abandon`] must be called to delete the files.
pub struct Upload<'a> {
    ctx: &'a Authorized<Publisher>,
    store: &'a dyn Store,
    stored_files: &'a Files,
    lease: FileLease<'a>,
    files: Vec<Artifact>,
    images: Vec<NamedImage>,
}

impl<'a> Upload<'a> {
    /// Starts an upload.
    pub fn begin(
        ctx: &'a Authorized<Publisher>,
        store: &'a dyn Store,
        stored_files: &'a Files,
    ) -> Self {
        Self {
            ctx,
            store,
            stored_files,
            lease: stored_files.lease(),
            files: Vec::new(),
            images: Vec::new(),
        }
    }

    /// Stores one file as it arrives. A damaged image is an error.
    pub async fn add(&mut self, filename: String, body: ByteStream) -> Result<()> {
        if self.files.len() == MAX_FILES {
            let message = format!("a firmware can have at most {MAX_FILES} files");
            return Err(Error::invalid("invalid_firmware", "files", message));
        }
        let stored = self
            .lease
            .store_file(body, self.stored_files.max_bytes)
            .await?;
        let file = Artifact {
            filename,
            size: stored.size,
            hashes: stored.hashes,
        };
        self.files.push(file.clone());
        if let Some(image) = inspect(self.stored_files.artifacts(), &file).await? {
            self.images.push((file, image));
        }
        Ok(())
    }

    /// Creates the firmware from the stored files; images fill the omitted fields of `spec`. If `spec` is invalid, the
    /// files are deleted.
    pub async fn finish(self, mut spec: FirmwareSpec) -> Result<Firmware> {
        let settings = tenants::settings(self.ctx, self.store).await;
        let modules = settings.and_then(|settings| {
            let modules = self.build_modules(&mut spec, settings.versions);
            modules.map_err(Error::from)
        });
        let modules = match modules {
            Ok(modules) => modules,
            Err(error) => {
                self.lease.release().await;
                return Err(error);
            }
        };
        if let Err(late) = self.lease.check() {
            self.lease.release().await;
            return Err(late);
        }
        let firmware = NewFirmware {
            details: spec.details,
            modules,
            created_by: self.ctx.actor.name.to_string(),
            created_at: self.stored_files.now(),
        };
        match self.store.create_firmware(self.ctx, firmware).await {
            Ok(id) => {
                self.lease.release().await;
                super::get(self.ctx, self.store, id).await
            }
            Err(StoreError::Conflict(message)) => {
                self.lease.release().await;
                Err(Error::conflict("firmware_exists", message))
            }
            // The firmware may have been stored nevertheless, so the lease on its files is kept until it expires.
            Err(error) => Err(error.into()),
        }
    }

    fn build_modules(
        &self,
        spec: &mut FirmwareSpec,
        versions: VersionScheme,
    ) -> std::result::Result<Vec<NewModule>, UploadError> {
        let mut notes = fill(spec, &self.images, versions)?;
        let modules = spec.build_modules(&self.files, versions)?;
        notes.extend(replaced_versions(&modules, &self.images, versions));
        add_notes(spec, &notes);
        Ok(modules)
    }

    /// Abandons the upload and deletes its files.
    pub async fn abandon(self) {
        self.lease.release().await;
    }
}
