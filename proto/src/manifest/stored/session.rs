//! The stored form of a session.

use prost::Message as _;

use crate::chunk::ChunkRef;
use crate::manifest::check::at_most;
use crate::manifest::error::ManifestError;
use crate::manifest::limits::Limits;
use crate::manifest::session::Session;
use crate::path::AbsolutePath;
use crate::wire;

use super::decode::{Taken, decode_rest};
use super::fields::each_field;
use super::number;
use super::record::{self, put_entry, put_length};

/// The whole field of that number.
pub(super) fn field(number: u32, session: &Session) -> Vec<u8> {
    let header = wire::StoredSession {
        agent: session.agent.clone(),
        id: session.id.clone(),
        directory: session.directory.as_bytes().to_vec(),
        files: Vec::new(),
    };
    let mut content = header.encode_to_vec();
    let mut file = Vec::new();
    for entry in &session.files {
        put_entry(&mut file, number::session::FILES, entry);
        content.extend_from_slice(&file);
    }
    let mut field = Vec::with_capacity(content.len() + 10);
    put_length(&mut field, number, content.len());
    field.append(&mut content);
    field
}

pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Session, ManifestError> {
    let mut files = Vec::new();
    let header: wire::StoredSession = decode_rest(bytes, |field| match field.number {
        number::session::FILES => {
            at_most("files of a session", files.len() + 1, limits.entries_max)?;
            files.push(record::entry(field.bytes()?)?);
            Ok(Taken::Yes)
        }
        _ => Ok(Taken::No),
    })?;
    Ok(Session {
        agent: header.agent,
        id: header.id,
        directory: AbsolutePath::parse(&header.directory)
            .map_err(ManifestError::SessionDirectory)?,
        files,
    })
}

/// The chunks of a session's files.
pub(super) fn chunks(bytes: &[u8]) -> Result<Vec<ChunkRef>, ManifestError> {
    let mut chunks = Vec::new();
    each_field(bytes, |field| {
        if field.number == number::session::FILES {
            chunks.extend_from_slice(record::entry(field.bytes()?)?.chunks());
        }
        Ok(())
    })?;
    Ok(chunks)
}
