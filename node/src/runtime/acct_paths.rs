//! Whether accounting files can be written where the configuration puts them.
//!
//! Rows that were accepted wait for their file as long as it takes, and no later configuration
//! takes them elsewhere; so a directory that cannot be is refused before the first row.

use std::path::Path;

use rustix::fs::{Access, access};

use crate::config::settings::{AcctFile, AcctTarget};
use crate::config::{Diagnostic, Severity};

/// What stands against these files. `unwritable` is how grave it is that this process may not
/// write to a directory: `--check-config` may run as another user than the node.
pub(super) fn check(files: &[AcctFile], unwritable: Severity) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for file in files {
        let AcctTarget::File(path) = &file.target else { continue };
        for directory in path.parent().into_iter().chain(file.move_to.as_deref()) {
            let Some((severity, fault)) = fault(directory, unwritable) else { continue };
            let message = format!("acct-file {}: {fault}", path.display());
            found.push(Diagnostic { severity, message, position: None, width: 1, help: None });
        }
    }
    found
}

/// Looks at the nearest directory that is there; those below it are made when they are needed.
fn fault(directory: &Path, unwritable: Severity) -> Option<(Severity, String)> {
    let here = |path: &Path| path.as_os_str().is_empty();
    let mut ancestors = directory.ancestors().map(|a| if here(a) { Path::new(".") } else { a });
    let (nearest, metadata) =
        ancestors.find_map(|a| std::fs::metadata(a).ok().map(|metadata| (a, metadata)))?;
    if !metadata.is_dir() {
        return Some((Severity::Error, format!("{} is not a directory", nearest.display())));
    }
    let refused = access(nearest, Access::WRITE_OK | Access::EXEC_OK).err()?;
    Some((unwritable, format!("{} cannot be written to: {refused}", nearest.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn found(text: &str) -> Vec<(bool, String)> {
        let config = Config::from_text(text).expect("a configuration");
        let found = check(&config.acct_files, Severity::Warning);
        found.into_iter().map(|d| (d.is_error(), d.message)).collect()
    }

    #[test]
    fn a_directory_that_cannot_be_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().display();
        std::fs::write(directory.path().join("file"), "").unwrap();
        let good = format!(
            "<acct-file a.csv>\n</acct-file>\n<acct-file {place}/new/sub/b.csv>\n move-to {place}\n\
             </acct-file>\n<acct-file \"|/bin/none x\">\n</acct-file>\n"
        );
        assert_eq!(found(&good), []);
        let fault =
            |file: &str| (true, format!("acct-file {file}: {place}/file is not a directory"));
        let inside = format!("{place}/file/sub/c.csv");
        assert_eq!(found(&format!("<acct-file {inside}>\n</acct-file>\n")), [fault(&inside)]);
        let moved = "<acct-file d.csv>\n move-to ".to_owned();
        assert_eq!(found(&format!("{moved}{place}/file\n</acct-file>\n")), [fault("d.csv")]);
    }
}
