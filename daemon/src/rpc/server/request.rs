//! What a client sends in one call, within the limits of its method, until the call's end.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use handoff_proto::problem::{Code, Problem};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep};
use tonic::Status;

use super::{
    ending::{Ending, Waiting},
    limits::{Limits, Patience},
};

/// The body of a request.
pub(super) struct Request {
    body: Incoming,
    ending: Waiting,
    bytes_max: u64,
    bytes: u64,
    patience: Patience,
    time_is_up: Pin<Box<Sleep>>,
    /// Whether nothing has come since it was asked for.
    is_silent: bool,
}

impl Request {
    pub(super) fn new(body: Incoming, ending: &Ending, limits: Limits) -> Self {
        let (Patience::Whole(wait) | Patience::Silence(wait)) = limits.patience;
        Self {
            body,
            ending: ending.waiting(),
            bytes_max: limits.request_bytes.unwrap_or(u64::MAX),
            bytes: 0,
            patience: limits.patience,
            time_is_up: Box::pin(sleep(wait)),
            is_silent: false,
        }
    }

    /// Counts what came.
    fn count(&mut self, frame: &Frame<Bytes>) -> Result<(), Status> {
        self.is_silent = false;
        self.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        if self.bytes <= self.bytes_max {
            return Ok(());
        }
        let message = format!("request is larger than {} bytes", self.bytes_max);
        Err(Problem::new(Code::Refused, message).into_status_as(tonic::Code::ResourceExhausted))
    }

    /// Waits while nothing comes, but not for ever.
    fn poll_time(&mut self, context: &mut Context<'_>) -> Poll<Status> {
        if let Patience::Silence(wait) = self.patience
            && !self.is_silent
        {
            self.is_silent = true;
            self.time_is_up.as_mut().reset(Instant::now() + wait);
        }
        self.time_is_up.as_mut().poll(context).map(|()| self.too_slow())
    }

    fn too_slow(&self) -> Status {
        let message = match self.patience {
            Patience::Whole(wait) => format!("request took more than {} s", wait.as_secs()),
            Patience::Silence(wait) => format!("nothing came for {} s", wait.as_secs()),
        };
        Problem::new(Code::Unreachable, message).into_status_as(tonic::Code::DeadlineExceeded)
    }
}

impl Body for Request {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Poll::Ready(why) = self.ending.as_mut().poll(context) {
            self.ending = Box::pin(std::future::ready(why.clone()));
            return Poll::Ready(Some(Err(why)));
        }
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                let counted = self.count(&frame);
                Poll::Ready(Some(counted.map(|()| frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                Poll::Ready(Some(Err(Status::from_error(error.into()))))
            }
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => self.poll_time(context).map(|slow| Some(Err(slow))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
