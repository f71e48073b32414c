//! A second paired user tries every method on what the first one has: nothing is there for it, and
//! the answer is the same as for what never was.

use handoff_proto::{
    chunk::ChunkId,
    problem::Problem,
    wire::{
        AddCredentialRequest, AnswerRequest, Approved, AttachRequest, AttachStart, ChunkIds,
        ChunksRequest, CollectRequest, CredentialsRequest, DoctorRequest, InfoRequest,
        InviteRequest, ListRequest, LogsRequest, ManifestRequest, Receipt, RemoveCredentialRequest,
        RevokeRequest, RunSelector, SayRequest, StopRequest, UsageRequest, UsersRequest,
        WatchAllRequest, WatchRequest, admin_client::AdminClient, answer_request, attach_request,
        handoff_reply, runs_client::RunsClient,
    },
};
use tonic::{Response, Status, transport::Channel};

use crate::{
    handoff::{Handoff, ROOT, receipt},
    server::{Server, in_time},
};

type Runs = RunsClient<Channel>;

/// What ada has.
struct Ada {
    runs: Runs,
    handoff: Handoff,
    receipt: Receipt,
}

/// The ways to name a run: each with one for something of its kind that never was.
fn selectors(ada: &Ada) -> Vec<(RunSelector, RunSelector)> {
    let text = |run: &str| RunSelector { run: run.to_owned(), directory: Vec::new() };
    let id = &ada.receipt.run_id;
    let never: String = id.chars().map(|c| if c == 'a' { 'b' } else { 'a' }).collect();
    let newest = |root: &[u8]| RunSelector { run: String::new(), directory: root.to_vec() };
    vec![
        (text(id), text(&never)),
        (text(&id[..4]), text(&never[..4])),
        (text("secret"), text("nobody")),
        (newest(ROOT), newest(b"/home/ada/xyz")),
    ]
}

/// The methods of a service as its file has them.
fn methods(file: &'static str) -> impl Iterator<Item = &'static str> {
    file.lines().filter_map(|line| line.trim().strip_prefix("rpc ")?.split_once('(')).map(|m| m.0)
}

/// What a refusal tells, apart from the words of the question.
fn told(status: &Status, selector: &RunSelector) -> String {
    let problem = Problem::from_status(status);
    format!("{:?} {problem:?}", status.code()).replace(&selector.run, "RUN")
}

/// Asks for the one and for the other; both must be refused in the same words.
async fn same<T>(
    (foreign, never): &(RunSelector, RunSelector),
    ask: impl AsyncFn(RunSelector) -> Result<Response<T>, Status>,
) {
    let refused = |answer: Result<Response<T>, Status>| match answer {
        Ok(_) => panic!("{foreign:?} was answered"),
        Err(status) => status,
    };
    let (one, other) = (refused(ask(foreign.clone()).await), refused(ask(never.clone()).await));
    assert_eq!(one.code(), tonic::Code::NotFound);
    assert_eq!(told(&one, foreign), told(&other, never));
}

/// Tries one method as bob.
async fn attempt(method: &str, bob: &Runs, ada: &Ada) {
    let bob = || bob.clone();
    let pairs = selectors(ada);
    match method {
        "Show" => {
            for pair in &pairs {
                same(pair, async |run| bob().show(run).await).await;
            }
        }
        "Stop" => {
            for pair in &pairs {
                same(pair, async |run| bob().stop(run).await).await;
            }
        }
        "Answer" => {
            for pair in &pairs {
                let what = Some(answer_request::What::Approved(Approved {}));
                let ask = async |run| {
                    let id = String::new();
                    bob().answer(AnswerRequest { run: Some(run), id, what: what.clone() }).await
                };
                same(pair, ask).await;
            }
        }
        "Say" => {
            for pair in &pairs {
                let said = |run| SayRequest { run: Some(run), id: "1".into(), text: "hi".into() };
                same(pair, async |run| bob().say(said(run)).await).await;
            }
        }
        "Attach" => {
            for pair in &pairs {
                let ask = async |run| {
                    let start =
                        AttachStart { run: Some(run), id: "1".into(), ..Default::default() };
                    let first = AttachRequest { part: Some(attach_request::Part::Start(start)) };
                    bob().attach(tokio_stream::once(first)).await
                };
                same(pair, ask).await;
            }
        }
        "Remove" => {
            for pair in &pairs {
                same(pair, async |run| bob().remove(run).await).await;
            }
        }
        "Watch" => {
            for pair in &pairs {
                let ask =
                    async |run| bob().watch(WatchRequest { run: Some(run), after_seq: 0 }).await;
                same(pair, ask).await;
            }
        }
        "Logs" => {
            for pair in &pairs {
                let request = |run| LogsRequest { run: Some(run), after: 0, follow: true };
                same(pair, async |run| bob().logs(request(run)).await).await;
            }
        }
        "Manifest" => {
            for pair in &pairs {
                for which in [0, 1] {
                    let request = |run| ManifestRequest { run: Some(run), which };
                    same(pair, async |run| bob().manifest(request(run)).await).await;
                }
            }
        }
        "Chunks" => {
            for pair in &pairs {
                let ids = ChunkId::of(b"secret").as_bytes().to_vec();
                let request = |run| ChunksRequest { run: Some(run), ids: ids.clone() };
                let ask = async |run| bob().chunks(tokio_stream::iter([request(run)])).await;
                same(pair, ask).await;
            }
        }
        "List" => {
            for directory in [Vec::new(), ROOT.to_vec()] {
                let listed = bob().list(ListRequest { directory }).await.expect("a list");
                assert_eq!(listed.into_inner().runs, []);
            }
        }
        "WatchAll" => {
            let cursor = ada.receipt.cursor.clone();
            let all = bob().watch_all(WatchAllRequest { cursor }).await.expect("a stream");
            let mut all = all.into_inner();
            assert_eq!(all.message().await.expect("a reply").expect("the cursor").run, None);
            // The first that comes is bob's own, although ada's is older.
            let mine = Handoff::new("mine").send(&mut bob()).await.expect("bob's own");
            let first = all.message().await.expect("a reply").expect("a record");
            assert_eq!(first.run.expect("a run").id, receipt(mine).run_id);
        }
        "Lacks" => {
            let ids = [ChunkId::of(b"secret").as_bytes(), &ada.handoff.offer.snapshot[..]].concat();
            let asked = tokio_stream::iter([ChunkIds { ids: ids.clone() }]);
            let mut lacking = bob().lacks(asked).await.expect("a stream").into_inner();
            assert_eq!(lacking.message().await.expect("a reply").expect("ids").ids, ids);
        }
        "Check" => {
            bob().check(ada.handoff.offer.clone()).await.expect("ada's name is free for bob");
        }
        "Handoff" => handoff(bob(), ada).await,
        "Usage" => {
            let usage = bob().usage(UsageRequest {}).await.expect("usage").into_inner();
            assert_eq!((usage.bytes, usage.files), (0, 0));
        }
        "Info" => {
            let info = bob().info(InfoRequest::default()).await.expect("info").into_inner();
            assert_eq!(info.user, "bob");
        }
        _ => panic!("nobody has tried {method} yet"),
    }
}

/// Ada's key, base, manifest and chunks are worth nothing in bob's hands.
async fn handoff(mut bob: Runs, ada: &Ada) {
    // Only the id: the daemon has that content, but not for bob.
    let mut without = ada.handoff.clone();
    without.bundle = Vec::new();
    let refused = without.send(&mut bob).await.expect_err("nothing is taken from ada");
    assert!(
        refused.message().contains("chunk") || refused.message().contains("bundle"),
        "{refused:?}"
    );
    // The delta to her snapshot.
    let mut delta = ada.handoff.clone();
    delta.offer.manifest_base.clone_from(&ada.handoff.offer.snapshot);
    delta.offer.delta_bytes = delta.offer.manifest_bytes;
    let said = delta.send(&mut bob).await.expect("it counts as a whole manifest");
    let handoff_reply::Part::Accepted(accepted) = &said[0] else { panic!("{said:?}") };
    assert!(!accepted.base_known, "bob has no such base");
    let needs: usize = said
        .iter()
        .map(|part| if let handoff_reply::Part::Needs(needs) = part { needs.ids.len() } else { 0 })
        .sum();
    assert_eq!(needs, 32, "bob has to send what ada has");
    let own = receipt(said);
    assert_ne!(own.run_id, ada.receipt.run_id, "the same key is another run");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_treats_a_foreign_run_as_none() {
    in_time(async {
        let services = include_str!("../../../proto/proto/handoff/v1/runs.proto");
        let mut tried = 0;
        for method in methods(services) {
            let server = Server::with_runs().await;
            let (device, other) = (server.pair().await, server.pair_user("bob").await);
            let mut runs = RunsClient::new(server.channel(Some(&device)).await);
            let handoff = Handoff::new("secret");
            let said = handoff.clone().send(&mut runs).await.expect("ada's handoff");
            let mut ada = Ada { runs, handoff, receipt: receipt(said) };
            let bob = RunsClient::new(server.channel(Some(&other)).await);
            attempt(method, &bob, &ada).await;

            let list = ada.runs.list(ListRequest::default()).await.expect("ada's runs");
            let before = ada.receipt.run.clone().expect("a run");
            assert_eq!(list.into_inner().runs, [before], "{method} changed nothing");
            tried += 1;
        }
        assert!(tried >= 14, "{tried} methods");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_methods_are_not_there() {
    in_time(async {
        let server = Server::with_runs().await;
        let device = server.pair().await;
        for method in methods(include_str!("../../../proto/proto/handoff/v1/admin.proto")) {
            let mut admin = AdminClient::new(server.channel(Some(&device)).await);
            let user = "ada".to_owned();
            let refused = match method {
                "Invite" => admin.invite(InviteRequest { user, valid_seconds: 0 }).await.map(drop),
                "Users" => admin.users(UsersRequest {}).await.map(drop),
                "Revoke" => admin.revoke(RevokeRequest { user }).await.map(drop),
                "Doctor" => admin.doctor(DoctorRequest {}).await.map(drop),
                "AddCredential" => {
                    let (name, secret) = ("anthropic".to_owned(), "x".to_owned());
                    let request = AddCredentialRequest { name, secret };
                    admin.add_credential(request).await.map(drop)
                }
                "Credentials" => admin.credentials(CredentialsRequest {}).await.map(drop),
                "RemoveCredential" => {
                    let request = RemoveCredentialRequest { name: "anthropic".to_owned() };
                    admin.remove_credential(request).await.map(drop)
                }
                "Collect" => admin.collect(CollectRequest { dry_run: false }).await.map(drop),
                "Stop" => admin.stop(StopRequest {}).await.map(drop),
                _ => panic!("nobody has tried {method} yet"),
            };
            assert_eq!(refused.expect_err(method).code(), tonic::Code::Unimplemented);
        }
    })
    .await;
}
