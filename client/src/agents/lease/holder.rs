//! Who holds a session now: the run that has its lease, or a handoff of it in the outbox.

use super::{Lease, LeaseError, LeaseHolder, Leases, prompt_hash, session_of};
use crate::outbox::{Entry, Outbox, Standing};
use crate::settings::Places;

/// Who holds a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A run.
    Run(Lease),
    /// A handoff that no receipt has come for.
    Unsent {
        /// The run that it would be, by the entry's id.
        of: LeaseHolder,
        /// Where it stands.
        standing: Standing,
    },
}

/// Who holds a session, if anybody does.
///
/// # Errors
///
/// Where the id is none, or what is kept cannot be read.
pub fn holder(places: &Places, agent: &str, session: &str) -> Result<Option<Holder>, LeaseError> {
    // In this order: an entry goes only when its run has the lease.
    let unsent = unsent(places, agent, session);
    if let Some(lease) = Leases::new(places).held(agent, session)? {
        return Ok(Some(Holder::Run(lease)));
    }
    unsent
}

fn unsent(places: &Places, agent: &str, session: &str) -> Result<Option<Holder>, LeaseError> {
    let entries = Outbox::new(places).all();
    let entries = entries.map_err(|source| LeaseError::Outbox(Box::new(source)))?;
    Ok(entries.into_iter().find_map(|entry| of_entry(entry, agent, session)))
}

/// The entry as a holder, if it is of this session.
fn of_entry(entry: Entry, agent: &str, session: &str) -> Option<Holder> {
    let contract = &entry.offer.contract;
    let (id, terms) = session_of(contract)?;
    if contract.agent != agent || id != session {
        return None;
    }
    let of = LeaseHolder {
        run: entry.id.to_string(),
        name: entry.shown_name(),
        remote: entry.remote.clone(),
        prompt: prompt_hash(&terms.prompt),
        since_unix_nanos: entry.at_unix_nanos,
    };
    Some(Holder::Unsent { of, standing: entry.standing })
}
