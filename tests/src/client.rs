//! A sending SMTP client for tests: one command at a time, in clear, STARTTLS or implicit TLS.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Anything that a session can run over.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A session with a server.
pub struct Client {
    stream: BufReader<Box<dyn Stream>>,
}

/// A reply: code and its lines without the code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Three digits.
    pub code: u16,
    /// Texts, one per line.
    pub lines: Vec<String>,
}

impl Client {
    /// Connects in clear and reads the greeting.
    ///
    /// # Errors
    ///
    /// When the connection fails or the greeting is not `220`.
    pub async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut client = Self { stream: BufReader::new(Box::new(stream)) };
        client.expect(220).await?;
        Ok(client)
    }

    /// Connects, speaks TLS at once and reads the greeting.
    ///
    /// # Errors
    ///
    /// When connection or handshake fails or the greeting is not `220`.
    pub async fn connect_tls(
        address: SocketAddr,
        name: &str,
        config: Arc<rustls::ClientConfig>,
    ) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from(name.to_owned())?;
        let stream = TlsConnector::from(config).connect(name, stream).await?;
        let mut client = Self { stream: BufReader::new(Box::new(stream)) };
        client.expect(220).await?;
        Ok(client)
    }

    /// `EHLO`, and the extensions offered.
    ///
    /// # Errors
    ///
    /// When the answer is not `250`.
    pub async fn ehlo(&mut self) -> Result<Vec<String>> {
        self.send("EHLO client.example").await?;
        Ok(self.expect(250).await?.lines)
    }

    /// `STARTTLS` and the handshake; needs another `EHLO` after it.
    ///
    /// # Errors
    ///
    /// When it is refused or the handshake fails.
    pub async fn starttls(mut self, name: &str, config: Arc<rustls::ClientConfig>) -> Result<Self> {
        self.send("STARTTLS").await?;
        self.expect(220).await?;
        let name = ServerName::try_from(name.to_owned())?;
        let inner = self.stream.into_inner();
        let stream = TlsConnector::from(config).connect(name, inner).await?;
        Ok(Self { stream: BufReader::new(Box::new(stream)) })
    }

    /// One whole message; gives the reply to its final dot.
    ///
    /// # Errors
    ///
    /// When any step but the last is refused, or the connection breaks.
    pub async fn message(&mut self, from: &str, to: &[&str], text: &str) -> Result<Reply> {
        self.send(&format!("MAIL FROM:<{from}>")).await?;
        self.expect(250).await?;
        for recipient in to {
            self.send(&format!("RCPT TO:<{recipient}>")).await?;
            self.expect(250).await?;
        }
        self.send("DATA").await?;
        self.expect(354).await?;
        for line in text.lines() {
            let dot = if line.starts_with('.') { "." } else { "" };
            self.stream.write_all(format!("{dot}{line}\r\n").as_bytes()).await?;
        }
        self.send(".").await?;
        self.reply().await
    }

    /// Sends a command line.
    ///
    /// # Errors
    ///
    /// When the connection breaks.
    pub async fn send(&mut self, command: &str) -> Result<()> {
        self.stream.write_all(format!("{command}\r\n").as_bytes()).await?;
        self.stream.flush().await?;
        Ok(())
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    ///
    /// When the connection breaks.
    pub async fn raw(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await?;
        Ok(())
    }

    /// Reads a reply.
    ///
    /// # Errors
    ///
    /// When the connection ends or the bytes are no reply.
    pub async fn reply(&mut self) -> Result<Reply> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line).await? == 0 {
                bail!("the server closed the connection");
            }
            let line = line.trim_end();
            let code = line.get(..3).and_then(|c| c.parse().ok());
            let code = code.with_context(|| format!("no reply: {line:?}"))?;
            lines.push(line.get(4..).unwrap_or_default().to_owned());
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(Reply { code, lines });
            }
        }
    }

    /// Reads a reply and checks its code.
    ///
    /// # Errors
    ///
    /// When the code is another one.
    pub async fn expect(&mut self, code: u16) -> Result<Reply> {
        let reply = self.reply().await?;
        if reply.code != code {
            bail!("expected {code}, got {} {}", reply.code, reply.lines.join(" / "));
        }
        Ok(reply)
    }
}
