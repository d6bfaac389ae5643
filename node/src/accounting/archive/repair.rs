//! Bringing files in line with the ledger after a start: what a crash left behind goes.

use std::io;
use std::path::Path;

use tracing::{error, info};

use super::{Archive, finish, report_interference};
use crate::accounting::disk::Disk;
use crate::accounting::naming::Naming;
use crate::accounting::wire;
use crate::queue::machine::MachineError;

impl<D: Disk> Archive<D> {
    /// Tries once. A directory that cannot be used holds up the rows, when there are some, and not
    /// the start of the node.
    pub(super) fn repair_if_it_works(&mut self) {
        let Self { disk, place, ledger, .. } = self;
        let result = repair(disk, &place.base, ledger);
        if let Err(e) = &result {
            error!("Error looking after accounting files: {e}");
        }
        self.repaired = result.is_ok();
    }

    /// Tries until it works, unless it has.
    pub(super) fn repair(&mut self) -> Result<(), MachineError> {
        if self.repaired {
            return Ok(());
        }
        let base = self.place.base.clone();
        let mut ledger = self.ledger.clone();
        self.insist("bring accounting files in line with the ledger", |disk| {
            repair(disk, &base, &mut ledger)
        })?;
        self.ledger = ledger;
        self.repaired = true;
        Ok(())
    }
}

fn repair(disk: &mut impl Disk, base: &Path, ledger: &mut wire::Ledger) -> io::Result<()> {
    for one in &mut ledger.series {
        let directory = Naming::new(base, &one.path).directory;
        while let Some(name) = one.begun.last() {
            disk.remove(&directory.join(name))?;
            one.begun.pop();
        }
        while let Some(name) = one.abandoned.last() {
            abandon(disk, &directory, name)?;
            one.abandoned.pop();
        }
        check_open(disk, &directory, one)?;
    }
    Ok(())
}

/// A file that ends too early, since its other rows came in a snapshot without it, does not keep
/// the name of a whole one.
fn abandon(disk: &mut impl Disk, directory: &Path, name: &str) -> io::Result<()> {
    match disk.rename(&directory.join(name), &directory.join(format!("{name}.partial"))) {
        Ok(()) => {
            error!("The rest of accounting file {name} is on other nodes only: {name}.partial.");
            Ok(())
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
    }
}

fn check_open(disk: &mut impl Disk, directory: &Path, one: &mut wire::Series) -> io::Result<()> {
    let Some(open) = &one.open else { return Ok(()) };
    let path = directory.join(&open.name);
    let recorded = open.length_bytes;
    match disk.length(&path)? {
        Some(length) if length == recorded => {}
        Some(length) if length > recorded => {
            info!("Cutting {} at {recorded} bytes after a crash.", path.display());
            disk.write_at(&path, recorded, &[])?;
        }
        Some(_) | None => {
            report_interference(&path);
            finish(one, "");
        }
    }
    Ok(())
}
