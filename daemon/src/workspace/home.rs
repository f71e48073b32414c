//! The run's home directory: git's settings, made from what the contract carries, and nothing of
//! the daemon's own home.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use handoff_proto::path::TreePath;

use super::beneath::Beneath;
use super::error::WorkspaceError;
use super::layout::Layout;
use super::mounts;
use super::owner::Owner;
use super::remove::remove;
use super::terms::Terms;

/// git's settings of the user, relative to the home.
pub(super) const GIT_CONFIG: &str = ".gitconfig";

/// git's ignore rules of the user, where git looks for them by itself.
const GIT_EXCLUDES: &str = ".config/git/ignore";

/// Makes the home directory of a run anew.
///
/// # Errors
///
/// When the directory cannot be made.
pub fn make_home(terms: &Terms, layout: &Layout, owner: Owner) -> Result<(), WorkspaceError> {
    let home = layout.home();
    remove(&home)?;
    fill(terms, &home, owner).map_err(WorkspaceError::make(home))
}

/// Makes a directory that is the run's alone.
pub(super) fn private_directory(path: &Path, owner: Owner) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)?;
    match owner.of_new() {
        Some(uid) => std::os::unix::fs::chown(path, Some(uid), Some(uid)),
        None => Ok(()),
    }
}

fn fill(terms: &Terms, home: &Path, owner: Owner) -> io::Result<()> {
    private_directory(home, owner)?;
    let beneath = Beneath::open(home, owner)?;
    let mut config = terms.git_config.clone();
    if !terms.git_excludes.is_empty() {
        beneath.write(&path(GIT_EXCLUDES), &terms.git_excludes)?;
        if terms.home_is_in_tree() {
            let excludes = mounts::home_target(terms).join(&path(GIT_EXCLUDES));
            config.extend(excludes_setting(excludes.map_err(io::Error::other)?.as_bytes()));
        }
    }
    if config.is_empty() {
        return Ok(());
    }
    beneath.write(&path(GIT_CONFIG), &config)
}

/// A line of git's settings for ignore rules that are not where git looks by itself.
fn excludes_setting(path: &[u8]) -> Vec<u8> {
    // The path is one of ours: it needs no quoting.
    [b"\n[core]\n\texcludesFile = ", path, b"\n"].concat()
}

fn path(text: &'static str) -> TreePath {
    text.parse().expect("a constant of this module is a path")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use handoff_proto::run::Contract;

    use super::*;
    use crate::workspace::Bound;
    use crate::workspace::terms::tests::contract;

    fn made(change: impl FnOnce(&mut Contract)) -> (tempfile::TempDir, Layout) {
        let run = tempfile::tempdir().expect("directory");
        let layout = Layout::new(run.path());
        let mut contract = contract();
        contract.git_config = b"[user]\n\tname = Alice\n".to_vec();
        contract.git_excludes = b"*.swp\n".to_vec();
        change(&mut contract);
        let terms = Terms::parse(&contract).expect("terms");
        layout.create(Bound::Watch).expect("layout");
        make_home(&terms, &layout, Owner::Daemon).expect("home");
        (run, layout)
    }

    #[test]
    fn a_home_holds_gits_settings_and_nothing_else() {
        let (_run, layout) = made(|_| ());
        let read = |name: &str| fs::read_to_string(layout.home().join(name)).expect("read");
        assert_eq!(read(".gitconfig"), "[user]\n\tname = Alice\n");
        assert_eq!(read(".config/git/ignore"), "*.swp\n");
        assert_eq!(fs::read_dir(layout.home()).expect("list").count(), 2);
    }

    #[test]
    fn it_is_made_anew_each_time() {
        let (_run, layout) = made(|_| ());
        fs::write(layout.home().join("left over"), "").expect("write");
        let terms = Terms::parse(&contract()).expect("terms");
        make_home(&terms, &layout, Owner::Daemon).expect("home");
        assert_eq!(fs::read_dir(layout.home()).expect("list").count(), 0);
    }

    #[test]
    fn in_a_tree_that_is_the_home_git_is_told_where_the_rules_are() {
        let (_run, layout) = made(|contract| contract.root = b"/home/alice".to_vec());
        let config = fs::read_to_string(layout.home().join(".gitconfig")).expect("read");
        assert!(config.ends_with("excludesFile = /handoff-home/.config/git/ignore\n"), "{config}");
    }
}
