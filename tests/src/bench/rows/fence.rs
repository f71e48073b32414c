//! What isolation costs: the start of a jail against bubblewrap alone, and what goes through the
//! fence against what goes there directly.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};
use handoff_sandbox::{Ended, ExitStatus, Limits, Network, Spec, Stdio, spawn};

use super::super::{
    Bench, measure,
    ours::{Between, Ours},
    process,
    sample::Sample,
    scale::REPETITIONS,
    table::{Line, Target},
    trees::Tree,
};
use crate::escape::{RUN, policy};

/// Starts are short, and vary the more.
const STARTS: u64 = 5 * REPETITIONS;

/// What is fetched: a second or so.
const BYTES: u64 = 1 << 30;

/// Namespaces as ours, system directories as ours, and nothing else.
const BUBBLEWRAP: &str = "--unshare-user --unshare-pid --unshare-net --unshare-ipc --unshare-uts \
    --ro-bind /usr /usr --symlink usr/bin /bin --symlink usr/lib /lib --symlink usr/lib64 /lib64 \
    --proc /proc --dev /dev true";

pub(super) fn start(_: &Bench) -> Result<Vec<Line>> {
    let (mut ours, mut bare) = (Sample::seconds(), Sample::seconds());
    for _ in 0..STARTS {
        let began = Instant::now();
        jail()?;
        ours.push(began.elapsed().as_secs_f64());
        let mut bubblewrap = process::command("bwrap");
        bare.push(measure::seconds(bubblewrap.args(BUBBLEWRAP.split_whitespace()))?);
    }
    let target = Target::Times { at_most: 3.0, rival: "bwrap true", sample: bare };
    Ok(vec![Line::new("start and end of a fenced jail", ours, target)])
}

/// Runs `true` in a jail with all layers that this machine has.
fn jail() -> Result<()> {
    let spec = Spec {
        argv: vec!["true".into()],
        env: Vec::new(),
        host_uid: Some(RUN),
        network: Network::Fenced,
        limits: Limits::default(),
        ..policy(format!("bench-{}", std::process::id()))
    };
    let mut running = spawn(&spec, Stdio::null()?)?;
    let ended = running.wait()?;
    running.cleanup()?;
    ensure!(ended == Ended::Exited(ExitStatus::Code(0)), "the jail ended otherwise: {ended:?}");
    Ok(())
}

pub(super) fn throughput(bench: &Bench) -> Result<Vec<Line>> {
    let address = serve()?;
    let port = address.port();
    let settings = format!(
        "[network]\nhosts = [\"server.test:{port}\"]\n[network.addresses]\n\"server.test\" = [\"{}\"]\n",
        address.ip()
    );
    let handoff = Ours::with(bench, Between::Nothing, &settings)?;
    let tree = bench.tree(Tree::Few)?;
    let (mut fenced, mut direct) = (Sample::seconds(), Sample::seconds());
    for _ in 0..REPETITIONS {
        fenced.push(through(&handoff, &tree, port)?);
        let mut curl = process::command("curl");
        curl.args(FETCH).arg(format!("http://{address}/"));
        direct.push(seconds(&process::ok(&mut curl)?)?);
    }
    // Half the throughput is twice the time.
    let target = Target::Times { at_most: 2.0, rival: "directly", sample: direct };
    Ok(vec![Line::new("1 GiB over loopback through a tunnel of the fence", fenced, target)])
}

const FETCH: [&str; 5] = ["-sSf", "-o", "/dev/null", "-w", "%{time_total}"];

fn through(handoff: &Ours, tree: &Path, port: u16) -> Result<f64> {
    let url = format!("http://server.test:{port}/");
    let command: Vec<&str> =
        ["curl", "-p"].into_iter().chain(FETCH).chain([url.as_str()]).collect();
    let handed = handoff.hand_off(tree, &command)?;
    handoff.finish(tree, &handed.run)?;
    seconds(&process::ok(&mut handoff.client(&[], tree, &["logs", &handed.run]))?)
}

fn seconds(printed: &str) -> Result<f64> {
    printed.trim().parse().with_context(|| format!("no time: {printed:?}"))
}

/// Answers every request with the same many bytes, as fast as the kernel takes them.
fn serve() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").context("listen")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // Whoever fetches notices what is missing.
            std::thread::spawn(move || drop(answer(stream)));
        }
    });
    Ok(address)
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut request = [0; 4096];
    let _read = stream.read(&mut request)?;
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {BYTES}\r\n\r\n")?;
    let block = vec![0; 1 << 20];
    for _ in 0..BYTES >> 20 {
        stream.write_all(&block)?;
    }
    Ok(())
}
