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

/// So many bytes tell HTTP/2 from HTTP/1. Until they are there nobody else minds how long a client takes.
const ENOUGH: usize = 24;

/// A connection whose client is not waited for without end: neither for its first words - a device that loses its network
/// right after it connected would be waited for until the server stops - nor while it takes nothing of what it is sent.
pub(crate) struct Patient<S> {
    stream: S,
    /// Until when it has to speak; none once enough has come.
    first_words: Option<Pin<Box<Sleep>>>,
    read: usize,
    /// For how long it may take nothing.
    silence: Duration,
    /// Since when it takes nothing.
    stalled: Option<Instant>,
    /// Wakes whoever waits for it. It is not set anew at every pause of a download: when it rings too early, it is set to
    /// the right time.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    pub(crate) fn new(stream: S, first_words: Duration, silence: Duration) -> Self {
        Self {
            stream,
            first_words: Some(Box::pin(sleep(first_words))),
            read: 0,
            silence,
            stalled: None,
            alarm: None,
        }
    }

    /// Passes on what became of sending something, unless nothing was taken for too long.
    fn taken<T>(&mut self, cx: &mut Context<'_>, sent: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if sent.is_ready() {
            self.stalled = None;
            return sent;
        }
        let since = *self.stalled.get_or_insert_with(Instant::now);
        let end = since + self.silence;
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(end)));
        loop {
            ready!(alarm.as_mut().poll(cx));
            if Instant::now() >= end {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            alarm.as_mut().reset(end);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        let Some(deadline) = &mut self.first_words else {
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
            self.first_words = None;
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.taken(cx, sent)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = Pin::new(&mut self.stream).poll_flush(cx);
        self.taken(cx, sent)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.taken(cx, sent)
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
        self.taken(cx, sent)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, duplex},
        net::{TcpListener, TcpStream},
    };

    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn a_client_is_waited_for_until_it_has_begun() -> io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let patience = Duration::from_millis(50);
        for (said, is_enough) in [(0, false), (ENOUGH - 1, false), (ENOUGH, true)] {
            let mut client = TcpStream::connect(listener.local_addr()?).await?;
            let (stream, _) = listener.accept().await?;
            let mut stream = Patient::new(stream, patience, LONG);
            client.write_all(&vec![b'x'; said]).await?;
            let mut heard = vec![0; said];
            stream.read_exact(&mut heard).await?;
            assert_eq!(stream.first_words.is_none(), is_enough, "{said}");
            if !is_enough {
                let error = stream.read_u8().await.expect_err("nothing more comes");
                assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            }
        }
        Ok(())
    }

    #[tokio::test]
    async fn who_takes_nothing_for_long_is_left() -> io::Result<()> {
        let silence = Duration::from_secs(1);
        let (mut client, stream) = duplex(1);
        let mut stream = Patient::new(stream, LONG, silence);
        let started = Instant::now();
        // Whoever takes a little now and then is waited for, longer than for who takes nothing.
        let taking = async {
            while started.elapsed() < silence * 3 / 2 {
                sleep(silence / 20).await;
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
        let (taken, (error, ended)) = tokio::join!(taking, writing);
        assert_eq!(error, io::ErrorKind::TimedOut);
        let last = taken?;
        assert!(ended >= last + silence * 9 / 10, "{:?}", ended - last);
        Ok(())
    }
}
