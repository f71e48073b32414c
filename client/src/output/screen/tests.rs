//! What reaches a terminal, whatever a run writes.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::output::mutated::{cut, mutated};

fn filtered(parts: &[&[u8]]) -> Vec<u8> {
    let mut filter = ScreenFilter::default();
    parts.iter().flat_map(|part| filter.pass(part)).collect()
}

fn check(shown: &[u8], expected: &[u8]) {
    let safe = filtered(&[shown]);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(text(&safe), text(expected), "of {:?}", text(shown));
}

#[test]
fn what_draws_passes_as_it_is() {
    for drawn in [
        &b"plain\ttext\r\n\x07\x08"[..],
        b"\x1b[1;38:2::1:2:3mcolour\x1b[m",
        b"\x1b[?1049h\x1b[22;1H\x1b[2J\x1b[K\x1b[5;20r\x1b[3A\x1b[4@\x1b[2P\x1b[?25l",
        b"\x1b7\x1b8\x1bM\x1bD\x1b=\x1b>\x1b(0lqk\x1b(B\x0e\x0f",
        b"\x1b[?1000;1006h\x1b[?2004l\x1b[4 q\x1b[!p\x1b[3T\x1b[s\x1b[u\x1b[4h\x1b#8",
        "grün ✓ 👩\u{200d}💻".as_bytes(),
    ] {
        check(drawn, drawn);
    }
}

#[test]
fn what_asks_the_terminal_something_does_not_pass() {
    for asked in [
        // Status, position, attributes, parameters, modes, settings, version, names of windows.
        "\x1b[5n",
        "\x1b[6n",
        "\x1b[?6n",
        "\x1b[c",
        "\x1b[>c",
        "\x1b[=c",
        "\x1b[x",
        "\x1b[?25$p",
        "\x1b[4$p",
        "\x1b[$w",
        "\x1b[>q",
        "\x1b[21t",
        "\x1b[18t",
        "\x1b[?u",
        "\x1bZ",
        "\x05",
        "\x1bP$qm\x1b\\",
        "\x1bP+q544e\x1b\\",
        "\x1b]10;?\x07",
        "\x1b]4;1;?\x1b\\",
        "\x1b[?996n",
        // The screen's content, by its sum.
        "\x1b[1;1;1;1;9;9*y",
        // Follows the mouse until it is told.
        "\x1b[1;2;3;4;5T",
    ] {
        check(format!("a{asked}b").as_bytes(), b"ab");
    }
}

#[test]
fn what_reaches_beyond_the_screen_does_not_pass() {
    for reached in [
        // Clipboard, titles, links, directories, notifications, pictures, programs.
        "\x1b]52;c;aGVsbG8=\x07",
        "\x1b]0;title\x1b\\",
        "\x1b]8;;http://x\x1b\\",
        "\x1bktitle\x1b\\",
        "\x1b]9;note\x07",
        "\x1b]777;notify;a;b\x07",
        "\x1b]1337;File=:AA==\x07",
        "\x1b_Ga=d\x1b\\",
        "\x1b^private\x1b\\",
        "\x1bXstart\x1b\\",
        "\x1bPq#0\x1b\\",
        // Windows, the printer, lights.
        "\x1b[8;1;1t",
        "\x1b[2;0;0t",
        "\x1b[5i",
        "\x1b[?4i",
        "\x1b[3q",
        "\x1b[?3h",
        // How keys are told, by which Ctrl-\ would look different; locked and loaded keys.
        "\x1b[>4;2m",
        "\x1b[>1u",
        "\x1b[=5;1u",
        "\x1b[<u",
        "\x1b[?1036h",
        "\x1b[2h",
        "\x1b[?9001h",
        "\x1bP1;1|17/64\x1b\\",
        // Another encoding, in which other bytes begin sequences.
        "\x1b%@",
        "\x1b G",
        "\x1bn",
        "\x1bN",
        "\u{9b}",
        "\u{9d}",
        "\x7f",
        "\0",
    ] {
        check(format!("a{reached}b").as_bytes(), b"ab");
    }
    check(b"a\x1b[?25;3;1036lb", b"a\x1b[?25lb");
    check(b"a\x9b31m\xffb", "a\u{fffd}31m\u{fffd}b".as_bytes());
}

#[test]
fn a_sequence_within_another_ends_that_one() {
    check(b"\x1b]0;a\x1b[31mb", b"\x1b[31mb");
    check(b"\x1b[3\x1b[1mb", b"\x1b[1mb");
    check(b"\x1b[3\x18b\x1b]52;\x1ac", b"bc");
    check(b"\x1b[3\n1mb", b"\n\x1b[31mb");
    check("\x1b[3ü".as_bytes(), "ü".as_bytes());
}

#[test]
fn an_endless_sequence_is_left_out() {
    check(&[b"\x1b[", &[b'1'; 1000][..], b"mb"].concat(), b"b");
    check(&[b"\x1b(", &[b'('; 1000][..], b"Bb"].concat(), b"b");
}

#[test]
fn the_terminal_is_put_back_as_it_was() {
    let reset = |shown: &[u8]| {
        let mut filter = ScreenFilter::default();
        drop(filter.pass(shown));
        String::from_utf8(filter.reset()).expect("ASCII")
    };
    let always = "\x1b[4l\x1b(B\x0f\x1b>\x1b[0m\r\n";
    assert_eq!(reset(b"text"), always);
    assert_eq!(reset(b"\x1b]52;c;?\x07"), "");
    assert_eq!(
        reset(b"\x1b[?25l\x1b[?7l\x1b[?1049;1000h\x1b[?2004h\x1b[2;5r\x1b[4 q"),
        format!(
            "\x1b7\x1b[r\x1b8\x1b[?7h\x1b[?25h\x1b[?1000l\x1b[?1049l\x1b[?2004l\x1b[0 q{always}"
        )
    );
    assert_eq!(reset(b"\x1b[?25l\x1b[?1049h\x1b[?25h\x1b[?1049l"), always);
}

/// Whether this holds nothing but text and sequences that draw. Knows nothing of how the filter
/// works: it looks for what it may find.
fn is_safe(shown: &[u8]) -> bool {
    let Ok(mut rest) = std::str::from_utf8(shown) else { return false };
    while let Some(at) = rest.find(|c: char| c.is_control() && !('\x07'..='\x0f').contains(&c)) {
        let Some(sequence) = rest[at..].strip_prefix('\x1b') else { return false };
        let Some(after) = drawn(sequence) else { return false };
        rest = after;
    }
    true
}

/// What follows a sequence that draws.
fn drawn(sequence: &str) -> Option<&str> {
    let strip = |text: &str, last: &str| -> Option<usize> {
        text.starts_with(|c: char| last.contains(c)).then_some(1)
    };
    let Some(body) = sequence.strip_prefix('[') else {
        let alphabet = sequence.strip_prefix(['(', ')', '*', '+']);
        if let Some(rest) = alphabet {
            return strip(rest, "0AB12").map(|end| &rest[end..]);
        }
        if let Some(rest) = sequence.strip_prefix('#') {
            return strip(rest, "34568").map(|end| &rest[end..]);
        }
        return strip(sequence, "78=>DEHMc").map(|end| &sequence[end..]);
    };
    let parameters = |text: &str| text.find(|c: char| !"0123456789:;".contains(c));
    if let Some(private) = body.strip_prefix('?') {
        let end = parameters(private)?;
        return strip(&private[end..], "hlJK").map(|last| &private[end + last..]);
    }
    let end = parameters(body)?;
    let rest = &body[end..];
    if let Some(rest) = rest.strip_prefix(" q").or_else(|| rest.strip_prefix("!p")) {
        return Some(rest);
    }
    if strip(rest, "hl").is_some() {
        return (&body[..end] == "4").then(|| &rest[1..]);
    }
    strip(rest, "@ABCDEFGHIJKLMPSTXZ`abdefgmrsu").map(|last| &rest[last..])
}

/// Material for mutations.
const SEEDS: [&str; 12] = [
    "\x1b[1;38:5:200mcolour\x1b[0m",
    "\x1b]0;title\x07",
    "\x1b]52;c;aGVsbG8=\x1b\\",
    "\x1bP+q544e\x1b\\",
    "\x1b[?1049h\x1b[2J\x1b[H\x1b[?25l",
    "\x1b[6n\x1b[>c\x1b[21t",
    "\x1b[?2004;3;1000h",
    "\x1b(0\x1b)B\x1b7\x1b8\x1bM\x1b%@",
    "\u{9b}31m\u{9d}0;x\u{9c}",
    "\x1b[>4;2m\x1b[=1u\x1b[4 q\x1b[!p",
    "ü✓👩\u{200d}💻\u{feff}",
    "\x1b[1;1;1;1*y\x18\x1a\x05\x7f",
];

proptest! {
    #[test]
    fn only_what_draws_leaves_the_filter(parts in vec(vec(any::<u8>(), 0..20), 0..8)) {
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let safe = filtered(&parts);
        prop_assert!(is_safe(&safe), "{:?}", String::from_utf8_lossy(&safe));
    }

    #[test]
    fn neither_do_mutated_sequences_however_they_are_cut(
        seeds in vec(0..SEEDS.len(), 1..6),
        changes in vec((any::<Index>(), any::<u8>()), 0..6),
        cuts in vec(any::<Index>(), 0..6),
    ) {
        let bytes = mutated(&SEEDS, &seeds, changes);
        let parts = cut(&bytes, &cuts);
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let safe = filtered(&parts);
        prop_assert!(is_safe(&safe), "{:?}", String::from_utf8_lossy(&safe));
        // Where a stream is cut makes no difference, and what has passed once passes again.
        prop_assert_eq!(&safe, &filtered(&[&bytes]));
        prop_assert_eq!(&safe, &filtered(&[&safe]));
    }
}

#[test]
fn who_only_looks_is_told_of_no_keys() {
    let mut filter = ScreenFilter::looking();
    assert_eq!(filter.pass(b"\x1b[?1003h\x1b[?1006h\x1b[?2004hx"), b"x");
    assert_eq!(filter.pass(b"\x1b[?25;1000l"), b"\x1b[?25l");
}
