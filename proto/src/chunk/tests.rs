use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

/// Bytes without any regularity that a seed determines.
fn noise(seed: u8, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
    bytes
}

fn chunks_of(content: impl Read) -> (Vec<ChunkRef>, HashMap<ChunkId, Vec<u8>>, u64) {
    let (mut list, mut store) = (Vec::new(), HashMap::new());
    let size = chunk_reader(content, |chunk, bytes| {
        assert_eq!(chunk.id, ChunkId::of(bytes));
        assert_eq!(chunk.size as usize, bytes.len());
        list.push(chunk);
        store.insert(chunk.id, bytes.to_vec());
        Ok::<(), io::Error>(())
    });
    (list, store, size.unwrap())
}

fn check(content: &[u8]) -> Vec<ChunkRef> {
    let (list, store, size) = chunks_of(content);
    assert_eq!(size, content.len() as u64);
    let rebuilt: Vec<u8> = list.iter().flat_map(|chunk| store[&chunk.id].clone()).collect();
    assert!(rebuilt == content, "content of {} bytes is not restored", content.len());
    let sizes: Vec<usize> = list.iter().map(|chunk| chunk.size as usize).collect();
    match sizes.split_last() {
        Some((last, sizes)) => {
            assert!(*last > 0 && *last <= CHUNK_SIZE_MAX);
            assert!(sizes.iter().all(|size| (CHUNK_SIZE_MIN..=CHUNK_SIZE_MAX).contains(size)));
        }
        None => assert!(content.is_empty()),
    }
    if content.len() <= FILE_ONE_CHUNK_MAX {
        assert!(list.len() <= 1);
    }
    list
}

#[test]
fn content_is_restored_around_every_limit() {
    let limits = [
        0,
        1,
        CHUNK_SIZE_MIN,
        FILE_ONE_CHUNK_MAX,
        CHUNK_SIZE_MAX,
        BUFFER_SIZE,
        BUFFER_SIZE + CHUNK_SIZE_MAX,
        5 * CHUNK_SIZE_MAX,
    ];
    let longest = noise(1, 5 * CHUNK_SIZE_MAX + 2);
    for limit in limits {
        for len in limit.saturating_sub(2)..=limit + 2 {
            check(&longest[..len]);
            check(&vec![0; len]);
        }
    }
}

/// Hands out its content in pieces of changing sizes, as pipes and sockets do.
struct Dripping<'a> {
    content: &'a [u8],
    state: usize,
}

impl Read for Dripping<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.state = (self.state * 7919 + 13) % 100_003;
        let (piece, rest) = self.content.split_at(self.state.max(1).min(self.content.len()));
        let (piece, back) = piece.split_at(piece.len().min(buffer.len()));
        buffer[..piece.len()].copy_from_slice(piece);
        self.content = &self.content[self.content.len() - rest.len() - back.len()..];
        Ok(piece.len())
    }
}

#[test]
fn boundaries_do_not_depend_on_how_content_arrives() {
    let content = noise(2, 7 * CHUNK_SIZE_MAX + 333);
    let at_once = check(&content);
    for state in [1, 5, 17] {
        let (dripped, _, _) = chunks_of(Dripping { content: &content, state });
        assert_eq!(dripped, at_once);
    }
}

fn ids_by(cuts: &Cuts, before: &[ChunkRef], content: &[u8]) -> Vec<ChunkRef> {
    let mut list = Vec::new();
    let size = chunk_reader_by(cuts, before, content, |chunk, bytes| {
        assert_eq!(chunk, ChunkRef::of(bytes));
        list.push(chunk);
        Ok::<(), io::Error>(())
    });
    assert_eq!(size.unwrap(), content.len() as u64);
    list
}

/// Puts some bytes in the place of others.
#[derive(Clone, Debug)]
struct Edit {
    at: prop::sample::Index,
    removed: usize,
    inserted: Vec<u8>,
}

fn edit() -> impl Strategy<Value = Edit> {
    let inserted = (any::<u8>(), prop_oneof![Just(0_usize), 1..9_usize, 1..400_000_usize])
        .prop_map(|(seed, len)| noise(seed, len));
    (
        any::<prop::sample::Index>(),
        prop_oneof![Just(0_usize), 1..9_usize, 1..400_000_usize],
        inserted,
    )
        .prop_map(|(at, removed, inserted)| Edit { at, removed, inserted })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_was_known_before_changes_nothing(
        seed in any::<u8>(),
        len in 0..3_000_000_usize,
        zeros in any::<bool>(),
        edits in prop::collection::vec(edit(), 0..4),
        index in any::<bool>(),
        foreign in any::<bool>(),
    ) {
        let cuts = if index { &Cuts::GIT_INDEX } else { &Cuts::FILE };
        let mut content = if zeros { vec![0; len] } else { noise(seed, len) };
        let mut before = ids_by(cuts, &[], &content);
        if foreign {
            // Sizes that no cut makes: a damaged or hostile memory.
            before.iter_mut().step_by(3).for_each(|chunk| chunk.size /= 2);
        }
        for Edit { at, removed, inserted } in edits {
            let at = at.index(content.len() + 1);
            let end = (at + removed).min(content.len());
            content.splice(at..end, inserted);
        }
        prop_assert_eq!(ids_by(cuts, &before, &content), ids_by(cuts, &[], &content));
    }
}

/// If this fails, everything that users have stored is chunked anew and nothing is deduplicated.
#[test]
fn boundaries_are_what_they_always_were() {
    let list = check(&noise(0, 4 * 1024 * 1024));
    let sizes: Vec<u32> = list.iter().map(|chunk| chunk.size).collect();
    assert_eq!(sizes, GOLDEN_SIZES);
    let ids: blake3::Hash =
        blake3::hash(&list.iter().flat_map(|c| *c.id.as_bytes()).collect::<Vec<_>>());
    assert_eq!(ids.to_hex().as_str(), GOLDEN_IDS);
    // Content without any boundary is cut at the maximum.
    let zeros = check(&vec![0; 3 * CHUNK_SIZE_MAX + 5]);
    assert_eq!(zeros.iter().map(|c| c.size).collect::<Vec<_>>(), [1 << 20, 1 << 20, 1 << 20, 5]);
}

const GOLDEN_SIZES: &[u32] = &[
    308214, 285185, 313508, 558375, 384459, 478911, 189039, 291505, 310865, 376931, 496071, 201241,
];
const GOLDEN_IDS: &str = "1a270f032e9714a988bce8251f19a5ee03afd0d731ee756fe79fd8bb8942f587";

#[test]
fn a_change_moves_only_the_boundaries_near_it() {
    let mut content = noise(3, 16 * CHUNK_SIZE_MAX);
    let before = check(&content);
    content.splice(5_000_000..5_000_000, *b"some inserted bytes");
    let after = check(&content);
    let known: HashSet<_> = before.iter().map(|chunk| chunk.id).collect();
    let new = after.iter().filter(|chunk| !known.contains(&chunk.id)).count();
    assert!(new <= 3, "{new} of {} chunks are new", after.len());
}

#[test]
fn failures_of_reader_and_sink_are_passed_on() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("torn cable"))
        }
    }
    let failed = chunk_reader(Failing, |_, _| Ok::<(), io::Error>(())).unwrap_err();
    assert_eq!(failed.to_string(), "torn cable");
    let failed = chunk_reader(&b"x"[..], |_, _| Err(io::Error::other("full"))).unwrap_err();
    assert_eq!(failed.to_string(), "full");
}

#[test]
fn an_id_is_64_lower_case_digits() {
    let id = ChunkId::of(b"");
    let text = id.to_string();
    assert_eq!(text, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");
    assert_eq!(ChunkId::parse(&text), Ok(id));
    for bad in ["", &text[1..], &text.to_uppercase(), &format!("{text}0"), &text.replace('9', "g")]
    {
        assert_eq!(ChunkId::parse(bad), Err(ParseIdError));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_content_is_restored(seed: u8, len in 0..6 * CHUNK_SIZE_MAX, repeated in 1..4_usize) {
        check(&noise(seed, len / repeated).repeat(repeated));
    }
}
