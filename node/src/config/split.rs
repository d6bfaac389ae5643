//! One file with everything, as a single node has it, in two: what is about the machine, and what
//! the nodes of a cluster share. Comments stay above what they stand above; files that are
//! included are copied as they are where they belong to one side as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::diagnostic::{Diagnostic, Diagnostics};
use super::directive::{Home, Kind, Scope};
use super::lexer;
use super::parser::{self, Item};
use super::position::{SourceLine, Text};
use super::source::{Files, normalized, resolve};
use super::{load, table};

/// Name of the file with what is about one machine.
pub const NODE_FILE: &str = "node.conf";
/// Name of the file with what all nodes share.
pub const CLUSTER_FILE: &str = "cluster.conf";

const NODE_TITLE: &str = "# What this node has of its own. All else is in cluster.conf.\n";
const CLUSTER_TITLE: &str = "# What all nodes share: mtactl config push cluster.conf\n";

/// Two configurations out of one.
#[derive(Debug)]
pub struct Split {
    /// Name below the new directory, and text: [`NODE_FILE`], [`CLUSTER_FILE`], and copies of
    /// included files.
    pub files: Vec<(String, String)>,
    /// What went where, a line each.
    pub told: Vec<String>,
}

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    Node,
    Cluster,
}

/// Splits the configuration in `path`, which is absolute.
///
/// # Errors
/// All errors and warnings of a configuration with errors, or what stands in the way.
pub fn split(path: &Path, files: &dyn Files) -> Result<Split, Vec<Diagnostic>> {
    let loaded = load(path, files);
    if loaded.config.is_none() {
        return Err(loaded.diagnostics);
    }
    let root = path.parent().unwrap_or_else(|| Path::new("")).to_owned();
    let mut splitter = Splitter {
        files,
        root,
        sides: BTreeMap::from([
            (Side::Node, Half::new(NODE_TITLE)),
            (Side::Cluster, Half::new(CLUSTER_TITLE)),
        ]),
        copies: BTreeMap::new(),
        last: None,
    };
    splitter.file(path);
    splitter.finish().map_err(|error| vec![error])
}

/// What has been written to one side.
struct Half {
    text: String,
    /// Directives and sections, with how often each came.
    names: Vec<(String, u32)>,
}

impl Half {
    fn new(title: &str) -> Self {
        Self { text: title.to_owned(), names: Vec::new() }
    }

    fn name(&mut self, name: String) {
        match self.names.iter_mut().find(|(known, _)| *known == name) {
            Some((_, times)) => *times += 1,
            None => self.names.push((name, 1)),
        }
    }

    fn told(&self) -> String {
        let name = |(name, times): &(String, u32)| match times {
            1 => name.clone(),
            n => format!("{name} ({n})"),
        };
        self.names.iter().map(name).collect::<Vec<_>>().join(", ")
    }
}

struct Splitter<'a> {
    files: &'a dyn Files,
    /// Directory of the main file.
    root: PathBuf,
    sides: BTreeMap<Side, Half>,
    /// Included files that are kept as they are, by their place below the directory.
    copies: BTreeMap<PathBuf, String>,
    /// Where the last directive or section went.
    last: Option<Side>,
}

type Line = Arc<SourceLine>;

impl Splitter<'_> {
    fn half(&mut self, side: Side) -> &mut Half {
        self.sides.get_mut(&side).expect("both sides are made at the start")
    }

    /// The lines of a file. That it can be read has been seen.
    fn lines(&self, file: &Path) -> Vec<Line> {
        let content = self.files.read(file).unwrap_or_default();
        lexer::lines(file, &String::from_utf8_lossy(&content))
    }

    /// Gives each line of a file at the top level to a side.
    fn file(&mut self, file: &Path) {
        let lines = self.lines(file);
        let mut above: Vec<Line> = Vec::new();
        let mut at = 0;
        while at < lines.len() {
            let text = lexer::without_comment(&Text::of_line(lines[at].clone()));
            if text.is_empty() {
                above.push(lines[at].clone());
                at += 1;
                continue;
            }
            self.comments_behind(&mut above);
            let end = at + extent(&text, &lines[at..]);
            let block = &lines[at..end];
            let (keyword, rest) = lexer::split_word(&text);
            if text.as_str().starts_with('<') {
                self.section(&text, &std::mem::take(&mut above), block);
            } else if keyword.as_str().eq_ignore_ascii_case("include") {
                self.include(file, &rest, &std::mem::take(&mut above), &block[0]);
            } else {
                let side = side_of(keyword.as_str());
                let name = keyword.as_str().to_ascii_lowercase();
                self.give(side, name, &std::mem::take(&mut above), block);
            }
            at = end;
        }
        self.write(Side::Cluster, &above);
    }

    /// Comments that stand right below a directive and are set off from the next by a blank line
    /// belong to what is above them.
    fn comments_behind(&mut self, above: &mut Vec<Line>) {
        let blank = |line: &Line| line.text.trim().is_empty();
        if let (Some(side), Some(end)) = (self.last, above.iter().position(blank)) {
            let behind: Vec<Line> = above.drain(..end).collect();
            self.write(side, &behind);
        }
    }

    fn give(&mut self, side: Side, name: String, above: &[Line], block: &[Line]) {
        self.last = Some(side);
        self.half(side).name(name);
        self.write(side, above);
        self.write(side, block);
    }

    /// Writes lines. What they include is carried along and keeps its meaning.
    fn write(&mut self, side: Side, lines: &[Line]) {
        for line in lines {
            let text = match included(line) {
                Some((from, name)) => self.carried_line(line, from, &name),
                None => line.text.to_string(),
            };
            let half = self.half(side);
            half.text.push_str(text.trim_end());
            half.text.push('\n');
        }
    }

    /// A section goes to one side as a whole, but for node-local sections in a shared one.
    fn section(&mut self, tag: &Text, above: &[Line], block: &[Line]) {
        let scope = scope_of(tag);
        if scope.is_some_and(|scope| scope.home() == Home::NodeLocal) {
            return self.give(Side::Node, named(tag), above, block);
        }
        let mut kept = Vec::new();
        let mut at = 0;
        while at < block.len() {
            let text = lexer::without_comment(&Text::of_line(block[at].clone()));
            let inner = if at > 0 { scope_of(&text) } else { None };
            let end = if inner.is_some() { at + extent(&text, &block[at..]) } else { at + 1 };
            if inner.is_some_and(|inner| inner.home() == Home::NodeLocal) {
                self.give(Side::Node, named(&text), &[], &block[at..end]);
            } else {
                kept.extend_from_slice(&block[at..end]);
            }
            at = end;
        }
        self.give(Side::Cluster, named(tag), above, &kept);
    }

    /// An `include` stays where all that it includes belongs to one side; else each file goes to
    /// its side, and one that belongs to both is written out.
    fn include(&mut self, from: &Path, name: &Text, above: &[Line], line: &Line) {
        let value = unquoted(name);
        let found = self.matching(from, &value);
        let sides: BTreeSet<Side> = found.iter().flat_map(|file| self.sides_of(file)).collect();
        let only = sides.iter().next().copied().unwrap_or(Side::Cluster);
        if sides.len() < 2 {
            return self.give(only, format!("include {value}"), above, std::slice::from_ref(line));
        }
        self.write(Side::Cluster, above);
        self.last = None;
        for file in found {
            let sides = self.sides_of(&file);
            let shown = file.strip_prefix(&self.root).unwrap_or(&file).to_owned();
            if sides.len() > 1 {
                for side in [Side::Node, Side::Cluster] {
                    self.half(side).text.push_str(&format!("# from {}\n", shown.display()));
                }
                self.file(&file);
            } else {
                let side = sides.first().copied().unwrap_or(Side::Cluster);
                self.carry(&file);
                let half = self.half(side);
                half.name(format!("include {}", shown.display()));
                half.text.push_str(&format!("include {}\n", quoted(&shown)));
            }
        }
    }

    /// The sides to which the content of a file belongs, that of further files included.
    fn sides_of(&self, file: &Path) -> BTreeSet<Side> {
        let items = parser::parse(file, self.files, &mut Diagnostics::default());
        items.iter().flat_map(sides_of_item).collect()
    }

    fn matching(&self, from: &Path, name: &str) -> Vec<PathBuf> {
        let path = resolve(from, name);
        if name.contains(['*', '?', '[']) {
            return self.files.glob(&path).unwrap_or_default();
        }
        vec![path]
    }

    /// An `include` line as it is right in a file in the main directory.
    fn carried_line(&mut self, line: &Line, from: &Path, name: &str) -> String {
        for file in self.matching(from, name) {
            self.carry(&file);
        }
        let target = normalized(&resolve(from, name));
        let at_root = from.parent() == Some(self.root.as_path());
        match target.strip_prefix(&self.root) {
            Ok(_) if at_root || Path::new(name).is_absolute() => line.text.to_string(),
            Ok(below) => format!("include {}", quoted(below)),
            Err(_) => format!("include {}", quoted(&target)),
        }
    }

    /// Copies an included file, and what it includes in turn. Files beyond the main directory stay
    /// where they are.
    fn carry(&mut self, file: &Path) {
        let file = normalized(file);
        let Ok(below) = file.strip_prefix(&self.root).map(Path::to_owned) else { return };
        if self.copies.contains_key(&below) {
            return;
        }
        self.copies.insert(below.clone(), String::new());
        let mut text = String::new();
        for line in self.lines(&file) {
            let mut written = line.text.to_string();
            if let Some((from, name)) = included(&line) {
                self.matching(from, &name).iter().for_each(|inner| self.carry(inner));
                let target = normalized(&resolve(from, &name));
                if !target.starts_with(&self.root) {
                    written = format!("include {}", quoted(&target));
                }
            }
            text.push_str(&written);
            text.push('\n');
        }
        self.copies.insert(below, text);
    }

    fn finish(self) -> Result<Split, Diagnostic> {
        let mut files = Vec::new();
        let mut told = Vec::new();
        for (side, half) in self.sides {
            let name = if side == Side::Node { NODE_FILE } else { CLUSTER_FILE };
            if self.copies.contains_key(Path::new(name)) {
                let message = format!("an included file is called {name}: rename it first");
                return Err(Diagnostic::general(message).into_error());
            }
            let all = half.told();
            told.push(format!("{name}: {}", if all.is_empty() { "nothing" } else { &all }));
            files.push((name.to_owned(), half.text));
        }
        for (name, text) in self.copies {
            told.push(format!("{}: as it is", name.display()));
            files.push((name.display().to_string(), text));
        }
        Ok(Split { files, told })
    }
}

/// How many lines a section, or a list that goes on in the next line, takes.
fn extent(first: &Text, lines: &[Line]) -> usize {
    if !first.as_str().starts_with('<') {
        let (keyword, _) = lexer::split_word(first);
        let listed = keyword.as_str().eq_ignore_ascii_case("domain-macro");
        return if listed { list_extent(lines) } else { 1 };
    }
    let mut depth = 0;
    for (n, line) in lines.iter().enumerate() {
        let text = lexer::without_comment(&Text::of_line(line.clone()));
        if text.as_str().starts_with('<')
            && let Ok(tag) = lexer::read_tag(&text)
        {
            depth += if tag.closing { -1 } else { 1 };
        }
        if depth <= 0 {
            return n + 1;
        }
    }
    lines.len()
}

fn list_extent(lines: &[Line]) -> usize {
    let mut taken = 0;
    for line in lines {
        taken += 1;
        let text = lexer::without_comment(&Text::of_line(line.clone()));
        if !text.is_empty() && !text.as_str().ends_with(',') {
            break;
        }
    }
    taken
}

/// The file of an `include` line and the name in it.
fn included(line: &Line) -> Option<(&Path, String)> {
    let text = lexer::without_comment(&Text::of_line(line.clone()));
    let (keyword, rest) = lexer::split_word(&text);
    keyword.as_str().eq_ignore_ascii_case("include").then(|| (&*line.file, unquoted(&rest)))
}

fn unquoted(text: &Text) -> String {
    lexer::take_rest(text).ok().flatten().map(|token| token.value).unwrap_or_default()
}

fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    if path.contains(char::is_whitespace) { format!("\"{path}\"") } else { path }
}

fn scope_of(text: &Text) -> Option<Scope> {
    let tag = text.as_str().starts_with('<').then(|| lexer::read_tag(text).ok())??;
    if tag.closing { None } else { Scope::of_tag(tag.name.as_str()) }
}

/// `<domain>`: without the argument, of which there may be hundreds.
fn named(tag: &Text) -> String {
    format!("<{}>", scope_of(tag).map_or("", Scope::tag))
}

/// What names a machine or something on it goes to the node, what sizes it to the cluster.
fn side_of(directive: &str) -> Side {
    let Some(row) = table::row(directive, Scope::Global) else { return Side::Cluster };
    let names = |kind| {
        matches!(kind, Kind::Path | Kind::Host | Kind::Address | Kind::Endpoint | Kind::Network)
    };
    match row.home {
        Home::NodeLocal => Side::Node,
        Home::Overridable if row.args.iter().any(|arg| names(arg.kind)) => Side::Node,
        Home::Overridable | Home::Shared | Home::Anywhere => Side::Cluster,
    }
}

fn sides_of_item(item: &Item) -> BTreeSet<Side> {
    match item {
        Item::Statement(statement) => BTreeSet::from([side_of(statement.keyword.as_str())]),
        Item::Section(section) if section.scope.home() == Home::NodeLocal => {
            BTreeSet::from([Side::Node])
        }
        Item::Section(section) => {
            let inner = section.body.iter().filter(|item| matches!(item, Item::Section(_)));
            let mut sides: BTreeSet<_> = inner.flat_map(sides_of_item).collect();
            sides.insert(Side::Cluster);
            sides
        }
    }
}
