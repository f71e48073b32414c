//! What every store must do, held against the embedded one, and what only that one promises.

mod blobs;
mod blobs_model;
mod embedded;
mod log;
mod queue;
mod sample;

use handoff_daemon::store::{Store, embedded::Embedded};
use tempfile::TempDir;

/// An engine under test: knows how to come back after it was closed.
trait Engine {
    /// Opens the store, the same one each time.
    fn open(&self) -> Store;
}

/// The embedded store in a directory of its own.
struct EmbeddedEngine(TempDir);

impl EmbeddedEngine {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("directory"))
    }
}

impl Engine for EmbeddedEngine {
    fn open(&self) -> Store {
        Embedded::open(self.0.path()).expect("store").interfaces()
    }
}

/// Holds the whole suite against one engine; each rule gets an engine of its own.
macro_rules! conformance {
    ($engine:expr; $($module:ident::$rule:ident),+ $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
        async fn $rule() {
            tokio::time::timeout(std::time::Duration::from_secs(120), $module::$rule(&$engine))
                .await
                .expect("the rule is decided in time");
        }
    )+};
}

conformance! { EmbeddedEngine::new();
    log::of_many_racers_exactly_one_appends,
    log::a_stale_append_learns_the_actual_revision,
    log::a_batch_is_stored_whole_or_not_at_all,
    log::runs_do_not_see_each_other,
    log::a_tail_across_reopening_has_no_gap,
    log::a_tail_is_woken_by_an_append,
    log::a_forgotten_run_is_gone_and_fenced,
    queue::an_expired_lease_is_given_out_again,
    queue::renewing_holds_a_lease,
    queue::an_attempt_offered_twice_is_claimed_once,
    queue::a_higher_attempt_replaces_a_lower_one,
    queue::a_released_run_comes_back_and_a_done_one_does_not,
    queue::a_run_is_not_claimable_before_its_time,
    queue::workers_share_the_runs_of_their_classes,
    blobs::a_blob_is_readable_after_the_commit_only,
    blobs::a_blob_put_twice_is_stored_once,
    blobs::a_wrong_hash_is_refused,
    blobs::nothing_crosses_users,
    blobs::each_user_pays_for_what_others_have_too,
    blobs::what_is_lacking_comes_in_order_once,
    blobs::a_large_blob_comes_back_whole,
    blobs::many_blobs_in_parallel_come_back_whole,
    blobs::deleted_blobs_are_gone,
    blobs::a_skipped_blob_that_vanishes_fails_the_commit,
}
