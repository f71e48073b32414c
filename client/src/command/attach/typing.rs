//! What was typed and is not known to have arrived. Pure.
//!
//! Every byte has a number, from 0, over all connections of an attachment: one that is sent again
//! is typed once. So much is on its way at once that a long paste is not slowed down; the rest waits
//! here, and what would be too much even for that waits in the terminal.

use std::collections::VecDeque;

use handoff_proto::wire::KeysAt;

/// How many bytes may be on their way.
const UNTYPED_MAX: usize = 64 << 10;

/// Longest piece that is sent at once.
const PIECE_LEN: usize = 16 << 10;

/// How many bytes wait before the terminal is not read any more, nor the keys that detach: far more
/// than anybody types ahead.
const WAITING_MAX: usize = 8 << 20;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Typing {
    keys: VecDeque<u8>,
    /// The number of the first of them.
    start: u64,
    /// How many of them were sent by the connection at hand, and by any.
    sent: usize,
    sent_ever: usize,
}

impl Typing {
    /// Takes note of what is typed.
    pub(super) fn push(&mut self, keys: &[u8]) {
        self.keys.extend(keys);
    }

    /// Whether more may be typed.
    pub(super) fn has_room(&self) -> bool {
        self.keys.len() < WAITING_MAX
    }

    /// Whether something is to be sent, and may be.
    pub(super) fn is_due(&self) -> bool {
        !self.is_sent() && self.sent < UNTYPED_MAX
    }

    /// Whether everything was sent.
    pub(super) fn is_sent(&self) -> bool {
        self.sent == self.keys.len()
    }

    /// How many bytes nobody may have got.
    pub(super) fn unsent(&self) -> usize {
        self.keys.len() - self.sent
    }

    /// What to send next.
    pub(super) fn next(&mut self) -> KeysAt {
        let until = self.keys.len().min(UNTYPED_MAX).min(self.sent + PIECE_LEN);
        let keys = self.keys.range(self.sent..until).copied().collect();
        let at = self.start + self.sent as u64;
        self.sent = until;
        self.sent_ever = self.sent_ever.max(self.sent);
        KeysAt { at, keys }
    }

    /// Takes the news that all before this number is typed.
    pub(super) fn typed(&mut self, end: u64) {
        let typed = usize::try_from(end.saturating_sub(self.start)).unwrap_or(usize::MAX);
        let typed = typed.min(self.sent_ever);
        self.keys.drain(..typed);
        self.start += typed as u64;
        self.sent = self.sent.saturating_sub(typed);
        self.sent_ever -= typed;
    }

    /// Begins with another connection, by which all before this number is known to have arrived.
    /// Where nothing is known of what was sent, it is not sent again.
    pub(super) fn begin(&mut self, end: u64) {
        let known = if end < self.start { u64::MAX } else { end };
        self.sent = 0;
        self.typed(known);
    }

    /// Nobody wants it any more.
    pub(super) fn clear(&mut self) {
        self.keys.truncate(self.sent_ever);
        self.typed(u64::MAX);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn so_much_is_on_its_way_and_the_rest_waits() {
        let mut typing = Typing::default();
        typing.push(&vec![b'x'; 3 * UNTYPED_MAX]);
        let mut sent = 0;
        while typing.is_due() {
            let KeysAt { at, keys } = typing.next();
            assert_eq!(at, sent);
            assert!((1..=PIECE_LEN).contains(&keys.len()));
            sent += keys.len() as u64;
        }
        assert_eq!(sent, UNTYPED_MAX as u64);
        typing.typed(10);
        assert_eq!((typing.next().keys.len(), typing.is_due()), (10, false));
        assert_eq!(typing.unsent(), 2 * UNTYPED_MAX - 10);
        assert!(typing.has_room());
        typing.push(&vec![b'x'; WAITING_MAX]);
        assert!(!typing.has_room());
    }

    #[test]
    fn what_nothing_is_known_of_is_not_sent_again() {
        let mut typing = Typing::default();
        typing.push(b"0123456789");
        typing.next();
        typing.typed(4);
        typing.push(b"more");
        // A supervisor that has forgotten.
        typing.begin(0);
        assert_eq!(typing.next(), KeysAt { at: 10, keys: b"more".to_vec() });
        typing.begin(12);
        assert_eq!(typing.next(), KeysAt { at: 12, keys: b"re".to_vec() });
        // It cannot have what it was never sent.
        typing.push(b"!");
        typing.begin(99);
        assert_eq!(typing.next(), KeysAt { at: 14, keys: b"!".to_vec() });
        typing.push(b"unsent");
        typing.clear();
        assert!(typing.is_sent() && !typing.is_due());
        typing.push(b"?");
        typing.begin(15);
        assert_eq!(typing.next(), KeysAt { at: 15, keys: b"?".to_vec() });
    }

    #[derive(Clone, Debug)]
    enum Step {
        Type(Vec<u8>),
        Send,
        /// How many of the messages on their way arrive, before the connection breaks.
        Arrive(usize),
        Hear,
        Break,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..30_000).prop_map(Step::Type),
            Just(Step::Send),
            Just(Step::Send),
            (1..5_usize).prop_map(Step::Arrive),
            Just(Step::Hear),
            Just(Step::Break),
        ]
    }

    proptest! {
        #[test]
        fn every_key_arrives_once_and_in_order_over_any_connections(
            steps in prop::collection::vec(step(), 0..40),
        ) {
            let (mut typing, mut typed, mut arrived) = (Typing::default(), Vec::new(), Vec::new());
            let mut on_the_way: VecDeque<KeysAt> = VecDeque::new();
            let mut arrive = |message: KeysAt| {
                let at = usize::try_from(message.at).expect("an index");
                let known = arrived.len().checked_sub(at).expect("nothing is left out");
                arrived.extend(message.keys.into_iter().skip(known));
                arrived.len()
            };
            let mut end = 0;
            for step in steps {
                match step {
                    Step::Type(keys) => {
                        typing.push(&keys);
                        typed.extend(keys);
                    }
                    Step::Send if typing.is_due() => on_the_way.push_back(typing.next()),
                    Step::Send => {}
                    Step::Arrive(count) => {
                        let count = count.min(on_the_way.len());
                        for message in on_the_way.drain(..count) {
                            end = arrive(message);
                        }
                    }
                    Step::Hear => typing.typed(end as u64),
                    Step::Break => {
                        on_the_way.clear();
                        typing.begin(end as u64);
                    }
                }
            }
            loop {
                for message in on_the_way.drain(..) {
                    end = arrive(message);
                }
                typing.typed(end as u64);
                if !typing.is_due() {
                    break;
                }
                on_the_way.push_back(typing.next());
            }
            prop_assert!(typing.is_sent());
            prop_assert!(arrived == typed);
        }
    }
}
