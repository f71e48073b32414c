//! Looking at what a job's output does not keep: the daemon's side. Whoever looks at a terminal goes
//! on seeing what it shows when the output is past its limit.

use std::path::Path;

use data_encoding::BASE64;

use super::connection::Connection;
use super::message::{FromSupervisor, ToSupervisor};
use super::output::Position;

/// Somebody who looks. Dropping it looks away.
#[derive(Debug)]
pub struct Looking(Option<Connection>);

/// Output that is not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unkept {
    /// Behind which place in the output it comes.
    pub after: Position,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// How many bytes before these came too fast to be shown.
    pub skipped: u64,
}

impl Looking {
    /// Begins to look. What can be seen without is seen all the same.
    pub(super) async fn begin(job_dir: &Path) -> Self {
        let Ok(mut connection) = Connection::open(job_dir).await else { return Self(None) };
        let begun = connection.send(&ToSupervisor::Look).await;
        Self(begun.ok().map(|()| connection))
    }

    /// Waits for more; none once nothing more will come. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Unkept> {
        loop {
            match self.0.as_mut()?.receive().await {
                Ok(FromSupervisor::Unkept { after, base64, skipped }) => {
                    let bytes = BASE64.decode(base64.as_bytes()).ok()?;
                    return Some(Unkept { after, bytes, skipped });
                }
                Ok(_) => {}
                Err(_gone) => self.0 = None,
            }
        }
    }
}
