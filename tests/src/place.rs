//! Where the nodes of a cluster live: on loopback addresses, or in network namespaces.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use anyhow::{Result, bail};

use crate::network::Network;

/// Where the nodes live.
#[derive(Debug)]
pub enum Place {
    /// Each node has an address of its own in 127.0.0.0/8.
    Loopback([u8; 3]),
    /// Each node has a network namespace of its own.
    Namespaces(Network),
}

impl Place {
    /// Addresses of loopback that nobody else uses.
    #[must_use]
    pub fn loopback() -> Self {
        let [a, b]: [u8; 2] = rand::random();
        Self::Loopback([127, 1 + a % 254, b])
    }

    /// Namespaces on a bridge of their own.
    ///
    /// # Errors
    ///
    /// When they cannot be made.
    pub fn namespaces() -> Result<Self> {
        Ok(Self::Namespaces(Network::new()?))
    }

    /// Where receivers listen.
    #[must_use]
    pub fn host(&self) -> IpAddr {
        match self {
            Self::Loopback([a, b, c]) => IpAddr::V4(Ipv4Addr::new(*a, *b, *c, 254)),
            Self::Namespaces(network) => network.host(),
        }
    }

    /// Address of a node, by its number from 0.
    #[must_use]
    pub fn address(&self, node: u8) -> IpAddr {
        match self {
            Self::Loopback([a, b, c]) => IpAddr::V4(Ipv4Addr::new(*a, *b, *c, node + 1)),
            Self::Namespaces(network) => network.address(node),
        }
    }

    /// Words before a command that make it run where the node lives.
    #[must_use]
    pub fn before(&self, node: u8) -> Vec<String> {
        match self {
            Self::Loopback(_) => Vec::new(),
            Self::Namespaces(network) => network.before(node),
        }
    }

    /// Makes room for a node.
    ///
    /// # Errors
    ///
    /// When its namespace cannot be made.
    pub fn grow(&mut self, node: u8) -> Result<()> {
        match self {
            Self::Loopback(_) => Ok(()),
            Self::Namespaces(network) => network.grow(node),
        }
    }

    /// A free port for a node, which it keeps over restarts.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn free_port(&self, node: u8) -> Result<SocketAddr> {
        // A namespace is empty; any port will do, and the host cannot bind its address.
        if let Self::Namespaces(network) = self {
            let port = 20_000 + rand::random::<u16>() % 10_000;
            return Ok(SocketAddr::new(network.address(node), port));
        }
        Ok(TcpListener::bind((self.address(node), 0))?.local_addr()?)
    }

    /// The packet filter.
    ///
    /// # Errors
    ///
    /// On loopback, where nodes cannot be cut off from each other.
    pub fn network(&mut self) -> Result<&mut Network> {
        match self {
            Self::Loopback(_) => bail!("nodes on loopback cannot be cut off from each other"),
            Self::Namespaces(network) => Ok(network),
        }
    }
}
