//! Which events are worth a notification, and in which words. Pure.

use handoff_proto::run::{Event, Outcome, Record};
use handoff_proto::wire;

use crate::wording::{between, command_line, cut, one_line, span};

/// Longest heading, in characters: desktops cut at about this anyway.
const SUMMARY_MAX: usize = 100;

/// Longest command or question, in characters: a few lines of a notification.
const LINE_MAX: usize = 200;

/// How much a notification matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Urgency {
    /// Good to know; the desktop lets it disappear.
    Normal,
    /// Somebody should act; the desktop keeps it until it is closed.
    Critical,
}

/// Whether the desktop reads tags and entities in a notification's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Markup {
    /// It does: what looks like markup is escaped.
    Read,
    /// It shows all characters as they are.
    Shown,
}

/// What the user is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Notice {
    /// The heading.
    pub(super) summary: String,
    lines: Vec<String>,
    /// How much it matters.
    pub(super) urgency: Urgency,
}

impl Notice {
    /// What an event of a run is worth telling, if anything. `run` may be newer than the event.
    #[must_use]
    pub(super) fn of(record: &Record, run: &wire::RunView, remote: &str) -> Option<Self> {
        match &record.event {
            Event::Finished { outcome, detail } => {
                let took = span(between(run.created_at_unix_nanos, record.at_unix_nanos));
                Some(finished(
                    run,
                    *outcome,
                    detail,
                    &format!("{took} on {}", one_line(remote, 40)),
                ))
            }
            Event::InputNeeded(need) if still_needed(run, need) => Some(needs_input(run, need)),
            Event::InputNeeded(_)
            | Event::Queued { .. }
            | Event::Claimed { .. }
            | Event::Started(_)
            | Event::InputAnswered { .. }
            | Event::Paused(_)
            | Event::Continued(_)
            | Event::StopRequested(_)
            | Event::OutputLimited(_)
            | Event::Denied(_)
            | Event::Used(_)
            | Event::Heard(_)
            | Event::Said(_)
            | Event::TurnQueued(_)
            | Event::Resumed(_)
            | Event::Attached(_)
            | Event::Detached(_)
            | Event::SeatsFull(_)
            | Event::Exited(_)
            | Event::ResultRecorded(_)
            | Event::Unknown(_) => None,
        }
    }

    /// What is told about a run that only its owner can have sent.
    #[must_use]
    pub(super) fn not_sent(run: &wire::RunView, why: &str) -> Self {
        Self {
            summary: heading(run, "not sent"),
            lines: vec![
                one_line(why, LINE_MAX),
                command(run),
                format!("handoff show {}", name(run)),
            ],
            urgency: Urgency::Critical,
        }
    }

    /// The text below the heading.
    #[must_use]
    pub(super) fn body(&self, markup: Markup) -> String {
        let text = self.lines.join("\n");
        match markup {
            Markup::Shown => text,
            Markup::Read => escape(&text),
        }
    }
}

fn finished(run: &wire::RunView, outcome: Outcome, detail: &str, took: &str) -> Notice {
    let next = if run.result.is_empty() { "show" } else { "pull" };
    let ending = match one_line(detail, LINE_MAX) {
        detail if detail.is_empty() => format!("after {took}"),
        detail => format!("{detail}, after {took}"),
    };
    let urgency = match outcome {
        // Whoever stopped it knows.
        Outcome::Succeeded | Outcome::Cancelled => Urgency::Normal,
        Outcome::Failed
        | Outcome::HandedBack
        | Outcome::TimedOut
        | Outcome::Refused
        | Outcome::Lost => Urgency::Critical,
    };
    Notice {
        summary: heading(run, &outcome.name().replace('_', " ")),
        lines: vec![command(run), ending, format!("handoff {next} {}", name(run))],
        urgency,
    }
}

fn needs_input(run: &wire::RunView, need: &wire::InputNeeded) -> Notice {
    Notice {
        summary: heading(run, "needs input"),
        lines: vec![
            one_line(&need.text, LINE_MAX),
            command(run),
            format!("handoff show {}", name(run)),
        ],
        urgency: Urgency::Critical,
    }
}

/// A question that was answered meanwhile is no news.
fn still_needed(run: &wire::RunView, need: &wire::InputNeeded) -> bool {
    run.needs.as_ref().is_some_and(|current| current.id == need.id)
}

fn heading(run: &wire::RunView, what: &str) -> String {
    one_line(&format!("{}: {what}", name(run)), SUMMARY_MAX)
}

fn name(run: &wire::RunView) -> String {
    one_line(&run.name, SUMMARY_MAX / 2)
}

fn command(run: &wire::RunView) -> String {
    let words = run.contract.as_ref().map(|contract| contract.command.as_slice());
    cut(&command_line(words.unwrap_or_default()), LINE_MAX)
}

/// The three characters that the desktop's markup gives a meaning to, outside of tags.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run() -> wire::RunView {
        wire::RunView {
            name: "make-abcd".to_owned(),
            contract: Some(wire::Contract {
                command: vec![b"make".to_vec(), b"a && <b>".to_vec()],
                ..wire::Contract::default()
            }),
            result: vec![1],
            created_at_unix_nanos: 1_000_000_000,
            ..wire::RunView::default()
        }
    }

    fn at(event: Event) -> Record {
        Record { seq: 7, at_unix_nanos: 201_000_000_000, event }
    }

    fn told(outcome: Outcome, detail: &str) -> Notice {
        let event = Event::Finished { outcome, detail: detail.to_owned() };
        Notice::of(&at(event), &run(), "box").unwrap()
    }

    #[test]
    fn every_outcome_has_its_words() {
        use Urgency::{Critical, Normal};
        for (outcome, summary, urgency) in [
            (Outcome::Succeeded, "make-abcd: succeeded", Normal),
            (Outcome::Failed, "make-abcd: failed", Critical),
            (Outcome::HandedBack, "make-abcd: handed back", Critical),
            (Outcome::Cancelled, "make-abcd: cancelled", Normal),
            (Outcome::TimedOut, "make-abcd: timed out", Critical),
            (Outcome::Refused, "make-abcd: refused", Critical),
            (Outcome::Lost, "make-abcd: lost", Critical),
        ] {
            let notice = told(outcome, "");
            assert_eq!((notice.summary.as_str(), notice.urgency), (summary, urgency));
        }
    }

    #[test]
    fn the_body_tells_command_duration_and_what_to_do() {
        let notice = told(Outcome::Failed, "exit code 2");
        let text = "make 'a && <b>'\nexit code 2, after 3m 20s on box\nhandoff pull make-abcd";
        assert_eq!(notice.body(Markup::Shown), text);
        let escaped = text.replace("&&", "&amp;&amp;").replace("<b>", "&lt;b&gt;");
        assert_eq!(notice.body(Markup::Read), escaped);
    }

    #[test]
    fn without_a_result_there_is_nothing_to_pull() {
        let event = Event::Finished { outcome: Outcome::Refused, detail: "no sandbox".to_owned() };
        let run = wire::RunView { result: Vec::new(), ..run() };
        let notice = Notice::of(&at(event), &run, "box").unwrap();
        assert!(notice.body(Markup::Shown).ends_with("handoff show make-abcd"), "{notice:?}");
    }

    #[test]
    fn a_question_is_told_until_it_is_answered() {
        let need = |id: &str| wire::InputNeeded {
            id: id.to_owned(),
            kind: "question".to_owned(),
            text: "which\none?".to_owned(),
            ..Default::default()
        };
        let asked = at(Event::InputNeeded(need("q1")));
        let waiting = wire::RunView { needs: Some(need("q1")), ..run() };
        let notice = Notice::of(&asked, &waiting, "box").unwrap();
        assert_eq!(
            (notice.summary.as_str(), notice.urgency),
            ("make-abcd: needs input", Urgency::Critical)
        );
        assert!(notice.body(Markup::Shown).starts_with("which one?\n"), "{notice:?}");
        let other = wire::RunView { needs: Some(need("q2")), ..run() };
        assert_eq!(Notice::of(&asked, &other, "box"), None);
        assert_eq!(Notice::of(&asked, &run(), "box"), None);
    }

    #[test]
    fn other_events_are_not_worth_it() {
        for event in [
            Event::Paused("me".to_owned()),
            Event::StopRequested("me".to_owned()),
            Event::Unknown(Box::default()),
        ] {
            assert_eq!(Notice::of(&at(event), &run(), "box"), None);
        }
    }

    proptest! {
        #[test]
        fn nothing_a_remote_sends_becomes_markup_or_another_line(
            name in any::<String>(), detail in any::<String>(), word in any::<Vec<u8>>(), remote in any::<String>(),
        ) {
            let run = wire::RunView {
                name,
                contract: Some(wire::Contract { command: vec![word], ..wire::Contract::default() }),
                ..run()
            };
            let event = Event::Finished { outcome: Outcome::Failed, detail };
            let notice = Notice::of(&at(event), &run, &remote).unwrap();
            let body = notice.body(Markup::Read);
            prop_assert!(!body.contains(['<', '>']));
            prop_assert_eq!(body.lines().count(), 3);
            prop_assert!(!body.contains(|c: char| c.is_control() && c != '\n'));
            prop_assert!(!notice.summary.contains(char::is_control));
        }
    }
}
