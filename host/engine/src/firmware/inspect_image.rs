use std::{io, sync::Arc};

use futures::StreamExt as _;
use tidegate_core::firmware::Artifact;
use tidegate_images::{Image, ImageError, ImageFormat, ImageSource};
use tokio::runtime::Handle;

use crate::{Error, Result, ports::Artifacts};

/// Parses the description of a stored file if its name is that of an update image. The file is read in place, in small
/// ranges, on a thread for blocking work.
pub(super) async fn inspect(
    artifacts: &Arc<dyn Artifacts>,
    file: &Artifact,
) -> Result<Option<Image>> {
    let Some(kind) = ImageFormat::from_filename(&file.filename) else {
        return Ok(None);
    };
    let mut source = ArtifactSource {
        artifacts: Arc::clone(artifacts),
        runtime: Handle::current(),
        sha256: file.hashes.sha256,
        size: file.size,
    };
    let read = tokio::task::spawn_blocking(move || tidegate_images::read(kind, &mut source)).await;
    match read.map_err(|error| Error::internal("read image", error))? {
        Ok(image) => Ok(Some(image)),
        Err(ImageError::Damaged(reason)) => {
            let message = format!("{} is damaged: {reason}", file.filename);
            Err(Error::invalid("invalid_image", "files", message))
        }
        Err(ImageError::Io(error)) => Err(Error::internal("read image", error)),
    }
}

/// A file in the artifact store.
struct ArtifactSource {
    artifacts: Arc<dyn Artifacts>,
    runtime: Handle,
    sha256: [u8; 32],
    size: u64,
}

impl ImageSource for ArtifactSource {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&mut self, at: u64, into: &mut [u8]) -> io::Result<()> {
        let range = at..at + into.len() as u64;
        self.runtime.block_on(async {
            let opened = self.artifacts.open(self.sha256, range).await?;
            let mut stream = opened.ok_or(io::ErrorKind::NotFound)?;
            let mut rest = into;
            while let Some(bytes) = stream.next().await {
                let bytes = bytes?;
                let (part, remaining) = rest
                    .split_at_mut_checked(bytes.len())
                    .ok_or(io::ErrorKind::InvalidData)?;
                part.copy_from_slice(&bytes);
                rest = remaining;
            }
            if rest.is_empty() {
                Ok(())
            } else {
                Err(io::ErrorKind::UnexpectedEof.into())
            }
        })
    }
}
