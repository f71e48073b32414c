//! The corpus: bundles and manifests that no client of ours makes, and what is said about them.

use handoff_proto::{
    chunk::ChunkId,
    frames::pack_manifest,
    manifest::{
        Entry, Head, Kind, ObjectFormat, RefName, Repository, RepositoryState, SnapshotManifest,
        Timestamp,
    },
    path::TreePath,
    wire::{Empty, Frame, handoff_request::Part},
};

use crate::handoff::{Handoff, manifest};

/// A wrong handoff and a part of what must be said about it.
pub(super) type Case = (&'static str, Handoff, &'static str);

/// A tar entry as some other program might write it.
fn entry(name: &[u8], kind: u8, size: usize, body: &[u8]) -> Vec<u8> {
    let mut header = [0_u8; 512];
    header[..name.len()].copy_from_slice(name);
    header[100..108].copy_from_slice(b"0000644\0");
    header[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
    header[148..156].fill(b' ');
    header[156] = kind;
    header[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut bytes = [&header, body].concat();
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// A bundle that begins as it should and goes on with this.
fn bundle(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut archive = [&[entry(b"version", b'0', 2, b"1\n")], entries].concat().concat();
    archive.resize(archive.len() + 1024, 0);
    pack_manifest(&archive)
}

/// A zstd frame of zeros: four bytes for each 128 KiB.
fn zeros(blocks: usize, window_log: u8) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, (window_log - 10) << 3];
    for block in 1..=blocks {
        let header = (128 << 10) << 3 | 1 << 1 | u32::from(block == blocks);
        frame.extend(&header.to_le_bytes()[..3]);
        frame.push(0);
    }
    frame
}

/// The good handoff of this name with another bundle.
fn with_bundle(name: &str, bundle: Vec<u8>) -> Handoff {
    Handoff { bundle, ..Handoff::new(name) }
}

pub(super) fn bundles() -> Vec<Case> {
    let chunk = |content: &[u8]| format!("chunk/{}", ChunkId::of(content)).into_bytes();
    let with_entry = |name: &'static str, kind: u8, size: usize, body: &[u8]| {
        with_bundle(name, bundle(&[entry(&chunk(name.as_bytes()), kind, size, body)]))
    };
    let named = |name: &'static str, entry_name: &[u8]| {
        with_bundle(name, bundle(&[entry(entry_name, b'0', 4, b"evil")]))
    };
    let good = |name: &str| Handoff::new(name).bundle;
    let late_bomb = [good("late-bomb"), zeros(32 << 10, 23)].concat();
    let twins = {
        let (content, lower) = (b"same-in-other-case", chunk(b"same-in-other-case"));
        let upper = [b"chunk/".as_slice(), &lower[6..].to_ascii_uppercase()].concat();
        let entries = [lower, upper].map(|name| entry(&name, b'0', content.len(), content));
        bundle(&entries)
    };
    let unknown = "has an unknown name";
    let no_file = "is no regular entry";
    vec![
        ("dot-dot", named("dot-dot", b"../../evil"), unknown),
        ("absolute", named("absolute", b"/etc/evil"), unknown),
        ("climbing-chunk", named("climbing-chunk", b"chunk/../../evil"), unknown),
        ("long-name", named("long-name", &[b'x'; 100]), unknown),
        ("git-config", named("git-config", b".git/config"), unknown),
        ("git-hook", named("git-hook", b"chunk/.GIT/hooks/post-checkout"), unknown),
        ("other-case", named("other-case", &chunk(b"evil").to_ascii_uppercase()), unknown),
        ("same-in-other-case", with_bundle("same-in-other-case", twins), unknown),
        ("fifo", with_entry("fifo", b'6', 0, b""), no_file),
        ("device", with_entry("device", b'3', 0, b""), no_file),
        ("symlink", with_entry("symlink", b'2', 0, b""), no_file),
        ("hard-link", with_entry("hard-link", b'1', 0, b""), no_file),
        ("gnu-long-name", with_entry("gnu-long-name", b'L', 600 << 20, b""), no_file),
        ("pax", with_entry("pax", b'x', 600 << 20, b""), no_file),
        ("pax-global", with_entry("pax-global", b'g', 600 << 20, b""), no_file),
        ("sparse", with_entry("sparse", b'S', 4, b"evil"), no_file),
        (
            "wrong-hash",
            with_entry("wrong-hash", b'0', 10, b"wrong hash"),
            "its content has another hash",
        ),
        ("size-lie", with_entry("size-lie", b'0', 7 << 30, b""), "8 were expected"),
        ("unasked", with_bundle("unasked", good("another")), "was not asked for"),
        (
            "twice",
            with_bundle("twice", {
                let one = entry(&chunk(b"twice"), b'0', 5, b"twice");
                bundle(&[one.clone(), one])
            }),
            "comes twice",
        ),
        (
            "truncated",
            with_bundle("truncated", {
                let mut cut = good("truncated");
                cut.truncate(cut.len() / 2);
                cut
            }),
            "incomplete frame",
        ),
        ("nothing", with_bundle("nothing", Vec::new()), "incomplete frame"),
        ("bomb", with_bundle("bomb", zeros(32 << 10, 23)), "should be the version"),
        ("late-bomb", with_bundle("late-bomb", late_bomb), "goes on after its end"),
        ("window", with_bundle("window", zeros(1, 31)), "too much memory"),
        ("noise", with_bundle("noise", b"no zstd at all".to_vec()), "Unknown frame"),
    ]
}

/// A handoff whose manifest was edited after it was encoded.
fn edited(name: &'static str, tree: &SnapshotManifest, from: &[u8], to: &[u8]) -> Handoff {
    let mut encoded = tree.encode();
    let at = encoded.windows(from.len()).position(|part| part == from).expect("the text");
    encoded[at..at + from.len()].copy_from_slice(to);
    Handoff::of(name, &encoded, Handoff::new(name).bundle)
}

/// A manifest of a directory with a repository whose git directory is said to be this one.
fn repository(name: &'static str, entries: Vec<Entry>, git_dir: &[u8]) -> Handoff {
    let branch = RefName::parse(b"refs/heads/main").expect("a name");
    let state = RepositoryState {
        object_format: ObjectFormat::Sha1,
        head: Head::Branch(branch, None),
        refs: Vec::new(),
        index_digest: [0; 32],
        in_progress: Vec::new(),
    };
    let git_dir = TreePath::parse(git_dir).expect("a path");
    let mut tree = manifest(name.as_bytes());
    tree.entries.splice(..0, entries);
    tree.repositories = vec![Repository { path: None, git_dir, state }];
    Handoff::of(name, &tree.encode(), Handoff::new(name).bundle)
}

fn link(path: &[u8]) -> Entry {
    let kind = Kind::Symlink { target: b"/etc".to_vec() };
    let path = TreePath::parse(path).expect("a path");
    Entry { path, mode: 0o777, mtime: Timestamp::default(), kind }
}

pub(super) fn manifests() -> Vec<Case> {
    let tree = |name: &str| manifest(name.as_bytes());
    let path = |name: &'static str, to: &[u8]| edited(name, &tree(name), b"file", to);
    let entries = |name: &'static str, change: fn(&mut Vec<Entry>)| {
        let mut tree = tree(name);
        change(&mut tree.entries);
        Handoff::of(name, &tree.encode(), Handoff::new(name).bundle)
    };
    let lie = |name: &'static str, change: fn(&mut Handoff)| {
        let mut handoff = Handoff::new(name);
        change(&mut handoff);
        handoff
    };
    let directory = Entry { kind: Kind::Directory, ..link(b".git") };
    let no_git = "where its git directory should be";
    let long = {
        let mut tree = tree("long-path");
        let parts = [[b'x'; 149].as_slice(), &[b'y'; 150]];
        tree.entries[0].path = TreePath::parse(&parts.join(&b'/')).expect("a path");
        edited("long-path", &tree, b"x/y", b"xxy")
    };
    vec![
        ("tree-dot-dot", path("tree-dot-dot", b"../x"), "`.` or `..`"),
        ("tree-absolute", path("tree-absolute", b"/abs"), "is absolute"),
        ("tree-nul", path("tree-nul", b"a\0bc"), "NUL"),
        ("tree-empty", path("tree-empty", b"a//b"), "empty component"),
        ("long-path", long, "255"),
        (
            "through-link",
            entries("through-link", |entries| {
                *entries = vec![link(b"d"), link(b"d/f")];
            }),
            "its parent is not a directory",
        ),
        (
            "same-twice",
            entries("same-twice", |entries| {
                *entries = vec![link(b"d"), link(b"d")];
            }),
            "it is there twice",
        ),
        (
            "file-size",
            entries("file-size", |entries| {
                if let Kind::File { size, .. } = &mut entries[0].kind {
                    *size = 1 << 50;
                }
            }),
            "its chunks 9",
        ),
        ("setuid", entries("setuid", |entries| entries[0].mode = 0o4755), "mode 4755"),
        ("git-is-link", repository("git-is-link", vec![link(b".git")], b".git"), no_git),
        ("git-in-link", repository("git-in-link", vec![link(b"d")], b"d/.git"), no_git),
        ("git-is-file", repository("git-is-file", Vec::new(), b"file"), no_git),
        ("git-in-other-case", repository("git-in-other-case", vec![directory], b".GIT"), no_git),
        (
            "other-hash",
            lie("other-hash", |handoff| handoff.offer.snapshot = vec![7; 32]),
            "announced",
        ),
        ("too-small", lie("too-small", |handoff| handoff.offer.manifest_bytes -= 1), "announced"),
        (
            "too-large",
            lie("too-large", |handoff| handoff.offer.manifest_bytes = 1 << 40),
            "over the limit",
        ),
        (
            "many-entries",
            lie("many-entries", |handoff| handoff.offer.entries = 1 << 40),
            "over your limit",
        ),
        (
            "manifest-bomb",
            lie("manifest-bomb", |handoff| handoff.manifest = zeros(32 << 10, 23)),
            "announced",
        ),
        (
            "manifest-window",
            lie("manifest-window", |handoff| handoff.manifest = zeros(1, 31)),
            "too much memory",
        ),
        (
            "no-key",
            lie("no-key", |handoff| handoff.offer.idempotency_key.clear()),
            "key is not 32 bytes",
        ),
        ("no-contract", lie("no-contract", |handoff| handoff.offer.contract = None), "no contract"),
    ]
}

/// Names that are the same on other systems' disks, and are files like any other on a daemon's.
pub(super) fn names_of_other_systems() -> Handoff {
    let name = "names";
    let mut tree = manifest(name.as_bytes());
    let file = tree.entries.remove(0);
    let mut names = [
        ".GIT",
        ".g\u{200c}it",
        "FILE",
        "aux",
        "e\u{301}",
        "file",
        "file ",
        "git~1",
        "x:y",
        "x\\y",
        "\u{e9}",
    ];
    names.sort_unstable();
    tree.entries = names
        .map(|name| Entry {
            path: TreePath::parse(name.as_bytes()).expect("a path"),
            ..file.clone()
        })
        .into();
    Handoff::of(name, &tree.encode(), Handoff::new(name).bundle)
}

/// Messages in an order that no client of ours sends.
pub(super) fn orders() -> Vec<(&'static str, Vec<Part>, &'static str)> {
    let frame = |offset, data: &'static [u8]| Frame { offset, data: data.into() };
    let offer = || Part::Offer(Handoff::new("order").offer);
    vec![
        ("nothing first", vec![Part::BundleEnd(Empty {})], "expected an offer"),
        ("offer twice", vec![offer(), offer()], "expected the manifest"),
        ("a gap", vec![offer(), Part::Manifest(frame(7, b"x"))], "gap"),
        ("an offset without end", vec![offer(), Part::Manifest(frame(u64::MAX, b"x"))], "gap"),
        ("bundle too soon", vec![offer(), Part::Bundle(frame(0, b"x"))], "expected the manifest"),
    ]
}
