//! Seeded bytes: the same on every machine.

use blake3::OutputReader;

/// So many words compress about 3:1 at zstd's level 3, as prose and source text do.
const WORDS: usize = 4096;

/// A stream of random bytes that depends on its name and number only.
pub(super) fn stream(name: &str, number: u64) -> OutputReader {
    let mut hasher = blake3::Hasher::new();
    hasher.update(name.as_bytes()).update(&number.to_le_bytes());
    hasher.finalize_xof()
}

/// The next number of a stream, below a bound.
pub(super) fn below(stream: &mut OutputReader, bound: u64) -> u64 {
    let mut bytes = [0; 8];
    stream.fill(&mut bytes);
    u64::from_le_bytes(bytes) % bound
}

/// Random bytes, which nothing compresses.
pub(super) fn noise(stream: &mut OutputReader, bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    stream.fill(&mut noise);
    noise
}

/// Makes text out of a fixed vocabulary.
#[derive(Debug)]
pub(super) struct Text {
    words: Vec<Vec<u8>>,
}

impl Text {
    pub(super) fn new() -> Self {
        let mut stream = stream("words", 0);
        let mut word = || -> Vec<u8> {
            let length = 3 + below(&mut stream, 8);
            (0..length).map(|_| b"etaoinshrdlucmfwypvbgkjqxz"[letter(&mut stream)]).collect()
        };
        Self { words: (0..WORDS).map(|_| word()).collect() }
    }

    /// Text of exactly this many bytes.
    pub(super) fn of(&self, stream: &mut OutputReader, bytes: usize) -> Vec<u8> {
        let mut text = Vec::with_capacity(bytes + 16);
        let mut indices = [0; 512];
        while text.len() < bytes {
            stream.fill(&mut indices);
            for (at, pair) in indices.chunks_exact(2).enumerate() {
                let index = usize::from(u16::from_le_bytes([pair[0], pair[1]])) % WORDS;
                text.extend_from_slice(&self.words[index]);
                text.push(if at % 12 == 11 { b'\n' } else { b' ' });
            }
        }
        text.truncate(bytes);
        text
    }
}

fn letter(stream: &mut OutputReader) -> usize {
    let mut byte = [0];
    stream.fill(&mut byte);
    usize::from(byte[0]) % 26
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_text_of_the_length_asked_for() {
        let text = Text::new();
        let made = text.of(&mut stream("x", 1), 5000);
        assert_eq!(made.len(), 5000);
        assert_eq!(made, text.of(&mut stream("x", 1), 5000));
        assert_ne!(made, text.of(&mut stream("x", 2), 5000));
    }
}
