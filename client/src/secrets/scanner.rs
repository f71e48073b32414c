//! Finds secrets in content: one pass for the literals of all rules, then the pattern of the rule
//! whose literal was found, at that place only.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};
use regex_automata::meta::Regex;
use regex_automata::util::captures::Captures;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input};

use super::checks::holds;
use super::rules::{RULES, Rule};

/// Marks in a line by which its author says that what looks like a secret is none.
const ALLOWED: [&[u8]; 3] =
    [b"handoff:allow-secret", b"gitleaks:allow", b"pragma: allowlist secret"];

/// A match reaches no further than this many bytes beyond its literal.
const REACH: usize = 8 << 10;

/// How many hits of one file are told.
const HITS_MAX: usize = 20;

/// A secret in a file. Never the secret itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hit {
    /// The line, from 1.
    pub(super) line: usize,
    /// The rule's name.
    pub(super) rule: &'static str,
    /// Where the format is documented.
    pub(super) reference: &'static str,
}

/// The table, compiled.
struct Scanner {
    literals: AhoCorasick,
    /// The rule of each literal.
    owners: Vec<&'static Compiled>,
}

struct Compiled {
    rule: &'static Rule,
    pattern: Regex,
}

static SCANNER: LazyLock<Option<Scanner>> = LazyLock::new(Scanner::compile);

/// Compiles the rules, which takes some milliseconds the first time.
pub fn compile() {
    LazyLock::force(&SCANNER);
}

/// The secrets in this content, by line, each line and rule once, the first ones only.
pub(super) fn scan(content: &[u8]) -> Vec<Hit> {
    // The table is constant and a test compiles it.
    SCANNER.as_ref().map(|scanner| scanner.scan(content)).unwrap_or_default()
}

impl Scanner {
    fn compile() -> Option<Self> {
        let (mut literals, mut owners) = (Vec::new(), Vec::new());
        for rule in RULES {
            let syntax = syntax::Config::new().utf8(false).unicode(false);
            let pattern = Regex::builder()
                .configure(Regex::config().utf8_empty(false))
                .syntax(syntax)
                .build(rule.pattern)
                .ok()?;
            let compiled: &'static Compiled = Box::leak(Box::new(Compiled { rule, pattern }));
            for literal in rule.literals {
                literals.push(*literal);
                owners.push(compiled);
            }
        }
        let literals =
            AhoCorasick::builder().match_kind(MatchKind::LeftmostFirst).build(literals).ok()?;
        Some(Self { literals, owners })
    }

    fn scan(&self, content: &[u8]) -> Vec<Hit> {
        let mut hits = Vec::new();
        // How far lines have been counted.
        let (mut line, mut counted) = (1, 0);
        for literal in self.literals.find_iter(content) {
            let compiled = self.owners[literal.pattern().as_usize()];
            if !compiled.matches(content, literal.start(), literal.end()) {
                continue;
            }
            let at = literal.start();
            line += content[counted..at].iter().filter(|&&byte| byte == b'\n').count();
            counted = at;
            let Rule { id: rule, reference, .. } = compiled.rule;
            let hit = Hit { line, rule, reference };
            if hits.last() != Some(&hit) {
                hits.push(hit);
            }
            if hits.len() == HITS_MAX {
                break;
            }
        }
        hits
    }
}

impl Compiled {
    fn matches(&self, content: &[u8], start: usize, end: usize) -> bool {
        let Some(begin) = start.checked_sub(self.rule.back) else { return false };
        let input = Input::new(content)
            .range(begin..content.len().min(end + REACH))
            .anchored(Anchored::Yes);
        // Most places are none: only a match is worth its groups.
        if !self.pattern.is_match(input.clone()) {
            return false;
        }
        let mut groups: Captures = self.pattern.create_captures();
        self.pattern.search_captures(&input, &mut groups);
        let Some(whole) = groups.get_match() else { return false };
        let secret =
            groups.iter().skip(1).flatten().next().map_or(whole.range(), |group| group.range());
        holds(self.rule.check, &content[secret], &content[whole.range()])
            && !is_allowed(content, start)
    }
}

/// Whether the line says that this is no secret.
fn is_allowed(content: &[u8], at: usize) -> bool {
    let newline = |byte: &u8| *byte == b'\n';
    let begin = content[..at].iter().rposition(newline).map_or(0, |before| before + 1);
    let end = content[at..].iter().position(newline).map_or(content.len(), |after| at + after);
    let line = &content[begin..end];
    ALLOWED.iter().any(|mark| line.windows(mark.len()).any(|part| part == *mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One of each kind, in two parts so that this file holds none.
    const SECRETS: &[(&str, &str, &str)] = &[
        ("github-token", "ghp_zQWBuTSOoRi4A9sp", "HcVY5ncnsDkxkJ0mLq17"),
        (
            "github-fine-grained-token",
            "github_pat_11ABCDEFG0abcdefgHIJKL",
            "_mNoPqRsTuVwXyZ0123456789aBcDeFgHiJkLmNoPqRsTuVwXyZ012345678",
        ),
        ("gitlab-token", "glpat-", "x7Kq2mNp9RtVw4Yz8BcD"),
        ("aws-access-key-id", "AKIA", "Q3ZX7VPLM2KJ5RWT"),
        (
            "aws-secret-access-key",
            "aws_secret_access_key = ",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYq8Zt3LpV1m",
        ),
        ("google-api-key", "AIza", "SyD4kQ9xVb2ZnR7tLw0PmHs3YcJf6GuEa8K"),
        ("google-oauth-client-secret", "GOCSPX-", "a8Kq2mNp9RtVw4Yz8BcDx7Kq2mNp"),
        (
            "azure-storage-key",
            "AccountKey=",
            "q8Zf3LmP0vXr7TnB2kWdq9Zf3LmP1vXr7TnC2kWdq8Yf3LmQ0vXr6TnB2kWeq8Zf4LmP0vWr7TnB2jWdAb12Cd==",
        ),
        ("azure-client-secret", "abc8Q", "~x7Kq2mNp9RtVw4Yz8BcDx7Kq2mNp9RtVw"),
        ("slack-token", "xoxb-123456789012-", "q8Zf3LmP0vXr7TnB2kWdq9Zf"),
        (
            "slack-webhook",
            "https://hooks.slack.com/services/",
            "T0A1B2C3D/B0E1F2G3H/q8Zf3LmP0vXr7TnB2kWdq9Zf",
        ),
        ("stripe-key", "sk_live_", "q8Zf3LmP0vXr7TnB2kWdq9Zf"),
        (
            "pypi-token",
            "pypi-AgEIcHlwaS5vcmc",
            "CJDq8Zf3LmP0vXr7TnB2kWdq9Zf3LmP1vXr7TnC2kWdq8Yf3LmQ0vXr6",
        ),
        ("openai-key", "sk-proj-", "q8Zf3LmP0vXr7TnB2kWdq9Zf3LmP1vXr7TnC2kWdq8Yf3LmQ"),
        ("openai-legacy-key", "sk-q8Zf3LmP0vXr7TnB2kWd", "T3BlbkFJq9Zf3LmP1vXr7TnC2kWe"),
        (
            "anthropic-key",
            "sk-ant-api03-",
            "q8Zf3LmP0vXr7TnB2kWdq9Zf3LmP1vXr7TnC2kWdq8Yf3LmQq8Zf3LmP0vXr7TnB2kWdq9Zf3LmP1vXr7TnC2kWdAA",
        ),
        ("hugging-face-token", "hf_", "qZfLmPvXrTnBkWdqYfLmQvXrTnCkWeAbCd"),
        (
            "private-key",
            "-----BEGIN OPENSSH ",
            "PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtz\nc2gt",
        ),
        (
            "private-key",
            "{\"private_key\": \"-----BEGIN ",
            "PRIVATE KEY-----\\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\\n",
        ),
        (
            "json-web-token",
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9",
            ".eyJzdWIiOiJhZGEiLCJyb2xlIjoib3BzIn0.q8Zf3LmP0vXr7TnB2kWdq9Zf3LmP1vXr7TnC2kWdq8Y",
        ),
        ("url-with-password", "postgres://ada:hV9wq3", "LxTz@db.internal/app"),
        ("credential-assignment", "export API_KEY=", "q8Zf3LmP0vXr7TnB2kWdq9Zf"),
        ("credential-assignment", "password: \"", "hV9wq3LxTz7Pm2Kd\""),
    ];

    fn places(content: &[u8]) -> Vec<(usize, &'static str)> {
        scan(content).iter().map(|hit| (hit.line, hit.rule)).collect()
    }

    #[test]
    fn the_table_compiles_and_every_rule_is_referenced() {
        assert!(Scanner::compile().is_some());
        for rule in RULES {
            assert!(rule.reference.starts_with("https://"), "{}", rule.id);
            assert!(rule.literals.iter().all(|literal| literal.len() > 1), "{}", rule.id);
        }
    }

    #[test]
    fn every_kind_of_secret_is_found_with_its_line() {
        for (rule, one, two) in SECRETS {
            let content = format!("first\n\0binary\n{one}{two}\nlast\n");
            assert_eq!(places(content.as_bytes()), [(3, *rule)], "{rule}");
        }
    }

    #[test]
    fn a_line_that_says_so_holds_none() {
        for (rule, one, two) in SECRETS.iter().filter(|(_, _, two)| !two.contains('\n')) {
            let content = format!("{one}{two} # handoff:allow-secret\n");
            assert_eq!(scan(content.as_bytes()), [], "{rule}");
        }
    }

    #[test]
    fn placeholders_are_none() {
        for harmless in [
            "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
            "AKIAIOSFODNN7EXAMPLE",
            "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "password = os.environ['APPLICATION_PASSWORD_2']",
            "token = \"my-service-token-placeholder-1\"",
            "postgres://user:password@localhost:5432/app",
            "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
            "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAu1SU1LfVLPHCozMxH2Mo\n",
            "integrity sha512-q8Zf3LmP0vXr7TnB2kWdq9Zf3LmP1vXr7TnC2kWdq8Yf3LmQ==",
        ] {
            assert_eq!(scan(harmless.as_bytes()), [], "{harmless}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_scanned(content in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..4096)) {
            drop(scan(&content));
        }

        #[test]
        fn a_secret_is_found_wherever_it_stands(
            before in "[ -~\n]{0,300}[ \n]", after in "[ \n][ -~\n]{0,300}"
        ) {
            let secret = ["ghp_zQWBuTSOoRi4A9spHcVY5ncn", "sDkxkJ0mLq17"].concat();
            let content = format!("{before}{secret}{after}");
            let line = before.matches('\n').count() + 1;
            proptest::prop_assert!(places(content.as_bytes()).contains(&(line, "github-token")));
        }
    }
}
