//! JSON as text: where the values of a document stand, so that it can be changed in one place and
//! stay as it is everywhere else.

use serde_json::Value;

/// A value and where it stands.
#[derive(Debug)]
pub(super) struct Node {
    /// The first byte.
    pub(super) start: usize,
    /// Behind the last one.
    pub(super) end: usize,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Object(Vec<Member>),
    Array(Vec<Node>),
    Scalar,
}

/// A member of an object.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) key: String,
    /// Where the key begins.
    pub(super) start: usize,
    pub(super) value: Node,
}

/// The document, if it is valid: agents ignore one that is not, comments included.
pub(super) fn parse(text: &str) -> Result<(Value, Node), serde_json::Error> {
    let value = serde_json::from_str(text)?;
    let mut scanner = Scanner { text, at: 0 };
    Ok((value, scanner.value()))
}

impl Node {
    /// The member of this name: the last one of several, as agents read them.
    pub(super) fn member(&self, key: &str) -> Option<&Member> {
        match &self.kind {
            Kind::Object(members) => members.iter().rev().find(|member| member.key == key),
            Kind::Array(_) | Kind::Scalar => None,
        }
    }

    /// The elements of an array.
    pub(super) fn elements(&self) -> Option<&[Self]> {
        match &self.kind {
            Kind::Array(elements) => Some(elements),
            Kind::Object(_) | Kind::Scalar => None,
        }
    }

    /// From where to where each member or element goes.
    pub(super) fn items(&self) -> Vec<(usize, usize)> {
        match &self.kind {
            Kind::Object(members) => {
                members.iter().map(|member| (member.start, member.value.end)).collect()
            }
            Kind::Array(elements) => elements.iter().map(|node| (node.start, node.end)).collect(),
            Kind::Scalar => Vec::new(),
        }
    }
}

/// Goes through text that is known to be valid.
struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl Scanner<'_> {
    fn value(&mut self) -> Node {
        let start = self.skip_space();
        let kind = match self.peek() {
            b'{' => {
                let mut members = Vec::new();
                self.list(b'}', |scanner| {
                    let start = scanner.at;
                    scanner.string();
                    let key = serde_json::from_str(&scanner.text[start..scanner.at]);
                    scanner.skip_space();
                    scanner.at += 1;
                    let value = scanner.value();
                    members.push(Member { key: key.unwrap_or_default(), start, value });
                });
                Kind::Object(members)
            }
            b'[' => {
                let mut elements = Vec::new();
                self.list(b']', |scanner| elements.push(scanner.value()));
                Kind::Array(elements)
            }
            b'"' => {
                self.string();
                Kind::Scalar
            }
            _ => {
                while !matches!(self.peek(), b',' | b']' | b'}' | 0) && !self.is_space() {
                    self.at += 1;
                }
                Kind::Scalar
            }
        };
        Node { start, end: self.at, kind }
    }

    fn list(&mut self, close: u8, mut item: impl FnMut(&mut Self)) {
        self.at += 1;
        self.skip_space();
        while self.peek() != close && self.peek() != 0 {
            item(self);
            self.skip_space();
            if self.peek() == b',' {
                self.at += 1;
                self.skip_space();
            }
        }
        self.at += 1;
    }

    fn string(&mut self) {
        self.at += 1;
        while !matches!(self.peek(), b'"' | 0) {
            self.at += if self.peek() == b'\\' { 2 } else { 1 };
        }
        self.at += 1;
    }

    fn skip_space(&mut self) -> usize {
        while self.is_space() {
            self.at += 1;
        }
        self.at
    }

    fn is_space(&self) -> bool {
        matches!(self.peek(), b' ' | b'\t' | b'\n' | b'\r')
    }

    /// The byte at hand; 0 at the end, which valid text holds nowhere.
    fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or_default()
    }
}
