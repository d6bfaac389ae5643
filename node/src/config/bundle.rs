//! A configuration that nodes share, as it travels: the main file and all that it includes.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use super::diagnostic::Diagnostics;
use super::parser;
use super::source::{Files, normalized};

/// All files of a bundle together have at most this many bytes.
const MAX_BUNDLE_BYTES: usize = 2 * 1024 * 1024;
/// A bundle has at most this many files.
const MAX_BUNDLE_FILES: usize = 1_000;

/// Name and text of the main file, then of those that it includes. Names are relative to the main
/// file's directory, or absolute where they were included so.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Bundle {
    files: Vec<(String, String)>,
}

/// Says the names only: texts may hold passwords.
impl std::fmt::Debug for Bundle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.files.iter().map(|(name, _)| name)).finish()
    }
}

/// Why files are no bundle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// There is no main file.
    #[error("there is no file in it")]
    Empty,
    /// It cannot be kept.
    #[error("the files are larger than 2 MiB together")]
    TooLarge,
    /// It cannot be kept.
    #[error("there are more than {MAX_BUNDLE_FILES} files")]
    TooMany,
    /// Only one text can count.
    #[error("{0} is in it twice")]
    Twice(String),
}

impl Bundle {
    /// A bundle of these files, the main one first.
    ///
    /// # Errors
    /// See [`BundleError`].
    pub fn new(files: Vec<(String, String)>) -> Result<Self, BundleError> {
        if files.is_empty() {
            return Err(BundleError::Empty);
        }
        if files.len() > MAX_BUNDLE_FILES {
            return Err(BundleError::TooMany);
        }
        if files.iter().map(|(name, text)| name.len() + text.len()).sum::<usize>()
            > MAX_BUNDLE_BYTES
        {
            return Err(BundleError::TooLarge);
        }
        let mut names = BTreeSet::new();
        for (name, _) in &files {
            if !names.insert(normalized(Path::new(name))) {
                return Err(BundleError::Twice(name.clone()));
            }
        }
        Ok(Self { files })
    }

    /// Name and text of each file.
    #[must_use]
    pub fn files(&self) -> &[(String, String)] {
        &self.files
    }

    /// The same, to be kept elsewhere.
    #[must_use]
    pub fn into_files(self) -> Vec<(String, String)> {
        self.files
    }

    /// Names and patterns that it includes, and that are neither in it nor among `asked`, of which
    /// all that there is has been added. What the added files include shows only the next time.
    #[must_use]
    pub fn missing(&self, asked: &[String]) -> Vec<String> {
        let files = BundleFiles::new(self, Path::new(""));
        let mut unheard = Diagnostics::default();
        parser::parse(&files.main(), &files, &mut unheard);
        let missing = files.missing.into_inner();
        missing.into_iter().filter(|name| !asked.contains(name)).collect()
    }
}

/// The files of a bundle, seen below a directory that exists in messages only.
pub(super) struct BundleFiles<'a> {
    bundle: &'a Bundle,
    below: PathBuf,
    /// What was looked for and is not there, and every pattern.
    missing: RefCell<BTreeSet<String>>,
}

impl<'a> BundleFiles<'a> {
    pub(super) fn new(bundle: &'a Bundle, below: &Path) -> Self {
        Self { bundle, below: below.to_owned(), missing: RefCell::default() }
    }

    /// The main file.
    pub(super) fn main(&self) -> PathBuf {
        let name = self.bundle.files.first().map(|(name, _)| name.as_str());
        self.below.join(name.unwrap_or_default())
    }

    /// The name in the bundle. An absolute one stands below nothing.
    fn inside(&self, path: &Path) -> PathBuf {
        normalized(path.strip_prefix(&self.below).unwrap_or(path))
    }

    fn note(&self, name: &Path) {
        self.missing.borrow_mut().insert(name.display().to_string());
    }
}

impl Files for BundleFiles<'_> {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let name = self.inside(path);
        let file = self.bundle.files.iter().find(|(have, _)| normalized(Path::new(have)) == name);
        let Some((_, text)) = file else {
            self.note(&name);
            return Err(io::Error::new(io::ErrorKind::NotFound, "there is no such file"));
        };
        Ok(text.as_bytes().to_vec())
    }

    fn glob(&self, pattern: &Path) -> io::Result<Vec<PathBuf>> {
        let pattern = self.inside(pattern);
        let wrong = |e: &str| io::Error::new(io::ErrorKind::InvalidInput, e.to_owned());
        let text = pattern.to_str().ok_or_else(|| wrong("not UTF-8"))?;
        let parsed = glob::Pattern::new(text).map_err(|e| wrong(e.msg))?;
        self.note(&pattern);
        let options = glob::MatchOptions { require_literal_separator: true, ..Default::default() };
        let names = self.bundle.files.iter().map(|(name, _)| normalized(Path::new(name)));
        let matching = names.filter(|name| parsed.matches_path_with(name, options));
        let mut found: Vec<_> = matching.map(|name| self.below.join(name)).collect();
        found.sort();
        Ok(found)
    }

    fn host_name(&self) -> String {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(files: &[(&str, &str)]) -> Bundle {
        let owned = files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        Bundle::new(owned.collect()).unwrap()
    }

    #[test]
    fn what_is_included_and_not_there_is_named_step_by_step() {
        let main = ("cluster.conf", "include a.conf\ninclude d/*.conf\n# include not.conf\n");
        assert_eq!(bundle(&[main]).missing(&[]), ["a.conf", "d/*.conf"]);
        let deeper = ("d/x.conf", "include ../b.conf\ninclude /etc/isp.conf\ninclude ../../up\n");
        let more = bundle(&[main, ("a.conf", "postmaster a@b\n"), deeper]);
        assert_eq!(more.missing(&["d/*.conf".into()]), ["../up", "/etc/isp.conf", "b.conf"]);
        let all = bundle(&[
            main,
            ("a.conf", ""),
            deeper,
            ("b.conf", ""),
            ("/etc/isp.conf", ""),
            ("../up", ""),
        ]);
        assert!(all.missing(&["d/*.conf".into()]).is_empty());
        let without = bundle(&[main, ("d/x.conf", "")]);
        assert_eq!(without.missing(&["d/*.conf".into(), "a.conf".into()]), Vec::<String>::new());
    }

    #[test]
    fn a_bundle_is_bounded() {
        let file = |name: &str, bytes| (name.to_owned(), " ".repeat(bytes));
        assert_eq!(Bundle::new(Vec::new()), Err(BundleError::Empty));
        let large = vec![file("a", MAX_BUNDLE_BYTES)];
        assert_eq!(Bundle::new(large), Err(BundleError::TooLarge));
        let many = (0..=MAX_BUNDLE_FILES).map(|n| file(&n.to_string(), 0)).collect();
        assert_eq!(Bundle::new(many), Err(BundleError::TooMany));
        let twice = vec![file("a", 1), file("./a", 1)];
        assert_eq!(Bundle::new(twice), Err(BundleError::Twice("./a".into())));
    }
}
