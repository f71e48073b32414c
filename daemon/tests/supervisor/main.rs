//! Supervisors as processes: a job goes on whatever happens to who started it, ends when it has to,
//! and leaves nothing behind. Needs bubblewrap, and does as root what it does for anybody.

mod clock;
mod death;
mod disk;
mod ending;
mod gateway;
mod input;
mod job;
mod output;
mod scene;
mod steps;
mod terminal;
