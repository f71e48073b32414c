//! Who has how many connections and calls at a time: a stranger keeps no user out, and no user
//! another one.
//!
//! Whoever has not shown a certificate of a known device is a stranger. Strangers have places of
//! their own; when those are taken, the one who has had his for longest makes room. Devices share
//! places by user. A call that is too much is told so, or waits a while where work is heavy.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use handoff_proto::problem::{Code, Problem};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::limits::Work;
use crate::store::UserName;

/// Strangers at a time. Each may stay for the seconds of a handshake and an enrollment; to keep
/// others from pairing, so many would have to come in the milliseconds that pairing takes.
const STRANGERS_MAX: usize = 64;

/// Connections of known devices at a time: a bound on memory and descriptors.
const CONNECTIONS_MAX: usize = 256;

/// Connections of one user at a time: several for each of some devices, an eighth of all.
const USER_CONNECTIONS_MAX: usize = 32;

/// Connections of one user that have room for uploads over long distances; more are slower, and
/// cost a sixteenth of the memory.
const USER_LARGE_MAX: usize = 4;

/// Calls of one user at a time: mostly streams that wait and cost next to nothing.
const USER_CALLS_MAX: usize = 256;

/// Calls of one user at a time that move or look through content. Each takes a thread or two of
/// the 512 that there are for such work, and some megabytes.
const USER_HEAVY_MAX: usize = 16;

/// How long a call waits for others of its user to end.
const HEAVY_WAIT: Duration = Duration::from_secs(60);

/// All places. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Places(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    /// The oldest first.
    strangers: VecDeque<(u64, CancellationToken)>,
    strangers_ever: u64,
    connections: usize,
    /// Users stay here: the operator invited them, so that there are few.
    users: HashMap<UserName, User>,
}

#[derive(Debug)]
struct User {
    connections: usize,
    calls: Arc<Semaphore>,
    heavy: Arc<Semaphore>,
}

impl Default for User {
    fn default() -> Self {
        let (calls, heavy) = (Semaphore::new(USER_CALLS_MAX), Semaphore::new(USER_HEAVY_MAX));
        Self { connections: 0, calls: calls.into(), heavy: heavy.into() }
    }
}

/// A stranger's place, until it is dropped.
#[derive(Debug)]
pub(super) struct Stranger {
    places: Places,
    number: u64,
    needed: CancellationToken,
}

/// The place of a connection of a known device, until it is dropped.
pub(super) struct Connection {
    places: Places,
    user: UserName,
    calls: Arc<Semaphore>,
    heavy: Arc<Semaphore>,
    /// Whether it has room for uploads over long distances.
    pub(super) is_large: bool,
}

/// The place of one call. Whoever works for the call keeps it, also when the client is gone.
#[derive(Debug)]
pub(in crate::rpc) struct Call {
    _call: OwnedSemaphorePermit,
    _heavy: Option<OwnedSemaphorePermit>,
}

impl Places {
    /// A place for whoever just came; the oldest stranger makes room if that is needed.
    pub(super) fn stranger(&self) -> Stranger {
        let mut taken = self.taken();
        if taken.strangers.len() >= STRANGERS_MAX
            && let Some((_, oldest)) = taken.strangers.pop_front()
        {
            oldest.cancel();
        }
        let (number, needed) = (taken.strangers_ever, CancellationToken::new());
        taken.strangers_ever += 1;
        taken.strangers.push_back((number, needed.clone()));
        Stranger { places: self.clone(), number, needed }
    }

    /// A place for a device of this user, or why there is none.
    pub(super) fn connection(&self, user: &UserName) -> Result<Connection, Status> {
        let mut taken = self.taken();
        if taken.connections >= CONNECTIONS_MAX {
            return Err(busy(format!("all {CONNECTIONS_MAX} connections of the daemon are taken")));
        }
        let of_user = taken.users.entry(user.clone()).or_default();
        if of_user.connections >= USER_CONNECTIONS_MAX {
            return Err(busy(format!(
                "user {user} has {USER_CONNECTIONS_MAX} connections already"
            )));
        }
        let connection = Connection {
            places: self.clone(),
            user: user.clone(),
            calls: Arc::clone(&of_user.calls),
            heavy: Arc::clone(&of_user.heavy),
            is_large: of_user.connections < USER_LARGE_MAX,
        };
        of_user.connections += 1;
        taken.connections += 1;
        Ok(connection)
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stranger {
    /// Waits until somebody newer needs the place.
    pub(super) async fn needed(&self) {
        self.needed.cancelled().await;
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.places.taken().strangers.retain(|(number, _)| *number != self.number);
    }
}

impl Connection {
    /// A place for a call, or why there is none.
    pub(super) async fn call(&self, work: Work) -> Result<Call, Status> {
        let user = &self.user;
        let call = Arc::clone(&self.calls).try_acquire_owned();
        let call = call.map_err(|_| {
            busy(format!("user {user} has {USER_CALLS_MAX} calls going on already"))
        })?;
        let heavy = match work {
            Work::Light => None,
            Work::Heavy => {
                let waited = timeout(HEAVY_WAIT, Arc::clone(&self.heavy).acquire_owned()).await;
                Some(waited.ok().and_then(Result::ok).ok_or_else(|| {
                    busy(format!("user {user} has {USER_HEAVY_MAX} transfers going on already"))
                })?)
            }
        };
        Ok(Call { _call: call, _heavy: heavy })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.connections -= 1;
        if let Some(user) = taken.users.get_mut(&self.user) {
            user.connections -= 1;
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("user", &self.user).finish_non_exhaustive()
    }
}

fn busy(message: String) -> Status {
    Problem::new(Code::Unreachable, message)
        .with_hint("try again when some of what goes on has ended")
        .into_status_as(tonic::Code::ResourceExhausted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> UserName {
        UserName::parse(name).unwrap()
    }

    #[test]
    fn the_oldest_stranger_makes_room() {
        let places = Places::default();
        let strangers: Vec<_> = (0..STRANGERS_MAX).map(|_| places.stranger()).collect();
        assert!(strangers.iter().all(|stranger| !stranger.needed.is_cancelled()));
        let newest = places.stranger();
        let gone = strangers.iter().filter(|stranger| stranger.needed.is_cancelled());
        assert_eq!(gone.map(|stranger| stranger.number).collect::<Vec<_>>(), [0]);
        drop((strangers, newest));
        assert!(places.taken().strangers.is_empty());
        places.connection(&user("ada")).unwrap();
    }

    #[test]
    fn one_user_leaves_connections_for_others() {
        let (places, ada, bob) = (Places::default(), user("ada"), user("bob"));
        let held: Vec<_> =
            (0..USER_CONNECTIONS_MAX).map(|_| places.connection(&ada).unwrap()).collect();
        assert_eq!(held.iter().filter(|place| place.is_large).count(), USER_LARGE_MAX);
        let refused = Problem::from_status(&places.connection(&ada).unwrap_err());
        assert_eq!(refused.code, Code::Unreachable);
        assert_eq!(refused.message, "user ada has 32 connections already");
        places.connection(&bob).unwrap();
        drop(held);
        places.connection(&ada).unwrap();
        assert_eq!(places.taken().connections, 0);
    }

    #[tokio::test]
    async fn a_users_calls_are_bounded_over_all_connections() {
        let (places, ada) = (Places::default(), user("ada"));
        let (one, other) = (places.connection(&ada).unwrap(), places.connection(&ada).unwrap());
        let mut heavy = Vec::new();
        for _ in 0..USER_HEAVY_MAX {
            heavy.push(one.call(Work::Heavy).await.unwrap());
        }
        let mut calls = Vec::new();
        for _ in USER_HEAVY_MAX..USER_CALLS_MAX {
            calls.push(other.call(Work::Light).await.unwrap());
        }
        let message = other.call(Work::Light).await.unwrap_err().message().to_owned();
        assert_eq!(message, "user ada has 256 calls going on already");
        calls.pop();
        // Also on a new connection, after the others were given up.
        drop((one, other));
        let anew = places.connection(&ada).unwrap();
        let mut next = Box::pin(anew.call(Work::Heavy));
        tokio::select! {
            biased;
            _ = &mut next => panic!("a transfer too many"),
            () = std::future::ready(()) => drop(heavy.pop()),
        }
        next.await.unwrap();
        let bob = places.connection(&user("bob")).unwrap();
        bob.call(Work::Heavy).await.unwrap();
    }
}
