use std::{path::Path, pin::pin, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use futures::{Stream, stream};
use reqwest::{
    Body,
    multipart::{Form, Part},
};
use tokio::{fs::File, io::AsyncReadExt as _, sync::Notify, time::sleep};

/// Size of one read.
const CHUNK_BYTES: usize = 64 << 10;

/// A form with files, which are streamed in constant memory.
pub(crate) struct Upload {
    pub(super) form: Form,
    pub(super) progress: UploadProgress,
}

impl Upload {
    pub(crate) fn new() -> Self {
        Self {
            form: Form::new(),
            progress: UploadProgress::default(),
        }
    }

    /// Adds a part with JSON.
    pub(crate) fn json(mut self, name: &'static str, value: &serde_json::Value) -> Result<Self> {
        let part = Part::text(value.to_string()).mime_str("application/json")?;
        self.form = self.form.part(name, part);
        Ok(self)
    }

    /// Adds a part with the content of a file, under the file's name.
    pub(crate) async fn file(mut self, name: &'static str, path: &Path) -> Result<Self> {
        let context = || format!("read {}", path.display());
        let file = File::open(path).await.with_context(context)?;
        let metadata = file.metadata().await.with_context(context)?;
        let body = Body::wrap_stream(read(file, self.progress.clone()));
        // A device or a pipe has no length.
        let part = if metadata.is_file() {
            Part::stream_with_length(body, metadata.len())
        } else {
            Part::stream(body)
        };
        let filename = path.file_name().unwrap_or_default();
        let part = part.file_name(filename.to_string_lossy().into_owned());
        self.form = self.form.part(name, part);
        Ok(self)
    }
}

fn read(file: File, progress: UploadProgress) -> impl Stream<Item = std::io::Result<Bytes>> {
    stream::try_unfold((file, progress), |(mut file, progress)| async move {
        let mut chunk = vec![0; CHUNK_BYTES];
        let bytes = file.read(&mut chunk).await?;
        progress.0.notify_one();
        chunk.truncate(bytes);
        Ok((bytes > 0).then(|| (Bytes::from(chunk), (file, progress))))
    })
}

/// Notifies that a part of a file was sent.
#[derive(Debug, Clone, Default)]
pub(super) struct UploadProgress(Arc<Notify>);

impl UploadProgress {
    /// Waits for an answer; `None` if nothing was sent for so long, and there is none.
    pub(super) async fn watch<T>(
        &self,
        silence: Duration,
        answer: impl Future<Output = T>,
    ) -> Option<T> {
        let mut answer = pin!(answer);
        loop {
            tokio::select! {
                answer = &mut answer => return Some(answer),
                () = self.0.notified() => {}
                () = sleep(silence) => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_upload_takes_any_time_as_long_as_it_advances() {
        let progress = UploadProgress::default();
        let silence = Duration::from_mins(1);
        let sending = async {
            for _ in 0..100 {
                sleep(Duration::from_secs(59)).await;
                progress.0.notify_one();
            }
        };
        assert_eq!(progress.watch(silence, sending).await, Some(()));
        assert_eq!(progress.watch(silence, pending::<()>()).await, None);
    }
}
