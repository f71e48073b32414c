//! The self-check: looks at the jail from the inside and believes nobody, not even bubblewrap.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};

use crate::channel::Channel;
use crate::handover::{ForInit, Namespace};
use crate::isolation::{Isolation, Layer, LayerName, LayerState};
use crate::report::{Refusal, Refuse as _, Step};
use crate::seccomp;
use crate::spec::Network;
use crate::status::Status;
use crate::sys;

/// Namespaces that every run has to itself.
const MANDATORY: [&str; 5] = ["user", "mnt", "pid", "ipc", "uts"];

/// The kernel's word for a process under filters.
const FILTERED: u32 = 2;

/// The numbers of the descriptors that may be open.
#[derive(Debug)]
pub(super) struct Descriptors(Vec<i32>);

impl Descriptors {
    pub(super) fn expected(channel: &Channel, streams: &[OwnedFd]) -> Self {
        let streams = streams.iter().map(|stream| stream.as_raw_fd());
        Self((0..=2).chain([channel.as_fd().as_raw_fd()]).chain(streams).collect())
    }
}

/// Checks everything that was set up before init and says what is in force.
pub(super) fn everything(told: &ForInit, open: &Descriptors) -> Result<Vec<Layer>, Refusal> {
    let status = Status::read().refuse(Step::SelfCheck, "read our own status")?;
    let mut layers = vec![
        namespaces(&told.outside)?,
        capabilities(&status)?,
        no_new_privs(&status)?,
        filters(&status)?,
        network(told)?,
        Layer::new(
            LayerName::Disk,
            LayerState::Absent,
            "no hard limit on what is written to mounts",
        ),
    ];
    identity(told, &status)?;
    descriptors(open)?;
    layers.extend(told.layers.iter().cloned());
    Ok(layers)
}

/// Puts the layers in order and checks that those are in force without which nothing is to run.
pub(super) fn required(told: &ForInit, mut layers: Vec<Layer>) -> Result<Isolation, Refusal> {
    layers.sort_by_key(|layer| LayerName::ALL.iter().position(|name| *name == layer.name));
    let isolation = Isolation { layers };
    for required in &told.spec.require {
        require(&isolation, *required)?;
    }
    Ok(isolation)
}

fn require(isolation: &Isolation, required: LayerName) -> Result<(), Refusal> {
    if isolation.in_force(required) {
        return Ok(());
    }
    let why = isolation.layer(required).map_or("unknown", |layer| layer.detail.as_str());
    Err(Refusal::new(Step::Required, format!("{required} is not in force: {why}")))
}

fn broken(detail: impl Into<String>) -> Refusal {
    Refusal::new(Step::SelfCheck, detail)
}

fn namespaces(outside: &[Namespace]) -> Result<Layer, Refusal> {
    if !rustix::process::getpid().is_init() {
        return Err(broken("init is not process 1"));
    }
    let mut own = Vec::new();
    for theirs in outside {
        let ours = Namespace::current(&theirs.kind)
            .refuse(Step::SelfCheck, format_args!("look at the {} namespace", theirs.kind))?;
        if ours.id != theirs.id {
            own.push(theirs.kind.as_str());
        }
    }
    if let Some(missing) = MANDATORY.iter().find(|kind| !own.contains(kind)) {
        return Err(broken(format!("the {missing} namespace is the caller's")));
    }
    Ok(Layer::new(LayerName::Namespaces, LayerState::InForce, own.join(" ")))
}

fn capabilities(status: &Status) -> Result<Layer, Refusal> {
    /// Inheritable, permitted, effective, bounding, ambient.
    const SETS: usize = 5;
    if status.capabilities.len() != SETS {
        return Err(broken("the kernel does not tell the capabilities"));
    }
    match status.capabilities.iter().find(|(_, set)| *set != 0) {
        Some((name, set)) => Err(broken(format!("{name} is {set:#x} instead of empty"))),
        None => Ok(Layer::new(LayerName::Capabilities, LayerState::InForce, "none")),
    }
}

fn no_new_privs(status: &Status) -> Result<Layer, Refusal> {
    match status.no_new_privs {
        Some(1) => Ok(Layer::new(LayerName::NoNewPrivs, LayerState::InForce, "set")),
        other => Err(broken(format!("no_new_privs is {other:?} instead of 1"))),
    }
}

fn filters(status: &Status) -> Result<Layer, Refusal> {
    if status.seccomp != Some(FILTERED) {
        return Err(broken(format!("seccomp is {:?} instead of {FILTERED}", status.seccomp)));
    }
    let enough = |count: u32| usize::try_from(count).is_ok_and(|count| count >= seccomp::COUNT);
    if !status.seccomp_filters.is_none_or(enough) {
        return Err(broken(format!("there are {:?} filters", status.seccomp_filters)));
    }
    let detail = format!("{} filters", seccomp::COUNT);
    Ok(Layer::new(LayerName::Seccomp, LayerState::InForce, detail))
}

fn identity(told: &ForInit, status: &Status) -> Result<(), Refusal> {
    let account = &told.spec.account;
    let (uids, gids) = (vec![account.uid; 4], vec![account.gid; 4]);
    if account.uid == 0 || status.uids != uids || status.gids != gids {
        return Err(broken(format!(
            "the user is {:?} {:?} instead of {} {}",
            status.uids, status.gids, account.uid, account.gid
        )));
    }
    // A caller that is not root cannot give up its own supplementary groups.
    if told.spec.host_uid.is_some_and(|_| per_run(told)) && !status.groups.is_empty() {
        return Err(broken(format!("the groups {:?} are left", status.groups)));
    }
    Ok(())
}

fn per_run(told: &ForInit) -> bool {
    let own = |layer: &Layer| layer.name == LayerName::Uid && layer.state == LayerState::InForce;
    told.layers.iter().any(own)
}

fn descriptors(expected: &Descriptors) -> Result<(), Refusal> {
    let numbers = listed().refuse(Step::SelfCheck, "list our own descriptors")?;
    // The descriptor that read the list is in it, and closed by now.
    let extra = numbers.into_iter().find(|n| !expected.0.contains(n) && sys::is_open(*n));
    match extra {
        Some(number) => Err(broken(format!("descriptor {number} leaked in"))),
        None => Ok(()),
    }
}

fn listed() -> io::Result<Vec<i32>> {
    fs::read_dir("/proc/self/fd")?
        .map(|entry| {
            let name = entry?.file_name();
            name.to_str()
                .and_then(|name| name.parse().ok())
                .ok_or_else(|| io::Error::other("a descriptor has no number"))
        })
        .collect()
}

fn network(told: &ForInit) -> Result<Layer, Refusal> {
    let name = LayerName::Network;
    if told.spec.network == Network::Host {
        return Ok(Layer::new(name, LayerState::Absent, "host"));
    }
    let own = |theirs: &Namespace| {
        theirs.kind != "net" || Namespace::current("net").is_ok_and(|ours| ours.id != theirs.id)
    };
    if !told.outside.iter().all(own) {
        return Err(broken("the network namespace is the caller's"));
    }
    let table = fs::read_to_string("/proc/self/net/dev")
        .refuse(Step::SelfCheck, "list network interfaces")?;
    match interfaces(&table).find(|interface| *interface != "lo") {
        Some(other) => Err(broken(format!("the network interface {other} is visible"))),
        None => {
            let detail = if told.spec.network == Network::Fenced { "fenced" } else { "none" };
            Ok(Layer::new(name, LayerState::InForce, detail))
        }
    }
}

/// Reads the names out of `/proc/net/dev`, which has two lines of headings.
fn interfaces(table: &str) -> impl Iterator<Item = &str> {
    table.lines().skip(2).filter_map(|line| Some(line.split_once(':')?.0.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status() -> Status {
        let sets = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];
        Status {
            capabilities: sets.map(|name| (name.to_owned(), 0)).to_vec(),
            no_new_privs: Some(1),
            seccomp: Some(2),
            seccomp_filters: Some(3),
            ..Status::default()
        }
    }

    #[test]
    fn one_capability_in_any_set_is_refused_by_the_name_of_the_set() {
        capabilities(&status()).expect("none");
        for index in 0..5 {
            let mut status = status();
            status.capabilities[index].1 = 1 << 21;
            let refusal = capabilities(&status).expect_err("one is too many");
            assert!(refusal.detail.contains(&status.capabilities[index].0), "{refusal}");
        }
        capabilities(&Status::default()).expect_err("nothing is known");
    }

    #[test]
    fn missing_privilege_lock_or_filters_are_refused() {
        no_new_privs(&Status { no_new_privs: Some(0), ..status() }).expect_err("not set");
        no_new_privs(&Status { no_new_privs: None, ..status() }).expect_err("unknown");
        filters(&status()).expect("in force");
        filters(&Status { seccomp_filters: None, ..status() }).expect("an older kernel");
        filters(&Status { seccomp: Some(0), ..status() }).expect_err("no filter");
        filters(&Status { seccomp_filters: Some(1), ..status() }).expect_err("one is missing");
    }

    #[test]
    fn interfaces_are_read_from_the_kernels_table() {
        let table = "Inter-| Receive\n face |bytes\n    lo: 0 0\n  eth0: 5 0\n";
        assert_eq!(interfaces(table).collect::<Vec<_>>(), ["lo", "eth0"]);
    }

    #[test]
    fn a_required_layer_that_is_partial_is_refused() {
        let layer = Layer::new(LayerName::Uid, LayerState::Partial, "same uid as the caller");
        let isolation = Isolation { layers: vec![layer] };
        let refusal = require(&isolation, LayerName::Uid).expect_err("only partial");
        assert_eq!(refusal.step, Step::Required);
        assert!(refusal.detail.contains("same uid"), "{refusal}");
        require(&isolation, LayerName::Disk).expect_err("unknown");
    }
}
