//! Every layout that git knows is carried exactly, or refused by name with what to do.
//!
//! Each layout is built by a small script with the real git. What git says about it must be the
//! same here and in the run at the same path; a commit made in the run must come back.

use std::{
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use handoff_tests::world::World;

/// Handoffs at a time: each mostly waits for processes to start.
const AT_A_TIME: usize = 3;

/// What happens to a layout.
enum Fate {
    /// It is the same in the run, and a commit made there comes back.
    Carried,
    /// Neither `plan` nor a handoff accept it, and say this.
    Refused(&'static [&'static str]),
}

struct Layout {
    name: &'static str,
    /// Builds the layout in an empty directory; the root is `tree` in it.
    script: &'static str,
    fate: Fate,
}

const fn carried(name: &'static str, script: &'static str) -> Layout {
    Layout { name, script, fate: Fate::Carried }
}

const fn refused(
    name: &'static str,
    script: &'static str,
    says: &'static [&'static str],
) -> Layout {
    Layout { name, script, fate: Fate::Refused(says) }
}

const LAYOUTS: &[Layout] = &[
    carried("worktree-main", "make tree; git -C tree worktree add -q ../linked; change tree"),
    carried(
        "worktree-linked",
        "make main; git -C main worktree add -q -b side ../tree; change tree; cd main; \
         echo stash >> file; git stash -q",
    ),
    carried(
        "worktree-config",
        "make main; git -C main config extensions.worktreeConfig true; \
         git -C main worktree add -q ../tree; git -C tree config --worktree core.abbrev 12; \
         git -C main config --worktree core.abbrev 20; change tree",
    ),
    carried(
        "worktree-inside",
        "make tree; git -C tree worktree add -q -b side inside; echo x >> tree/inside/file; \
         git -C tree/inside add file",
    ),
    carried(
        "submodules",
        "make library; git init -q tree; cd tree; echo file > file; git add .; \
         for at in clean dirty gone old; do git submodule --quiet add ../library $at; done; \
         git commit -qm one; echo dirty >> dirty/file; git submodule --quiet deinit -f gone; \
         rm -rf old .git/modules/old; git clone -q ../library old",
    ),
    carried(
        "submodule-alone",
        "make library; git init -q .; git submodule --quiet add ./library tree; change tree",
    ),
    carried("lender-outside", "make lender; git clone -q --shared lender tree; change tree"),
    carried(
        "lender-relative",
        "make lender; git clone -q --shared lender tree; \
         echo ../../../lender/.git/objects > tree/.git/objects/info/alternates; change tree",
    ),
    carried(
        "lender-chain",
        "make a; git clone -q --shared a b; echo b > b/b; git -C b add b; git -C b commit -qm b; \
         git clone -q --shared b tree; change tree",
    ),
    carried(
        "lender-inside",
        "make tree; make tree/lender; cd tree; echo ../../lender/.git/objects \
         > .git/objects/info/alternates; change .",
    ),
    refused(
        "lender-missing",
        "make lender; git clone -q --shared lender tree; rm -rf lender",
        &["lender/.git/objects", "alternates"],
    ),
    carried(
        "partial",
        "make origin; git -C origin config uploadpack.allowFilter true; cd origin; \
         for n in 1 2 3; do echo $n > big; git add big; git commit -qm $n; done; cd ..; \
         git clone -q --filter=blob:none file://$PWD/origin tree; change tree; rm -rf origin",
    ),
    carried(
        "shallow",
        "make origin; cd origin; for n in 1 2 3; do git commit -q --allow-empty -m $n; done; \
         cd ..; git clone -q --depth 2 file://$PWD/origin tree; change tree",
    ),
    carried("sparse-cone", "wide tree; git sparse-checkout set --cone b; cd ..; change tree/b"),
    carried(
        "sparse-index",
        "wide tree; git sparse-checkout set --cone --sparse-index b; cd ..; change tree/b",
    ),
    carried(
        "sparse-patterns",
        "wide tree; git sparse-checkout set --no-cone '/*' '!/a/'; cd ..; change tree/b",
    ),
    carried(
        "lfs",
        "git init -q tree; cd tree; git lfs install --local > /dev/null; \
         git lfs track '*.bin' > /dev/null; head -c 20000 /dev/zero > large.bin; echo x > file; \
         git add .; git commit -qm one; echo y >> large.bin",
    ),
    carried("sha256", "git init -q --object-format=sha256 tree; fill tree; change tree"),
    refused(
        "reftable",
        "git init -q --ref-format=reftable tree; fill tree; change tree",
        &["reftable", "git refs migrate --ref-format=files"],
    ),
    carried(
        "separate-git-dir",
        "git init -q --separate-git-dir=$PWD/elsewhere tree; fill tree; change tree",
    ),
    carried(
        "core-worktree",
        "make tree; mv tree/.git git; git --git-dir=git config core.worktree $PWD/tree; \
         echo gitdir: $PWD/git > tree/.git; change tree",
    ),
    carried(
        "core-worktree-inside",
        "make tree; git -C tree config core.worktree $PWD/tree; change tree",
    ),
    carried(
        "replaced",
        "make tree; cd tree; for n in 1 2 3; do git commit -q --allow-empty -m $n; done; \
         git replace HEAD~1 HEAD~2; change .",
    ),
    carried(
        "grafted",
        "make tree; cd tree; for n in 1 2; do git commit -q --allow-empty -m $n; done; \
         git rev-parse HEAD > .git/info/grafts; change .",
    ),
    carried(
        "fetched",
        "make origin; git clone -q origin tree; git -C tree fetch -q origin main; \
         git -C tree tag -am note note; change tree",
    ),
    carried(
        "many-files",
        "make tree; cd tree; git config feature.manyFiles true; git config index.skipHash true; \
         change .; git update-index --untracked-cache; git status > /dev/null",
    ),
    carried(
        "split-index",
        "make tree; cd tree; git config core.splitIndex true; git update-index --split-index; \
         change .; git status > /dev/null",
    ),
    carried(
        "fsmonitor",
        "make tree; cd tree; git config core.fsmonitor 'echo $0 > /dev/null; false'; change .; \
         git update-index --fsmonitor 2> /dev/null",
    ),
    carried(
        "embedded",
        "make tree; make tree/embedded; git -C tree -c advice.addEmbeddedRepo=false add embedded; \
         make tree/untracked-one; change tree",
    ),
    refused(
        "bare",
        "make main; git clone -q --bare main tree",
        &["bare repository", "git worktree add"],
    ),
    carried("linked-git", "make tree; mv tree/.git git; ln -s ../git tree/.git; change tree"),
    carried(
        "linked-git-inside",
        "make tree; mv tree/.git tree/git; ln -s git tree/.git; \
         echo /git >> tree/git/info/exclude; change tree",
    ),
    carried("no-commit", "git init -q tree; echo x > tree/file; git -C tree add file"),
    carried(
        "packed-refs",
        "make tree; cd tree; git tag one; git branch two; git pack-refs --all; git gc -q; \
         git commit-graph write --reachable; git multi-pack-index write; change .",
    ),
];

/// What the scripts are made of.
const WORDS: &str = r#"
set -eu
export GIT_AUTHOR_DATE=2026-01-02T03:04:05Z GIT_COMMITTER_DATE=2026-01-02T03:04:05Z
fill() { (cd "$1"; echo one > file; echo '*.ignored' > .gitignore; git add .; git commit -qm one); }
make() { git init -q "$1"; fill "$1"; }
change() { (cd "$1"; touch file; echo stashed >> file; git add file; git stash -q; echo a > staged
    git add staged; echo b >> staged; echo u > untracked; echo i > some.ignored); }
wide() { git init -q "$1"; cd "$1"; mkdir a b; echo a > a/file; echo b > b/file; git add .
    git commit -qm one; }
"#;

/// What must be the same on both sides.
const SAME: &str = r#"
export GIT_NO_LAZY_FETCH=1 GIT_OPTIONAL_LOCKS=0 GIT_CONFIG_COUNT=1
export GIT_CONFIG_KEY_0=advice.graftFileDeprecated GIT_CONFIG_VALUE_0=false
look() {
    git status --porcelain=v2 --branch --show-stash
    git log --all --format='%H %T %D %s'
    git stash list
    git fsck --full 2>&1
    git ls-files -t --stage
    git ls-files -v
    git rev-parse --show-toplevel --show-object-format --is-shallow-repository
    git config core.abbrev
    git sparse-checkout list 2>&1
    cat "$(git rev-parse --git-path FETCH_HEAD)" 2>/dev/null
    git cat-file --batch-all-objects --batch-check --unordered | LC_ALL=C sort
    test ! -d "$(git rev-parse --git-path lfs)" || git lfs fsck
}
look
git submodule status
for at in *; do if test -e "$at/.git"; then echo "== $at"; (cd "$at"; look); fi; done
"#;

/// A commit of everything in the run.
const COMMIT: &str = "unset GIT_OPTIONAL_LOCKS; echo made > made && git add --sparse made >&2 && \
                      git commit -qm 'in the run' >&2";

#[test]
fn layouts_are_carried_exactly_or_refused_by_name() {
    let world = World::new();
    let settings = "[user]\n\tname = Test Er\n\temail = test@example.com\n\
                    [init]\n\tdefaultBranch = main\n[protocol \"file\"]\n\tallow = always\n\
";
    world.write(&world.home().join(".gitconfig"), settings);
    // The daemon starts with the first handoff.
    world.hand_off(&world.directory("first"), ["--", "true"]);
    let next = AtomicUsize::new(0);
    let only = std::env::var("LAYOUT").ok();
    let failed = thread::scope(|scope| {
        let work = || {
            let mut failed = Vec::new();
            while let Some(layout) = LAYOUTS.get(next.fetch_add(1, Ordering::Relaxed)) {
                if only.as_ref().is_none_or(|only| only == layout.name)
                    && let Err(problem) = check(&world, layout)
                {
                    failed.push(format!("{}: {problem}", layout.name));
                }
            }
            failed
        };
        let workers: Vec<_> = (0..AT_A_TIME).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("worker")).collect::<Vec<_>>()
    });
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

fn check(world: &World, layout: &Layout) -> Result<(), String> {
    let directory = world.directory(&format!("layouts/{}", layout.name));
    world.ok(&directory, "bash", ["-c", &format!("{WORDS}{}", layout.script)]);
    let tree = directory.join("tree");
    match layout.fate {
        Fate::Carried => is_carried(world, &tree, layout.name),
        Fate::Refused(texts) => is_refused(world, &tree, texts),
    }
}

fn is_refused(world: &World, tree: &Path, texts: &[&str]) -> Result<(), String> {
    for words in [&["plan"][..], &["--", "true"]] {
        let said = world.handoff(tree, words);
        let missing = texts.iter().find(|text| !said.stderr.contains(**text));
        if said.code != 7 || missing.is_some() {
            return Err(format!("no {missing:?} in {said}"));
        }
    }
    Ok(())
}

fn is_carried(world: &World, tree: &Path, name: &str) -> Result<(), String> {
    let plan = world.handoff(tree, ["plan"]);
    if plan.code != 0 {
        return Err(plan.to_string());
    }
    let here = world.ok(tree, "bash", ["-c", SAME]);
    let script = format!("{SAME}\n{COMMIT}");
    let run = world.handoff(tree, ["--follow", "-n", name, "--", "bash", "-c", &script]);
    let there = String::from_utf8_lossy(&run.stdout);
    if here != there {
        return Err(format!("{}\n{}", difference(&here, &there), run.stderr));
    }
    if run.code != 0 {
        return Err(run.to_string());
    }
    let pull = world.handoff(tree, ["pull", name, "--yes"]);
    let subject = world.run(tree, "git", ["log", "-1", "--format=%s"]);
    if pull.code != 0 || subject.stdout != b"in the run\n" {
        return Err(format!("{pull}\n{subject}"));
    }
    let after = world.ok(tree, "git", ["status", "--porcelain"]);
    if after.contains("made") {
        return Err(format!("after the pull: {after}"));
    }
    Ok(())
}

fn difference(here: &str, there: &str) -> String {
    let number = here.lines().zip(there.lines()).position(|(here, there)| here != there);
    let number = number.unwrap_or(here.lines().count().min(there.lines().count()));
    let line = |text: &str| text.lines().nth(number).unwrap_or("nothing").to_owned();
    format!("line {number}: here {:?}, there {:?}", line(here), line(there))
}
