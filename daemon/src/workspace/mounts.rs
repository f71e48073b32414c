//! What of the host a step sees, and where: the one place that knows how tree, home, caches and
//! tools nest.

use std::collections::HashSet;
use std::path::Path;

use handoff_proto::path::{AbsolutePath, TreePath};
use handoff_sandbox::{Access, Mount};

use super::home::GIT_CONFIG;
use super::layout::Layout;
use super::terms::Terms;
use super::tools::Tools;
use super::view::View;

/// Where the generated home files are shown when the tree holds the home itself.
const HOME_FILES: &str = "/handoff-home";

/// Where the run's home directory is mounted.
///
/// A tree that holds the home is the home: what the run writes there is a change of the tree. The
/// generated files must not be among those changes, so they are shown elsewhere, read-only.
pub(super) fn home_target(terms: &Terms) -> AbsolutePath {
    if terms.home_is_in_tree() { free_path(HOME_FILES, terms) } else { terms.account.home.clone() }
}

/// Where git finds the user's settings, if not in the home directory by itself.
pub(super) fn git_config(terms: &Terms) -> Option<AbsolutePath> {
    let elsewhere = terms.home_is_in_tree() && !terms.git_config.is_empty();
    let file = TreePath::parse(GIT_CONFIG.as_bytes()).ok().filter(|_| elsewhere)?;
    home_target(terms).join(&file).ok()
}

/// The mounts of a step, each before everything beneath it.
pub(super) fn mounts(
    terms: &Terms,
    layout: &Layout,
    caches: &[Mount],
    tools: &Tools,
) -> Vec<Mount> {
    let home_access = if terms.home_is_in_tree() { Access::ReadOnly } else { Access::ReadWrite };
    let mut mounts = vec![
        mount(&layout.home(), &home_target(terms), home_access),
        mount(&layout.workspace(), &terms.root, Access::ReadWrite),
    ];
    mounts.extend(caches.iter().cloned());
    let agent = terms.agent_directory.as_ref();
    mounts.extend(agent.map(|at| mount(&layout.agent(), at, Access::ReadWrite)));
    for tool in tools.mounts(&terms.account.home) {
        if !is_in_the_way(&tool.target, terms, caches) {
            mounts.push(tool);
        }
    }
    let mut seen = HashSet::new();
    mounts.retain(|mount| seen.insert(mount.target.clone()));
    mounts.sort_by_key(|mount| mount.target.components().count());
    mounts
}

/// The mounts of a step in which no tool hides what the tree carries by itself.
///
/// Matters only for a tree that holds the home, where toolchains may be carried files.
pub(super) fn without_carried(
    mounts: Vec<Mount>,
    terms: &Terms,
    view: &View,
    layout: &Layout,
) -> Vec<Mount> {
    let is_carried = |mount: &Mount| {
        mount.access != Access::ReadWrite
            && relative(&mount.target, terms.root.as_os_path())
                .is_some_and(|place| view.has_something_at(layout, place.as_os_path()))
    };
    mounts.into_iter().filter(|mount| !is_carried(mount)).collect()
}

/// Whether a tool would hide something of the run's.
fn is_in_the_way(target: &Path, terms: &Terms, caches: &[Mount]) -> bool {
    let (root, home) = (terms.root.as_os_path(), terms.account.home.as_os_path());
    let hides = root.starts_with(target) || home.starts_with(target);
    let in_tree = target.starts_with(root) && !terms.home_is_in_tree();
    hides || in_tree || caches.iter().any(|cache| target.starts_with(&cache.target))
}

/// The places in the tree that something else is mounted on, relative to its root.
pub(crate) fn targets_in_tree(mounts: &[Mount], root: &AbsolutePath) -> Vec<TreePath> {
    let root = root.as_os_path();
    mounts.iter().filter_map(|mount| relative(&mount.target, root)).collect()
}

fn relative(path: &Path, directory: &Path) -> Option<TreePath> {
    TreePath::parse(path.strip_prefix(directory).ok()?.as_os_str().as_encoded_bytes()).ok()
}

/// A mount of one place of ours.
pub(crate) fn mount(source: &Path, target: &AbsolutePath, access: Access) -> Mount {
    Mount { source: source.to_owned(), target: target.as_os_path().to_owned(), access }
}

/// A path at the top of the jail that collides with nothing of the run's.
pub(crate) fn free_path(name: &str, terms: &Terms) -> AbsolutePath {
    let taken = |path: &AbsolutePath| {
        [&terms.root, &terms.account.home]
            .into_iter()
            .chain(&terms.caches)
            .any(|other| other.starts_with(path) || path.starts_with(other))
    };
    (0_u32..)
        .map(|number| if number == 0 { name.to_owned() } else { format!("{name}-{number}") })
        .filter_map(|name| name.parse::<AbsolutePath>().ok())
        .find(|path| !taken(path))
        .unwrap_or_else(|| terms.root.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::terms::tests::contract;

    fn nesting(root: &str, home: &str) -> Vec<(String, Access)> {
        let mut contract = contract();
        contract.root = root.into();
        contract.directory = root.into();
        contract.account.as_mut().expect("account").home = home.into();
        let terms = Terms::parse(&contract).expect("terms");
        mounts(&terms, &Layout::new("/run"), &[], &Tools::default())
            .into_iter()
            .map(|mount| {
                (format!("{} {}", mount.source.display(), mount.target.display()), mount.access)
            })
            .collect()
    }

    #[test]
    fn outer_mounts_come_before_inner_ones() {
        use Access::{ReadOnly, ReadWrite};
        assert_eq!(
            nesting("/home/alice/src/app", "/home/alice"),
            [
                ("/run/writable/home /home/alice".to_owned(), ReadWrite),
                ("/run/writable/workspace /home/alice/src/app".to_owned(), ReadWrite),
            ]
        );
        assert_eq!(
            nesting("/tmp/x/app", "/home/alice"),
            [
                ("/run/writable/home /home/alice".to_owned(), ReadWrite),
                ("/run/writable/workspace /tmp/x/app".to_owned(), ReadWrite),
            ]
        );
        for root in ["/home/alice", "/home"] {
            let expected = [
                ("/run/writable/home /handoff-home".to_owned(), ReadOnly),
                (format!("/run/writable/workspace {root}"), ReadWrite),
            ];
            let mut found = nesting(root, "/home/alice");
            found.sort_by_key(|(text, _)| text.clone());
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn what_the_tree_carries_by_itself_is_not_hidden() {
        let mut contract = contract();
        contract.root = b"/home/alice".to_vec();
        contract.directory = contract.root.clone();
        let terms = Terms::parse(&contract).expect("terms");
        let run = tempfile::tempdir().expect("directory");
        let layout = Layout::new(run.path());
        let tree = layout.workspace();
        std::fs::create_dir_all(tree.join(".cargo/bin")).expect("directory");
        std::fs::create_dir_all(tree.join(".rustup/toolchains")).expect("directory");
        let tool = |target: &str| {
            let target = target.parse().expect("path");
            mount(Path::new("/tools"), &target, Access::ReadOnly)
        };
        let tools = ["/home/alice/.cargo/bin", "/home/alice/.rustup", "/home/alice/.nvm", "/opt/x"];
        let kept = without_carried(tools.map(tool).to_vec(), &terms, &View::Copy, &layout);
        let kept: Vec<&Path> = kept.iter().map(|mount| mount.target.as_path()).collect();
        assert_eq!(kept, ["/home/alice/.cargo/bin", "/home/alice/.nvm", "/opt/x"].map(Path::new));
    }

    #[test]
    fn a_path_of_ours_never_collides_with_the_tree() {
        let mut contract = contract();
        contract.root = b"/handoff-home/app".to_vec();
        contract.directory = contract.root.clone();
        let terms = Terms::parse(&contract).expect("terms");
        assert_eq!(free_path(HOME_FILES, &terms).to_string(), "/handoff-home-1");
    }
}
