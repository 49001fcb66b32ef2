use std::{
    future::Future as _,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use crate::connections::Activity;

/// A connection with an idle timeout for writes, which notices when a head arrives in parts. Without the timeout, a device
/// that stops reading would hold its connection until the server stops.
pub(crate) struct IdleTimeoutStream<S> {
    stream: S,
    activity: Arc<Activity>,
    /// Bytes have arrived since the last request, of which there were this many before.
    unread_since: Option<u32>,
    /// Maximum time without progress of a write.
    write_idle_timeout: Duration,
    /// When writing last stopped making progress; none while it does.
    stalled_since: Option<Instant>,
    /// Wakes the writing task at the timeout. It is not reset at every pause of a download: if it fires too early, it
    /// is reset to the right time.
    stall_timer: Option<Pin<Box<Sleep>>>,
}

impl<S> IdleTimeoutStream<S> {
    pub(crate) fn new(stream: S, activity: Arc<Activity>, write_idle_timeout: Duration) -> Self {
        Self {
            stream,
            activity,
            unread_since: None,
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
        if polled.is_ready() {
            if buf.filled().len() > before {
                self.unread_since = Some(self.activity.requests());
            }
        } else if let Some(requests) = self.unread_since.take()
            && requests == self.activity.requests()
        {
            // The reader wants more, and what it has was not a whole head.
            self.activity.note_partial_head();
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
        time::sleep,
    };

    use super::*;

    #[tokio::test]
    async fn a_client_that_reads_nothing_times_out() -> io::Result<()> {
        let write_idle_timeout = Duration::from_secs(1);
        let (mut client, stream) = duplex(1);
        let mut stream = IdleTimeoutStream::new(stream, Activity::unshared(), write_idle_timeout);
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
