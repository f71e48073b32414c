use super::*;

fn check(pattern: &str, matching: &[&str], others: &[&str]) {
    let wildcard = Wildcard::compile(pattern.as_bytes(), Case::Sensitive);
    for text in matching {
        assert!(wildcard.matches(text.as_bytes()), "{pattern:?} should match {text:?}");
    }
    for text in others {
        assert!(!wildcard.matches(text.as_bytes()), "{pattern:?} should not match {text:?}");
    }
}

#[test]
fn stars_stay_within_a_component_unless_they_are_one() {
    check("*", &["", "a", "ab"], &["a/b"]);
    check("a*c", &["ac", "abc", "abcc"], &["a/c", "abcd"]);
    check("*a*b", &["ab", "xaxaxb"], &["a/b", "xaxb/b"]);
    check("**", &["", "a", "a/b"], &[]);
    check("**/b", &["b", "a/b", "a/a/b"], &["ab", "a/ab", "b/a"]);
    check("a/**/b", &["a/b", "a/x/b", "a/x/y/b"], &["ab", "a/xb", "xa/b"]);
    check("a/**", &["a/", "a/b", "a/b/c"], &["a", "ab"]);
    check("**/a/**/b/*", &["a/b/c", "x/a/y/b/b/z"], &["a/b", "a/c/d"]);
    check("x?a**b", &["xxab", "xxaxb"], &["xxa/b"]);
}

#[test]
fn classes_and_escapes_are_gits() {
    check("[ab]", &["a", "b"], &["c", "", "ab"]);
    check("[!a-c]x", &["dx", "-x"], &["ax", "bx", "/x"]);
    check("[]a]", &["]", "a"], &["[", "b"]);
    check("[a-]", &["a", "-"], &["b"]);
    check("[\\]]", &["]"], &["\\"]);
    check("[[:digit:][:upper:]_]", &["1", "X", "_"], &["x", ":"]);
    check("[[:nonsense:]]", &[], &["n", ":"]);
    check("[[:alpha]", &["[", ":", "a", "p"], &["z"]);
    check("[a", &[], &["a", "[a"]);
    check("a\\", &[], &["a", "a\\"]);
    check("\\*\\?\\{", &["*?{"], &["a?{"]);
    check("{a,b}", &["{a,b}"], &["a", "b"]);
    check("[^/]", &["a"], &["/"]);
}

#[test]
fn letters_match_in_either_case_where_the_repository_says_so() {
    let wildcard = Wildcard::compile(b"Ab?[x-z]", Case::Insensitive);
    assert!(wildcard.matches(b"aBqY"));
    assert!(!wildcard.matches(b"aBqa"));
}

#[test]
fn a_hostile_pattern_costs_no_more_than_its_length_times_the_texts() {
    let pattern = "*a".repeat(1000);
    let wildcard = Wildcard::compile(pattern.as_bytes(), Case::Sensitive);
    assert!(!wildcard.matches(&[&b"a".repeat(4000)[..], b"b"].concat()));
    let wildcard = Wildcard::compile("**/a*".repeat(500).as_bytes(), Case::Sensitive);
    assert!(!wildcard.matches(&b"a/a".repeat(498)[..]));
}
