//! A TCP proxy before a node's cluster listener: it delays what goes through, with jitter, and can
//! stall or refuse it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// What the way is like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// Every piece of data arrives so much later.
    pub delay: Duration,
    /// And by a random part of this later still, in order.
    pub jitter: Duration,
    /// Nothing goes through for now; connections stay.
    pub stalled: bool,
    /// Connections are closed at once.
    pub refused: bool,
}

/// A running proxy; it ends when dropped.
pub struct Proxy {
    /// Where it listens.
    pub address: SocketAddr,
    way: watch::Sender<Way>,
    _tasks: JoinSet<()>,
}

/// Pieces on the way in one direction; more wait in the sender's socket.
const PIECES: usize = 64;
const PIECE: usize = 16 * 1024;

impl Proxy {
    /// Starts a proxy on `listen` before `to`.
    ///
    /// # Errors
    ///
    /// When the address cannot be had.
    pub async fn start(listen: SocketAddr, to: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let (way, watched) = watch::channel(Way::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, to, watched));
        Ok(Self { address, way, _tasks: tasks })
    }

    /// Changes the way, for open connections too.
    pub fn set(&self, way: Way) {
        self.way.send_replace(way);
    }
}

async fn accept(listener: TcpListener, to: SocketAddr, way: watch::Receiver<Way>) {
    let mut links = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    links.spawn(link(stream, to, way.clone()));
                }
            }
            Some(_) = links.join_next() => {}
        }
    }
}

async fn link(near: TcpStream, to: SocketAddr, mut way: watch::Receiver<Way>) {
    if way.borrow().refused {
        return;
    }
    let Ok(far) = TcpStream::connect(to).await else { return };
    // Without it small pieces wait for each other; a socket that is gone fails soon enough.
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    let there = pass(near_read, far_write, way.clone());
    let back = pass(far_read, near_write, way.clone());
    tokio::select! {
        _ = async { tokio::join!(there, back) } => {}
        _ = way.wait_for(|way| way.refused) => {}
    }
}

/// Carries one direction until its end, which it passes on.
async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut way: watch::Receiver<Way>,
) {
    let (pieces, mut due) = mpsc::channel::<(Instant, Arc<[u8]>)>(PIECES);
    let reading = {
        let way = way.clone();
        async move {
            let mut buffer = vec![0; PIECE];
            while let Ok(n @ 1..) = from.read(&mut buffer).await {
                let Way { delay, jitter, .. } = *way.borrow();
                let at = Instant::now() + delay + jitter.mul_f64(rand::random());
                if pieces.send((at, buffer[..n].into())).await.is_err() {
                    return;
                }
            }
        }
    };
    let writing = async move {
        while let Some((at, piece)) = due.recv().await {
            tokio::time::sleep_until(at).await;
            let open = way.wait_for(|way| !way.stalled).await.is_ok();
            if !open || to.write_all(&piece).await.is_err() {
                return;
            }
        }
        // The other side may be gone already.
        let _ = to.shutdown().await;
    };
    tokio::join!(reading, writing);
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    tokio::io::copy(&mut read, &mut write).await
                });
            }
        });
        address
    }

    #[tokio::test]
    async fn it_delays_stalls_and_refuses() {
        let any = "127.0.0.1:0".parse().unwrap();
        let proxy = Proxy::start(any, echo().await).await.unwrap();
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        let mut buffer = [0; 4];

        proxy.set(Way { delay: Duration::from_millis(50), ..Way::default() });
        let sent = Instant::now();
        stream.write_all(b"ping").await.unwrap();
        stream.read_exact(&mut buffer).await.unwrap();
        assert!(sent.elapsed() >= Duration::from_millis(100), "there and back");

        proxy.set(Way { stalled: true, ..Way::default() });
        stream.write_all(b"pong").await.unwrap();
        let wait = Duration::from_millis(100);
        let silent = tokio::time::timeout(wait, stream.read_exact(&mut buffer)).await;
        assert!(silent.is_err(), "nothing goes through");
        proxy.set(Way::default());
        stream.read_exact(&mut buffer).await.unwrap();
        assert_eq!(&buffer, b"pong");

        proxy.set(Way { refused: true, ..Way::default() });
        assert_eq!(stream.read(&mut buffer).await.unwrap(), 0, "closed");
    }
}
