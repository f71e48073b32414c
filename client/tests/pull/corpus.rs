//! Results that were made to harm the laptop that pulls them. Whatever comes of a pull, git's
//! settings and hooks, the home and files that were not handed off are the same bytes as before.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use handoff_client::pull::plan::{Decision, PlanError};
use handoff_client::pull::review::{Reason, review};
use handoff_proto::manifest::{Head, IndexEntry, IndexFlags, Kind, Limits, Oid, ResultManifest};
use handoff_proto::path::TreePath;

use crate::world::{Picture, Returned, World, assert_same, file, git_fed, path, put, write};

/// Far more than any pull here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Everything that no result may change, whatever is agreed to: the home around the tree, and
/// settings and hooks of the repository.
fn untouchable(world: &World) -> Picture {
    world.picture(&|path| {
        let of_tree = path.strip_prefix("project").ok();
        let is_git = |path: &Path| {
            let kept = [".git/config", ".git/hooks"];
            path == Path::new(".git") || kept.iter().any(|kept| path.starts_with(kept))
        };
        let is_result =
            ["state", "run", "project.handoff-fix"].iter().any(|ours| path.starts_with(ours));
        is_result || of_tree.is_some_and(|path| !path.as_os_str().is_empty() && !is_git(path))
    })
}

fn handed_off() -> (World, Returned) {
    let world = World::with_repository();
    world.write(".git/hooks/post-checkout", "#!/bin/sh\necho ours\n");
    world.write(".env", "SECRET=ours\n");
    let base = world.hand_off();
    let returned = world.harvest(&base);
    (world, returned)
}

/// Pulls both ways, whether that is refused or not.
fn pull_both(world: &World, returned: &Returned) {
    if let Ok(Decision::InPlace(plan)) = world.decide(returned) {
        drop(world.apply(returned, &plan, &mut |_| {}));
    }
    drop(world.pull_elsewhere(returned));
}

/// The same; it takes no longer than it may and changes nothing that it may not.
fn pull_any(world: &World, returned: &Returned) {
    let (before, start) = (untouchable(world), Instant::now());
    pull_both(world, returned);
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
    assert_same(&untouchable(world), &before, "untouchable");
    assert_eq!(world.read(".env"), "SECRET=ours\n");
}

fn reasons(returned: &Returned, at: &str) -> Vec<Reason> {
    let findings = review(&returned.base, &returned.result);
    findings.iter().filter(|found| found.path == path(at)).map(|found| found.reason).collect()
}

fn check_refused_by_decoding(returned: &Returned, named: &str) {
    let encoded = returned.result.encode();
    let error = ResultManifest::decode(&encoded, &Limits::DEFAULT).expect_err("refused");
    assert!(error.to_string().contains(named), "{named:?} is not named: {error}");
}

#[test]
fn an_embedded_bare_repository_needs_consent_and_runs_nothing() {
    let (world, mut returned) = handed_off();
    let mark = world.home().join("mark");
    let config = format!("[core]\n\tbare = true\n\tfsmonitor = touch {}\n", mark.display());
    for (name, content) in [("HEAD", "ref: refs/heads/main\n"), ("config", config.as_str())] {
        file(&mut returned, &format!("vendor/lib/{name}"), 0o644, content.as_bytes());
    }
    for name in ["objects", "refs"] {
        put(&mut returned, &format!("vendor/lib/{name}"), 0o755, Kind::Directory);
    }
    assert_eq!(reasons(&returned, "vendor/lib"), [Reason::EmbeddedRepository]);
    assert!(Reason::EmbeddedRepository.needs_consent());
    pull_any(&world, &returned);
    assert!(world.local().join("vendor/lib/config").exists(), "it was put in place");
    assert!(!mark.exists(), "a pull ran a program");
}

#[test]
fn settings_of_agents_and_links_out_are_listed_and_reach_nothing() {
    let (world, mut returned) = handed_off();
    for at in [".claude/settings.json", ".mcp.json", ".envrc", ".vscode/tasks.json", "CLAUDE.md"] {
        file(&mut returned, at, 0o644, b"{}");
        assert!(reasons(&returned, at).iter().any(|reason| reason.needs_consent()), "{at}");
    }
    for (at, target) in [("up", "../../.."), ("passwd", "/etc/passwd"), ("g", "src/../.git/config")]
    {
        put(&mut returned, at, 0o777, Kind::Symlink { target: target.into() });
        assert!(reasons(&returned, at).contains(&Reason::LinkOut), "{at}");
    }
    write(&world.home().join(".claude/settings.json"), b"{\"ours\":true}");
    pull_any(&world, &returned);
}

#[test]
fn a_submodule_is_never_fetched_whatever_its_path_and_source_say() {
    let world = World::with_repository();
    let base = world.hand_off();
    let run = world.remote();
    let mark = world.home().join("mark");
    // A path that ends in a carriage return, and sources that run commands or name the home.
    let modules = format!(
        "[submodule \"x\"]\n\tpath = \"sub\r\"\n\turl = ext::touch {0}\n\tupdate = !touch {0}\n\
         [submodule \"../../.git/hooks\"]\n\tpath = -sub\n\turl = -u./payload\n",
        mark.display()
    );
    write(&run.join(".gitmodules"), modules.as_bytes());
    let head = world.git(&run, &["rev-parse", "HEAD"]);
    for at in ["sub\r", "sub"] {
        let entry = format!("160000,{},{at}", head.trim());
        world.git(&run, &["update-index", "--add", "--cacheinfo", &entry]);
    }
    world.git(&run, &["add", ".gitmodules"]);
    let returned = world.harvest(&base);
    assert_eq!(reasons(&returned, ".gitmodules"), [Reason::GitSettings]);
    assert_eq!(reasons(&returned, "sub"), [Reason::Gitlink]);
    let before = untouchable(&world);
    pull_both(&world, &returned);
    assert_same(&untouchable(&world), &before, "untouchable");
    assert!(!mark.exists(), "a pull ran a program");
    assert!(!world.local().join(".git/modules").exists());
}

#[test]
fn nothing_lies_beneath_a_link_or_a_file() {
    for kind in
        [Kind::Symlink { target: b"/tmp".to_vec() }, Kind::File { size: 0, chunks: Vec::new() }]
    {
        let (world, mut returned) = handed_off();
        file(&mut returned, "into/x", 0o644, b"x");
        put(&mut returned, "into", 0o755, kind);
        check_refused_by_decoding(&returned, "into/x");
        pull_any(&world, &returned);
        assert!(!Path::new("/tmp/x").exists());
    }
}

#[test]
fn a_path_of_git_or_one_twice_is_refused_before_anything_is_planned() {
    for at in [".git/config", ".GIT/x", "git~1", ".g\u{200c}it/hooks", "a/.git"] {
        let (world, mut returned) = handed_off();
        file(&mut returned, at, 0o644, b"x");
        let shown = path(at)
            .components()
            .map(|name| TreePath::parse(name).unwrap())
            .find(TreePath::has_git_component);
        check_refused_by_decoding(&returned, &shown.unwrap().to_string());
        pull_any(&world, &returned);
    }
    let (world, mut returned) = handed_off();
    let first = returned.result.entries[0].clone();
    returned.result.entries.insert(0, first.clone());
    check_refused_by_decoding(&returned, &first.path.to_string());
    pull_any(&world, &returned);
}

#[test]
fn names_that_differ_in_case_stay_two_files_where_they_can() {
    let (world, mut returned) = handed_off();
    for (at, content) in [("Case", "upper"), ("case", "lower"), ("CASE/x", "in it")] {
        file(&mut returned, at, 0o644, content.as_bytes());
    }
    pull_any(&world, &returned);
    // This file system tells them apart; where one does not, the second is in the way of the first.
    let found = [world.read("Case"), world.read("case"), world.read("CASE/x")];
    assert_eq!(found, ["upper", "lower", "in it"]);
}

#[test]
fn what_was_not_handed_off_is_never_overwritten() {
    let (world, mut returned) = handed_off();
    file(&mut returned, ".env", 0o755, b"SECRET=theirs\n");
    match world.decide(&returned) {
        Err(PlanError::Occupied(at)) => assert_eq!(at, path(".env")),
        other => panic!("{other:?}"),
    }
    pull_any(&world, &returned);
    // Nor a directory, a link, nor through them.
    for (at, target) in [("target/ours", "target"), ("target", "target/deep")] {
        let (world, mut returned) = handed_off();
        world.write(&format!("{target}/ours"), "ours\n");
        file(&mut returned, at, 0o644, b"theirs");
        assert!(world.decide(&returned).is_err(), "{at}");
        pull_any(&world, &returned);
        assert_eq!(world.read(&format!("{target}/ours")), "ours\n");
    }
}

#[test]
fn a_dirty_tree_is_never_touched() {
    let (world, mut returned) = handed_off();
    file(&mut returned, "README.md", 0o644, b"theirs\n");
    file(&mut returned, "src/main.rs", 0o644, b"// theirs\n");
    world.write("README.md", "ours, after the handoff\n");
    world.write("untracked", "ours\n");
    let before = world.picture(&|path| path.starts_with("state") || path == Path::new("run"));
    assert!(matches!(world.decide(&returned), Ok(Decision::Diverged(_))));
    pull_any(&world, &returned);
    assert_eq!(world.read("README.md"), "ours, after the handoff\n");
    assert_eq!(world.read("src/main.rs"), "fn main() {}\n");
    let now = world.picture(&|path| {
        let beside = path.starts_with("project.handoff-fix") || path.starts_with("project/.git");
        beside || path.starts_with("state") || path == Path::new("run")
    });
    assert!(now.iter().all(|(at, what)| before.get(at) == Some(what)), "{now:?}");
}

#[test]
fn an_index_that_lies_is_refused() {
    let oid = |returned: &Returned| returned.result.repositories[0].index[0].oid;
    let bad: [(&str, u32, u8); 4] =
        [("a", 0o100_666, 0), ("a", 0o040_000, 0), ("a", 0o100_644, 4), ("a", 0, 0)];
    for (at, mode, stage) in bad {
        let (world, mut returned) = handed_off();
        let oid = oid(&returned);
        let flags = IndexFlags::NONE;
        returned.result.repositories[0].index.push(IndexEntry {
            path: path(at),
            mode,
            oid,
            stage,
            flags,
        });
        returned.result.repositories[0]
            .index
            .sort_by(|a, b| a.path.as_bytes().cmp(b.path.as_bytes()));
        check_refused_by_decoding(&returned, at);
        pull_any(&world, &returned);
    }
    // The same path twice, and a file where there is a directory.
    let (world, mut returned) = handed_off();
    let twice = returned.result.repositories[0].index[0].clone();
    returned.result.repositories[0].index.insert(0, twice);
    check_refused_by_decoding(&returned, ".gitignore");
    pull_any(&world, &returned);
}

#[test]
fn a_pack_that_grows_beyond_measure_is_refused_in_time() {
    for pack in [delta_bomb(), lying_blob(), cyclic_delta()] {
        let (world, mut returned) = handed_off();
        file(&mut returned, "pack-content", 0o644, &pack);
        let chunks = returned.result.entry(&path("pack-content")).unwrap().chunks().to_vec();
        returned.result.entries.retain(|entry| entry.path != path("pack-content"));
        returned.result.repositories[0].pack = chunks;
        let tip = Oid::parse(b"0123456789012345678901234567890123456789").unwrap();
        let head = returned.result.repositories[0].head.clone();
        if let Head::Branch(name, _) = head {
            returned.result.repositories[0].head = Head::Branch(name, Some(tip));
        }
        let start = Instant::now();
        let Ok(Decision::InPlace(plan)) = world.decide(&returned) else { panic!("a plan") };
        let error = world.apply(&returned, &plan, &mut |_| {}).expect_err("refused");
        assert!(error.is_hostile(), "{error}");
        assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
        pull_any(&world, &returned);
    }
}

/// A pack of these objects, each its header and its body before compression.
fn pack(objects: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut pack = b"PACK\0\0\0\x02".to_vec();
    pack.extend(u32::try_from(objects.len()).unwrap().to_be_bytes());
    for (header, body) in objects {
        pack.extend(header);
        pack.extend(deflated(body));
    }
    let home = tempfile::tempdir().unwrap();
    let sum = sha1(home.path(), &pack);
    pack.extend(sum);
    pack
}

/// zlib's format without compressing.
fn deflated(body: &[u8]) -> Vec<u8> {
    let mut out = vec![0x78, 0x01];
    let mut blocks = body.chunks(0xffff).peekable();
    if blocks.peek().is_none() {
        out.extend([1, 0, 0, 0xff, 0xff]);
    }
    while let Some(block) = blocks.next() {
        let len = u16::try_from(block.len()).unwrap();
        out.push(u8::from(blocks.peek().is_none()));
        out.extend(len.to_le_bytes());
        out.extend((!len).to_le_bytes());
        out.extend(block);
    }
    let (mut a, mut b) = (1_u32, 0_u32);
    for byte in body {
        a = (a + u32::from(*byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    out.extend(((b << 16) | a).to_be_bytes());
    out
}

fn sha1(home: &Path, bytes: &[u8]) -> Vec<u8> {
    let file = home.join("pack");
    fs::write(&file, bytes).unwrap();
    let sum = std::process::Command::new("sha1sum").arg(&file).output().unwrap().stdout;
    let text = String::from_utf8(sum).unwrap();
    (0..20).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
}

/// The header of an object: its type and the size that it claims.
fn header(kind: u8, mut size: u64) -> Vec<u8> {
    let mut out = vec![(kind << 4) | u8::try_from(size & 15).unwrap()];
    size >>= 4;
    while size > 0 {
        *out.last_mut().unwrap() |= 0x80;
        out.push(u8::try_from(size & 0x7f).unwrap());
        size >>= 7;
    }
    out
}

fn varint(mut size: u64) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let byte = u8::try_from(size & 0x7f).unwrap();
        size >>= 7;
        if size == 0 {
            out.push(byte);
            return out;
        }
        out.push(byte | 0x80);
    }
}

/// Copies the first 64 KiB of its base over and over: `factor` times what it was.
fn doubling(base: u64, factor: u64) -> Vec<u8> {
    let mut delta = varint(base);
    delta.extend(varint(base * factor));
    // A copy without offset and size takes 64 KiB from the start.
    delta.extend(std::iter::repeat_n(0x80, usize::try_from(base * factor / 0x10000).unwrap()));
    delta
}

/// 64 KiB that become 16 GiB in two steps.
fn delta_bomb() -> Vec<u8> {
    const KIB64: u64 = 0x10000;
    let blob = (header(3, KIB64), vec![b'x'; 0x10000]);
    let mut objects = vec![blob];
    let mut offset_back = (objects[0].0.len() + deflated(&objects[0].1).len()) as u64;
    let mut size = KIB64;
    for factor in [2048, 128] {
        let delta = doubling(size, factor);
        let mut head = header(6, delta.len() as u64);
        head.extend(offset(offset_back));
        offset_back = (head.len() + deflated(&delta).len()) as u64;
        objects.push((head, delta));
        size *= factor;
    }
    pack(&objects)
}

/// How far back the base of a delta is.
fn offset(mut back: u64) -> Vec<u8> {
    let mut out = vec![u8::try_from(back & 0x7f).unwrap()];
    back >>= 7;
    while back > 0 {
        back -= 1;
        out.insert(0, u8::try_from(back & 0x7f).unwrap() | 0x80);
        back >>= 7;
    }
    out
}

/// A blob that claims 16 bytes and holds 32 MiB.
fn lying_blob() -> Vec<u8> {
    pack(&[(header(3, 16), vec![0; 32 << 20])])
}

/// A delta whose base is itself.
fn cyclic_delta() -> Vec<u8> {
    let mut head = header(7, 4);
    head.extend([7; 20]);
    pack(&[(head, vec![4, 4, 1, b'x'])])
}

#[test]
fn the_packs_of_these_tests_are_packs() {
    let world = World::with_repository();
    let good = pack(&[(header(3, 5), b"hello".to_vec())]);
    let words = ["index-pack", "--stdin", "--strict"];
    let said = git_fed(&world.home(), &world.local(), &words, &good);
    assert!(String::from_utf8_lossy(&said).starts_with("pack"), "{said:?}");
}
