//! Attempt: reach any network, the host's loopback included.

use handoff_sandbox::{LayerName, LayerState, Network};
use handoff_tests::escape::{Lab, Listener, beyond, connect, doing};

fn attempt(lab: &Lab) {
    let listener = Listener::start();
    let loopback = connect("loopback", "127.0.0.1", listener.port());
    let to_loopback = doing(std::slice::from_ref(&loopback));

    lab.outside(&to_loopback).says("loopback", "ok");
    listener.is_reached();
    let mut jail = lab.jail("host");
    jail.spec.network = Network::Host;
    let with_network = jail.run(&to_loopback);
    with_network.says("loopback", "ok");
    listener.is_reached();
    let isolation = with_network.isolation.expect("a report");
    assert_eq!(isolation.layer(LayerName::Network).expect("a layer").state, LayerState::Absent);

    let acts: Vec<_> = [loopback].into_iter().chain(beyond()).collect();
    let inside = lab.jail("none").run(&doing(&acts));
    inside.says("loopback", "ECONNREFUSED");
    for (name, _) in beyond() {
        inside.says(name, "ENETUNREACH");
    }
    assert!(!listener.was_reached(), "nothing arrived");
}

handoff_tests::attempt!(attempt);
