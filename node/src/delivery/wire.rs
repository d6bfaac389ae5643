//! One TCP connection, in clear or in TLS, and the loop between it and the protocol machine.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::client::TlsStream;

use super::trace::Dialogue;
use crate::clock::monotonic;
use crate::smtp::client::{Client, Event};

const READ_BYTES: usize = 4096;
/// Small pieces are joined up to this size, so that a group of commands is one write.
const JOIN_BYTES: usize = 16 * 1024;

/// Connects, from `source` if that is given. The error is a phrase.
pub(crate) async fn connect(
    address: SocketAddr,
    source: Option<IpAddr>,
    timeout: Duration,
) -> Result<TcpStream, String> {
    let connecting = async {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
        let socket = socket.map_err(|error| error.to_string())?;
        if let Some(source) = source {
            socket
                .bind(SocketAddr::new(source, 0))
                .map_err(|error| format!("cannot send from {source}: {}", phrase(&error)))?;
        }
        let stream = socket.connect(address).await.map_err(|error| phrase(&error))?;
        // Groups of commands are joined here already.
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        Ok(stream)
    };
    let connected = tokio::time::timeout(timeout, connecting).await;
    connected.unwrap_or_else(|_| Err("connection timed out".to_owned()))
}

/// An error without the system's number.
fn phrase(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::Other => error.to_string(),
        kind => kind.to_string(),
    }
}

/// A connection.
pub(crate) enum Stream {
    Clear(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// Given away, or closed.
    None,
}

impl Stream {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Clear(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::None => Poll::Ready(Ok(())),
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Clear(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Clear(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Self::None => Poll::Ready(Ok(())),
        }
    }
}

/// What happened on the connection.
enum Progress {
    Read(usize),
    /// All that was to be sent is sent.
    Sent,
    Closed(String),
}

/// Drives a [`Client`] over a [`Stream`].
pub(crate) struct Driver {
    pub(crate) client: Client,
    pub(crate) stream: Stream,
    pub(crate) dialogue: Arc<Dialogue>,
    /// Bytes received and sent, for the log.
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    small: BytesMut,
    large: Bytes,
    unflushed: bool,
    /// Writing failed: what the server still says is read, to learn why.
    cannot_write: Option<String>,
    input: Box<[u8; READ_BYTES]>,
}

impl Driver {
    pub(crate) fn new(client: Client, stream: TcpStream, dialogue: Arc<Dialogue>) -> Self {
        Self {
            client,
            stream: Stream::Clear(stream),
            dialogue,
            bytes_in: 0,
            bytes_out: 0,
            small: BytesMut::new(),
            large: Bytes::new(),
            unflushed: false,
            cannot_write: None,
            input: Box::new([0; READ_BYTES]),
        }
    }

    /// Waits for the next event. Nothing is lost when the future is dropped.
    pub(crate) async fn event(&mut self) -> Event {
        loop {
            self.gather();
            self.show();
            if let Some(event) = self.client.poll() {
                return event;
            }
            let progress = match self.client.deadline() {
                Some(at) => {
                    let exchange = poll_fn(|cx| self.poll_exchange(cx));
                    tokio::time::timeout_at(at.into(), exchange).await.ok()
                }
                None => Some(poll_fn(|cx| self.poll_exchange(cx)).await),
            };
            let now = monotonic();
            match progress {
                Some(Progress::Read(count)) => {
                    self.bytes_in += count as u64;
                    self.client.receive(now, &self.input[..count]);
                }
                Some(Progress::Sent) => self.client.transmitted(now),
                Some(Progress::Closed(cause)) => self.client.connection_closed(&cause),
                None => self.client.expire(now),
            }
        }
    }

    /// Sends QUIT and waits a little for the end.
    pub(crate) async fn quit(&mut self) {
        self.client.quit(monotonic());
        while !matches!(self.event().await, Event::Closed | Event::Failed(_)) {}
    }

    /// Takes from the machine what can go out in one write.
    fn gather(&mut self) {
        let now = monotonic();
        while self.large.is_empty() && self.small.len() < JOIN_BYTES {
            let Some(bytes) = self.client.transmit(now) else { return };
            if bytes.len() < JOIN_BYTES {
                self.small.extend_from_slice(&bytes);
            } else {
                self.large = bytes;
            }
        }
    }

    /// Shows new lines of the dialogue.
    pub(crate) fn show(&mut self) {
        while let Some(line) = self.client.take_line() {
            self.dialogue.line(&line);
        }
    }

    /// Reads and writes at the same time: a server may refuse a message while it is being sent.
    fn poll_exchange(&mut self, cx: &mut Context<'_>) -> Poll<Progress> {
        let mut buffer = ReadBuf::new(self.input.as_mut_slice());
        match self.stream.poll_read(cx, &mut buffer) {
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                let cause = self.cannot_write.take().unwrap_or_default();
                return Poll::Ready(Progress::Closed(cause));
            }
            Poll::Ready(Ok(())) => return Poll::Ready(Progress::Read(buffer.filled().len())),
            // TLS that ends without saying so is still only an end.
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Poll::Ready(Progress::Closed(String::new()));
            }
            Poll::Ready(Err(error)) => return Poll::Ready(Progress::Closed(phrase(&error))),
            Poll::Pending => {}
        }
        if self.cannot_write.is_some() {
            return Poll::Pending;
        }
        match ready!(self.poll_send(cx)) {
            Ok(true) => Poll::Ready(Progress::Sent),
            Ok(false) => Poll::Pending,
            Err(error) => {
                self.cannot_write = Some(phrase(&error));
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    /// Writes and flushes; true when that finished something.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        while !self.small.is_empty() {
            let count = ready!(self.stream.poll_write(cx, &self.small))?;
            self.small.advance(count);
            self.sent(count);
        }
        while !self.large.is_empty() {
            let count = ready!(self.stream.poll_write(cx, &self.large))?;
            self.large.advance(count);
            self.sent(count);
        }
        if !self.unflushed {
            return Poll::Ready(Ok(false));
        }
        ready!(self.stream.poll_flush(cx))?;
        self.unflushed = false;
        Poll::Ready(Ok(true))
    }

    const fn sent(&mut self, count: usize) {
        self.bytes_out += count as u64;
        self.unflushed = true;
    }
}
