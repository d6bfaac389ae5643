//! `mtad --split-config FILE --out DIR`.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::{check, say};
use crate::config::SystemFiles;
use crate::config::source::normalized;
use crate::config::split::{CLUSTER_FILE, NODE_FILE, split};

/// Writes the two files that a configuration becomes into `out`, and says what went where; true
/// when they may be used together. Nothing that is there is overwritten.
///
/// # Errors
/// When a file is there already, or cannot be read or written.
pub fn print(path: &Path, out: &Path) -> Result<bool> {
    let absolute = normalized(&std::path::absolute(path)?);
    let parts = match split(&absolute, &SystemFiles) {
        Ok(parts) => parts,
        Err(diagnostics) => {
            for diagnostic in &diagnostics {
                say(format_args!("{diagnostic}\n"));
            }
            eprintln!("mtad: {} cannot be split before its errors are mended", path.display());
            return Ok(false);
        }
    };
    // Passwords go where they came from: whoever may read the one file may read both.
    let permissions = fs::metadata(&absolute)
        .with_context(|| format!("cannot read {}", path.display()))?
        .permissions();
    let there = |(name, _): &(String, String)| {
        let file = out.join(name);
        file.exists().then_some(file)
    };
    if let Some(file) = parts.files.iter().find_map(there) {
        anyhow::bail!("{} is there already: give another directory", file.display());
    }
    for (name, text) in &parts.files {
        let file = out.join(name);
        write(&file, text, &permissions)
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    for line in &parts.told {
        say(line);
    }
    let [node, cluster]: [PathBuf; 2] = [NODE_FILE, CLUSTER_FILE].map(|name| out.join(name));
    Ok(check::print(&node, Some(&cluster)))
}

fn write(file: &Path, text: &str, permissions: &Permissions) -> io::Result<()> {
    if let Some(directory) = file.parent() {
        fs::create_dir_all(directory)?;
    }
    let mut opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    opened.write_all(text.as_bytes())?;
    opened.set_permissions(permissions.clone())
}
