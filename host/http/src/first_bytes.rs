use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};

/// So many bytes tell HTTP/2 from HTTP/1. Until they are there nobody else minds how long a client takes.
const ENOUGH: usize = 24;

/// A connection that breaks off when its client does not begin to speak: a device that loses its network right after it
/// connected would be waited for until the server stops.
pub(crate) struct FirstBytes {
    stream: TcpStream,
    /// None once enough has come.
    deadline: Option<Pin<Box<Sleep>>>,
    read: usize,
}

impl FirstBytes {
    pub(crate) fn within(patience: Duration, stream: TcpStream) -> Self {
        Self {
            stream,
            deadline: Some(Box::pin(sleep(patience))),
            read: 0,
        }
    }
}

impl AsyncRead for FirstBytes {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        let Some(deadline) = &mut self.deadline else {
            return polled;
        };
        if polled.is_pending() {
            return match deadline.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
                Poll::Pending => Poll::Pending,
            };
        }
        self.read += buf.filled().len() - before;
        if self.read >= ENOUGH {
            self.deadline = None;
        }
        polled
    }
}

impl AsyncWrite for FirstBytes {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    #[tokio::test]
    async fn a_client_is_waited_for_until_it_has_begun() -> io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let patience = Duration::from_millis(50);
        for (said, is_enough) in [(0, false), (ENOUGH - 1, false), (ENOUGH, true)] {
            let mut client = TcpStream::connect(listener.local_addr()?).await?;
            let (stream, _) = listener.accept().await?;
            let mut stream = FirstBytes::within(patience, stream);
            client.write_all(&vec![b'x'; said]).await?;
            let mut heard = vec![0; said];
            stream.read_exact(&mut heard).await?;
            assert_eq!(stream.deadline.is_none(), is_enough, "{said}");
            if !is_enough {
                let error = stream.read_u8().await.expect_err("nothing more comes");
                assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            }
        }
        Ok(())
    }
}
