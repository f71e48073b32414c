//! One ignore rule, and the rules of one file.

use super::tracked::Case;
use super::wildcard::Wildcard;

/// What the last rule that matches says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// A plain rule.
    Matched,
    /// A rule that begins with `!`.
    Negated,
}

/// What a path is, as far as rules ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Directory,
    /// Files, and symbolic links whatever they point to.
    Other,
}

/// The rules of one file in order; the last one that matches decides.
#[derive(Clone, Debug, Default)]
pub(super) struct Patterns(Vec<Pattern>);

#[derive(Clone, Debug)]
struct Pattern {
    verdict: Verdict,
    directory_only: bool,
    /// Without a slash in the pattern only the last component counts.
    reach: Reach,
    wildcard: Wildcard,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    Name,
    Path,
}

impl Patterns {
    /// Parses the content of an ignore file.
    pub(super) fn parse(content: &[u8], case: Case) -> Self {
        let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
        let lines = content.split(|&byte| byte == b'\n');
        Self(lines.filter_map(|line| parse_line(line, case)).collect())
    }

    /// Takes each glob as one rule, in which neither `#` nor spaces are special.
    pub(super) fn from_globs(globs: &[Vec<u8>]) -> Self {
        let parse = |glob: &Vec<u8>| parse_pattern(glob, Case::Sensitive);
        Self(globs.iter().filter_map(parse).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What the rules say about a path relative to the directory of the ignore file.
    pub(super) fn verdict(&self, path: &[u8], shape: Shape) -> Option<Verdict> {
        let matching = |pattern: &&Pattern| pattern.matches(path, shape);
        self.0.iter().rev().find(matching).map(|pattern| pattern.verdict)
    }

    /// Whether something beneath this directory might match a plain rule.
    pub(super) fn may_match_below(&self, directory: &[u8]) -> bool {
        self.0.iter().any(|pattern| {
            let literal = pattern.wildcard.literal();
            pattern.verdict == Verdict::Matched
                && (pattern.reach == Reach::Name
                    || is_prefix_of_path(literal, directory)
                    || literal.strip_prefix(directory).is_some_and(|rest| rest[0] == b'/'))
        })
    }
}

/// Whether paths beneath `directory` can begin with `literal`, which is not longer.
fn is_prefix_of_path(literal: &[u8], directory: &[u8]) -> bool {
    directory.starts_with(literal)
}

impl Pattern {
    fn matches(&self, path: &[u8], shape: Shape) -> bool {
        if self.directory_only && shape != Shape::Directory {
            return false;
        }
        match self.reach {
            Reach::Path => self.wildcard.matches(path),
            Reach::Name => {
                let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
                self.wildcard.matches(name)
            }
        }
    }
}

fn parse_line(line: &[u8], case: Case) -> Option<Pattern> {
    // git reads lines as C strings.
    let line = line.split(|&byte| byte == 0).next().unwrap_or_default();
    if line.first() == Some(&b'#') {
        return None;
    }
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    parse_pattern(without_trailing_spaces(line), case)
}

fn parse_pattern(text: &[u8], case: Case) -> Option<Pattern> {
    let (verdict, text) = match text {
        [b'!', text @ ..] => (Verdict::Negated, text),
        _ => (Verdict::Matched, text),
    };
    let (directory_only, text) = match text {
        [text @ .., b'/'] => (true, text),
        _ => (false, text),
    };
    if text.is_empty() {
        return None;
    }
    let reach = if text.contains(&b'/') { Reach::Path } else { Reach::Name };
    let text = text.strip_prefix(b"/").unwrap_or(text);
    Some(Pattern { verdict, directory_only, reach, wildcard: Wildcard::compile(text, case) })
}

/// Spaces at the end do not count unless a backslash is before them.
fn without_trailing_spaces(line: &[u8]) -> &[u8] {
    let mut end = 0;
    let mut at = 0;
    while at < line.len() {
        match line[at] {
            b' ' => at += 1,
            // A backslash at the very end takes the spaces before it along.
            b'\\' => {
                at = (at + 2).min(line.len());
                end = at;
            }
            _ => {
                at += 1;
                end = at;
            }
        }
    }
    &line[..end]
}
