//! A corpus of hostile handoffs against a real server: each is refused with its reason, makes no
//! run, costs little memory and leaves nothing outside the store, and a good one works right after.
//!
//! What the readers refuse in detail is tested with them, in `proto/tests`.

mod cases;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use handoff_proto::wire::{ListRequest, runs_client::RunsClient};

use crate::{
    handoff::{Handoff, receipt},
    server::{Server, in_time},
};

/// How much memory all of it may take: what the bench allows a daemon for its largest upload.
const MEMORY_MAX: u64 = 256 << 20;

/// What the process has taken at most, in bytes.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("status");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    peak.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

/// Every name in the server's directory and one above it, but for the segments that hold content.
fn outside_the_store(directory: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() && !path.ends_with("segments") {
                open.push(path.clone());
            }
            found.insert(path);
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn every_hostile_handoff_is_refused_and_a_good_one_works_after_it() {
    in_time(async {
        let server = Server::with_runs().await;
        let device = server.pair().await;
        let mut client = RunsClient::new(server.channel(Some(&device)).await);
        let first = Handoff::new("first").send(&mut client).await.expect("a good one");
        let mut runs = vec![receipt(first).run_id];
        let files = outside_the_store(server.directory.path());
        let before = peak_memory();
        let mut wrong = Vec::new();
        let mut check = |name: &str, reason: &str, said: Result<Vec<_>, tonic::Status>| match said {
            Ok(_) => wrong.push(format!("{name} was taken")),
            Err(status) if status.message().contains(reason) => {}
            Err(status) => wrong.push(format!("{name}: no {reason:?} in {:?}", status.message())),
        };
        for (name, hostile, reason) in cases::bundles().into_iter().chain(cases::manifests()) {
            check(name, reason, hostile.send(&mut client).await);
            // Of other content: what was verified of a broken upload is not asked for again.
            let good = Handoff::new(&format!("{name}-good")).send(&mut client).await;
            runs.push(receipt(good.unwrap_or_else(|status| panic!("{name}: {status:?}"))).run_id);
        }
        for (name, parts, reason) in cases::orders() {
            check(name, reason, Handoff::parts(&mut client, parts).await);
        }
        assert_eq!(wrong, [""; 0]);
        assert_eq!(outside_the_store(server.directory.path()), files);
        let listed = client.list(ListRequest::default()).await.expect("runs").into_inner().runs;
        let listed: Vec<String> = listed.into_iter().map(|run| run.id).collect();
        assert_eq!(listed, runs, "each good one made a run, no other one did");
        let taken = peak_memory() - before;
        assert!(taken < MEMORY_MAX, "{} MiB", taken >> 20);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_only_other_systems_confuse_stay_apart() {
    in_time(async {
        let server = Server::with_runs().await;
        let device = server.pair().await;
        let mut client = RunsClient::new(server.channel(Some(&device)).await);
        let said = cases::names_of_other_systems().send(&mut client).await.expect("a good one");
        assert_eq!(receipt(said).entries, 11);
    })
    .await;
}
