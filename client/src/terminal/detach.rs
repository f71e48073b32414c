//! The keys that detach: Ctrl-\ d. Pure.

/// Ctrl-\ as a terminal sends it.
const PREFIX: u8 = 0x1c;

/// Finds the keys that detach among all others, however they arrive.
#[derive(Debug, Default)]
pub struct DetachKeys {
    after_prefix: bool,
}

/// What was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Typed {
    /// These keys are the run's.
    Keys(Vec<u8>),
    /// The user wants to leave, after these keys; what follows is nobody's.
    Detach(Vec<u8>),
}

impl DetachKeys {
    /// Tells the run's keys from ours. Ctrl-\ twice is one for the run; before any other key it is
    /// the run's as well, with that key.
    pub fn pass(&mut self, bytes: &[u8]) -> Typed {
        let mut keys = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            match (std::mem::take(&mut self.after_prefix), byte) {
                (false, PREFIX) => self.after_prefix = true,
                (false, _) => keys.push(byte),
                (true, b'd') => return Typed::Detach(keys),
                (true, PREFIX) => keys.push(PREFIX),
                (true, _) => keys.extend([PREFIX, byte]),
            }
        }
        Typed::Keys(keys)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn passed(parts: &[&[u8]]) -> Typed {
        let (mut keys, mut all) = (DetachKeys::default(), Vec::new());
        for part in parts {
            match keys.pass(part) {
                Typed::Keys(keys) => all.extend(keys),
                Typed::Detach(keys) => {
                    all.extend(keys);
                    return Typed::Detach(all);
                }
            }
        }
        Typed::Keys(all)
    }

    #[test]
    fn ctrl_backslash_d_detaches_and_nothing_else() {
        let keys = |keys: &[u8]| Typed::Keys(keys.to_vec());
        assert_eq!(passed(&[b"ls\x1cd"]), Typed::Detach(b"ls".to_vec()));
        assert_eq!(passed(&[b"ls\x1c", b"d rest"]), Typed::Detach(b"ls".to_vec()));
        assert_eq!(passed(&[b"d\x1c\x1cd"]), keys(b"d\x1cd"));
        assert_eq!(passed(&[b"\x1cx\x1cD"]), keys(b"\x1cx\x1cD"));
        assert_eq!(passed(&[b"\x1c\x1c\x1cd"]), Typed::Detach(b"\x1c".to_vec()));
    }

    proptest! {
        #[test]
        fn where_the_keys_are_cut_makes_no_difference(
            keys in prop::collection::vec(prop::sample::select(b"\x1cda\x03".to_vec()), 0..12),
            cut: prop::sample::Index,
        ) {
            let (front, back) = keys.split_at(cut.index(keys.len() + 1));
            prop_assert_eq!(passed(&[front, back]), passed(&[&keys]));
        }

        #[test]
        fn without_the_prefix_all_keys_are_the_runs(keys: Vec<u8>) {
            let keys: Vec<u8> = keys.into_iter().filter(|key| *key != PREFIX).collect();
            prop_assert_eq!(passed(&[&keys]), Typed::Keys(keys));
        }
    }
}
