//! Finds what holds credentials in git directories, and replaces what must not be carried as it
//! is: settings files, the files that they include, lists of remotes as git kept them long ago, and
//! credential stores.
//!
//! Files of the working tree are carried as they are, also where a settings file includes them.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use handoff_proto::path::TreePath;
use handoff_proto::tree::{Origin, read_regular};

use super::config::{self, Examined, Place, Rewritten};
use super::layout::{Item, ItemKind, LayoutError};
use super::source::{Directory, Source};

/// The largest settings file that is looked into, in bytes.
const CONFIG_MAX: u64 = 1 << 20;

/// Settings files that were changed on the way, with what was left out.
type Redacted = Vec<(TreePath, Vec<String>)>;

/// What a file in a git directory is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Settings,
    /// A file in `remotes` or `branches`, which holds a URL.
    Remote,
    /// What `git credential-store` writes.
    Store,
}

/// Replaces the content of files that must not be carried as they are.
pub(super) fn redact(
    root: &Directory,
    items: &mut [Item],
    moved: &BTreeSet<TreePath>,
) -> Result<Redacted, LayoutError> {
    let mut redacted = Vec::new();
    let kinds = (0..items.len()).filter_map(|at| Some((at, kind(items, at)?)));
    let mut to_examine: Vec<(usize, Kind)> = kinds.collect();
    let mut seen: BTreeSet<usize> = to_examine.iter().map(|(at, _)| *at).collect();
    while let Some((at, kind)) = to_examine.pop() {
        let Some(on_disk) = on_disk(root, &items[at]) else { continue };
        let item = &items[at];
        let content = read(root, item)?;
        let was_moved = item.path.parent().is_some_and(|parent| moved.contains(&parent));
        let place = if was_moved { Place::Moved } else { Place::Same };
        let Examined { rewritten, includes } = examine(kind, &on_disk, &content, place)?;
        for included in includes.iter().filter_map(|path| resolve(path, &on_disk)) {
            let found = (0..items.len()).find(|&at| is_at(root, &items[at], &included));
            to_examine.extend(found.filter(|&at| seen.insert(at)).map(|at| (at, Kind::Settings)));
        }
        if let Some(Rewritten { content, secrets }) = rewritten {
            if !secrets.is_empty() {
                redacted.push((item.path.clone(), secrets));
            }
            let size = content.len() as u64;
            items[at].kind = ItemKind::File { size, source: Source::Generated(content.into()) };
        }
    }
    redacted.sort();
    Ok(redacted)
}

fn examine(
    kind: Kind,
    on_disk: &Path,
    content: &[u8],
    place: Place,
) -> Result<Examined, LayoutError> {
    let replaced = |safe: Vec<u8>, what: &str| {
        let rewritten = Rewritten { content: safe, secrets: vec![what.to_owned()] };
        let rewritten = (rewritten.content != content).then_some(rewritten);
        Ok(Examined { rewritten, includes: Vec::new() })
    };
    match kind {
        Kind::Settings => config::examine(on_disk, content, place)
            .map_err(|source| LayoutError::Secrets { path: on_disk.to_owned(), source }),
        Kind::Remote => replaced(config::safe_text(content), "URL"),
        Kind::Store => replaced(Vec::new(), "stored credentials"),
    }
}

/// What a file of this name in a git directory is, rather than, say, a branch of that name.
fn kind(items: &[Item], at: usize) -> Option<Kind> {
    let item = &items[at];
    if item.origin != Origin::Git {
        return None;
    }
    let kind = match (item.path.file_name(), item.path.components().rev().nth(1)?) {
        (b"config" | b"config.worktree", _) => Kind::Settings,
        (b"credentials" | b".git-credentials", _) => Kind::Store,
        (_, b"remotes" | b"branches") => Kind::Remote,
        (_, _) => return None,
    };
    let parent = item.path.parent()?;
    let git_dir = if kind == Kind::Remote { parent.parent()? } else { parent };
    let head = git_dir.join(b"HEAD").ok()?;
    items.binary_search_by(|item| item.path.cmp(&head)).is_ok().then_some(kind)
}

fn read(root: &Directory, item: &Item) -> Result<Vec<u8>, LayoutError> {
    let (directory, path) = match &item.kind {
        ItemKind::File { source: Source::Elsewhere(directory, path), .. } => (&**directory, path),
        ItemKind::File { .. } | ItemKind::Directory | ItemKind::Symlink { .. } => {
            (root, &item.path)
        }
    };
    read_regular(directory.fd().as_fd(), path, CONFIG_MAX).map_err(LayoutError::Config)
}

/// Where a carried file is; `None` for what is no file.
fn on_disk(root: &Directory, item: &Item) -> Option<PathBuf> {
    match &item.kind {
        ItemKind::File { source: Source::Tree, .. } => {
            Some(root.path().join(item.path.as_os_path()))
        }
        ItemKind::File { source: Source::Elsewhere(directory, path), .. } => {
            Some(directory.path().join(path.as_os_path()))
        }
        ItemKind::File {
            source: Source::Generated(_) | Source::Spooled(_) | Source::Remote(_),
            ..
        }
        | ItemKind::Directory
        | ItemKind::Symlink { .. } => None,
    }
}

fn is_at(root: &Directory, item: &Item, path: &Path) -> bool {
    item.origin == Origin::Git && on_disk(root, item).is_some_and(|at| at == path)
}

/// The file that is included, as git finds it from the file that includes it; `None` where there
/// is none.
fn resolve(path: &[u8], from: &Path) -> Option<PathBuf> {
    let path = match path.strip_prefix(b"~/") {
        Some(rest) => PathBuf::from(std::env::var_os("HOME")?).join(OsStr::from_bytes(rest)),
        None => from.parent()?.join(OsStr::from_bytes(path)),
    };
    path.canonicalize().ok()
}

#[cfg(test)]
mod tests {
    use handoff_proto::chunk::ChunkIdSet;
    use std::process::Command;

    use handoff_proto::path::AbsolutePath;

    use super::super::{Capture, Options, capture};
    use super::*;

    fn sh(at: &Path, script: &str) {
        let output = Command::new("sh").current_dir(at).args(["-ec", script]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn captured(root: &Path) -> Capture {
        let options = Options::new(AbsolutePath::try_from(root).unwrap());
        capture(&options, &|_| {}).unwrap()
    }

    /// Everything that would be sent.
    fn sent(capture: &Capture) -> String {
        let wanted: ChunkIdSet = capture.manifest.chunks().map(|chunk| chunk.id).collect();
        let mut chunks = capture.chunks(wanted);
        let mut all = Vec::new();
        while let Some((_, content)) = chunks.next_chunk().unwrap() {
            all.extend_from_slice(content);
        }
        String::from_utf8_lossy(&all).into_owned()
    }

    /// A repository with this text at the end of its settings.
    fn with_settings(text: &str) -> (tempfile::TempDir, PathBuf) {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().canonicalize().unwrap().join("tree");
        std::fs::create_dir(&root).unwrap();
        sh(&root, "git init -q .");
        let config = root.join(".git/config");
        let settings = std::fs::read_to_string(&config).unwrap() + text;
        std::fs::write(config, settings).unwrap();
        (home, root)
    }

    #[test]
    fn a_secret_stays_here_in_every_spelling() {
        for (text, key) in [
            ("[remote \"o\"]\n\turl = https://me:s3cret@host/x", "remote.o.url"),
            ("[remote \"o\"] URL=https://s3cret@host/x", "remote.o.url"),
            ("[REMOTE \"o\"]\n\tUrl = \"https://me:s3cret@host/x\" ; note", "remote.o.url"),
            ("[remote \"o\"]\n\turl = https://me:s3\\\ncret@host/x", "remote.o.url"),
            ("[remote \"o\"]\n\turl = https://me:\"s3cret\"@host/x", "remote.o.url"),
            ("[remote.o]\r\n\turl = https://me:s3cret@host/x\r\n", "remote.o.url"),
            ("[remote \"o\"]\n\tpushurl = HTTPS://me:s3cret@host/x", "remote.o.pushurl"),
            ("[remote \"o\"]\n\turl = https://host/x?private_token=s3cret", "remote.o.url"),
            ("[submodule \"o\"]\n\turl = https://me:s3cret@host/x", "submodule.o.url"),
            ("[url \"https://me:s3cret@host/\"]\n\tinsteadOf = h:", "url.https://host/.insteadof"),
            ("[url \"h:\"]\n\tpushInsteadOf = https://s3cret@host/", "url.h:.pushinsteadof"),
            ("[http]\n\tproxy = http://me:s3cret@proxy:3128", "http.proxy"),
            ("[http]\n\tproxy = me:s3cret@proxy:3128", "http.proxy"),
            ("[remote \"o\"]\n\tproxy = me:s3cret@proxy", "remote.o.proxy"),
            ("[http]\n\tEXTRAHEADER = Authorization: s3cret", "http.extraheader"),
            (
                "[http \"https://h/\"]extraHeader=\\\n\"Bearer s3cret\"",
                "http.https://h/.extraheader",
            ),
            ("[credential]\n\thelper = \"!f() { echo password=s3cret; }; f\"", "credential.helper"),
            (
                "[credential \"https://h\"]\n\thelper = !printf 's3cret\\\\n'",
                "credential.https://h.helper",
            ),
            ("[credential]\n\tHelper = store --token=s3cret", "credential.helper"),
            ("[sendemail]\n\tsmtpPass = s3cret", "sendemail.smtppass"),
            ("[hub]\n\toauthToken = s3cret", "hub.oauthtoken"),
            ("[core]\n\tgitProxy = \"ssh://me:s3cret@host/\" for host", "core.gitproxy"),
        ] {
            let (_home, root) = with_settings(text);
            let captured = captured(&root);
            let sent = sent(&captured);
            assert!(!sent.contains("s3cret") && !sent.contains("s3\\"), "{text}: {sent}");
            let (path, keys) = &captured.redacted[0];
            assert_eq!((path.as_bytes(), &keys[..]), (&b".git/config"[..], &[key.to_owned()][..]));
        }
    }

    #[test]
    fn what_is_no_secret_is_carried_byte_for_byte() {
        let text = "# me:s3cret\n[remote \"o\"]\n\turl = git@host:x ; note\n\
                    [credential]\n\thelper = cache\n\thelper = !gh auth git-credential\n\
                    [core]\n\taskPass = prog\n[include]\n\tpath = nowhere\n";
        let (_home, root) = with_settings(text);
        let captured = captured(&root);
        assert!(captured.redacted.is_empty(), "{:?}", captured.redacted);
        assert!(sent(&captured).contains(text));
    }

    #[test]
    fn every_file_that_git_reads_settings_from_is_looked_into() {
        let (_home, root) = with_settings("[include]\n\tpath = more/first\n");
        sh(
            &root,
            "u=https://me:s3cret@host/x; cd .git; mkdir more remotes; \
             printf '[IncludeIf \"gitdir:/nowhere/\"]\\n\\tPath = \"../second\"\\n' > more/first; \
             git config --file second remote.o.url $u; \
             echo \"URL: $u\" > remotes/old; echo $u > branches/older; echo $u > credentials; \
             git config extensions.worktreeConfig true; \
             git config --worktree remote.w.url $u; cd ..; \
             git -c user.name=a -c user.email=b commit -q --allow-empty -m one; \
             git worktree add -q inside; git -C inside config --worktree remote.i.url $u; \
             git init -q lib; git -C lib -c user.name=a -c user.email=b commit -q --allow-empty -m x; \
             git -c protocol.file.allow=always submodule --quiet add ./lib sub; \
             git -C sub config remote.s.url $u",
        );
        let captured = captured(&root);
        assert!(!sent(&captured).contains("s3cret"));
        let files: Vec<_> = captured.redacted.iter().map(|(path, _)| path.to_string()).collect();
        let expected = [
            ".git/branches/older",
            ".git/config.worktree",
            ".git/credentials",
            ".git/modules/sub/config",
            ".git/remotes/old",
            ".git/second",
            ".git/worktrees/inside/config.worktree",
        ];
        assert_eq!(files, expected);
    }
}
