//! A configuration with all that it includes, read where `mtactl` runs. What it includes the node
//! says, which alone knows the language.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use convoy_proto::admin::{ConfigBundle, ConfigFile};

use crate::error::Error;

/// All files together may not be larger, in bytes.
pub(super) const LARGEST: u64 = 2 * 1024 * 1024;

/// The files gathered so far.
pub(super) struct Gathered {
    /// Directory of the main file.
    root: PathBuf,
    bundle: ConfigBundle,
    left: u64,
}

impl Gathered {
    /// Begins with the main file; `-` is standard input.
    pub(super) fn begin(file: &Path) -> Result<Self, Error> {
        let root = match file.parent() {
            Some(parent) if parent != Path::new("") => parent.to_owned(),
            Some(_) | None => PathBuf::from("."),
        };
        let mut gathered = Self { root, bundle: ConfigBundle::default(), left: LARGEST };
        let name = match file.file_name() {
            Some(name) if file != Path::new("-") => name.to_string_lossy().into_owned(),
            Some(_) | None => "stdin".to_owned(),
        };
        let text = gathered.text(file)?.ok_or_else(|| not_there(file))?;
        gathered.bundle.files.push(ConfigFile { name, text });
        Ok(gathered)
    }

    /// What there is so far.
    pub(super) fn bundle(&self) -> ConfigBundle {
        self.bundle.clone()
    }

    /// Adds what the node named as missing. What is not there either is left to the node to
    /// report, which knows the line that names it.
    pub(super) fn add(&mut self, missing: &[String]) -> Result<(), Error> {
        for name in missing {
            if name.contains(['*', '?', '[']) {
                for found in self.matching(name)? {
                    self.file(found)?;
                }
            } else {
                self.file(name.clone())?;
            }
            self.bundle.asked.push(name.clone());
        }
        Ok(())
    }

    fn file(&mut self, name: String) -> Result<(), Error> {
        if self.bundle.files.iter().any(|file| file.name == name) {
            return Ok(());
        }
        let path = self.root.join(&name);
        if let Some(text) = self.text(&path)? {
            self.bundle.files.push(ConfigFile { name, text });
        }
        Ok(())
    }

    /// Names of the files that match a pattern, as they are seen from the main file.
    fn matching(&self, pattern: &str) -> Result<Vec<String>, Error> {
        let wrong = |error: &dyn std::fmt::Display| Error::Local(format!("{pattern}: {error}"));
        let root = glob::Pattern::escape(&self.root.to_string_lossy());
        let whole = Path::new(&root).join(pattern);
        let found = glob::glob(&whole.to_string_lossy()).map_err(|error| wrong(&error))?;
        let mut names = Vec::new();
        for path in found {
            let path = path.map_err(|error| wrong(&error))?;
            if path.is_file() {
                let name = path.strip_prefix(&self.root).unwrap_or(&path);
                names.push(name.to_string_lossy().into_owned());
            }
        }
        Ok(names)
    }

    /// The text of a file; none when there is no such file.
    fn text(&mut self, path: &Path) -> Result<Option<String>, Error> {
        let local =
            |error: &dyn std::fmt::Display| Error::Local(format!("{}: {error}", path.display()));
        let mut bytes = Vec::new();
        let limit = self.left + 1;
        if path == Path::new("-") {
            std::io::stdin().take(limit).read_to_end(&mut bytes).map_err(|e| local(&e))?;
        } else {
            match std::fs::File::open(path) {
                Ok(file) => file.take(limit).read_to_end(&mut bytes).map_err(|e| local(&e))?,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(local(&error)),
            };
        }
        self.left = self.left.checked_sub(bytes.len() as u64).ok_or_else(|| {
            Error::Local(format!("the configuration holds more than {LARGEST} bytes"))
        })?;
        String::from_utf8(bytes).map(Some).map_err(|_| local(&"this file is not UTF-8"))
    }
}

fn not_there(file: &Path) -> Error {
    Error::Local(format!("{}: there is no such file", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_node_names_is_added_by_the_name_it_used() {
        let root = std::env::temp_dir().join(format!("mtactl-gather-{}", std::process::id()));
        std::fs::create_dir_all(root.join("d[1]")).unwrap();
        for name in ["main.conf", "a.conf", "d[1]/x.conf", "d[1]/y.txt"] {
            std::fs::write(root.join(name), name).unwrap();
        }
        let mut gathered = Gathered::begin(&root.join("main.conf")).unwrap();
        let missing = ["a.conf", "d[[]1]/*.conf", "none.conf", "../none/*"].map(str::to_owned);
        gathered.add(&missing).unwrap();
        let bundle = gathered.bundle();
        let names: Vec<_> = bundle.files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["main.conf", "a.conf", "d[1]/x.conf"]);
        assert_eq!(bundle.files[2].text, "d[1]/x.conf");
        assert_eq!(bundle.asked, missing);
        assert!(Gathered::begin(&root.join("none.conf")).is_err());
        std::fs::remove_dir_all(&root).unwrap();
    }
}
