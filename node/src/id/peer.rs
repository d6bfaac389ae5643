//! Who is at the other end of a connection to the cluster listener.

use std::fmt;
use std::str::FromStr;

use super::NodeId;

/// What an operator may do. Each role may do what the ones before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Look at everything.
    Monitor,
    /// Also change queues, jobs and messages, reload and rotate.
    Operator,
    /// Everything.
    Admin,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Monitor => "monitor",
            Self::Operator => "operator",
            Self::Admin => "admin",
        })
    }
}

/// The word is no role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a role is monitor, operator or admin")]
pub struct UnknownRole;

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(word: &str) -> Result<Self, UnknownRole> {
        match word {
            "monitor" => Ok(Self::Monitor),
            "operator" => Ok(Self::Operator),
            "admin" => Ok(Self::Admin),
            _ => Err(UnknownRole),
        }
    }
}

/// Somebody with a certificate of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// A node.
    Node(NodeId),
    /// A person or a program that administers the cluster.
    Operator {
        /// As the certificate names them.
        name: String,
        /// What they may do.
        role: Role,
    },
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(node) => node.fmt(f),
            Self::Operator { name, role } => write!(f, "{name} ({role})"),
        }
    }
}
