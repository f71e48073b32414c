//! The admin socket: in the state directory, for its owner and root.

use std::{
    fs::{self, File, Permissions},
    io,
    os::{fd::AsRawFd, unix::fs::PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::process::geteuid;
use tokio::net::{UnixListener, UnixStream};
use tonic::service::Routes;

use crate::{
    rpc::server::{Door, Tasks, serve_connection},
    store::StoreError,
};

/// The socket's name in the state directory.
const NAME: &str = "admin.sock";

/// The bound socket; its file goes when it is dropped.
#[derive(Debug)]
pub struct AdminSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl AdminSocket {
    /// Binds the socket of a state directory. Whoever calls this holds the store's lock, so a file
    /// of that name is left over and removed.
    ///
    /// # Errors
    /// When the socket cannot be bound.
    pub fn bind(state: &Path) -> Result<Self, StoreError> {
        let path = state.join(NAME);
        let failed = |source| StoreError::Io { act: "listen on", path: path.clone(), source };
        let bound = (|| {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
            let short = ShortPath::of(state)?;
            let listener = UnixListener::bind(short.path())?;
            fs::set_permissions(&path, Permissions::from_mode(0o600))?;
            Ok(listener)
        })();
        Ok(Self { listener: bound.map_err(failed)?, path })
    }

    /// Serves these services to the operator until `shutdown` resolves.
    pub async fn serve(self, routes: Routes, shutdown: impl Future<Output = ()>) {
        let (tasks, routes) = (Tasks::default(), routes.prepare());
        tokio::select! {
            () = self.accept(&tasks, &routes) => {}
            () = shutdown => {}
        }
        tasks.end().await;
    }

    async fn accept(&self, tasks: &Tasks, routes: &Routes) {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) if is_operator(&stream) => {
                    let (owner, routes) = (tasks.clone(), routes.clone());
                    tasks.spawn(async move {
                        let served = serve_connection(&owner, &routes, Door::Operator, stream);
                        if let Err(error) = served.await {
                            tracing::debug!(error, "admin connection ended");
                        }
                    });
                }
                Ok(_) => tracing::warn!("a stranger at the admin socket was turned away"),
                Err(error) => {
                    tracing::error!(%error, "the admin socket is closed");
                    return std::future::pending().await;
                }
            }
        }
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "admin socket was gone already");
        }
    }
}

/// Connects to the admin socket of a state directory.
pub(super) async fn connect(state: &Path) -> io::Result<UnixStream> {
    let short = ShortPath::of(state)?;
    UnixStream::connect(short.path()).await
}

/// A path to the socket that fits into a socket address (108 bytes) however long the state
/// directory's is. It works while this lives.
struct ShortPath {
    directory: File,
}

impl ShortPath {
    fn of(state: &Path) -> io::Result<Self> {
        File::open(state).map(|directory| Self { directory })
    }

    fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/{NAME}", self.directory.as_raw_fd()))
    }
}

/// Only this user and root administer the daemon, whatever the mode of the file.
fn is_operator(stream: &UnixStream) -> bool {
    stream.peer_cred().is_ok_and(|peer| peer.uid() == 0 || peer.uid() == geteuid().as_raw())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_path_of_the_state_directory_may_be_long() {
        let parent = tempfile::tempdir().expect("directory");
        let state = parent.path().join("x".repeat(120)).join("y".repeat(120));
        fs::create_dir_all(&state).expect("directory");
        let socket = AdminSocket::bind(&state).expect("bind");
        let mode = fs::metadata(&socket.path).expect("socket").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        connect(&state).await.expect("connect");
        drop(socket);
        let error = connect(&state).await.expect_err("nobody listens");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        AdminSocket::bind(&state).expect("bind again");
    }
}
