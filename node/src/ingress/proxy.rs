//! Connections that a load balancer hands on: who is behind them is in a header of the PROXY
//! protocol, which comes before every byte of SMTP and of TLS.
//!
//! Owns the stream only until the header is read, and takes no byte behind it. Whether the peer
//! is trusted to send one has been decided before.

mod header;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use self::header::{Fault, Fed, Header, Reader};

/// A proxy sends its header at once; one that does not is given up.
pub(super) const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes looked at in one go.
const PIECE_BYTES: usize = 512;

/// Both ends of a connection, as settings, limits, records and logs know them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ends {
    /// The client.
    pub(super) client: IpAddr,
    /// What the client connected to.
    pub(super) local: SocketAddr,
    /// The proxy that named them; none when the client itself is at the socket.
    pub(super) proxy: Option<IpAddr>,
}

/// Why a connection that should begin with a header is not served.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoHeader {
    /// It ended without a byte, as checks of health by load balancers do.
    #[error("it sent nothing")]
    Nothing,
    /// It ended within the header.
    #[error("it ended within its PROXY header")]
    Cut,
    /// Something else came.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// It took too long.
    #[error("it sent no PROXY header in time")]
    Late,
    /// The connection is lost.
    #[error(transparent)]
    Lost(#[from] std::io::Error),
}

impl Ends {
    /// What the socket says.
    pub(super) fn of_socket(peer: SocketAddr, local: SocketAddr) -> Self {
        Self { client: peer.ip().to_canonical(), local, proxy: None }
    }

    /// What the header says that begins the stream; what the socket says where it names nobody.
    /// The stream goes on behind the header.
    pub(super) async fn of_header(
        stream: &mut TcpStream,
        peer: SocketAddr,
        local: SocketAddr,
        timeout: Duration,
    ) -> Result<Self, NoHeader> {
        let header = tokio::time::timeout(timeout, read(stream)).await;
        Ok(match header.map_err(|_| NoHeader::Late)?? {
            Header::Unnamed => Self::of_socket(peer, local),
            Header::Named { source, destination } => Self {
                proxy: Some(peer.ip().to_canonical()),
                ..Self::of_socket(source, destination)
            },
        })
    }
}

/// Shows each piece to the reader before it is taken, so that no byte behind the header is.
async fn read(stream: &mut TcpStream) -> Result<Header, NoHeader> {
    let mut reader = Reader::default();
    let mut piece = [0; PIECE_BYTES];
    let mut nothing_yet = true;
    loop {
        let seen = match stream.peek(&mut piece).await? {
            0 if nothing_yet => return Err(NoHeader::Nothing),
            0 => return Err(NoHeader::Cut),
            seen => seen,
        };
        nothing_yet = false;
        match reader.feed(&piece[..seen])? {
            Fed::More => stream.read_exact(&mut piece[..seen]).await?,
            Fed::Whole { taken, header } => {
                stream.read_exact(&mut piece[..taken]).await?;
                return Ok(header);
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (client, listener.accept().await.unwrap().0)
    }

    async fn ends(stream: &mut TcpStream, timeout: Duration) -> Result<Ends, NoHeader> {
        let (peer, local) = (stream.peer_addr().unwrap(), stream.local_addr().unwrap());
        Ends::of_header(stream, peer, local, timeout).await
    }

    const PATIENCE: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn what_follows_the_header_stays_in_the_stream() {
        let line = b"PROXY TCP6 ::ffff:192.0.2.7 2001:db8::1 1 25\r\nEHLO x\r\n";
        let (mut client, mut server) = pair().await;
        client.write_all(line).await.unwrap();
        let ends = ends(&mut server, PATIENCE).await.unwrap();
        assert_eq!(ends.client.to_string(), "192.0.2.7");
        assert_eq!(ends.local.to_string(), "[2001:db8::1]:25");
        assert_eq!(ends.proxy, Some([127, 0, 0, 1].into()));
        drop(client);
        let mut rest = String::new();
        server.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "EHLO x\r\n");
    }

    #[tokio::test]
    async fn a_header_longer_than_a_piece_is_read_to_its_end() {
        let mut header = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x08\x00".to_vec();
        header.extend_from_slice(&[0; 0x0800]);
        let (mut client, mut server) = pair().await;
        client.write_all(&header).await.unwrap();
        let socket = Ends::of_socket(server.peer_addr().unwrap(), server.local_addr().unwrap());
        assert_eq!(ends(&mut server, PATIENCE).await.unwrap(), socket);
        client.write_all(b"!").await.unwrap();
        assert_eq!(server.read_u8().await.unwrap(), b'!');
    }

    #[tokio::test]
    async fn without_a_header_the_reason_is_told() {
        let (client, mut server) = pair().await;
        let late = ends(&mut server, Duration::from_millis(5)).await;
        assert!(matches!(late, Err(NoHeader::Late)), "{late:?}");
        drop(client);
        let nothing = ends(&mut server, PATIENCE).await;
        assert!(matches!(nothing, Err(NoHeader::Nothing)), "{nothing:?}");

        let (mut client, mut server) = pair().await;
        client.write_all(b"PROXY TCP4").await.unwrap();
        client.shutdown().await.unwrap();
        let cut = ends(&mut server, PATIENCE).await;
        assert!(matches!(cut, Err(NoHeader::Cut)), "{cut:?}");

        let (mut client, mut server) = pair().await;
        client.write_all(b"EHLO client.example\r\n").await.unwrap();
        let fault = ends(&mut server, PATIENCE).await;
        assert!(matches!(fault, Err(NoHeader::Fault(Fault::NotAHeader))), "{fault:?}");
    }
}
