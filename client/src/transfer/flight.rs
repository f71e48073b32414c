//! What is on its way: sent, and not yet said to have arrived.
//!
//! Holding it to what the link takes in a round trip and a little more keeps memory flat, tells early
//! how fast the link is, and leaves what is not on its way to whatever effort the link then deserves.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use handoff_proto::wire::FRAME_BYTES_MAX;

/// As much may always be on its way: a fast link with a short round trip needs no more, and what is
/// on its way before anything is known of the link got less effort than a slow one deserves.
pub(super) const BYTES_MIN: u64 = 256 << 10;

/// As much is never exceeded: the window of the connection.
const BYTES_MAX: u64 = 32 << 20;

/// What is on its way is in about so many pieces.
const PIECES: usize = 4;

/// The smallest piece: what one message costs besides is little next to it.
const PIECE_BYTES_MIN: usize = 64 << 10;

/// How much time what is on its way may take besides a round trip: as long as it may take to make
/// the next piece with the most effort.
const AHEAD: Duration = Duration::from_millis(250);

/// No round trip counts for longer: what takes longer was held up.
const ROUND_TRIP_MAX: Duration = Duration::from_secs(2);

/// Nobody takes anything any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Closed;

/// Counts what is on its way, for one sender that may block and one receiver of answers.
#[derive(Debug, Default)]
pub(super) struct Flight {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    sent: u64,
    arrived: u64,
    /// What was sent when, up to where, and has not arrived yet.
    airborne: VecDeque<(Instant, u64)>,
    /// The shortest time after which something was said to have arrived.
    round_trip: Option<Duration>,
    /// When how much had arrived, for as long as what is on its way may take.
    history: VecDeque<(Instant, u64)>,
    closed: bool,
}

impl Flight {
    /// Waits until so many bytes more may be on their way.
    pub(super) fn take_off(&self, bytes: u64) -> Result<(), Closed> {
        let mut state = self.lock();
        while !state.closed && !state.has_room(bytes) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.closed {
            return Err(Closed);
        }
        state.send(bytes, Instant::now());
        Ok(())
    }

    /// In what pieces to send: small ones tell early how fast a slow link is.
    pub(super) fn piece(&self) -> usize {
        let limit = usize::try_from(self.lock().limit()).unwrap_or(usize::MAX);
        (limit / PIECES).clamp(PIECE_BYTES_MIN, FRAME_BYTES_MAX)
    }

    /// So many bytes have arrived in all.
    pub(super) fn landed(&self, arrived: u64) {
        let mut state = self.lock();
        state.land(arrived, Instant::now());
        drop(state);
        self.changed.notify_all();
    }

    /// Nobody takes anything any more: lets the sender go.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn has_room(&self, bytes: u64) -> bool {
        let airborne = self.sent.saturating_sub(self.arrived);
        airborne == 0 || airborne + bytes <= self.limit()
    }

    /// What arrived within the time that what is on its way may take, which doubles with each round
    /// trip until the link is full.
    fn limit(&self) -> u64 {
        let before = self.history.front().map_or(0, |(_, arrived)| *arrived);
        (BYTES_MIN + self.arrived.saturating_sub(before)).min(BYTES_MAX)
    }

    fn send(&mut self, bytes: u64, now: Instant) {
        self.sent += bytes;
        self.airborne.push_back((now, self.sent));
    }

    fn land(&mut self, arrived: u64, now: Instant) {
        self.history.push_back((now, self.arrived));
        self.arrived = self.arrived.max(arrived);
        while let Some((then, end)) = self.airborne.front()
            && *end <= self.arrived
        {
            let took = now.duration_since(*then).min(ROUND_TRIP_MAX);
            self.round_trip = Some(self.round_trip.map_or(took, |least| least.min(took)));
            self.airborne.pop_front();
        }
        let ahead = AHEAD + self.round_trip.unwrap_or_default();
        while self.history.front().is_some_and(|(then, _)| now.duration_since(*then) > ahead) {
            self.history.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_trip_and_a_quarter_second_are_on_their_way() {
        // 4 MiB a second, in frames of 128 KiB.
        let frame = 128 << 10;
        for (round_trip, at_most) in [(1_u32, 1536 << 10), (600, 4 << 20)] {
            let round_trip = Duration::from_millis(round_trip.into());
            let mut state = State::default();
            let mut now = Instant::now();
            for _ in 0..200 {
                state.send(frame, now);
                now += Duration::from_micros(31_250);
                let arrived = state.arrived + frame;
                state.airborne.back_mut().expect("sent").0 = now - round_trip;
                state.land(arrived, now);
            }
            let least = if round_trip > AHEAD { 3 << 20 } else { 1 << 20 };
            assert!((least..=at_most).contains(&state.limit()), "{}", state.limit());
            assert!(state.history.len() < 40 && state.airborne.is_empty());
        }
    }

    #[test]
    fn the_window_opens_with_every_round_trip_and_has_an_end() {
        let mut state = State::default();
        let mut now = Instant::now();
        let mut limits = Vec::new();
        for _ in 0..12 {
            now += Duration::from_millis(50);
            let arrived = state.arrived + state.limit();
            state.land(arrived, now);
            limits.push(state.limit());
        }
        assert!(limits.is_sorted(), "{limits:?}");
        assert_eq!(limits.last(), Some(&BYTES_MAX));
    }

    #[test]
    fn pieces_grow_with_the_link() {
        let flight = Flight::default();
        assert_eq!(flight.piece(), PIECE_BYTES_MIN);
        flight.landed(BYTES_MAX);
        assert_eq!(flight.piece(), FRAME_BYTES_MAX);
    }

    #[test]
    fn one_that_waits_is_let_go() {
        let flight = Flight::default();
        flight.take_off(BYTES_MIN).expect("room");
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| flight.take_off(BYTES_MIN));
            flight.landed(BYTES_MIN);
            assert!(waiting.join().expect("thread").is_ok());
            let waiting = scope.spawn(|| flight.take_off(BYTES_MAX));
            flight.close();
            assert_eq!(waiting.join().expect("thread"), Err(Closed));
        });
    }
}
