//! Bundles are read back as they were written, and hostile ones are refused before they cost much.

use std::io::{self, BufRead, BufReader, Read, Write as _};

use handoff_proto::bundle::{
    BundleError, BundleLimits, Effort, Item, LEVEL_MAX, LEVEL_MIN, Reader, Writer,
};
use handoff_proto::chunk::{Chunk, ChunkId, ChunkRef};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

const LIMITS: BundleLimits = BundleLimits::new(1 << 20, 1 << 24);

fn verified(content: &[u8]) -> Chunk<Vec<u8>> {
    Chunk::verify(ChunkId::of(content), content.to_vec()).unwrap()
}

fn chunk(content: &[u8]) -> ChunkRef {
    ChunkRef { id: ChunkId::of(content), size: u32::try_from(content.len()).unwrap() }
}

fn write(manifest: Option<&[u8]>, chunks: &[&[u8]]) -> Vec<u8> {
    write_with(Effort::Level(3), manifest, chunks)
}

fn write_with(effort: Effort, manifest: Option<&[u8]>, chunks: &[&[u8]]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), 3).unwrap();
    writer.set_effort(effort).unwrap();
    if let Some(manifest) = manifest {
        writer.manifest(manifest).unwrap();
    }
    for content in chunks {
        writer.chunk(&ChunkId::of(content), content).unwrap();
    }
    writer.finish().unwrap()
}

/// Reads to the end, expecting these chunks.
fn read(bundle: impl BufRead, expected: &[ChunkRef]) -> Result<Vec<Item>, BundleError> {
    let mut reader = Reader::new(bundle, LIMITS);
    reader.expect(expected.iter().copied())?;
    let mut items = Vec::new();
    while let Some(item) = reader.next_item()? {
        items.push(item);
    }
    Ok(items)
}

/// One tar entry as some other program might write it.
fn entry(edit: impl FnOnce(&mut tar::Header), body: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o600);
    header.set_mtime(1_700_000_000);
    header.set_size(body.len() as u64);
    edit(&mut header);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(body);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn named(name: &str, body: &[u8]) -> Vec<u8> {
    entry(|header| header.set_path(name).unwrap(), body)
}

fn version() -> Vec<u8> {
    named("version", b"1\n")
}

/// Puts entries into an archive and compresses it.
fn pack(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut archive = entries.concat();
    archive.resize(archive.len() + 1024, 0);
    zstd::encode_all(&*archive, 3).unwrap()
}

/// A bundle with one more entry is refused with this message.
fn check_refused(extra: Vec<u8>, message: &str) {
    let fine = named(&format!("chunk/{}", ChunkId::of(b"fine")), b"fine");
    let bundle = pack(&[version(), fine, extra]);
    let refused = read(&*bundle, &[chunk(b"fine"), chunk(b"expected")]).unwrap_err();
    assert_eq!(refused.to_string(), message);
}

#[test]
fn a_bundle_of_another_tar_program_is_read() {
    let name = format!("chunk/{}", ChunkId::of(b"fine"));
    for bundle in [
        pack(&[version(), named("manifest", b"m"), named(&name, b"fine")]),
        // GNU headers, and padding to a whole record.
        pack(&[
            version(),
            named("manifest", b"m"),
            entry(
                |header| {
                    *header = tar::Header::new_gnu();
                    header.set_entry_type(tar::EntryType::Regular);
                    header.set_size(4);
                    header.set_path(&name).unwrap();
                },
                b"fine",
            ),
            vec![0; 16 * 512],
        ]),
    ] {
        let items = read(&*bundle, &[chunk(b"fine")]).unwrap();
        let expected = Item::Chunk(verified(b"fine"));
        assert_eq!(items, [Item::Manifest(b"m".to_vec()), expected]);
    }
}

#[test]
fn only_the_three_names_are_read() {
    let after = |problem: &str| {
        let id = ChunkId::of(b"fine");
        format!("the bundle holds an entry after chunk/{id} that {problem}")
    };
    let id = ChunkId::of(b"expected").to_string();
    for name in [
        "other".to_owned(),
        "Version".to_owned(),
        "./version".to_owned(),
        "chunk/".to_owned(),
        "chunk/../../etc/passwd".to_owned(),
        format!("chunk/{}", id.to_uppercase()),
        format!("chunk/{id}0"),
        format!("chunk//{id}"),
        format!("chunks/{id}"),
    ] {
        let raw = |header: &mut tar::Header| {
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        };
        check_refused(entry(raw, b"expected"), &after("has an unknown name"));
    }
    check_refused(named("version", b"1\n"), &after("repeats the version"));
    check_refused(named("manifest", b"m"), &after("is a manifest out of place"));
}

#[test]
fn everything_but_a_plain_entry_is_refused_by_its_header() {
    let id = ChunkId::of(b"fine");
    let after =
        |problem: &str| format!("the bundle holds an entry after chunk/{id} that {problem}");
    let name = format!("chunk/{}", ChunkId::of(b"expected"));
    let of_type = |kind: u8| {
        let name = name.clone();
        entry(
            move |header| {
                header.set_path(name).unwrap();
                header.set_entry_type(tar::EntryType::new(kind));
            },
            b"expected",
        )
    };
    // Links, devices, directories, fifos, contiguous files, GNU long names and links, sparse and
    // multi-volume files, pax headers and Solaris' own.
    for kind in *b"1234567LKSMVNDxgXA" {
        check_refused(of_type(kind), &after("is no regular entry"));
    }
    let prefixed = |header: &mut tar::Header| {
        header.set_path(&name).unwrap();
        header.as_ustar_mut().unwrap().prefix[0] = b'a';
    };
    check_refused(entry(prefixed, b"expected"), &after("has a long name"));
    let linked = |header: &mut tar::Header| {
        header.set_path(&name).unwrap();
        header.as_old_mut().linkname[..6].copy_from_slice(b"target");
    };
    check_refused(entry(linked, b"expected"), &after("names a link"));
    let mut damaged = named(&name, b"expected");
    damaged[200] ^= 1;
    check_refused(damaged, &after("has a wrong checksum"));
    let negative = |header: &mut tar::Header| {
        header.set_path(&name).unwrap();
        header.as_old_mut().size = [0xff; 12];
    };
    check_refused(entry(negative, b"expected"), &after("has an unreadable size"));
    let mut padded = named(&name, b"expected");
    padded[600] = 1;
    let problem = format!("the bundle holds an entry after {name} that is not padded with zeros");
    check_refused(padded, &problem);
}

#[test]
fn a_chunk_comes_once_with_its_size_and_its_hash() {
    let expected = ChunkId::of(b"expected");
    let named = |id: ChunkId, body: &[u8]| named(&format!("chunk/{id}"), body);
    let fine = ChunkId::of(b"fine");
    check_refused(named(fine, b"fine"), &format!("chunk {fine} comes twice"));
    let other = ChunkId::of(b"other");
    check_refused(named(other, b"other"), &format!("chunk {other} was not asked for"));
    let size = format!("chunk {expected} has 9 bytes, 8 were expected");
    check_refused(named(expected, b"expected!"), &size);
    let hash = format!("chunk {expected} is damaged: its content has another hash");
    check_refused(named(expected, b"EXPECTED"), &hash);
}

#[test]
fn the_version_comes_first_and_is_known() {
    let refused = |entries: &[Vec<u8>]| read(&*pack(entries), &[]).unwrap_err().to_string();
    let newer = "the bundle has an unknown version; this program reads version 1, update it";
    assert_eq!(refused(&[named("version", b"2\n")]), newer);
    assert_eq!(refused(&[named("version", b"10\n")]), newer);
    let missing = "the bundle holds an entry after its beginning that should be the version";
    assert_eq!(refused(&[named("manifest", b"m")]), missing);
    assert_eq!(refused(&[]), missing);
    // A huge version is not read.
    let huge = |header: &mut tar::Header| {
        header.set_path("version").unwrap();
        header.set_size(1 << 32);
    };
    assert_eq!(refused(&[entry(huge, b"")]), newer);
}

#[test]
fn limits_hold_before_a_body_is_read() {
    let read_with = |limits: BundleLimits, bundle: &[u8]| -> Result<(), BundleError> {
        let mut reader = Reader::new(bundle, limits);
        reader.expect([chunk(b"four"), chunk(b"five!")])?;
        while reader.next_item()?.is_some() {}
        Ok(())
    };
    let bundle = write(Some(b"manifest"), &[b"four", b"five!"]);
    let fine = BundleLimits { manifest_bytes_max: 8, chunk_bytes_max: 5, total_bytes_max: 17 };
    assert!(read_with(fine, &bundle).is_ok());
    let check = |limits: BundleLimits, message: &str| {
        assert_eq!(read_with(limits, &bundle).unwrap_err().to_string(), message);
    };
    let message = "a manifest of 8 bytes is larger than 7 bytes";
    check(BundleLimits { manifest_bytes_max: 7, ..fine }, message);
    let message = "a chunk of 5 bytes is larger than 4 bytes";
    check(BundleLimits { chunk_bytes_max: 4, ..fine }, message);
    let message = "the content of the bundle of 17 bytes is larger than 16 bytes";
    check(BundleLimits { total_bytes_max: 16, ..fine }, message);

    let mut reader = Reader::new(&*bundle, fine);
    reader.expect([chunk(b"four")]).unwrap();
    let twice = [ChunkRef { size: 5, ..chunk(b"four") }];
    assert!(matches!(reader.expect(twice), Err(BundleError::Conflict(_))));
}

/// Counts what is taken from a stream that never ends.
struct Endless<'a> {
    start: &'a [u8],
    taken: u64,
}

impl Read for Endless<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.start.read(buffer)?;
        let got = if got == 0 { buffer.len() } else { got };
        self.taken += got as u64;
        Ok(got)
    }
}

#[test]
fn a_bomb_does_not_go_off() {
    // Four gigabytes of zeros in a manifest, 130 KB as they come.
    let mut archive = version();
    archive.extend(entry(
        |header| {
            header.set_path("manifest").unwrap();
            header.set_size(4 << 30);
        },
        b"",
    ));
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.write_all(&archive).unwrap();
    io::copy(&mut io::repeat(0).take(64 << 20), &mut encoder).unwrap();
    let bomb = encoder.finish().unwrap();
    assert!(bomb.len() < 100_000);
    let refused = read(&*bomb, &[]).unwrap_err();
    assert!(matches!(refused, BundleError::TooLarge { .. }), "{refused}");

    // Zeros without end after the archive's own end.
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.write_all(&version()).unwrap();
    io::copy(&mut io::repeat(0).take(64 << 20), &mut encoder).unwrap();
    assert!(matches!(read(&*encoder.finish().unwrap(), &[]), Err(BundleError::Trailing)));

    // Not even the stream is read on for ever.
    let bundle = write(None, &[b"four"]);
    let mut endless = Endless { start: &bundle, taken: 0 };
    let refused = read(BufReader::new(&mut endless), &[chunk(b"four")]).unwrap_err();
    assert!(matches!(refused, BundleError::Trailing), "{refused}");
    assert!(endless.taken < 1 << 20, "{} bytes were read", endless.taken);
}

#[test]
fn a_frame_that_needs_gigabytes_of_window_is_refused() {
    let pack = |window_log: u32| {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.long_distance_matching(true).unwrap();
        encoder.window_log(window_log).unwrap();
        encoder.write_all(&version()).unwrap();
        encoder.write_all(&[0; 1024]).unwrap();
        encoder.finish().unwrap()
    };
    for window_log in [24, 27, 31] {
        let refused = read(&*pack(window_log), &[]).unwrap_err();
        assert!(matches!(refused, BundleError::Read { .. }), "{window_log}: {refused:?}");
    }
    assert!(read(&*pack(23), &[]).is_ok());
}

#[test]
fn the_effort_may_change_between_chunks() {
    let contents: Vec<Vec<u8>> = (0..7_u8).map(|byte| vec![byte; 300]).collect();
    let efforts = [LEVEL_MIN, 1, 1, 9, LEVEL_MAX].map(Effort::Level);
    let efforts = [Effort::Stored, Effort::Stored].into_iter().chain(efforts).cycle();
    let mut writer = Writer::for_link(Vec::new(), Effort::Stored).unwrap();
    for (content, effort) in contents.iter().zip(efforts) {
        writer.set_effort(effort).unwrap();
        writer.chunk(&ChunkId::of(content), content).unwrap();
    }
    let bundle = writer.finish().unwrap();
    let expected: Vec<ChunkRef> = contents.iter().map(|content| chunk(content)).collect();
    let items = read(&*bundle, &expected).unwrap();
    assert_eq!(items.len(), contents.len());
    for len in 0..bundle.len() {
        assert!(read(&bundle[..len], &expected).is_err(), "cut off after {len} bytes");
    }
}

#[test]
fn anything_after_the_end_is_refused() {
    let expected = [chunk(b"four")];
    for effort in [Effort::Stored, Effort::Level(3)] {
        let bundle = write_with(effort, None, &[b"four"]);
        assert!(read(&*bundle, &expected).is_ok());
        let skippable =
            [&0x184D_2A50_u32.to_le_bytes()[..], &4_u32.to_le_bytes(), b"skip"].concat();
        for extra in [b"x".to_vec(), vec![0; 512], bundle.clone(), skippable] {
            let longer = [&bundle[..], &extra].concat();
            let refused = read(&*longer, &expected);
            assert!(matches!(refused, Err(BundleError::Trailing)), "{effort:?}");
        }
    }
    // Inside the frame as well.
    let more = [version(), vec![0; 1024], named("manifest", b"m")];
    assert!(matches!(read(&*pack(&more), &[]), Err(BundleError::Trailing)));
    let much = [version(), vec![0; 20 * 512]];
    assert!(matches!(read(&*pack(&much), &[]), Err(BundleError::Trailing)));
    let ragged = [version(), vec![0; 100]];
    assert!(matches!(read(&*pack(&ragged), &[]), Err(BundleError::Trailing)));
}

#[test]
fn a_bundle_that_is_cut_off_anywhere_is_refused() {
    let noise: Vec<u8> =
        (0..3000_u32).flat_map(|n| *blake3::hash(&n.to_le_bytes()).as_bytes()).collect();
    let bundle = write(Some(b"manifest"), &[b"four", &noise]);
    let expected = [chunk(b"four"), chunk(&noise)];
    assert!(read(&*bundle, &expected).is_ok());
    let step = (bundle.len() / 500).max(1);
    for len in (0..bundle.len()).step_by(step).chain(bundle.len() - 20..bundle.len()) {
        let cut = read(&bundle[..len], &expected);
        assert!(matches!(cut, Err(BundleError::Read { .. })), "{len} bytes: {cut:?}");
    }
    // And one whose archive ends early in a whole frame.
    let archive = zstd::decode_all(&*bundle).unwrap();
    for blocks in 0..archive.len() / 512 - 1 {
        let short = zstd::encode_all(&archive[..blocks * 512], 1).unwrap();
        let cut = read(&*short, &expected);
        assert!(matches!(cut, Err(BundleError::Read { .. })), "{blocks} blocks: {cut:?}");
    }
}

#[test]
fn chunks_that_did_not_come_are_known() {
    let bundle = write(None, &[b"four"]);
    let mut reader = Reader::new(&*bundle, LIMITS);
    reader.expect([chunk(b"four"), chunk(b"late")]).unwrap();
    while reader.next_item().unwrap().is_some() {}
    assert_eq!(reader.missing().collect::<Vec<_>>(), [ChunkId::of(b"late")]);
    assert_eq!(reader.next_item().unwrap(), None);
}

#[test]
fn a_manifest_may_say_what_to_expect() {
    let bundle = write(Some(b"manifest"), &[b"four"]);
    let mut reader = Reader::new(&*bundle, LIMITS);
    assert_eq!(reader.next_item().unwrap(), Some(Item::Manifest(b"manifest".to_vec())));
    reader.expect([chunk(b"four")]).unwrap();
    assert!(matches!(reader.next_item().unwrap(), Some(Item::Chunk(_))));
    assert_eq!(reader.next_item().unwrap(), None);
}

#[test]
fn every_level_writes_what_is_read() {
    for level in [i32::MIN, -5, 0, 1, 19, 22, i32::MAX] {
        let mut writer = Writer::new(Vec::new(), level).unwrap();
        writer.chunk(&ChunkId::of(b"four"), b"four").unwrap();
        let bundle = writer.finish().unwrap();
        assert!(read(&*bundle, &[chunk(b"four")]).is_ok(), "level {level}");
    }
}

proptest! {
    #[test]
    fn any_bundle_is_read_back(
        manifest in proptest::option::of(vec(any::<u8>(), 0..2000)),
        contents in proptest::collection::hash_set(vec(any::<u8>(), 1..2000), 0..10),
        stored: bool,
    ) {
        let contents: Vec<&[u8]> = contents.iter().map(Vec::as_slice).collect();
        let effort = if stored { Effort::Stored } else { Effort::Level(3) };
        let bundle = write_with(effort, manifest.as_deref(), &contents);
        let expected: Vec<ChunkRef> = contents.iter().map(|content| chunk(content)).collect();
        let chunks = contents.iter().map(|content| {
            Item::Chunk(verified(content))
        });
        let items: Vec<Item> = manifest.map(Item::Manifest).into_iter().chain(chunks).collect();
        prop_assert_eq!(read(&*bundle, &expected).unwrap(), items);
    }

    #[test]
    fn a_damaged_bundle_yields_nothing_but_what_was_expected(
        contents in vec(vec(any::<u8>(), 1..2000), 1..5),
        damage in vec(any::<(Index, u8)>(), 1..4),
        stored: bool,
        level in prop_oneof![Just(None), Just(Some(3))],
    ) {
        let contents: Vec<&[u8]> = contents.iter().map(Vec::as_slice).collect();
        let expected: Vec<ChunkRef> = contents.iter().map(|content| chunk(content)).collect();
        let effort = if stored { Effort::Stored } else { Effort::Level(3) };
        let bundle = write_with(effort, Some(b"manifest"), &contents);
        // Damage on the wire, or in the archive before a hostile sender compresses it.
        let mut bytes = match level {
            None => bundle,
            Some(_) => zstd::decode_all(&*bundle).unwrap(),
        };
        for (index, value) in &damage {
            let at = index.index(bytes.len());
            bytes[at] ^= value;
        }
        if let Some(level) = level {
            bytes = zstd::encode_all(&*bytes, level).unwrap();
        }
        let mut reader = Reader::new(&*bytes, LIMITS);
        if reader.expect(expected).is_ok() {
            while let Ok(Some(item)) = reader.next_item() {
                if let Item::Chunk(chunk) = item {
                    let (id, content) = (chunk.id(), chunk.into_content());
                    prop_assert!(contents.contains(&&*content));
                    prop_assert_eq!(ChunkId::of(&content), id);
                }
            }
        }
    }

    #[test]
    fn random_bytes_are_no_bundle(bytes in vec(any::<u8>(), 0..500)) {
        prop_assert!(read(&*bytes, &[]).is_err());
        // Nor if they are compressed well.
        prop_assert!(read(&*zstd::encode_all(&*bytes, 1).unwrap(), &[]).is_err());
    }
}
