//! Recognises `.git` however a file system or git itself would spell it.

/// Whether a name is `.git` on some file system that a repository may be checked out on.
///
/// Those are the spellings that git itself refuses in trees (`core.protectHFS` and
/// `core.protectNTFS`): any letter case; with code points that HFS+ ignores; `git~1`, its NTFS
/// short name; either with dots and spaces after it; followed by a colon (an NTFS stream such as
/// `::$INDEX_ALLOCATION`) or by a backslash; and all that after a backslash.
#[must_use]
pub fn is_git_spelling(component: &[u8]) -> bool {
    is_hfs_spelling(component) || component.split(|&b| b == b'\\').any(is_ntfs_spelling)
}

fn is_hfs_spelling(component: &[u8]) -> bool {
    // Nearly every name is none: one begins with the dot, or with the first byte of what is ignored.
    if !matches!(component.first(), Some(b'.' | 0xe2 | 0xef)) {
        return false;
    }
    let Ok(text) = std::str::from_utf8(component) else {
        // Broken UTF-8 names cannot exist on HFS+, the other rule sees plain ASCII.
        return false;
    };
    text.chars()
        .filter(|&c| !is_ignored_by_hfs(c))
        .map(|c| c.to_ascii_lowercase())
        .eq(".git".chars())
}

fn is_ntfs_spelling(name: &[u8]) -> bool {
    let starts = |prefix: &[u8]| {
        name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    let rest = if starts(b".git") {
        &name[4..]
    } else if starts(b"git~1") {
        &name[5..]
    } else {
        return false;
    };
    match rest.iter().find(|byte| !matches!(byte, b'.' | b' ')) {
        None => true,
        Some(&byte) => byte == b':',
    }
}

/// The code points that Apple's TN1150 lists as ignored when HFS+ compares names.
fn is_ignored_by_hfs(character: char) -> bool {
    matches!(
        character,
        '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}'
    )
}
