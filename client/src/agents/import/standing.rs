//! How a transcript that is here stands to what came back.

use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::FileExt as _;

use super::lines::{From, Line, Lines, common};
use super::place::{Here, Mark};
use super::returned::Returned;
use super::{ImportError, Member};
use crate::agents::Kind;
use crate::agents::renames::Renames;

/// How a transcript that is here stands to what came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::agents) enum Standing {
    /// It holds all of it, and perhaps more.
    HasIt,
    /// It is a beginning, and reads so with the rest.
    Begins(Join),
    /// It went on by itself.
    WentOn,
}

/// What a transcript becomes: the beginning of what is here, and what came back from there on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::agents) struct Join {
    pub(in crate::agents) keep: u64,
    pub(in crate::agents) from: u64,
}

impl Standing {
    /// By bytes, of which they have that many in common at the beginning.
    pub(in crate::agents) fn by_bytes(common: u64, here: &Here, returned: &Returned) -> Self {
        match () {
            () if common == returned.len => Self::HasIt,
            () if common >= here.len => Self::Begins(Join::default()),
            () => Self::WentOn,
        }
    }

    /// By what was said behind the laptop's own part, which is the beginning of both: agents write
    /// down more than that, also of a prompt that is kept back, as the one which hands a session off.
    /// `said` tells what a line says, if that is a part of the conversation.
    pub(in crate::agents) fn by_what_was_said(
        here: &Here,
        returned: &Returned,
        renames: &Renames,
        said: impl Fn(&[u8]) -> Option<Vec<u8>>,
    ) -> io::Result<Self> {
        if !ends_with_a_line(here)? {
            return Ok(Self::WentOn);
        }
        let own = returned.own;
        let mut known = Lines::new(BufReader::new(From::new(&here.file, own)));
        let mut all = Lines::new(BufReader::new(renames.reader(returned.from(own))));
        let mut from = own;
        loop {
            let (said_here, said) =
                match (next_said(&mut known, &said)?, next_said(&mut all, &said)?) {
                    (None, Some(_)) => return Ok(Self::Begins(Join { keep: here.len, from })),
                    (_, None) => return Ok(Self::HasIt),
                    (Some(said_here), Some(said)) => (said_here, said),
                };
            if said_here != said || said == Said::TooMuch {
                return Ok(Self::WentOn);
            }
            from = own + all.read();
        }
    }
}

/// What a line says.
#[derive(PartialEq, Eq)]
enum Said {
    This(Vec<u8>),
    /// More than is looked at.
    TooMuch,
}

/// The next that is a part of the conversation, or may be one.
fn next_said<R: BufRead>(
    lines: &mut Lines<R>,
    said: impl Fn(&[u8]) -> Option<Vec<u8>>,
) -> io::Result<Option<Said>> {
    loop {
        match lines.next()? {
            None => return Ok(None),
            Some(Line::TooLong) => return Ok(Some(Said::TooMuch)),
            Some(Line::Whole(line)) => {
                if let Some(this) = said(line) {
                    return Ok(Some(Said::This(this)));
                }
            }
        }
    }
}

fn ends_with_a_line(here: &Here) -> io::Result<bool> {
    let mut last = [0];
    let Some(at) = here.len.checked_sub(1) else { return Ok(false) };
    here.file.read_exact_at(&mut last, at)?;
    Ok(last == *b"\n")
}

/// What is to be done with one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing: it is here.
    Nothing,
    /// Written where there is none.
    Make,
    /// Written over what is here.
    Replace(Join, Mark),
    /// What is here went on by itself.
    Keep,
}

/// What is to be done with a file whose place is `path`, if ids are those.
pub(super) fn step(
    kind: Kind,
    path: &std::path::Path,
    member: &Member<'_>,
    renames: &Renames,
) -> Result<Step, ImportError> {
    let Some(here) = Here::open(path)? else { return Ok(Step::Make) };
    let unread = |source| ImportError::Read { path: path.to_owned(), source };
    let returned = &member.returned;
    let content = renames.reader(returned.from(0));
    let common = common(content, From::new(&here.file, 0), ImportError::Scratch, unread)?;
    let standing = kind.continued(common, &here, returned, renames).map_err(unread)?;
    Ok(match standing {
        Standing::HasIt => Step::Nothing,
        Standing::Begins(join) => Step::Replace(join, here.mark),
        Standing::WentOn => Step::Keep,
    })
}
