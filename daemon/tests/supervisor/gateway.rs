//! Gateways that die: another one serves the doors, until that has happened too often.

use std::fs;

use handoff_daemon::egress::{Denial, Policy};
use handoff_daemon::supervisor::{Ended, Job};
use handoff_sandbox::Network;
use rustix::process::{Pid, Signal, kill_process};

use crate::scene::{Scene, last, text};

/// How often a gateway is started for one step, as the daemon has it.
const STARTS_MAX: usize = 16;

/// Asks the proxy for a host that is not allowed, and says what the proxy answers.
const ASK: &str = r"ask() { unset line; exec 3<>/dev/tcp/127.1.0.1/3128 &&
    printf 'GET http://evil.test/ HTTP/1.1\r\nConnection: close\r\n\r\n' >&3 && read -r line <&3
    echo $1 ${line:-nothing}; } 2>/dev/null;";

/// A job that asks so many times, each time as soon as it is let go.
fn asking(scene: &Scene, times: usize) -> Job {
    let script = format!(
        "trap '' PIPE; {ASK} for i in $(seq {times}); do until [ -e go-$i ]; do read _ </dev/null; done; ask $i; done"
    );
    let mut job = scene.job("");
    job.egress = Some(Policy::default());
    job.steps[0].spec.argv = ["/bin/bash", "-c", &script].map(Into::into).to_vec();
    job.steps[0].spec.network = Network::Fenced;
    job
}

/// The gateway of this scene's job; the only one at any time.
fn gateway(scene: &Scene) -> Pid {
    let parent = format!("PPid:\t{}\n", scene.supervisor().as_raw_nonzero());
    let mut found = scene.processes("handoff-gateway gateway");
    found.retain(|pid| {
        let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero()));
        status.is_ok_and(|status| status.contains(&parent) && !status.contains("State:\tZ"))
    });
    assert_eq!(found.len(), 1, "one gateway: {found:?}");
    found[0]
}

#[tokio::test]
async fn a_gateway_that_is_killed_is_started_again_by_the_next_who_knocks_but_not_for_ever() {
    let scene = Scene::new();
    let mut attached = scene.begin(&asking(&scene, STARTS_MAX + 2)).await;
    for time in 1..=STARTS_MAX {
        scene.let_go(&format!("go-{time}"));
        scene.wait_for(&mut attached, &format!("{time} HTTP/1.1 403 Forbidden")).await;
        kill_process(gateway(&scene), Signal::KILL).expect("kill");
    }
    for time in [STARTS_MAX + 1, STARTS_MAX + 2] {
        scene.let_go(&format!("go-{time}"));
        scene.wait_for(&mut attached, &format!("{time} nothing")).await;
    }
    let exit = last(&mut attached).await;
    assert_eq!(exit.ended, Ended::Code { code: 0 }, "{:?}", scene.output().await);
    let why = "the gateway died 16 times";
    let told = |denial: &Denial| denial.host == "*" && denial.reason.starts_with(why);
    assert!(exit.egress.denied.iter().any(told), "{:?}", exit.egress);
    let log = fs::read(scene.job_dir.join("supervisor.log")).expect("log");
    assert!(text(&log).contains(why), "{}", text(&log));
}
