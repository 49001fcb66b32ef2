use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// A proxy between a client and a TCP server, which fails on demand.
pub struct TcpProxy {
    addr: SocketAddr,
    state: watch::Sender<ProxyState>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ProxyState {
    network: Network,
    /// Connections of an earlier generation are closed.
    generation: u64,
    /// Connections that began before the last change are silent.
    forgotten: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Network {
    Works,
    /// Nothing is transferred, and nothing is closed.
    Frozen,
    /// Connections are refused.
    Refuses,
}

impl TcpProxy {
    /// A proxy to this `host:port`, which works.
    pub async fn start(target: &str) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let addr = listener.local_addr()?;
        let network = Network::Works;
        let (state, changes) = watch::channel(ProxyState {
            network,
            generation: 0,
            forgotten: 0,
        });
        tokio::spawn(run(listener, addr, target.to_owned(), changes));
        Ok(Self { addr, state })
    }

    /// Where clients connect to.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Stops the transfer in both directions without closing anything, like a network that drops all packets.
    pub fn freeze(&self) {
        self.state
            .send_modify(|state| state.network = Network::Frozen);
    }

    /// Lets all connections fall silent for good without closing them, and transfers others, like a NAT that forgets.
    pub fn forget(&self) {
        self.state.send_modify(|state| state.forgotten += 1);
    }

    /// Closes all connections, and refuses others.
    pub fn refuse(&self) {
        self.state.send_modify(|state| {
            state.network = Network::Refuses;
            state.generation += 1;
        });
    }

    /// Closes all connections, and accepts others.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.generation += 1);
    }

    /// Works again. Connections that were frozen go on.
    pub fn restore(&self) {
        self.state
            .send_modify(|state| state.network = Network::Works);
    }
}

async fn run(
    listener: TcpListener,
    addr: SocketAddr,
    target: String,
    mut changes: watch::Receiver<ProxyState>,
) {
    let mut listener = Some(listener);
    loop {
        let network = changes.borrow_and_update().network;
        if network == Network::Refuses {
            listener = None;
        } else if listener.is_none() {
            listener = TcpListener::bind(addr).await.ok();
        }
        let Some(open) = &listener else {
            if changes.changed().await.is_err() {
                return;
            }
            continue;
        };
        tokio::select! {
            Ok((client, _)) = open.accept() => {
                tokio::spawn(transfer(client, target.clone(), changes.clone()));
            }
            state = changes.changed() => {
                if state.is_err() {
                    return;
                }
            }
        }
    }
}

async fn transfer(mut client: TcpStream, target: String, mut changes: watch::Receiver<ProxyState>) {
    let generation = changes.borrow().generation;
    let (from_client, from_server) = (changes.clone(), changes.clone());
    let transferring = async {
        let Ok(mut server) = TcpStream::connect(&target).await else {
            return;
        };
        let (mut requests, mut to_client) = client.split();
        let (mut responses, mut to_server) = server.split();
        tokio::select! {
            () = pipe(&mut requests, &mut to_server, from_client) => {}
            () = pipe(&mut responses, &mut to_client, from_server) => {}
        }
    };
    tokio::select! {
        // First, so that nothing is transferred after the cut. Also ends when the proxy is dropped.
        biased;
        _ = changes.wait_for(|state| state.generation != generation) => {}
        () = transferring => {}
    }
}

async fn pipe(
    reader: &mut (impl AsyncRead + Unpin),
    writer: &mut (impl AsyncWrite + Unpin),
    mut changes: watch::Receiver<ProxyState>,
) {
    let mut buffer = [0; 8192];
    let known = changes.borrow().forgotten;
    loop {
        let works =
            |state: &ProxyState| state.network != Network::Frozen && state.forgotten == known;
        if changes.wait_for(works).await.is_err() {
            return;
        }
        let Ok(bytes @ 1..) = reader.read(&mut buffer).await else {
            return;
        };
        if changes.wait_for(works).await.is_err()
            || writer.write_all(&buffer[..bytes]).await.is_err()
        {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    /// A server that returns what it receives, and a proxy to it.
    async fn echo() -> io::Result<TcpProxy> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let addr = listener.local_addr()?;
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut reader, mut writer) = stream.split();
                    tokio::io::copy(&mut reader, &mut writer).await
                });
            }
        });
        TcpProxy::start(&addr.to_string()).await
    }

    async fn exchange(stream: &mut TcpStream) -> io::Result<usize> {
        stream.write_all(b"a").await?;
        stream.read(&mut [0]).await
    }

    #[tokio::test]
    async fn a_frozen_connection_is_silent_and_goes_on() -> io::Result<()> {
        let proxy = echo().await?;
        let mut stream = TcpStream::connect(proxy.addr()).await?;
        assert_eq!(exchange(&mut stream).await?, 1);
        proxy.freeze();
        let silent = timeout(Duration::from_millis(50), exchange(&mut stream)).await;
        assert!(silent.is_err());
        proxy.restore();
        assert_eq!(stream.read(&mut [0]).await?, 1);
        Ok(())
    }

    #[tokio::test]
    async fn a_forgotten_connection_is_silent_for_good() -> io::Result<()> {
        let proxy = echo().await?;
        let mut stream = TcpStream::connect(proxy.addr()).await?;
        assert_eq!(exchange(&mut stream).await?, 1);
        proxy.forget();
        proxy.restore();
        let silent = timeout(Duration::from_millis(50), exchange(&mut stream)).await;
        assert!(silent.is_err());
        let mut other = TcpStream::connect(proxy.addr()).await?;
        assert_eq!(exchange(&mut other).await?, 1);
        Ok(())
    }

    #[tokio::test]
    async fn a_connection_is_cut_or_refused() -> io::Result<()> {
        let proxy = echo().await?;
        let mut stream = TcpStream::connect(proxy.addr()).await?;
        assert_eq!(exchange(&mut stream).await?, 1);
        proxy.cut();
        assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0);
        let mut stream = TcpStream::connect(proxy.addr()).await?;
        assert_eq!(exchange(&mut stream).await?, 1);
        proxy.refuse();
        assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0);
        while TcpStream::connect(proxy.addr()).await.is_ok() {
            tokio::task::yield_now().await;
        }
        proxy.restore();
        while TcpStream::connect(proxy.addr()).await.is_err() {
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}
