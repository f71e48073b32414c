//! Reads the syntax of git's settings files, so that plain ones need no child process.
//!
//! Written here as it is small and must agree with git or say nothing: whatever is unusual (what
//! versions of git read differently, and all that is wrong) is left to the user's git.

/// One setting as git lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    /// Section in lower case, subsection as it is, name in lower case; joined by dots.
    pub(super) key: Vec<u8>,
    /// `None` for a name alone, which means true.
    pub(super) value: Option<Vec<u8>>,
}

impl Setting {
    /// The value as git reads a boolean; `None` if it is none.
    pub(super) fn as_bool(&self) -> Option<bool> {
        let Some(value) = &self.value else { return Some(true) };
        match value.to_ascii_lowercase().as_slice() {
            b"true" | b"yes" | b"on" | b"1" => Some(true),
            b"" | b"false" | b"no" | b"off" | b"0" => Some(false),
            _ => None,
        }
    }
}

/// The settings of a file in order, without looking at what it includes; `None` to ask git.
pub(super) fn parse(content: &[u8]) -> Option<Vec<Setting>> {
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    let mut reader = Reader { content, at: 0 };
    let mut section = Vec::new();
    let mut settings = Vec::new();
    while let Some(byte) = reader.next()? {
        match byte {
            b' ' | b'\t' | b'\n' => {}
            b'#' | b';' => reader.skip_line()?,
            b'[' => section = reader.section()?,
            _ if byte.is_ascii_alphabetic() && !section.is_empty() => {
                let (name, value) = reader.setting(byte)?;
                settings.push(Setting { key: [&*section, &*name].join(&b'.'), value });
            }
            _ => return None,
        }
    }
    Some(settings)
}

struct Reader<'a> {
    content: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    /// The next byte, a line's end as one; `None` inside for the end, outside for what git's
    /// versions disagree about.
    fn next(&mut self) -> Option<Option<u8>> {
        let Some(&byte) = self.content.get(self.at) else { return Some(None) };
        self.at += 1;
        match byte {
            0 => None,
            b'\r' if self.content.get(self.at) == Some(&b'\n') => {
                self.at += 1;
                Some(Some(b'\n'))
            }
            b'\r' => None,
            _ => Some(Some(byte)),
        }
    }

    fn skip_line(&mut self) -> Option<()> {
        while !matches!(self.next()?, None | Some(b'\n')) {}
        Some(())
    }

    /// After `[`, up to and with `]`.
    fn section(&mut self) -> Option<Vec<u8>> {
        let mut name = Vec::new();
        loop {
            match self.next()?? {
                b']' if !name.is_empty() => return Some(name),
                b' ' | b'\t' if !name.is_empty() => break,
                byte if byte.is_ascii_alphanumeric() || b"-.".contains(&byte) => {
                    name.push(byte.to_ascii_lowercase());
                }
                _ => return None,
            }
        }
        while matches!(self.content.get(self.at), Some(b' ' | b'\t')) {
            self.at += 1;
        }
        if self.next()?? != b'"' {
            return None;
        }
        name.push(b'.');
        loop {
            match self.next()?? {
                b'"' => break,
                b'\n' => return None,
                b'\\' => match self.next()?? {
                    b'\n' => return None,
                    escaped => name.push(escaped),
                },
                byte => name.push(byte),
            }
        }
        (self.next()?? == b']').then_some(name)
    }

    /// A name that begins with this letter, and its value.
    fn setting(&mut self, first: u8) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
        let mut name = vec![first.to_ascii_lowercase()];
        let mut ended = false;
        loop {
            match self.next()? {
                None | Some(b'\n') => return Some((name, None)),
                Some(b' ' | b'\t') => ended = true,
                Some(b'=') => return Some((name, Some(self.value()?))),
                Some(byte) if !ended && (byte.is_ascii_alphanumeric() || byte == b'-') => {
                    name.push(byte.to_ascii_lowercase());
                }
                Some(_) => return None,
            }
        }
    }

    fn value(&mut self) -> Option<Vec<u8>> {
        let mut value = Vec::new();
        let mut quoted = false;
        // What follows is space so far.
        let mut end = 0;
        loop {
            match self.next()? {
                None | Some(b'\n') if quoted => return None,
                None | Some(b'\n') => break,
                Some(b'#' | b';') if !quoted => {
                    self.skip_line()?;
                    break;
                }
                Some(b' ') if !quoted => {
                    if !value.is_empty() {
                        value.push(b' ');
                    }
                    continue;
                }
                // Some versions take it for a space, some as it is.
                Some(b'\t') if !quoted => {
                    if value.is_empty() {
                        continue;
                    }
                    return self.only_space_follows().then(|| {
                        value.truncate(end);
                        value
                    });
                }
                Some(b'"') => quoted = !quoted,
                Some(b'\\') => match self.next()?? {
                    b'\n' => {}
                    b'n' => value.push(b'\n'),
                    b't' => value.push(b'\t'),
                    b'b' => value.push(8),
                    byte @ (b'"' | b'\\') => value.push(byte),
                    _ => return None,
                },
                Some(byte) => value.push(byte),
            }
            end = value.len();
        }
        value.truncate(end);
        Some(value)
    }

    /// Skips to the end of a line that holds nothing more.
    fn only_space_follows(&mut self) -> bool {
        loop {
            match self.next() {
                Some(None | Some(b'\n')) => return true,
                Some(Some(b' ' | b'\t')) => {}
                _ => return false,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::capture::git::Git;

    fn listed(content: &[u8]) -> Option<Vec<Setting>> {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("config");
        std::fs::write(&file, content).unwrap();
        let words =
            ["config", "--list", "--null", "--no-includes", "--file", file.to_str().unwrap()];
        Git::new(home.path())
            .ask(&words)
            .ok()
            .map(|listing| crate::capture::config::listed(&listing))
    }

    #[test]
    fn what_git_writes_is_understood() {
        let content = b"[core]\n\trepositoryformatversion = 0\n\tbare = false # no\n[remote \"a\\\"b.C\"]\n\turl = git@host:x\n\
            \tfetch = +refs/heads/*:refs/remotes/o/*\n[Branch.Main] Merge = \"a # b\" ;c\n[x]\n\ty\n\tz=\n\tlong = a \\\n b\n";
        let parsed = parse(content);
        assert!(parsed.is_some());
        assert_eq!(parsed, listed(content));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn what_is_understood_is_read_as_git_reads_it(
            lines in proptest::collection::vec(prop_oneof![
                "\\[[a-zA-Z.-]{1,4}\\]", "\\[[a-z]{1,3} \"[a-z\\\\\". A]{0,5}\"\\]", "[a-zA-Z][a-z-]{0,3}",
                "[\t ]{0,2}[a-z]{1,3}[ \t]{0,2}=[ \ta-z\"\\\\#;]{0,10}", "[a-z]=\"[a-z \t\\\\#;]{0,6}\"[ \t]{0,2}",
                "[#;][a-z]{0,3}", "[ \t\r]{0,3}",
            ], 0..8),
            end in prop_oneof!["\n", "\r\n"],
        ) {
            let content = format!("[a]{end}{}", lines.join(&*end));
            if let Some(parsed) = parse(content.as_bytes()) {
                prop_assert_eq!(Some(parsed), listed(content.as_bytes()), "{:?}", content);
            }
        }
    }
}
