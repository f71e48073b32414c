//! What is installed with a service: each file is taken by the program that it is for.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use handoff_tests::world::{Said, built, said};
use tempfile::TempDir;

/// A file of the service, as it is in the sources.
fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../daemon/service").join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(source(name)).expect("read")
}

const UNITS: [&str; 3] =
    ["handoffd.service", "handoffd-launcher.service", "handoffd-launcher.socket"];

/// The units as they are installed, but for where the program is, changed by `change`.
fn verify(change: impl Fn(&str) -> String) -> Said {
    let directory = TempDir::new().expect("directory");
    let program = built().join("handoffd");
    let program = program.to_str().expect("text");
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--man=no"]);
    for name in UNITS {
        let unit = change(&read(&format!("systemd/{name}")));
        let path = directory.path().join(name);
        fs::write(&path, unit.replace("/usr/local/bin/handoffd", program)).expect("write");
        verify.arg(path);
    }
    said(&mut verify)
}

#[test]
fn systemd_takes_the_units_and_has_nothing_to_say() {
    let verified = verify(str::to_owned);
    assert_eq!((verified.code, verified.stderr.as_str()), (0, ""), "{verified}");
    let spoilt = verify(|unit| unit.replace("KillMode=process", "KillMode=proces"));
    assert!(spoilt.stderr.contains("kill mode"), "it would have said so: {spoilt}");
}

#[test]
fn the_unit_of_the_daemon_has_no_right_of_roots() {
    let directory = TempDir::new().expect("directory");
    let path = directory.path().join("handoffd.service");
    fs::write(&path, read("systemd/handoffd.service")).expect("write");
    let mut security = Command::new("systemd-analyze");
    security.args(["security", "--offline=yes", "--threshold=20"]).arg(path);
    drop(said(&mut security).ok());
}

#[test]
fn the_settings_that_are_installed_are_valid_and_name_the_socket_of_the_unit() {
    let socket = read("systemd/handoffd-launcher.socket");
    let socket = socket.lines().find_map(|line| line.strip_prefix("ListenStream=")).expect("path");
    assert!(read("handoffd.toml").contains(&format!("launcher = \"{socket}\"")));
    // The settings are read before anything else: what is wrong with the place comes after.
    let directory = TempDir::new().expect("directory");
    let mut serve = Command::new(built().join("handoffd"));
    serve.arg("serve").env_clear().env("HANDOFFD_CONFIG", source("handoffd.toml"));
    serve.env("HANDOFFD_STATE", directory.path().join("state"));
    said(&mut serve).fails(2, &["a daemon that is root needs no launcher"]);
}

#[test]
fn sysusers_makes_the_user_that_the_units_name() {
    let root = TempDir::new().expect("directory");
    fs::create_dir(root.path().join("etc")).expect("directory");
    let mut sysusers = Command::new("systemd-sysusers");
    sysusers.arg(format!("--root={}", root.path().display())).arg(source("sysusers.conf"));
    drop(said(&mut sysusers).ok());
    let passwd = fs::read_to_string(root.path().join("etc/passwd")).expect("passwd");
    let line = passwd.lines().find(|line| line.starts_with("handoffd:")).expect("the user");
    assert!(line.ends_with("/nologin"), "{line}");
    let group = fs::read_to_string(root.path().join("etc/group")).expect("group");
    assert!(group.contains("handoffd:"), "{group}");
    assert!(read("systemd/handoffd.service").contains("\nUser=handoffd\nGroup=handoffd\n"));
    assert!(read("systemd/handoffd-launcher.socket").contains("\nSocketGroup=handoffd\n"));
}

#[test]
fn apparmor_takes_the_profile() {
    let profile = read("apparmor/handoffd");
    let parse = |profile: &str| {
        let directory = TempDir::new().expect("directory");
        let path = directory.path().join("handoffd");
        fs::write(&path, profile).expect("write");
        let mut parser = Command::new("apparmor_parser");
        said(parser.args(["--skip-kernel-load", "--skip-cache", "--names"]).arg(path))
    };
    // Parsers before version 4 know neither user namespaces nor that ABI; the rest they do.
    let profile = if Path::new("/etc/apparmor.d/abi/4.0").exists() {
        profile
    } else {
        let older = profile.replace("abi/4.0", "abi/3.0").replace("  userns,\n", "");
        assert_ne!(older.len(), profile.len(), "there is such a rule");
        older
    };
    assert_eq!(parse(&profile).ok().trim(), "handoffd");
    let spoilt = parse(&profile.replace("flags=(unconfined)", "flags=(unconfned)"));
    assert_ne!(spoilt.code, 0, "it would have said so: {spoilt}");
}
