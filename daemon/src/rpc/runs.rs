//! The `Runs` service: each call names its caller, finds the run among the caller's own, and hands
//! over to the file that does the work. Holds no state and takes no decision about runs.

use std::pin::Pin;

use handoff_proto::wire;
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

use super::{
    attach, content, handoff,
    identity::{Caller, Identity},
    logs, watch,
};
use crate::runs::{AnswerError, Live, Registry, Selector};

/// Longest id of something said: room for a uuid.
const SAID_ID_MAX: usize = 64;

/// What a paired user may ask about runs.
#[derive(Clone, Debug)]
pub struct RunsService {
    registry: Registry,
    identity: Identity,
    handoffs: handoff::Calls,
}

/// A stream of replies.
pub(super) type Replies<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl RunsService {
    /// Serves this registry to callers that this identity accepts.
    #[must_use]
    pub fn new(registry: Registry, identity: Identity) -> Self {
        Self { registry, identity, handoffs: handoff::Calls::default() }
    }

    async fn caller<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        self.identity.caller(request).await
    }

    /// Finds a run for a caller: the one way from a request to a run. Looks at the caller's own runs
    /// only, so that another user's is answered, and takes as long, as one that never was.
    fn find(
        &self,
        caller: &Caller,
        selector: Option<wire::RunSelector>,
    ) -> Result<std::sync::Arc<Live>, Status> {
        let selector = match selector.unwrap_or_default() {
            wire::RunSelector { run, directory } if run.is_empty() => Selector::NewestOf(directory),
            wire::RunSelector { run, .. } => Selector::Text(run),
        };
        Ok(self.registry.select(&caller.user, &selector)?)
    }
}

#[tonic::async_trait]
impl wire::runs_server::Runs for RunsService {
    type HandoffStream = Replies<wire::HandoffReply>;
    type LacksStream = Replies<wire::ChunkIds>;
    type WatchStream = Replies<wire::RunRecord>;
    type WatchAllStream = Replies<wire::WatchAllReply>;
    type LogsStream = Replies<wire::OutputRecord>;
    type AttachStream = Replies<wire::AttachReply>;
    type ManifestStream = Replies<wire::ManifestFrame>;
    type ChunksStream = Replies<wire::Frame>;

    async fn handoff(
        &self,
        request: Request<Streaming<wire::HandoffRequest>>,
    ) -> Result<Response<Self::HandoffStream>, Status> {
        let caller = self.caller(&request).await?;
        let (registry, handoffs) = (self.registry.clone(), self.handoffs.clone());
        Ok(Response::new(handoff::serve(registry, handoffs, caller, request.into_inner())))
    }

    async fn lacks(
        &self,
        request: Request<Streaming<wire::ChunkIds>>,
    ) -> Result<Response<Self::LacksStream>, Status> {
        let caller = self.caller(&request).await?;
        Ok(Response::new(content::lacks(&self.registry, caller, request.into_inner())))
    }

    async fn list(
        &self,
        request: Request<wire::ListRequest>,
    ) -> Result<Response<wire::ListReply>, Status> {
        let caller = self.caller(&request).await?;
        let directory = request.into_inner().directory;
        let mut runs = self.registry.list(&caller.user);
        runs.retain(|run| directory.is_empty() || run.contract.root == directory);
        let runs = runs.iter().map(wire::RunView::from).collect();
        Ok(Response::new(wire::ListReply { runs }))
    }

    async fn show(
        &self,
        request: Request<wire::RunSelector>,
    ) -> Result<Response<wire::RunView>, Status> {
        let caller = self.caller(&request).await?;
        let live = self.find(&caller, Some(request.into_inner()))?;
        Ok(Response::new(live.with(|run| wire::RunView::from(run))))
    }

    async fn watch(
        &self,
        request: Request<wire::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let caller = self.caller(&request).await?;
        let wire::WatchRequest { run, after_seq } = request.into_inner();
        let live = self.find(&caller, run)?;
        Ok(Response::new(watch::one(&self.registry, &live, after_seq)))
    }

    async fn watch_all(
        &self,
        request: Request<wire::WatchAllRequest>,
    ) -> Result<Response<Self::WatchAllStream>, Status> {
        let caller = self.caller(&request).await?;
        let cursor = request.into_inner().cursor;
        Ok(Response::new(watch::all(&self.registry, caller, &cursor).await?))
    }

    async fn logs(
        &self,
        request: Request<wire::LogsRequest>,
    ) -> Result<Response<Self::LogsStream>, Status> {
        let caller = self.caller(&request).await?;
        let wire::LogsRequest { run, after, follow } = request.into_inner();
        let live = self.find(&caller, run)?;
        Ok(Response::new(logs::read(&self.registry, &live, after, follow)))
    }

    async fn attach(
        &self,
        request: Request<Streaming<wire::AttachRequest>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let caller = self.caller(&request).await?;
        let mut requests = request.into_inner();
        let first = requests.message().await?.and_then(|first| first.part);
        let Some(wire::attach_request::Part::Start(mut start)) = first else {
            return Err(Status::invalid_argument("attachment does not begin with its start"));
        };
        let live = self.find(&caller, start.run.take())?;
        Ok(Response::new(attach::serve(&self.registry, live, caller, start, requests).await?))
    }

    async fn stop(
        &self,
        request: Request<wire::RunSelector>,
    ) -> Result<Response<wire::RunView>, Status> {
        let caller = self.caller(&request).await?;
        let live = self.find(&caller, Some(request.into_inner()))?;
        self.registry.stop(&live, &caller.user).await?;
        Ok(Response::new(live.with(|run| wire::RunView::from(run))))
    }

    async fn answer(
        &self,
        request: Request<wire::AnswerRequest>,
    ) -> Result<Response<wire::RunView>, Status> {
        let caller = self.caller(&request).await?;
        let wire::AnswerRequest { run, id, what } = request.into_inner();
        let live = self.find(&caller, run)?;
        let what = what.ok_or(AnswerError::Nothing)?;
        self.registry.answer(&live, id, what, &caller.user).await?;
        Ok(Response::new(live.with(|run| wire::RunView::from(run))))
    }

    async fn say(
        &self,
        request: Request<wire::SayRequest>,
    ) -> Result<Response<wire::RunView>, Status> {
        let caller = self.caller(&request).await?;
        let wire::SayRequest { run, id, text } = request.into_inner();
        let live = self.find(&caller, run)?;
        if !(1..=SAID_ID_MAX).contains(&id.len()) {
            return Err(Status::invalid_argument("what is said has no id"));
        }
        let by = caller.user.as_str().to_owned();
        self.registry.say(&live, wire::Said { id, text, by }).await?;
        Ok(Response::new(live.with(|run| wire::RunView::from(run))))
    }

    async fn remove(
        &self,
        request: Request<wire::RunSelector>,
    ) -> Result<Response<wire::RemoveReply>, Status> {
        let caller = self.caller(&request).await?;
        let live = self.find(&caller, Some(request.into_inner()))?;
        let run_id = live.with(|run| run.id.to_string());
        self.registry.remove(&live).await?;
        Ok(Response::new(wire::RemoveReply { run_id }))
    }

    async fn manifest(
        &self,
        request: Request<wire::ManifestRequest>,
    ) -> Result<Response<Self::ManifestStream>, Status> {
        let caller = self.caller(&request).await?;
        let request = request.into_inner();
        let which = request.which();
        let live = self.find(&caller, request.run)?;
        Ok(Response::new(content::manifest(&self.registry, &caller, &live, which).await?))
    }

    async fn chunks(
        &self,
        request: Request<Streaming<wire::ChunksRequest>>,
    ) -> Result<Response<Self::ChunksStream>, Status> {
        let caller = self.caller(&request).await?;
        let mut requests = request.into_inner();
        let first = requests
            .message()
            .await?
            .ok_or_else(|| Status::invalid_argument("chunks are asked for without a run"))?;
        let live = self.find(&caller, first.run)?;
        let ids = content::wanted(first.ids, requests).await?;
        Ok(Response::new(content::chunks(&self.registry, &caller, &live, ids).await?))
    }

    async fn check(&self, request: Request<wire::Offer>) -> Result<Response<wire::Empty>, Status> {
        let caller = self.caller(&request).await?;
        handoff::check(&self.registry, &caller, request.into_inner()).await?;
        Ok(Response::new(wire::Empty {}))
    }

    async fn usage(
        &self,
        request: Request<wire::UsageRequest>,
    ) -> Result<Response<wire::UsageReply>, Status> {
        let caller = self.caller(&request).await?;
        let usage = self.registry.store().blobs.usage(&caller.user).await?;
        let quota = self.registry.settings().config.store.quota();
        Ok(Response::new(wire::UsageReply {
            bytes: usage.bytes,
            files: usage.blobs,
            bytes_max: quota.bytes,
            files_max: quota.files,
        }))
    }

    async fn info(
        &self,
        request: Request<wire::InfoRequest>,
    ) -> Result<Response<wire::InfoReply>, Status> {
        let caller = self.caller(&request).await?;
        let settings = self.registry.settings();
        let launcher = settings.config.isolation.launcher.clone();
        let state = settings.state.clone();
        let layers = move || crate::doctor::layers(launcher.as_deref(), &state);
        let mut isolation = tokio::task::spawn_blocking(layers)
            .await
            .map_err(|_| Status::unavailable("daemon is stopping"))?;
        isolation.extend(self.registry.sharing().map(|sharing| sharing.report()));
        isolation.extend(crate::doctor::tools(&settings.tools));
        Ok(Response::new(wire::InfoReply {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            user: caller.user.as_str().to_owned(),
            isolation,
            tools: settings.tools.path().iter().map(|path| path.as_bytes().to_vec()).collect(),
            network: settings.config.network.access.name().to_owned(),
            mcp_urls: self.registry.reachable_mcp(request.into_inner().mcp_urls),
        }))
    }
}
