use bytes::Bytes;
use reqwest::{
    Method, Response, StatusCode,
    header::{CONTENT_RANGE, HeaderMap, RANGE},
};
use sha2::{Digest as _, Sha256};

use crate::{Artifact, DdiClient, DdiError, HttpResponse, response};

/// A file while it is downloaded.
///
/// After a failure on the network the download is still valid: the next call of [`chunk`](Self::chunk) continues
/// after the last received byte. The end is reached only if the size and the sha256 match the description.
#[derive(Debug)]
pub struct Download<'a> {
    client: &'a DdiClient,
    artifact: &'a Artifact,
    /// Of all received bytes.
    hash: Sha256,
    received: u64,
    /// The response that is being read, and how many of its next bytes were received before.
    response: Option<(Response, u64)>,
}

impl<'a> Download<'a> {
    pub(crate) fn new(client: &'a DdiClient, artifact: &'a Artifact) -> Self {
        Self {
            client,
            artifact,
            hash: Sha256::new(),
            received: 0,
            response: None,
        }
    }

    /// Adds bytes that the device has stored since an earlier attempt, for example before a restart. They must be
    /// the start of the file, and precede the first [`chunk`](Self::chunk).
    pub fn add_stored(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.received += bytes.len() as u64;
    }

    /// The number of bytes so far.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Receives the next bytes. Returns `None` at the end of the file, once it is verified.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, DdiError> {
        loop {
            let (response, repeated) = match &mut self.response {
                Some(response) => response,
                None if self.received >= self.artifact.size => return self.verify().map(|()| None),
                None => {
                    let opened = self.open().await?;
                    self.response.insert(opened)
                }
            };
            let mut bytes = match response.chunk().await {
                Ok(Some(bytes)) => bytes,
                Ok(None) => {
                    self.response = None;
                    return self.verify().map(|()| None);
                }
                Err(error) => {
                    self.response = None;
                    return Err(error.into());
                }
            };
            let skipped = (bytes.len() as u64).min(*repeated);
            *repeated -= skipped;
            // At most the length of the chunk, so it fits.
            let bytes = bytes.split_off(skipped as usize);
            if bytes.is_empty() {
                continue;
            }
            self.add_stored(&bytes);
            if self.received > self.artifact.size {
                self.response = None;
                return Err(self.corrupt("the file is larger than its description says"));
            }
            return Ok(Some(bytes));
        }
    }

    /// Receives and verifies the rest of the file without keeping it.
    pub async fn discard_rest(&mut self) -> Result<(), DdiError> {
        while self.chunk().await?.is_some() {}
        Ok(())
    }

    /// Requests the bytes that are missing. Returns how many bytes before them the response repeats.
    async fn open(&self) -> Result<(Response, u64), DdiError> {
        let href = self.artifact.href().ok_or_else(|| DdiError::NoLink {
            name: self.artifact.filename.clone(),
        })?;
        let mut request = self.client.request(Method::GET, href);
        let is_resumed = self.received > 0;
        if is_resumed {
            request = request.header(RANGE, format!("bytes={}-", self.received));
        }
        let (request_line, response) = response::send(request).await?;
        match response.status() {
            // Without support for ranges, the server repeats the file from its start.
            StatusCode::OK => Ok((response, self.received)),
            StatusCode::PARTIAL_CONTENT if is_resumed => {
                if range_start(response.headers()) != Some(self.received) {
                    return Err(self.corrupt("the server sent another range than requested"));
                }
                Ok((response, 0))
            }
            _ => {
                let response = HttpResponse::read(request_line, response).await?;
                Err(DdiError::Status {
                    expected: if is_resumed { 206 } else { 200 },
                    response: Box::new(response),
                })
            }
        }
    }

    fn verify(&self) -> Result<(), DdiError> {
        if self.received != self.artifact.size {
            return Err(self.corrupt("the size does not match the description"));
        }
        let sha256 = hex::encode(self.hash.clone().finalize());
        if !sha256.eq_ignore_ascii_case(&self.artifact.hashes.sha256) {
            return Err(self.corrupt("the sha256 does not match the description"));
        }
        Ok(())
    }

    fn corrupt(&self, what: &'static str) -> DdiError {
        DdiError::Corrupt {
            name: self.artifact.filename.clone(),
            what,
        }
    }
}

/// The offset of the first byte of a partial response.
fn range_start(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    let (start, _) = range.strip_prefix("bytes ")?.split_once('-')?;
    start.parse().ok()
}
