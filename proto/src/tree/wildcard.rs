//! Shell wildcards as git reads them in ignore rules, on bytes.
//!
//! Written here rather than taken from a crate because "what git ignores" must be met exactly or
//! files are lost without a word: general glob libraries give `{a,b}` a meaning, refuse broken
//! UTF-8 and do not know `[[:alpha:]]`. Matching never takes more than the product of the lengths,
//! squared in the text at worst, whatever a hostile rule says.

use super::tracked::Case;

/// A compiled pattern; `/` is matched by a `/` or `**` only.
#[derive(Clone, Debug)]
pub(super) struct Wildcard {
    /// What the text must begin with, up to the first special character.
    literal: Box<[u8]>,
    /// What must match the rest.
    tokens: Box<[Token]>,
    case: Case,
}

#[derive(Clone, Debug)]
enum Token {
    Byte(u8),
    /// `?`: any byte but a slash.
    Any,
    /// `[...]`, never a slash.
    Class(Box<ByteSet>),
    /// `*`: bytes without a slash.
    Star,
    /// `**` at the end: any bytes.
    Rest,
    /// `**/`: nothing, or any bytes up to and with a slash.
    Directories,
    /// What git cannot parse matches nothing.
    Never,
}

impl Wildcard {
    pub(super) fn compile(pattern: &[u8], case: Case) -> Self {
        let special = pattern.iter().position(|byte| b"*?[\\".contains(byte));
        let (literal, rest) = pattern.split_at(special.unwrap_or(pattern.len()));
        // git takes the literal beginning away before it looks at the rest, so that `**` right
        // after it counts as if it stood at the start of a component.
        Self { literal: literal.into(), tokens: tokens(rest, case).into(), case }
    }

    /// The beginning that every matching text has.
    pub(super) fn literal(&self) -> &[u8] {
        &self.literal
    }

    pub(super) fn matches(&self, text: &[u8]) -> bool {
        match text.split_at_checked(self.literal.len()) {
            Some((start, rest)) => self.is_literal(start) && self.rest_matches(rest),
            None => false,
        }
    }

    fn is_literal(&self, start: &[u8]) -> bool {
        match self.case {
            Case::Sensitive => start == &*self.literal,
            Case::Insensitive => start.eq_ignore_ascii_case(&self.literal),
        }
    }

    /// Matches greedily from the left and goes back to the last star on a mismatch.
    ///
    /// Only the last star of each reach matters: whatever an earlier one could take in addition,
    /// the later one can take as well.
    fn rest_matches(&self, text: &[u8]) -> bool {
        let (mut at, mut next) = (0, 0);
        // The token after the star, and where in the text the star's share ends.
        let mut star: Option<(usize, usize)> = None;
        let mut deep: Option<(usize, usize)> = None;
        loop {
            match self.tokens.get(next) {
                Some(Token::Star) => {
                    star = Some((next + 1, at));
                    next += 1;
                    continue;
                }
                Some(Token::Rest | Token::Directories) => {
                    (star, deep) = (None, Some((next + 1, at)));
                    next += 1;
                    continue;
                }
                Some(token) if text.get(at).is_some_and(|&byte| self.fits(token, byte)) => {
                    at += 1;
                    next += 1;
                    continue;
                }
                None if at == text.len() => return true,
                Some(_) | None => {}
            }
            if let Some((after, end)) = star
                && text.get(end).is_some_and(|&byte| byte != b'/')
            {
                star = Some((after, end + 1));
                (next, at) = (after, end + 1);
            } else if let Some((after, end)) = deep
                && let Some(end) = self.longer_share(after - 1, text, end)
            {
                (star, deep) = (None, Some((after, end)));
                (next, at) = (after, end);
            } else {
                return false;
            }
        }
    }

    /// Where the share of a `**` that ended at `end` may end next.
    fn longer_share(&self, token: usize, text: &[u8], end: usize) -> Option<usize> {
        let rest = text.get(end..)?;
        match self.tokens[token] {
            Token::Directories => {
                let slash = rest.iter().position(|&byte| byte == b'/')?;
                Some(end + slash + 1)
            }
            Token::Byte(_)
            | Token::Any
            | Token::Class(_)
            | Token::Star
            | Token::Rest
            | Token::Never => (!rest.is_empty()).then_some(end + 1),
        }
    }

    fn fits(&self, token: &Token, byte: u8) -> bool {
        match token {
            Token::Byte(wanted) => match self.case {
                Case::Sensitive => *wanted == byte,
                Case::Insensitive => wanted.eq_ignore_ascii_case(&byte),
            },
            Token::Any => byte != b'/',
            Token::Class(set) => set.contains(byte),
            Token::Star | Token::Rest | Token::Directories | Token::Never => false,
        }
    }
}

fn tokens(pattern: &[u8], case: Case) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = pattern;
    let mut at_component_start = true;
    while let Some((&byte, after)) = rest.split_first() {
        let (token, after) = match byte {
            b'\\' => match after.split_first() {
                Some((&escaped, after)) => (Token::Byte(escaped), after),
                None => (Token::Never, after),
            },
            b'?' => (Token::Any, after),
            b'*' => stars(rest, at_component_start),
            b'[' => match class(after, case) {
                Some((set, after)) => (Token::Class(Box::new(set)), after),
                None => (Token::Never, &[][..]),
            },
            _ => (Token::Byte(byte), after),
        };
        at_component_start = matches!(token, Token::Byte(b'/') | Token::Directories);
        tokens.push(token);
        rest = after;
    }
    tokens
}

/// Two stars or more are special where they are a whole component.
fn stars(pattern: &[u8], at_component_start: bool) -> (Token, &[u8]) {
    let count = pattern.iter().take_while(|&&byte| byte == b'*').count();
    let after = &pattern[count..];
    if count == 1 || !at_component_start {
        return (Token::Star, after);
    }
    match after {
        [] | [b'\\', b'/', ..] => (Token::Rest, after),
        [b'/', after @ ..] => (Token::Directories, after),
        _ => (Token::Star, after),
    }
}

/// A set of bytes.
#[derive(Clone, Debug, Default)]
struct ByteSet([u64; 4]);

impl ByteSet {
    fn contains(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] >> (byte & 63) & 1 == 1
    }

    fn insert(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }

    fn insert_all(&mut self, bytes: impl IntoIterator<Item = u8>) {
        bytes.into_iter().for_each(|byte| self.insert(byte));
    }
}

/// Parses what follows a `[`; `None` if it is not closed or names an unknown class.
fn class(pattern: &[u8], case: Case) -> Option<(ByteSet, &[u8])> {
    let (negated, mut rest) = match pattern {
        [b'!' | b'^', rest @ ..] => (true, rest),
        _ => (false, pattern),
    };
    let mut set = ByteSet::default();
    // The byte before, if it can begin a range.
    let mut previous: Option<u8> = None;
    let mut first = true;
    loop {
        let (&byte, after) = rest.split_first()?;
        (previous, rest) = match (byte, after) {
            (b']', _) if !first => {
                rest = after;
                break;
            }
            (b'\\', [escaped, after @ ..]) => {
                set.insert(*escaped);
                (Some(*escaped), after)
            }
            (b'\\', []) => return None,
            (b'-', [next, ..]) if previous.is_some() && *next != b']' => {
                let (end, after) = unescaped(after)?;
                set.insert_all(previous.unwrap_or(end)..=end);
                (None, after)
            }
            (b'[', [b':', named @ ..]) => match named_class(named)? {
                Named::Class(test, after) => {
                    set.insert_all((0..=u8::MAX).filter(test));
                    (None, after)
                }
                Named::NoClass => {
                    set.insert(b'[');
                    (Some(b'['), after)
                }
            },
            _ => {
                set.insert(byte);
                (Some(byte), after)
            }
        };
        first = false;
    }
    Some((finished_set(&set, negated, case), rest))
}

fn unescaped(pattern: &[u8]) -> Option<(u8, &[u8])> {
    match pattern {
        [b'\\', byte, after @ ..] => Some((*byte, after)),
        [b'\\'] | [] => None,
        [byte, after @ ..] => Some((*byte, after)),
    }
}

fn finished_set(set: &ByteSet, negated: bool, case: Case) -> ByteSet {
    let is_in = |byte: u8| match case {
        Case::Sensitive => set.contains(byte),
        Case::Insensitive => {
            set.contains(byte.to_ascii_lowercase()) || set.contains(byte.to_ascii_uppercase())
        }
    };
    let mut finished = ByteSet::default();
    finished.insert_all((0..=u8::MAX).filter(|&byte| byte != b'/' && is_in(byte) != negated));
    finished
}

enum Named<'a> {
    Class(fn(&u8) -> bool, &'a [u8]),
    /// There is no `:]`, so that the bracket is one of the set.
    NoClass,
}

/// Parses what follows `[:`; `None` for an unknown name or if nothing closes it.
fn named_class(pattern: &[u8]) -> Option<Named<'_>> {
    let close = pattern.iter().position(|&byte| byte == b']')?;
    let Some(name) = pattern[..close].strip_suffix(b":") else {
        return Some(Named::NoClass);
    };
    let test: fn(&u8) -> bool = match name {
        b"alnum" => u8::is_ascii_alphanumeric,
        b"alpha" => u8::is_ascii_alphabetic,
        b"blank" => |byte| matches!(byte, b' ' | b'\t'),
        b"cntrl" => u8::is_ascii_control,
        b"digit" => u8::is_ascii_digit,
        b"graph" => u8::is_ascii_graphic,
        b"lower" => u8::is_ascii_lowercase,
        b"print" => |byte| matches!(byte, b' '..=b'~'),
        b"punct" => u8::is_ascii_punctuation,
        b"space" => |byte| matches!(byte, b' ' | b'\t'..=b'\r'),
        b"upper" => u8::is_ascii_uppercase,
        b"xdigit" => u8::is_ascii_hexdigit,
        _ => return None,
    };
    Some(Named::Class(test, &pattern[close + 1..]))
}

#[cfg(test)]
mod tests;
