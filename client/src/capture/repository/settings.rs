//! Finds a repository's directories and decides whether its files are plain.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use handoff_proto::manifest::ObjectFormat;

use crate::capture::config_syntax::{self, Setting};

/// A repository whose files can be read without git.
#[derive(Debug)]
pub(super) struct Plain {
    pub(super) git_dir: PathBuf,
    pub(super) common_dir: PathBuf,
    pub(super) object_format: ObjectFormat,
    /// `core.ignoreCase`, if the repository's own settings say.
    pub(super) ignore_case: Option<bool>,
}

/// The root of the working tree that a directory belongs to, `None` inside if there is none;
/// `None` outside to ask git.
pub(in crate::capture) fn toplevel(directory: &Path) -> Option<Option<PathBuf>> {
    let device = fs::metadata(directory).ok()?.dev();
    for above in directory.ancestors() {
        // git does not look across file systems, and has its own words about that.
        if fs::metadata(above).ok()?.dev() != device {
            return None;
        }
        if exists(&above.join(".git"))? {
            return plain(above).map(|_| Some(above.to_owned()));
        }
        // A bare repository, as far as a glance tells.
        if exists(&above.join("HEAD"))? {
            return None;
        }
    }
    Some(None)
}

/// Reads where the repository with this working tree is; `None` to ask git.
pub(super) fn plain(worktree: &Path) -> Option<Plain> {
    // They may set anything.
    let set = |name| std::env::var_os(name).is_some();
    if set("GIT_CONFIG_COUNT") || set("GIT_CONFIG_PARAMETERS") {
        return None;
    }
    let dot_git = worktree.join(".git");
    let kind = owned(&dot_git)?.file_type();
    let git_dir = if kind.is_dir() {
        dot_git.canonicalize().ok()?
    } else if kind.is_file() {
        let content = fs::read(&dot_git).ok()?;
        let target = content.strip_prefix(b"gitdir: ")?.strip_suffix(b"\n")?;
        worktree.join(plain_path(target)?).canonicalize().ok()?
    } else {
        return None;
    };
    // git refuses what belongs to another user unless it was told otherwise.
    owned(worktree)?;
    owned(&git_dir)?;
    let common_dir = match read_if_any(&git_dir.join("commondir"))? {
        Some(content) => {
            let target = content.strip_suffix(b"\n").unwrap_or(&content);
            git_dir.join(plain_path(target)?).canonicalize().ok()?
        }
        None => git_dir.clone(),
    };
    let is_directory = |name| common_dir.join(name).is_dir();
    if !is_directory("objects") || !is_directory("refs") {
        return None;
    }
    let settings = Settings::read(&git_dir, &common_dir)?;
    let ignore_case = settings.boolean(b"core.ignorecase")?;
    if git_dir == common_dir {
        if settings.boolean(b"core.bare")? == Some(true) {
            return None;
        }
        if let Some(elsewhere) = settings.last(b"core.worktree") {
            let elsewhere = git_dir.join(plain_path(elsewhere.value.as_ref()?)?);
            if elsewhere.canonicalize().ok()? != worktree.canonicalize().ok()? {
                return None;
            }
        }
    }
    let object_format = settings.object_format()?;
    Some(Plain { git_dir, common_dir, object_format, ignore_case })
}

/// The settings of a repository, without the user's.
struct Settings(Vec<Setting>);

impl Settings {
    fn read(git_dir: &Path, common_dir: &Path) -> Option<Self> {
        let parsed = |path: PathBuf| match read_if_any(&path)? {
            Some(content) => config_syntax::parse(&content),
            None => Some(Vec::new()),
        };
        let mut settings = Self(parsed(common_dir.join("config"))?);
        if settings.boolean(b"extensions.worktreeconfig")? == Some(true) {
            let own = parsed(git_dir.join("config.worktree"))?;
            // Where the working tree is may then be said in two places, with rules of their own.
            let names_place = |setting: &Setting| {
                matches!(setting.key.as_slice(), b"core.bare" | b"core.worktree")
            };
            if git_dir != common_dir && settings.0.iter().chain(&own).any(names_place) {
                return None;
            }
            settings.0.extend(own);
        }
        let includes = |setting: &Setting| {
            setting.key.starts_with(b"include.") || setting.key.starts_with(b"includeif.")
        };
        (!settings.0.iter().any(includes)).then_some(settings)
    }

    fn last(&self, key: &[u8]) -> Option<&Setting> {
        self.0.iter().rfind(|setting| setting.key == key)
    }

    /// `None` outside if it is no boolean.
    fn boolean(&self, key: &[u8]) -> Option<Option<bool>> {
        match self.last(key) {
            Some(setting) => setting.as_bool().map(Some),
            None => Some(None),
        }
    }

    /// The object format, if the repository has no other peculiarity.
    fn object_format(&self) -> Option<ObjectFormat> {
        let mut version = &b"0"[..];
        let mut format = ObjectFormat::Sha1;
        let mut needs_version = false;
        for Setting { key, value } in &self.0 {
            let value = value.as_deref().unwrap_or_default();
            match key.as_slice() {
                b"core.repositoryformatversion" => version = value,
                b"extensions.noop"
                | b"extensions.preciousobjects"
                | b"extensions.partialclone"
                | b"extensions.worktreeconfig" => {}
                b"extensions.objectformat" => {
                    needs_version = true;
                    format = match value {
                        b"sha1" => ObjectFormat::Sha1,
                        b"sha256" => ObjectFormat::Sha256,
                        _ => return None,
                    };
                }
                b"extensions.refstorage" if value == b"files" => needs_version = true,
                b"extensions.relativeworktrees" => needs_version = true,
                other if other.starts_with(b"extensions.") => return None,
                _ => {}
            }
        }
        match version {
            b"0" if !needs_version => Some(format),
            b"1" => Some(format),
            _ => None,
        }
    }
}

/// What is at a path that belongs to this user.
fn owned(path: &Path) -> Option<fs::Metadata> {
    let meta = fs::symlink_metadata(path).ok()?;
    (meta.uid() == rustix::process::geteuid().as_raw()).then_some(meta)
}

/// A path in one of git's own files.
fn plain_path(bytes: &[u8]) -> Option<&Path> {
    let is_plain = !bytes.is_empty() && !bytes.iter().any(|byte| b"\0\r\n".contains(byte));
    is_plain.then(|| Path::new(OsStr::from_bytes(bytes)))
}

/// `None` outside if it cannot be told.
fn exists(path: &Path) -> Option<bool> {
    match fs::symlink_metadata(path) {
        Ok(_) => Some(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(false),
        Err(_) => None,
    }
}

/// `None` outside if it cannot be read.
fn read_if_any(path: &Path) -> Option<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(content) => Some(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(None),
        Err(_) => None,
    }
}
