//! Notices that the machine has slept: connections are dead then, and pauses too long.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Waits this long, or until it is told of a wake-up.
pub(super) async fn pause(woken: &mut watch::Receiver<()>, pause: Duration) {
    tokio::select! {
        () = tokio::time::sleep(pause) => {}
        _ = woken.changed() => {}
    }
}

/// Tells when the process or the machine goes on after a stop.
#[derive(Debug)]
pub(super) struct Wake {
    continued: Signal,
    #[cfg(target_os = "linux")]
    clock: clock::Clock,
}

impl Wake {
    /// Listens from now on.
    pub(super) fn new() -> io::Result<Self> {
        let continued = SignalKind::from_raw(rustix::process::Signal::CONT.as_raw());
        Ok(Self {
            continued: signal(continued)?,
            #[cfg(target_os = "linux")]
            clock: clock::Clock::new()?,
        })
    }

    /// Waits until it happens.
    #[cfg(target_os = "linux")]
    pub(super) async fn happened(&mut self) {
        tokio::select! {
            _ = self.continued.recv() => {}
            () = self.clock.jumped() => {}
        }
    }

    /// Waits until it happens.
    #[cfg(not(target_os = "linux"))]
    pub(super) async fn happened(&mut self) {
        self.continued.recv().await;
    }
}

#[cfg(target_os = "linux")]
mod clock {
    use std::io;

    use rustix::fd::OwnedFd;
    use rustix::io::Errno;
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::net::unix::pipe::Receiver;

    /// A moment that never comes: the timer is only there to be cancelled.
    const NEVER: Itimerspec = Itimerspec {
        it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
        it_value: Timespec { tv_sec: i64::MAX / 1_000_000_000, tv_nsec: 0 },
    };

    /// A timer that the kernel cancels when the clock jumps, which it does on waking up.
    #[derive(Debug)]
    pub(super) struct Clock {
        timer: OwnedFd,
        // The runtime has no type of its own for timers; this one only reads and polls.
        waker: Receiver,
    }

    impl Clock {
        pub(super) fn new() -> io::Result<Self> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let timer = timerfd_create(TimerfdClockId::Realtime, flags)?;
            set(&timer)?;
            let waker = Receiver::from_owned_fd_unchecked(timer.try_clone()?)?;
            Ok(Self { timer, waker })
        }

        pub(super) async fn jumped(&mut self) {
            if self.wait().await.is_err() {
                // Without the timer a broken connection is still noticed, only later.
                std::future::pending::<()>().await;
            }
        }

        async fn wait(&self) -> io::Result<()> {
            loop {
                self.waker.readable().await?;
                match self.waker.try_read(&mut [0; 8]) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) if Errno::from_io_error(&error) == Some(Errno::CANCELED) => {
                        return set(&self.timer);
                    }
                    Err(error) => return Err(error),
                    Ok(_) => return Err(io::ErrorKind::Other.into()),
                }
            }
        }
    }

    fn set(timer: &OwnedFd) -> io::Result<()> {
        let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
        timerfd_settime(timer, flags, &NEVER)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_continued_process_has_slept() {
        let mut wake = Wake::new().unwrap();
        let own = rustix::process::getpid();
        rustix::process::kill_process(own, rustix::process::Signal::CONT).unwrap();
        wake.happened().await;
    }
}
