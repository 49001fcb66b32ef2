use std::{
    future::Future as _,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep, sleep_until},
};

/// Length of the HTTP/2 connection preface, which hyper waits for to tell HTTP/2 from HTTP/1. hyper has no timeout for
/// it.
const HTTP2_PREFACE_BYTES: usize = 24;

/// A connection with a first-byte timeout and an idle timeout for writes. Without them, a device that loses its network
/// right after connecting, or that stops reading, would hold its connection until the server stops.
pub(crate) struct IdleTimeoutStream<S> {
    stream: S,
    /// Deadline for the first [`HTTP2_PREFACE_BYTES`]; none once they have been read.
    first_byte_deadline: Option<Pin<Box<Sleep>>>,
    bytes_read: usize,
    /// Maximum time without progress of a write.
    write_idle_timeout: Duration,
    /// When writing last stopped making progress; none while it does.
    stalled_since: Option<Instant>,
    /// Wakes the writing task at the timeout. It is not reset at every pause of a download: if it fires too early, it
    /// is reset to the right time.
    stall_timer: Option<Pin<Box<Sleep>>>,
}

impl<S> IdleTimeoutStream<S> {
    pub(crate) fn new(
        stream: S,
        first_byte_timeout: Duration,
        write_idle_timeout: Duration,
    ) -> Self {
        Self {
            stream,
            first_byte_deadline: Some(Box::pin(sleep(first_byte_timeout))),
            bytes_read: 0,
            write_idle_timeout,
            stalled_since: None,
            stall_timer: None,
        }
    }

    /// Returns the result of a write, or an error if writing has stalled for too long.
    fn check_stall<T>(
        &mut self,
        cx: &mut Context<'_>,
        sent: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if sent.is_ready() {
            self.stalled_since = None;
            return sent;
        }
        let since = *self.stalled_since.get_or_insert_with(Instant::now);
        let end = since + self.write_idle_timeout;
        let stall_timer = self
            .stall_timer
            .get_or_insert_with(|| Box::pin(sleep_until(end)));
        loop {
            ready!(stall_timer.as_mut().poll(cx));
            if Instant::now() >= end {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            stall_timer.as_mut().reset(end);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for IdleTimeoutStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        let Some(deadline) = &mut self.first_byte_deadline else {
            return polled;
        };
        if polled.is_pending() {
            return match deadline.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
                Poll::Pending => Poll::Pending,
            };
        }
        self.bytes_read += buf.filled().len() - before;
        if self.bytes_read >= HTTP2_PREFACE_BYTES {
            self.first_byte_deadline = None;
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for IdleTimeoutStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.check_stall(cx, sent)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = Pin::new(&mut self.stream).poll_flush(cx);
        self.check_stall(cx, sent)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.check_stall(cx, sent)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.check_stall(cx, sent)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, duplex},
        net::{TcpListener, TcpStream},
    };

    use super::*;

    const NO_TIMEOUT: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn a_client_that_sends_no_preface_times_out() -> io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let first_byte_timeout = Duration::from_millis(50);
        for (sent, is_complete) in [
            (0, false),
            (HTTP2_PREFACE_BYTES - 1, false),
            (HTTP2_PREFACE_BYTES, true),
        ] {
            let mut client = TcpStream::connect(listener.local_addr()?).await?;
            let (stream, _) = listener.accept().await?;
            let mut stream = IdleTimeoutStream::new(stream, first_byte_timeout, NO_TIMEOUT);
            client.write_all(&vec![b'x'; sent]).await?;
            let mut received = vec![0; sent];
            stream.read_exact(&mut received).await?;
            assert_eq!(stream.first_byte_deadline.is_none(), is_complete, "{sent}");
            if !is_complete {
                let error = stream.read_u8().await.expect_err("no more bytes are sent");
                assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            }
        }
        Ok(())
    }

    #[tokio::test]
    async fn a_client_that_reads_nothing_times_out() -> io::Result<()> {
        let write_idle_timeout = Duration::from_secs(1);
        let (mut client, stream) = duplex(1);
        let mut stream = IdleTimeoutStream::new(stream, NO_TIMEOUT, write_idle_timeout);
        let started = Instant::now();
        // A client that reads slowly keeps its connection for longer than the timeout.
        let reading = async {
            while started.elapsed() < write_idle_timeout * 3 / 2 {
                sleep(write_idle_timeout / 20).await;
                client.read_u8().await?;
            }
            io::Result::Ok(Instant::now())
        };
        let writing = async {
            loop {
                if let Err(error) = stream.write_u8(1).await {
                    return (error.kind(), Instant::now());
                }
            }
        };
        let (last_read, (error, ended)) = tokio::join!(reading, writing);
        assert_eq!(error, io::ErrorKind::TimedOut);
        let last_read = last_read?;
        assert!(
            ended >= last_read + write_idle_timeout * 9 / 10,
            "{:?}",
            ended - last_read
        );
        Ok(())
    }
}
