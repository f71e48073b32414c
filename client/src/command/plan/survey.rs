//! Captures what can be carried and lists what cannot, where a handoff would stop at the latter.

use std::collections::BTreeMap;
use std::sync::Arc;

use handoff_proto::path::unescaped;
use handoff_proto::tree::{WalkError, exact_glob};

use crate::capture::repacked::PackMemory;
use crate::capture::{Capture, CaptureError};
use crate::command::carry::Errand;
use crate::output::Output;

/// How often a tree is captured anew without what could not be carried. Each time names up to
/// twenty paths.
const ROUNDS_MAX: usize = 64;

/// A tree, as far as it can be carried.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) capture: Arc<Capture>,
    /// What a handoff would be refused for, by escaped path.
    pub(super) refused: BTreeMap<String, String>,
}

/// Captures the tree without what cannot be carried.
pub(super) async fn survey(
    errand: &Errand,
    packs: Option<PackMemory>,
    output: &Output,
) -> anyhow::Result<Survey> {
    let mut refused = BTreeMap::new();
    let mut exclude = Vec::new();
    loop {
        let error = match errand.capture_without(output, packs.clone(), &exclude).await {
            Ok(capture) => return Ok(Survey { capture, refused }),
            Err(error) => error,
        };
        let before = exclude.len();
        if let Some(CaptureError::Walk { source: WalkError::Refused { refused: more, .. }, .. }) =
            error.downcast_ref()
            && refused.len() < ROUNDS_MAX * more.len()
        {
            for refusal in more {
                let told = refused.insert(refusal.path.clone(), refusal.reason.to_string());
                if let (None, Some(path)) = (told, unescaped(&refusal.path)) {
                    exclude.push(exact_glob(&path));
                }
            }
        }
        // In git directories nothing can be left out: then the refusal is all there is to say.
        if exclude.len() == before {
            return Err(error);
        }
    }
}
