//! Lines to a tree of sections and statements, included files in place. What a statement means is
//! not known here, but for `include` and for the lists of `domain-macro` that go on in the next
//! line.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::diagnostic::{Diagnostic, Diagnostics, did_you_mean};
use super::directive::{Scope, TagArgument};
use super::lexer::{self, MAX_LINE_BYTES, Tag};
use super::position::{Position, SourceLine, Text};
use super::source::{Files, normalized, resolve};

/// Files may include files this deep.
const MAX_INCLUDE_DEPTH: usize = 16;
/// All included files together have at most this many lines.
const MAX_LINES: usize = 5_000_000;

/// A keyword and its value.
#[derive(Clone, Debug)]
pub(super) struct Statement {
    /// As written.
    pub(super) keyword: Text,
    /// What follows it on the line, without comment.
    pub(super) rest: Text,
    /// Further lines of a `domain-macro`.
    pub(super) continued: Vec<Text>,
}

/// A section and what stands in it.
#[derive(Clone, Debug)]
pub(super) struct Section {
    pub(super) scope: Scope,
    /// Name in the opening tag.
    pub(super) tag: Text,
    /// Argument in the opening tag; may be empty.
    pub(super) argument: Text,
    pub(super) body: Vec<Item>,
}

/// One entry of a section.
#[derive(Clone, Debug)]
pub(super) enum Item {
    Statement(Statement),
    Section(Section),
}

/// Reads the main file and all that it includes.
pub(super) fn parse(file: &Path, files: &dyn Files, diagnostics: &mut Diagnostics) -> Vec<Item> {
    let mut parser = Parser { files, diagnostics, including: Vec::new(), lines: 0 };
    match files.read(file) {
        Ok(content) => parser.file(file, &content, Some(Scope::Global)),
        Err(error) => {
            let message = format!("cannot be read: {error}");
            let mut diagnostic = Diagnostic::general(message).into_error();
            diagnostic.position = Some(Position::start_of(file));
            parser.diagnostics.push(diagnostic);
            Vec::new()
        }
    }
}

struct Parser<'a> {
    files: &'a dyn Files,
    diagnostics: &'a mut Diagnostics,
    /// The files that are open, outermost first.
    including: Vec<PathBuf>,
    /// Lines read so far.
    lines: usize,
}

/// A section whose closing tag has not come yet.
struct Open {
    tag: Tag,
    /// None for a tag that is unknown or in the wrong place: its body is skipped silently.
    scope: Option<Scope>,
    body: Vec<Item>,
}

impl Parser<'_> {
    fn file(&mut self, file: &Path, content: &[u8], scope: Option<Scope>) -> Vec<Item> {
        let content = match std::str::from_utf8(content) {
            Ok(content) => content.to_owned(),
            Err(error) => {
                self.not_utf8(file, content, error.valid_up_to());
                String::from_utf8_lossy(content).into_owned()
            }
        };
        self.including.push(file.to_owned());
        let items = self.body(lexer::lines(file, &content), scope);
        self.including.pop();
        items
    }

    fn not_utf8(&mut self, file: &Path, content: &[u8], good: usize) {
        let before = String::from_utf8_lossy(&content[..good]);
        let line = before.matches('\n').count();
        let shown = String::from_utf8_lossy(content);
        if let Some(line) = lexer::lines(file, &shown).into_iter().nth(line) {
            self.diagnostics.error(&Text::of_line(line), "this line is not UTF-8");
        }
    }

    /// Reads the lines of one file. Every section opened in it must be closed in it.
    fn body(&mut self, lines: Vec<Arc<SourceLine>>, scope: Option<Scope>) -> Vec<Item> {
        let mut items = Vec::new();
        let mut open: Vec<Open> = Vec::new();
        let mut lines = lines.into_iter().peekable();
        while let Some(line) = lines.next() {
            if !self.fits(&line) {
                continue;
            }
            let text = lexer::without_comment(&Text::of_line(line));
            if text.is_empty() {
                continue;
            }
            if text.as_str().starts_with('<') {
                self.tag(&text, scope, &mut open, &mut items);
                continue;
            }
            let here = open.last().map_or(scope, |o| o.scope);
            let (keyword, rest) = lexer::split_word(&text);
            let mut statement = Statement { keyword, rest, continued: Vec::new() };
            if is_keyword(&statement, "domain-macro") {
                statement.continued = self.continuation(&statement.rest, &mut lines);
            }
            let body = open.last_mut().map_or(&mut items, |o| &mut o.body);
            if is_keyword(&statement, "include") {
                body.extend(self.include(&statement, here));
            } else if here.is_some() {
                body.push(Item::Statement(statement));
            }
        }
        while let Some(unclosed) = open.pop() {
            let name = unclosed.tag.name.as_str();
            self.diagnostics.error(&unclosed.tag.name, format!("<{name}> is never closed"));
            close(unclosed, &mut open, &mut items);
        }
        items
    }

    fn fits(&mut self, line: &Arc<SourceLine>) -> bool {
        self.lines += 1;
        let complaint = if self.lines == MAX_LINES {
            "the configuration has too many lines: the rest is not read"
        } else if self.lines > MAX_LINES {
            return false;
        } else if line.text.len() > MAX_LINE_BYTES {
            "this line is too long"
        } else {
            return true;
        };
        self.diagnostics.error(&Text::of_line(line.clone()).part(0, 0), complaint);
        false
    }

    /// The lines that follow a list with a comma at its end.
    fn continuation(
        &mut self,
        first: &Text,
        lines: &mut std::iter::Peekable<impl Iterator<Item = Arc<SourceLine>>>,
    ) -> Vec<Text> {
        let mut more: Vec<Text> = Vec::new();
        while more.last().unwrap_or(first).as_str().ends_with(',') {
            let Some(line) = lines.peek() else { break };
            let text = lexer::without_comment(&Text::of_line(line.clone()));
            if text.as_str().starts_with('<') {
                break;
            }
            if self.fits(line) && !text.is_empty() {
                more.push(text);
            }
            lines.next();
        }
        let last = more.last().unwrap_or(first);
        if last.as_str().ends_with(',') {
            self.diagnostics.error(last, "the list ends with a comma: another name is expected");
        }
        more
    }

    fn tag(
        &mut self,
        text: &Text,
        base: Option<Scope>,
        open: &mut Vec<Open>,
        items: &mut Vec<Item>,
    ) {
        let tag = match lexer::read_tag(text) {
            Ok(tag) => tag,
            Err(error) => return self.diagnostics.error(text, error.to_string()),
        };
        if tag.closing {
            return self.close_tag(&tag, open, items);
        }
        let outer = open.last().map_or(base, |o| o.scope);
        let scope = outer.and_then(|outer| self.opened_scope(&tag, outer));
        open.push(Open { tag, scope, body: Vec::new() });
    }

    /// The scope of an opening tag; none when it is wrong here, which has then been said.
    fn opened_scope(&mut self, tag: &Tag, outer: Scope) -> Option<Scope> {
        let name = tag.name.as_str();
        let Some(scope) = Scope::of_tag(name) else {
            let known = Scope::ALL.iter().map(|s| s.tag()).filter(|t| !t.is_empty());
            let help = did_you_mean(name, known).map(|h| h.replace('`', ""));
            let unknown = Diagnostic::error(&tag.name, format!("unknown section <{name}>"));
            self.diagnostics.push(unknown.with_optional_help(help));
            return None;
        };
        if !scope.allowed_in(outer) {
            let places: Vec<_> =
                Scope::ALL.into_iter().filter(|o| scope.allowed_in(*o)).map(place).collect();
            let message = format!("<{}> cannot stand {}", scope.tag(), place(outer));
            let help = format!("it belongs {}", places.join(" or "));
            self.diagnostics.push(Diagnostic::error(&tag.name, message).with_help(help));
            return None;
        }
        let given = !tag.argument.is_empty();
        match scope.tag_argument() {
            TagArgument::Required(label) if !given => {
                let message = format!("argument missing: <{} {label}> is expected", scope.tag());
                self.diagnostics.error(&tag.name, message);
                None
            }
            TagArgument::None if given => {
                self.diagnostics.error(&tag.argument, format!("<{}> takes no name", scope.tag()));
                Some(scope)
            }
            TagArgument::None | TagArgument::Optional(_) | TagArgument::Required(_) => Some(scope),
        }
    }

    fn close_tag(&mut self, tag: &Tag, open: &mut Vec<Open>, items: &mut Vec<Item>) {
        let name = tag.name.as_str();
        let same = |o: &Open| o.tag.name.as_str().eq_ignore_ascii_case(name);
        let Some(depth) = open.iter().rposition(same) else {
            let expected = open.last().map(|o| format!("</{}> is expected", o.tag.name.as_str()));
            let message = format!("</{name}> closes nothing");
            let wrong = Diagnostic::error(&tag.name, message).with_optional_help(expected);
            return self.diagnostics.push(wrong);
        };
        while open.len() > depth + 1 {
            let inner = open.pop().expect("there are more than depth + 1");
            let inner_name = inner.tag.name.as_str();
            let message = format!("<{inner_name}> is not closed before </{name}>");
            let help = format!("</{name}> stands at {}", tag.name.position());
            self.diagnostics.push(Diagnostic::error(&inner.tag.name, message).with_help(help));
            close(inner, open, items);
        }
        let closed = open.pop().expect("depth is an index of this list");
        close(closed, open, items);
    }

    fn include(&mut self, statement: &Statement, here: Option<Scope>) -> Vec<Item> {
        let Some(scope) = here else { return Vec::new() };
        match self.included_files(statement, scope) {
            Ok(paths) => paths
                .into_iter()
                .flat_map(|path| self.included_file(&statement.rest, &path, scope))
                .collect(),
            Err(diagnostic) => {
                self.diagnostics.push(diagnostic);
                Vec::new()
            }
        }
    }

    fn included_files(
        &mut self,
        statement: &Statement,
        scope: Scope,
    ) -> Result<Vec<PathBuf>, Diagnostic> {
        let at = &statement.rest;
        if !may_include(scope) {
            let message = format!("include cannot stand {}", place(scope));
            return Err(Diagnostic::error(&statement.keyword, message));
        }
        let token = lexer::take_rest(at).map_err(|e| Diagnostic::error(at, e.to_string()))?;
        let Some(token) = token.filter(|t| !t.value.is_empty()) else {
            let message = "argument missing: include FILE is expected";
            return Err(Diagnostic::error(&statement.keyword, message));
        };
        if token.value.contains("://") {
            let message = "a configuration cannot be included over the network";
            let help = "fetch the file first and include its local name";
            return Err(Diagnostic::error(&token.text, message).with_help(help));
        }
        let from = self.including.last().map(PathBuf::as_path).unwrap_or(Path::new(""));
        let path = resolve(from, &token.value);
        if !token.value.contains(['*', '?', '[']) {
            return Ok(vec![path]);
        }
        let cannot = |e| Diagnostic::error(&token.text, format!("cannot be included: {e}"));
        let found = self.files.glob(&path).map_err(cannot)?;
        if found.is_empty() {
            self.diagnostics.warning(&token.text, "no file matches");
        }
        Ok(found)
    }

    fn included_file(&mut self, at: &Text, path: &Path, scope: Scope) -> Vec<Item> {
        let shown = path.display();
        if self.including.iter().any(|open| normalized(open) == normalized(path)) {
            self.diagnostics.error(at, format!("{shown} includes itself"));
            return Vec::new();
        }
        if self.including.len() > MAX_INCLUDE_DEPTH {
            let message = format!("files include each other more than {MAX_INCLUDE_DEPTH} deep");
            self.diagnostics.error(at, message);
            return Vec::new();
        }
        match self.files.read(path) {
            Ok(content) => self.file(path, &content, Some(scope)),
            Err(error) => {
                self.diagnostics.error(at, format!("{shown} cannot be read: {error}"));
                Vec::new()
            }
        }
    }
}

/// Puts a closed section where it belongs.
fn close(closed: Open, open: &mut [Open], items: &mut Vec<Item>) {
    let Open { tag, scope: Some(scope), body } = closed else { return };
    let section = Section { scope, tag: tag.name, argument: tag.argument, body };
    let outer = open.last_mut().map_or(items, |o| &mut o.body);
    outer.push(Item::Section(section));
}

fn is_keyword(statement: &Statement, name: &str) -> bool {
    statement.keyword.as_str().eq_ignore_ascii_case(name)
}

/// The sections in which the reference allows `include`.
const fn may_include(scope: Scope) -> bool {
    matches!(
        scope,
        Scope::Global | Scope::Source | Scope::Domain | Scope::VirtualMta | Scope::SmtpPatternList
    )
}

/// `in <domain>` or `at the top level`, for messages.
pub(super) fn place(scope: Scope) -> String {
    match scope.tag() {
        "" => "at the top level".to_owned(),
        tag => format!("in <{tag}>"),
    }
}
