//! What the remotes have: who answers, and what keeps runs in there.

use handoff_proto::wire::{InfoReply, InfoRequest, IsolationLayer, UsageReply, UsageRequest};
use indicatif::{DecimalBytes, HumanCount};
use tokio::task::JoinSet;

use super::check::{Check, State};
use crate::context::Context;
use crate::exit::chain_text;
use crate::local;
use crate::remote::{self, Error};
use crate::settings::{self, RemoteSettings};

/// Layers without which a daemon refuses every run.
const MANDATORY: [&str; 4] = ["namespaces", "capabilities", "no_new_privs", "seccomp"];

/// Separates what is wrong with a layer from what to do about it.
const TO_DO: &str = "; to do: ";

/// The findings about the remote asked for, else about all, in the order of their names.
pub(super) async fn checks(context: &Context) -> Result<Vec<Check>, settings::Error> {
    let names: Vec<&str> = match context.remote_asked_for() {
        Some(name) => vec![name],
        None => context.settings.remotes().map(|(name, _)| name).collect(),
    };
    if names.is_empty() {
        let text = "none is paired; the first handoff starts a daemon on this machine";
        return Ok(vec![Check::ok("remotes", text)]);
    }
    let mut asked = JoinSet::new();
    for (at, name) in names.into_iter().enumerate() {
        let remote = local::locate(&context.settings, name).remote(name)?.clone();
        let name = name.to_owned();
        asked.spawn(async move { (at, check(&name, &remote).await) });
    }
    let mut answers = asked.join_all().await;
    answers.sort_by_key(|(at, _)| *at);
    Ok(answers.into_iter().flat_map(|(_, checks)| checks).collect())
}

async fn check(name: &str, settings: &RemoteSettings) -> Vec<Check> {
    let label = format!("remote {name}");
    match ask(name, settings).await {
        Ok((info, usage)) => {
            let quota = usage.map(|usage| quota(&label, &usage));
            findings(&label, &info).into_iter().chain(quota).collect()
        }
        Err(error @ Error::Unreachable { .. }) if name == local::REMOTE_NAME => {
            let hint = "any command that needs it starts it";
            vec![Check::warning(&label, chain_text(&error), hint)]
        }
        Err(error) => vec![Check::failed(&label, chain_text(&error), error.hint())],
    }
}

async fn ask(
    name: &str,
    settings: &RemoteSettings,
) -> Result<(InfoReply, Option<UsageReply>), Error> {
    let remote = remote::connect(name, settings).await?;
    let reply = remote.runs().info(InfoRequest::default()).await;
    let info = reply.map_err(|status| remote.error(status))?.into_inner();
    let usage = match remote.runs().usage(UsageRequest {}).await {
        Ok(reply) => Some(reply.into_inner()),
        // An older daemon has no quotas.
        Err(status) if status.code() == tonic::Code::Unimplemented => None,
        Err(status) => return Err(remote.error(status)),
    };
    Ok((info, usage))
}

/// How much of the quota is used; a warning from nine tenths on.
fn quota(label: &str, usage: &UsageReply) -> Check {
    let UsageReply { bytes, files, bytes_max, files_max } = *usage;
    let name = format!("{label}: quota");
    let detail = format!(
        "{} of {} and {} of {} files are used",
        DecimalBytes(bytes),
        DecimalBytes(bytes_max),
        HumanCount(files),
        HumanCount(files_max)
    );
    let nearly = |used: u64, max: u64| used >= max - max / 10;
    if nearly(bytes, bytes_max) || nearly(files, files_max) {
        let hint = "`handoff rm` removes runs that you no longer need; the operator may raise it";
        return Check::warning(&name, detail, hint);
    }
    Check::ok(&name, detail)
}

fn findings(label: &str, info: &InfoReply) -> Vec<Check> {
    let own = env!("CARGO_PKG_VERSION");
    let detail =
        format!("handoffd {}, as user {}, network {}", info.version, info.user, info.network);
    let first = if info.version == own {
        Check::ok(label, detail)
    } else {
        let hint = format!("this is handoff {own}: upgrade whichever is older");
        Check::warning(label, detail, hint)
    };
    let layers = info.isolation.iter().map(|layer| finding(label, layer));
    std::iter::once(first).chain(layers).collect()
}

fn finding(label: &str, layer: &IsolationLayer) -> Check {
    let (detail, hint) = match layer.detail.split_once(TO_DO) {
        Some((detail, hint)) => (detail, Some(hint.to_owned())),
        None => (layer.detail.as_str(), None),
    };
    let state = match layer.state.as_str() {
        "in-force" => State::Ok,
        _ if MANDATORY.contains(&layer.name.as_str()) => State::Failed,
        _ => State::Warning,
    };
    let detail = match detail {
        "" => layer.state.clone(),
        detail => format!("{}, {detail}", layer.state),
    };
    Check { name: format!("{label}: {}", layer.name), state, detail, hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_warns_before_it_refuses() {
        let usage = UsageReply { bytes: 89, files: 1, bytes_max: 100, files_max: 10 };
        assert_eq!(quota("b", &usage).state, State::Ok);
        assert_eq!(quota("b", &UsageReply { bytes: 90, ..usage }).state, State::Warning);
        assert_eq!(quota("b", &UsageReply { files: 9, ..usage }).state, State::Warning);
    }

    #[test]
    fn a_missing_layer_tells_how_to_get_it() {
        let layer = |name: &str, state: &str, detail: &str| IsolationLayer {
            name: name.to_owned(),
            state: state.to_owned(),
            detail: detail.to_owned(),
        };
        let check =
            finding("remote box", &layer("disk", "absent", "no quota; to do: mount with prjquota"));
        assert_eq!(check.state, State::Warning);
        assert_eq!(check.detail, "absent, no quota");
        assert_eq!(check.hint.as_deref(), Some("mount with prjquota"));
        assert_eq!(finding("b", &layer("seccomp", "absent", "")).state, State::Failed);
        assert_eq!(finding("b", &layer("seccomp", "in-force", "")).state, State::Ok);
    }
}
