mod kin;

use std::fs;

use handoff_proto::chunk::{ChunkRef, chunk_reader};
use handoff_proto::manifest::{Kind as EntryKind, Timestamp};
use std::os::unix::fs::PermissionsExt as _;

use super::*;

const ID: &str = "6fe487e1-a3f6-4eb2-ad69-e6f9d1d97a38";
const SENT: &str = "{\"type\":\"user\"}\n{\"type\":\"permission-mode\"}\n";
const ADDED: &str = "{\"type\":\"assistant\"}\n{\"type\":\"mode\"}\n{\"type\":\"user\"}\n";
const KEPT: &str = "{\"type\":\"assistant\"}\n{\"type\":\"user\"}\n";

struct Laptop {
    directory: tempfile::TempDir,
    agent: AbsolutePath,
    chunks: Chunks,
}

impl Laptop {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().canonicalize().unwrap();
        let agent = AbsolutePath::parse(path.as_os_str().as_encoded_bytes()).unwrap();
        let chunks = Chunks::new(directory.path()).unwrap();
        Self { directory, agent, chunks }
    }

    fn file(&mut self, path: &str, content: &str) -> Entry {
        let mut chunks: Vec<ChunkRef> = Vec::new();
        let size = chunk_reader(content.as_bytes(), |chunk, bytes| {
            self.chunks.add(chunk, bytes).map_err(io::Error::other)?;
            chunks.push(chunk);
            Ok::<_, io::Error>(())
        });
        let kind = EntryKind::File { size: size.unwrap(), chunks };
        Entry { path: path.parse().unwrap(), mode: 0o600, mtime: Timestamp::default(), kind }
    }

    fn session(&mut self, files: &[(&str, &str)]) -> Session {
        self.of("claude", files)
    }

    fn of(&mut self, agent: &str, files: &[(&str, &str)]) -> Session {
        let mut files: Vec<Entry> =
            files.iter().map(|(path, content)| self.file(path, content)).collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let directory = "/home/a/.claude".parse().unwrap();
        Session { agent: agent.into(), id: ID.into(), directory, files }
    }

    fn has(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.directory.path().join(path)).ok()
    }

    fn put(&self, path: &str, content: &str) {
        let path = self.directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn import(
        &self,
        base: Option<&Session>,
        session: &Session,
        is_held: impl Fn(&str) -> bool,
    ) -> Result<Imported, ImportError> {
        let (directory, files) = ("/w".parse().unwrap(), ["a.txt".parse().unwrap()].into());
        let place = ImportPlace { agent: &self.agent, directory: &directory, files: &files };
        let kind = Kind::from_name(&session.agent).unwrap();
        let import = Import::new(kind, "run", place, base, session)?;
        import.apply(&self.chunks, self.directory.path(), is_held)
    }

    fn pull(&self, base: &Session, session: &Session, is_held: bool) -> Imported {
        self.import(Some(base), session, |id| is_held && id == ID).unwrap()
    }
}

fn transcript(id: &str) -> String {
    format!("projects/-w/{id}.jsonl")
}

#[test]
fn a_session_that_has_not_moved_goes_on_and_once_is_enough() {
    let mut laptop = Laptop::new();
    let (path, task, gone) =
        (transcript(ID), format!("tasks/{ID}/2.json"), format!("tasks/{ID}/1.json"));
    let base = laptop.session(&[(&path, SENT), (&gone, "1")]);
    let session = laptop.session(&[(&path, &format!("{SENT}{ADDED}")), (&task, "2")]);
    laptop.put(&path, SENT);
    laptop.put(&gone, "1");
    let imported = laptop.pull(&base, &session, false);
    assert_eq!(imported.mode, ImportMode::Forwarded);
    assert_eq!(imported.resume, ["claude", "--resume", ID]);
    // The laptop's own records stay, whatever they are.
    assert_eq!(laptop.has(&path).unwrap(), format!("{SENT}{KEPT}"));
    assert_eq!((laptop.has(&task).as_deref(), laptop.has(&gone)), (Some("2"), None));
    assert_eq!(laptop.pull(&base, &session, false).mode, ImportMode::UpToDate);
    // It went on here since: there is nothing new to bring.
    laptop.put(&path, &format!("{SENT}{KEPT}{{\"type\":\"user\"}}\n"));
    assert_eq!(laptop.pull(&base, &session, false).mode, ImportMode::UpToDate);
}

#[test]
fn one_that_went_on_here_or_is_open_is_left_alone() {
    for is_held in [false, true] {
        let mut laptop = Laptop::new();
        let (path, task) = (transcript(ID), format!("tasks/{ID}/1.json"));
        let base = laptop.session(&[(&path, SENT), (&task, "old")]);
        let session = laptop.session(&[(&path, &format!("{SENT}{ADDED}")), (&task, "new")]);
        let here = if is_held {
            SENT.to_owned()
        } else {
            format!("{SENT}{{\"type\":\"user\",\"here\":1}}\n")
        };
        laptop.put(&path, &here);
        laptop.put(&task, "old");
        let imported = laptop.pull(&base, &session, is_held);
        let expected = if is_held { ImportMode::ForkedWhileOpen } else { ImportMode::Forked };
        assert_eq!(imported.mode, expected);
        let fork = imported.session_id;
        assert_ne!(fork, ID);
        assert_eq!(laptop.has(&path).unwrap(), here);
        assert_eq!(laptop.has(&task).unwrap(), "old");
        assert_eq!(laptop.has(&transcript(&fork)).unwrap(), format!("{SENT}{KEPT}"));
        assert_eq!(laptop.has(&format!("tasks/{fork}/1.json")).unwrap(), "new");
        // The same fork again, also when the run has gone on since.
        let again = laptop.pull(&base, &session, is_held);
        assert_eq!((again.mode, again.session_id.as_str()), (ImportMode::UpToDate, fork.as_str()));
        let later =
            laptop.session(&[(&path, &format!("{SENT}{ADDED}{{\"type\":\"user\",\"n\":1}}\n"))]);
        let later = laptop.pull(&base, &later, is_held);
        assert_eq!((later.mode, later.session_id), (expected, fork));
    }
}

#[test]
fn a_session_that_began_there_is_new_here() {
    let mut laptop = Laptop::new();
    let base = laptop.session(&[("CLAUDE.md", "x")]);
    let path = transcript(ID);
    let session =
        laptop.session(&[(&path, ADDED), ("plans/p.md", "theirs"), ("tasks/x/1.json", "")]);
    laptop.put("plans/p.md", "mine");
    let imported = laptop.pull(&base, &session, false);
    assert_eq!(imported.mode, ImportMode::New);
    assert_eq!(laptop.has(&path).unwrap(), KEPT);
    // Nothing of another session is touched, and what is in the way is named.
    assert_eq!(laptop.has("plans/p.md").unwrap(), "mine");
    assert_eq!(laptop.has("tasks/x/1.json"), None);
    assert_eq!(imported.left_out, ["tasks/x/1.json", "plans/p.md: it is another file here"]);
}

#[test]
fn a_plan_that_was_changed_there_alone_comes_back() {
    let plan = "plans/p.md";
    let left_out = vec![format!("{plan}: it is another file here")];
    let went_on = format!("{SENT}{{\"type\":\"user\",\"here\":1}}\n");
    for (here, mine, expected, told) in [
        (SENT, "sent", "theirs", Vec::new()),
        (SENT, "mine", "mine", left_out.clone()),
        // The session here goes by this plan.
        (&went_on, "sent", "sent", left_out),
    ] {
        let mut laptop = Laptop::new();
        let path = transcript(ID);
        let base = laptop.session(&[(&path, SENT), (plan, "sent")]);
        let session = laptop.session(&[(&path, &format!("{SENT}{ADDED}")), (plan, "theirs")]);
        laptop.put(&path, here);
        laptop.put(plan, mine);
        assert_eq!(laptop.pull(&base, &session, false).left_out, told);
        assert_eq!(laptop.has(plan).unwrap(), expected);
    }
}

/// Why a session is refused.
fn refused(laptop: &Laptop, base: Option<&Session>, session: &Session) -> ImportError {
    laptop.import(base, session, |_| false).unwrap_err()
}

#[test]
fn a_result_that_is_no_continuation_brings_nothing() {
    let mut laptop = Laptop::new();
    let path = transcript(ID);
    let base = laptop.session(&[(&path, SENT)]);
    let without = laptop.session(&[("tasks/x/1.json", "")]);
    assert!(matches!(refused(&laptop, Some(&base), &without), ImportError::NoTranscript(_)));
    // In the place of another directory's sessions.
    let elsewhere = laptop.session(&[(&format!("projects/-v/{ID}.jsonl"), ADDED)]);
    for base in [None, Some(&base)] {
        assert!(matches!(refused(&laptop, base, &elsewhere), ImportError::NoTranscript(_)));
    }
    for content in ["", ADDED, &SENT[..10]] {
        let session = laptop.session(&[(&path, content)]);
        assert!(matches!(refused(&laptop, Some(&base), &session), ImportError::Rewritten(_)));
    }
    for name in ["memory", "--dangerously-skip-permissions", "x;id", "", "../../../../x"] {
        let session = laptop.session(&[(&path, ADDED)]);
        let session = Session { id: name.to_owned(), ..session };
        assert!(matches!(refused(&laptop, Some(&base), &session), ImportError::Name));
    }
    let id = ID.to_uppercase();
    let session = laptop.session(&[(&transcript(&id), ADDED)]);
    assert!(matches!(refused(&laptop, None, &Session { id, ..session }), ImportError::Name));
    assert_eq!(laptop.has(&path), None);
}

#[test]
fn what_is_here_of_a_session_is_only_added_to() {
    let mut laptop = Laptop::new();
    let path = transcript(ID);
    let [log, result] = ["a.jsonl", "b.txt"].map(|name| format!("projects/-w/{ID}/{name}"));
    let base = laptop.session(&[(&path, SENT), (&log, "one\n"), (&result, "mine")]);
    for (path, content) in [(&path, SENT), (&log, "one\n"), (&result, "mine")] {
        laptop.put(path, content);
    }
    // One is added to, one replaced; a third was removed, and the last line has no end.
    let session = laptop.session(&[
        (&path, &format!("{SENT}{ADDED}{{\"type\":\"user\"}}")),
        (&log, "one\ntwo\n"),
        (&result, "theirs"),
    ]);
    let imported = laptop.pull(&base, &session, false);
    assert_eq!(imported.left_out, [format!("{result}: it is another file here")]);
    assert_eq!(laptop.has(&path).unwrap(), format!("{SENT}{KEPT}"));
    assert_eq!(
        (laptop.has(&log).as_deref(), laptop.has(&result).as_deref()),
        (Some("one\ntwo\n"), Some("mine"))
    );
    let gone = laptop.session(&[(&path, &format!("{SENT}{ADDED}{ADDED}"))]);
    laptop.pull(&base, &gone, false);
    assert!(laptop.has(&result).is_some(), "nothing but the todo list is removed");
}

#[test]
fn what_went_on_while_it_was_brought_back_is_looked_at_again() {
    let mut laptop = Laptop::new();
    let path = transcript(ID);
    let base = laptop.session(&[(&path, SENT)]);
    let session = laptop.session(&[(&path, &format!("{SENT}{ADDED}"))]);
    laptop.put(&path, SENT);
    let looks = std::cell::Cell::new(0);
    let here = format!("{SENT}{{\"type\":\"user\",\"here\":1}}\n");
    let imported = laptop.import(Some(&base), &session, |_| {
        // The second time, everything is written beside its place.
        looks.set(looks.get() + 1);
        if looks.get() == 1 {
            laptop.put(&path, &here);
        }
        false
    });
    assert_eq!(imported.unwrap().mode, ImportMode::Forked);
    assert_eq!(laptop.has(&path).unwrap(), here);
    // One that is added to all the time is nobody's to replace.
    laptop.put(&path, SENT);
    let count = std::cell::Cell::new(0);
    let imported = laptop.import(Some(&base), &session, |_| {
        count.set(count.get() + 1);
        let mode = fs::Permissions::from_mode(0o600 + count.get() % 2 * 0o40);
        fs::set_permissions(laptop.directory.path().join(&path), mode).unwrap();
        false
    });
    assert!(matches!(imported, Err(ImportError::Moving(_))));
    assert_eq!(laptop.has(&path).unwrap(), SENT);
    let project = fs::read_dir(laptop.directory.path().join("projects/-w")).unwrap();
    assert_eq!(project.count(), 2, "the session, and the fork of before");
}

#[test]
fn where_it_went_on_meanwhile_its_list_and_plan_stay_as_well() {
    let mut laptop = Laptop::new();
    let (path, plan) = (transcript(ID), "plans/p.md");
    let task = |id: &str, number: u8| format!("tasks/{id}/{number}.json");
    let (one, two, three) = (task(ID, 1), task(ID, 2), task(ID, 3));
    let sent = [(path.as_str(), SENT), (plan, "sent"), (&one, "one"), (&two, "two")];
    let base = laptop.session(&sent);
    let all = format!("{SENT}{ADDED}");
    let session =
        laptop.session(&[(&path, &all), (plan, "theirs"), (&two, "done"), (&three, "three")]);
    sent.iter().for_each(|(path, content)| laptop.put(path, content));
    let here = format!("{SENT}{{\"type\":\"user\",\"here\":1}}\n");
    let imported = laptop.import(Some(&base), &session, |_| {
        laptop.put(&path, &here);
        false
    });
    let fork = imported.unwrap().session_id;
    for (path, expected) in
        [(path.as_str(), here.as_str()), (plan, "sent"), (&one, "one"), (&two, "two")]
    {
        assert_eq!(laptop.has(path).as_deref(), Some(expected), "{path}");
    }
    let of_list = |id: &str| {
        let list = fs::read_dir(laptop.directory.path().join("tasks").join(id)).unwrap();
        list.count()
    };
    assert_eq!((of_list(ID), of_list(&fork)), (2, 2));
    assert_eq!(laptop.has(&task(&fork, 2)).as_deref(), Some("done"));
}

#[test]
fn copies_of_files_come_back_with_what_says_of_which() {
    let mut laptop = Laptop::new();
    let path = transcript(ID);
    let copy = |id: &str, number: u8| format!("file-history/{id}/afd477e8c3c7dcc2@v{number}");
    let record = |path: &str| {
        format!(
            "{{\"type\":\"file-history-delta\",\"trackingPath\":\"{path}\",\"backup\":{{\"backupFileName\":\"afd477e8c3c7dcc2@v2\",\"realParentDir\":\"/w\"}}}}\n"
        )
    };
    let base = laptop.session(&[(&path, SENT), (&copy(ID, 1), "mine")]);
    let added = [record("a.txt"), record("/etc/passwd"), record("secret")].concat();
    let session = laptop.session(&[
        (&path, &format!("{SENT}{added}{ADDED}")),
        (&copy(ID, 1), "theirs"),
        (&copy(ID, 2), "two"),
        (&format!("file-history/{ID}/x"), "x"),
    ]);
    laptop.put(&path, SENT);
    laptop.put(&copy(ID, 1), "mine");
    let imported = laptop.pull(&base, &session, false);
    assert_eq!(laptop.has(&path).unwrap(), format!("{SENT}{}{KEPT}", record("a.txt")));
    assert_eq!(laptop.has(&copy(ID, 1)).as_deref(), Some("mine"));
    assert_eq!(laptop.has(&copy(ID, 2)).as_deref(), Some("two"));
    let left_out =
        [format!("file-history/{ID}/x"), format!("{}: it is another file here", copy(ID, 1))];
    assert_eq!(imported.left_out, left_out);
}

#[test]
fn a_directory_that_is_a_link_is_written_through() {
    let mut laptop = Laptop::new();
    let (path, part) = (transcript(ID), format!("projects/-w/{ID}/tool-results/a.txt"));
    let base = laptop.session(&[(&path, SENT)]);
    let session = laptop.session(&[(&path, &format!("{SENT}{ADDED}")), (&part, "a")]);
    let kept = laptop.directory.path().join("kept");
    fs::create_dir_all(kept.join("-w")).unwrap();
    std::os::unix::fs::symlink("kept", laptop.directory.path().join("projects")).unwrap();
    laptop.put(&path, SENT);
    assert_eq!(laptop.pull(&base, &session, false).mode, ImportMode::Forwarded);
    assert!(laptop.directory.path().join("projects").is_symlink());
    let here = fs::read_to_string(kept.join(format!("-w/{ID}.jsonl"))).unwrap();
    assert_eq!(here, format!("{SENT}{KEPT}"));
    assert_eq!(fs::read_to_string(kept.join(format!("-w/{ID}/tool-results/a.txt"))).unwrap(), "a");
}

#[test]
fn what_a_run_would_have_later_sessions_remember_stays_there_and_is_named() {
    let mut laptop = Laptop::new();
    let path = transcript(ID);
    let base = laptop.session(&[(&path, SENT), ("projects/-w/memory/mine.md", "mine")]);
    let all = format!("{SENT}{ADDED}");
    let names: Vec<String> = (1..=7).map(|n| format!("projects/-w/memory/{n}.md")).collect();
    let mut files = vec![(path.as_str(), all.as_str()), ("projects/-w/memory/mine.md", "mine")];
    laptop.put(&path, SENT);
    let session = laptop.session(&files);
    assert_eq!(laptop.pull(&base, &session, false).left_out, Vec::<String>::new());
    laptop.put(&path, SENT);
    files[1].1 = "theirs";
    files.extend(names.iter().map(|name| (name.as_str(), "do as I say")));
    let session = laptop.session(&files);
    let said = laptop.pull(&base, &session, false).left_out;
    let expected = "8 files of memory for later sessions: 1.md, 2.md, 3.md, 4.md, 5.md, and 3 more";
    assert_eq!(said, [expected]);
    assert!(!laptop.directory.path().join("projects/-w/memory").exists());
}
