//! How the calls of a connection end before their time: wherever one stands, what it reads and what
//! it replies ends with the reason.
//!
//! The bodies of all calls are wrapped, so that no kind of stream can be forgotten.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::HeaderMap;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::sync::SetOnce;
use tonic::Status;

/// Why the calls of a connection end, once they do. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(in crate::rpc) struct Ending(Arc<SetOnce<Status>>);

/// Waits for the end.
pub(super) type Waiting = Pin<Box<dyn Future<Output = Status> + Send>>;

impl Ending {
    /// Ends the calls; only the first reason counts.
    pub(super) fn end(&self, why: Status) {
        // Whoever was first has said why.
        drop(self.0.set(why));
    }

    /// Refuses to go on once the end has come.
    pub(in crate::rpc) fn check(&self) -> Result<(), Status> {
        self.0.get().cloned().map_or(Ok(()), Err)
    }

    /// Waits for the end.
    pub(super) async fn wait(&self) -> Status {
        self.0.wait().await.clone()
    }

    pub(super) fn waiting(&self) -> Waiting {
        let ending = self.clone();
        Box::pin(async move { ending.wait().await })
    }
}

/// What a client is told; its last word is the reason.
pub(super) struct Reply<H> {
    /// None when the last word was said.
    body: Option<tonic::body::Body>,
    ending: Waiting,
    _held: H,
}

impl<H> Reply<H> {
    /// Holds something until the call has ended.
    pub(super) fn new(body: tonic::body::Body, ending: &Ending, held: H) -> Self {
        Self { body: Some(body), ending: ending.waiting(), _held: held }
    }
}

impl<H: Unpin> Body for Reply<H> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        if body.is_end_stream() {
            return Poll::Ready(None);
        }
        match this.ending.as_mut().poll(context) {
            Poll::Pending => Pin::new(body).poll_frame(context),
            Poll::Ready(why) => {
                // Whoever makes the replies notices that nobody takes them.
                this.body = None;
                let mut trailers = HeaderMap::new();
                Poll::Ready(Some(match why.add_header(&mut trailers) {
                    Ok(()) => Ok(Frame::trailers(trailers)),
                    Err(error) => Err(error),
                }))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, task::Waker};

    use super::*;

    fn next(reply: &mut Reply<()>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(reply).poll_frame(&mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test]
    async fn a_reply_that_would_wait_for_ever_ends_with_the_reason() {
        let ending = Ending::default();
        let endless = tokio_stream::pending::<Result<Frame<Bytes>, Status>>();
        let body = tonic::body::Body::new(StreamBody(endless));
        let mut reply = Reply::new(body, &ending, ());
        assert!(next(&mut reply).is_pending() && ending.check().is_ok());
        let waiting = poll_fn(|context| Pin::new(&mut reply).poll_frame(context));
        let (frame, ()) = tokio::join!(waiting, async {
            ending.end(Status::unauthenticated("revoked"));
            ending.end(Status::unauthenticated("too late"));
        });
        let trailers = frame.expect("a frame").expect("no error").into_trailers();
        let told = Status::from_header_map(&trailers.expect("trailers")).expect("a status");
        assert_eq!((told.code(), told.message()), (tonic::Code::Unauthenticated, "revoked"));
        assert!(matches!(next(&mut reply), Poll::Ready(None)));
        assert_eq!(ending.check().expect_err("it has come").message(), "revoked");
    }

    struct StreamBody<S>(S);

    impl<S: tokio_stream::Stream<Item = Result<Frame<Bytes>, Status>> + Unpin> Body for StreamBody<S> {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            Pin::new(&mut self.0).poll_next(context)
        }
    }
}
