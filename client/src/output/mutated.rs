//! Broken input for the filters of what terminals get, for property tests.

use proptest::sample::Index;

/// Seeds one after the other, with bytes put in, taken out and replaced.
pub(super) fn mutated(seeds: &[&str], chosen: &[usize], changes: Vec<(Index, u8)>) -> Vec<u8> {
    let mut bytes: Vec<u8> = chosen.iter().flat_map(|&seed| seeds[seed].bytes()).collect();
    for (place, byte) in changes {
        let place = place.index(bytes.len());
        match byte % 3 {
            0 => bytes[place] = byte,
            1 => bytes.insert(place, byte),
            _ => drop(bytes.remove(place)),
        }
        if bytes.is_empty() {
            bytes.push(byte);
        }
    }
    bytes
}

/// The same bytes in pieces.
pub(super) fn cut(bytes: &[u8], cuts: &[Index]) -> Vec<Vec<u8>> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
    cuts.sort_unstable();
    let (mut parts, mut start) = (Vec::new(), 0);
    for end in cuts.into_iter().chain([bytes.len()]) {
        parts.push(bytes[start..end].to_vec());
        start = end;
    }
    parts
}
