//! What a node keeps of its membership, in `SPOOL/cluster`: who it is, its certificate and key, and
//! the authority's certificate.
//!
//! Every file is replaced as a whole and synced. `identity.json` is written last, and a directory
//! without it holds nothing.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::id::NodeId;

const IDENTITY: &str = "identity.json";
const AUTHORITY: &str = "authority.pem";
/// Certificate and key in one file, so that they are replaced together.
const OWN: &str = "node.pem";
/// The key of a node that is joining.
const PENDING: &str = "joining.pem";
const FORMAT: u64 = 1;

/// Who a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// The cluster's name.
    pub cluster: String,
    /// The node's number.
    pub node: NodeId,
    /// How many partitions the queue has.
    pub partitions: u32,
    /// It made the cluster: its groups have a leader from the start. Others wait to be let in.
    pub founder: bool,
    /// It has run with this number: its queue must be there when it starts again.
    pub started: bool,
    /// `HOST:PORT` as it was told to the others.
    pub address: String,
    /// Members when it joined, to find the others before their list arrives.
    pub members: BTreeMap<NodeId, String>,
}

/// All that the directory holds.
#[derive(Clone)]
pub struct Kept {
    /// Who the node is.
    pub card: Card,
    /// The authority's certificate.
    pub authority_pem: String,
    /// The node's certificate and key.
    pub own_pem: String,
}

/// The directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// The system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// File or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{}: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

/// Reads the directory; none when the node belongs to no cluster.
///
/// # Errors
/// See [`FilesError`].
pub fn read(directory: &Path) -> Result<Option<Kept>, FilesError> {
    let path = directory.join(IDENTITY);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(FilesError::Io { path, source }),
    };
    let card = parse(&text).map_err(|what| FilesError::Damaged { path, what })?;
    let whole = |name: &str| {
        let path = directory.join(name);
        fs::read_to_string(&path).map_err(|source| FilesError::Io { path, source })
    };
    Ok(Some(Kept { card, authority_pem: whole(AUTHORITY)?, own_pem: whole(OWN)? }))
}

/// Writes the directory.
///
/// # Errors
/// See [`FilesError`].
pub fn write(directory: &Path, kept: &Kept) -> Result<(), FilesError> {
    let failed = |source| FilesError::Io { path: directory.to_owned(), source };
    make(directory)?;
    replace(directory, AUTHORITY, &kept.authority_pem)?;
    replace(directory, OWN, &kept.own_pem)?;
    replace(directory, IDENTITY, &text(&kept.card))?;
    match fs::remove_file(directory.join(PENDING)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn make(directory: &Path) -> Result<(), FilesError> {
    let failed = |source| FilesError::Io { path: directory.to_owned(), source };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
    directory.parent().map_or(Ok(()), sync)
}

/// The key of a node that began to join and did not get to the end.
#[must_use]
pub fn pending_key(directory: &Path) -> Option<String> {
    fs::read_to_string(directory.join(PENDING)).ok()
}

/// Keeps the key of a node that begins to join.
///
/// # Errors
/// See [`FilesError`].
pub fn keep_pending_key(directory: &Path, pem: &str) -> Result<(), FilesError> {
    make(directory)?;
    replace(directory, PENDING, pem)
}

/// Writes who the node is, and nothing else.
///
/// # Errors
/// See [`FilesError`].
pub fn write_card(directory: &Path, card: &Card) -> Result<(), FilesError> {
    replace(directory, IDENTITY, &text(card))
}

fn replace(directory: &Path, name: &str, content: &str) -> Result<(), FilesError> {
    let (path, new) = (directory.join(name), directory.join(format!("{name}.new")));
    let failed = |source| FilesError::Io { path: path.clone(), source };
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let file = match options.open(&new) {
        // Left behind when writing was cut short.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(&new).and_then(|()| options.open(&new))
        }
        other => other,
    };
    let mut file = file.map_err(failed)?;
    file.write_all(content.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&new, &path).map_err(failed)?;
    sync(directory)
}

fn sync(directory: &Path) -> Result<(), FilesError> {
    File::open(directory)
        .and_then(|opened| opened.sync_all())
        .map_err(|source| FilesError::Io { path: directory.to_owned(), source })
}

fn text(card: &Card) -> String {
    let members: serde_json::Map<String, Value> =
        card.members.iter().map(|(node, at)| (node.0.to_string(), at.clone().into())).collect();
    let object = json!({
        "format": FORMAT,
        "cluster": card.cluster,
        "node": card.node.0,
        "partitions": card.partitions,
        "founder": card.founder,
        "started": card.started,
        "address": card.address,
        "members": members,
    });
    format!("{object:#}\n")
}

fn parse(text: &str) -> Result<Card, String> {
    let object: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let missing = |what: &str| format!("`{what}` is missing");
    let number = |what: &str| object[what].as_u64().ok_or_else(|| missing(what));
    let word = |what: &str| object[what].as_str().ok_or_else(|| missing(what));
    let flag = |what: &str| object[what].as_bool().ok_or_else(|| missing(what));
    if number("format")? != FORMAT {
        return Err("it was written by a newer mtad".to_owned());
    }
    let members = object["members"].as_object().ok_or_else(|| missing("members"))?;
    let member = |(node, address): (&String, &Value)| {
        Some((NodeId(node.parse().ok()?), address.as_str()?.to_owned()))
    };
    Ok(Card {
        cluster: word("cluster")?.to_owned(),
        node: NodeId(number("node")?),
        partitions: u32::try_from(number("partitions")?).map_err(|_| missing("partitions"))?,
        founder: flag("founder")?,
        started: flag("started")?,
        address: word("address")?.to_owned(),
        members: members.iter().filter_map(member).collect(),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn kept() -> Kept {
        let card = Card {
            cluster: "c1".to_owned(),
            node: NodeId(3),
            partitions: 8,
            founder: false,
            started: true,
            address: "mx3:2526".to_owned(),
            members: [(NodeId(1), "mx1:2526".to_owned())].into(),
        };
        Kept { card, authority_pem: "authority".to_owned(), own_pem: "own".to_owned() }
    }

    #[test]
    fn what_is_written_is_read_and_nobody_else_may() {
        let spool = tempfile::tempdir().unwrap();
        let directory = spool.path().join("cluster");
        assert!(read(&directory).unwrap().is_none());
        for round in 0..2 {
            // What a write that was cut short left behind is no hindrance.
            write(&directory, &kept()).unwrap();
            fs::write(directory.join("node.pem.new"), "half").unwrap();
            let found = read(&directory).unwrap().unwrap();
            assert_eq!(found.card, kept().card, "round {round}");
            assert_eq!(
                (found.authority_pem.as_str(), found.own_pem.as_str()),
                ("authority", "own")
            );
        }
        for name in [IDENTITY, AUTHORITY, OWN] {
            let mode = fs::metadata(directory.join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn damage_is_told() {
        let spool = tempfile::tempdir().unwrap();
        for (content, told) in [
            ("{", "EOF"),
            ("{\"format\": 2}", "newer mtad"),
            ("{\"format\": 1}", "`members` is missing"),
        ] {
            fs::write(spool.path().join(IDENTITY), content).unwrap();
            let error = read(spool.path()).err().unwrap().to_string();
            assert!(error.contains(told), "{error}");
        }
    }
}
