//! A slow link: two network namespaces and a pair of virtual interfaces that let 20 Mbit/s pass
//! each way. Ends with its guard; what a killed benchmark left behind is removed by the next one.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{ends::Ends, process};

const RATE: &str = "20mbit";

/// Its namespaces are named after it and the process that made them.
const NAME: &str = "handoff-bench";

const NEAR: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const FAR: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);

/// The link; goes away with this value.
#[derive(Debug)]
pub(super) struct Link {
    near: Namespace,
    far: Namespace,
}

#[derive(Debug)]
struct Namespace(String);

impl Link {
    pub(super) fn new() -> Result<Self> {
        let process = std::process::id();
        let near = Namespace::new(format!("{NAME}-{process}-near"))?;
        let far = Namespace::new(format!("{NAME}-{process}-far"))?;
        let pair = ["link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", &far.0];
        near.ip(&pair)?;
        for (namespace, address) in [(&near, NEAR), (&far, FAR)] {
            namespace.ip(&["address", "add", &format!("{address}/24"), "dev", "wire"])?;
            namespace.ip(&["link", "set", "wire", "up"])?;
            namespace.ip(&["link", "set", "lo", "up"])?;
            // A burst holds the largest packet before segmentation; the queue is a home router's.
            let mut shape = process::command("tc");
            shape.args(["-netns", &namespace.0, "qdisc", "add", "dev", "wire", "root", "tbf"]);
            shape.args(["rate", RATE, "burst", "64kb", "latency", "100ms"]);
            process::ok(&mut shape)?;
        }
        Ok(Self { near, far })
    }

    pub(super) fn ends(&self) -> Ends {
        Ends { near: self.near.enter(), far: self.far.enter(), address: IpAddr::V4(FAR) }
    }

    /// Bytes that have passed so far, both ways, with every header down to Ethernet's.
    pub(super) fn passed(&self) -> Result<u64> {
        let text = self.near.ip(&["-s", "-j", "link", "show", "dev", "wire"])?;
        let parsed: Value = serde_json::from_str(&text).context("read the interface's counters")?;
        let counter = |way: &str| parsed[0]["stats64"][way]["bytes"].as_u64();
        let (to, from) = (counter("tx"), counter("rx"));
        to.zip(from).map(|(to, from)| to + from).context("an interface without counters")
    }
}

impl Namespace {
    fn new(name: String) -> Result<Self> {
        process::ok(process::command("ip").args(["netns", "add", &name]))?;
        Ok(Self(name))
    }

    /// `ip` within it.
    fn ip(&self, args: &[&str]) -> Result<String> {
        process::ok(process::command("ip").args(["-n", &self.0]).args(args))
    }

    /// Only the network: `ip netns exec` would also take away /sys, and with it control groups.
    fn enter(&self) -> Vec<String> {
        vec!["nsenter".to_owned(), format!("--net=/run/netns/{}", self.0), "--".to_owned()]
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Its interfaces go with it. Where that fails, the next benchmark tries again.
        drop(process::output(process::command("ip").args(["netns", "delete", &self.0])));
    }
}

/// Removes the namespaces of benchmarks that were killed.
pub(super) fn remove_left_behind() -> Result<()> {
    let listed = process::ok(process::command("ip").args(["netns", "list"]))?;
    for name in listed.lines().filter_map(|line| line.split_whitespace().next()) {
        let owner = name.strip_prefix(NAME).and_then(|rest| rest.split('-').nth(1));
        let gone = owner.is_some_and(|pid| !std::path::Path::new("/proc").join(pid).exists());
        if gone {
            drop(Namespace(name.to_owned()));
        }
    }
    Ok(())
}
