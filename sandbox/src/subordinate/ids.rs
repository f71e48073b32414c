//! Which subordinate ids a user has. Reads `/etc/subuid` and `/etc/subgid` as subuid(5) describes
//! them; knows no other source of ids.

use std::fs;
use std::ops::Range;

use super::ownership;
use crate::report::{Refusal, Refuse as _, Step};

/// Ranges that are used: the kernel takes 340 lines of a mapping, and few users have two.
const RANGES_MAX: usize = 64;

/// The subordinate ids of the caller's user, as far as each is one as uid and as gid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubordinateIds {
    /// Ascending, none empty, none overlapping.
    ranges: Vec<Range<u32>>,
}

impl SubordinateIds {
    /// Returns the ids that runs of the caller can be given, which is tried out. Starts a process.
    ///
    /// # Errors
    ///
    /// Fails if the caller is root or has no such ids, or if the system does not
    /// let them be used.
    pub fn find() -> Result<Self, Refusal> {
        if rustix::process::geteuid().is_root() {
            return Err(Refusal::new(Step::Identity, "root needs no subordinate ids"));
        }
        let ids = Self::configured()?;
        ownership::give(&[], rustix::process::getuid().as_raw())?;
        Ok(ids)
    }

    /// Returns the ids that the files name.
    pub(crate) fn configured() -> Result<Self, Refusal> {
        let user = rustix::process::getuid().as_raw();
        let names = names(&fs::read_to_string("/etc/passwd").unwrap_or_default(), user);
        let read = |path: &str| {
            let text =
                fs::read_to_string(path).refuse(Step::Identity, format_args!("read {path}"))?;
            Ok::<_, Refusal>(ranges(&text, &names))
        };
        let ids = Self { ranges: common(&read("/etc/subuid")?, &read("/etc/subgid")?) };
        if ids.ranges.is_empty() {
            let detail = format!("user {user} has no subordinate ids");
            return Err(Refusal::new(Step::Identity, detail));
        }
        Ok(ids)
    }

    /// Tells whether this is one of them.
    #[must_use]
    pub fn contains(&self, id: u32) -> bool {
        self.ranges.iter().any(|range| range.contains(&id))
    }

    /// Returns how many there are.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.ranges.iter().map(|range| range.end - range.start).sum()
    }

    /// Lists all, beginning somewhere in the upper half, as `start` says. The user's own containers
    /// use the lowest of these numbers and the very last ones, if any.
    pub fn from(&self, start: u32) -> impl Iterator<Item = u32> {
        let count = self.count();
        let lower = count / 2;
        let upper = count - lower;
        let above = (0..upper).map(move |place| lower + rotate(place, start, upper));
        above.chain((0..lower).rev()).filter_map(|place| self.at(place))
    }

    pub(super) fn ranges(&self) -> &[Range<u32>] {
        &self.ranges
    }

    fn at(&self, mut place: u32) -> Option<u32> {
        for range in &self.ranges {
            let length = range.end - range.start;
            if place < length {
                return Some(range.start + place);
            }
            place -= length;
        }
        None
    }
}

/// `place` places after `start`, in a circle of so many.
fn rotate(place: u32, start: u32, count: u32) -> u32 {
    let sum = u64::from(place) + u64::from(start);
    u32::try_from(sum % u64::from(count.max(1))).unwrap_or_default()
}

/// How lines of the files may call a user: by number, or by a name of `/etc/passwd`.
fn names(accounts: &str, user: u32) -> Vec<String> {
    let number = user.to_string();
    let of_user = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number).then(|| name.to_owned())
    };
    accounts.lines().filter_map(of_user).chain([number.clone()]).collect()
}

/// The ranges of a user in the text of a file, ascending and without those that overlap earlier
/// ones. A line that is none is nobody's.
fn ranges(text: &str, names: &[String]) -> Vec<Range<u32>> {
    let of_user = |line: &str| {
        let mut fields = line.trim().split(':');
        let owner = fields.next()?;
        let (first, count) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let range = first..u32::checked_add(first, count)?;
        let is_one = fields.next().is_none() && names.iter().any(|name| name == owner);
        is_one.then_some(range)
    };
    let mut found: Vec<Range<u32>> = text.lines().filter_map(of_user).collect();
    found.sort_by_key(|range| range.start);
    // 0 is nobody's to give.
    let mut end = 1;
    found.retain_mut(|range| {
        range.start = range.start.max(end);
        end = end.max(range.end);
        range.start < range.end
    });
    found
}

/// What is in both.
fn common(one: &[Range<u32>], other: &[Range<u32>]) -> Vec<Range<u32>> {
    let both = |a: &Range<u32>, b: &Range<u32>| a.start.max(b.start)..a.end.min(b.end);
    let all = one.iter().flat_map(|a| other.iter().map(move |b| both(a, b)));
    all.filter(|range| range.start < range.end).take(RANGES_MAX).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn ids(subuid: &str, subgid: &str) -> SubordinateIds {
        let names = names("root:x:0:0::/:/bin/sh\nada:x:1000:1000::/:/bin/sh\n", 1000);
        SubordinateIds { ranges: common(&ranges(subuid, &names), &ranges(subgid, &names)) }
    }

    #[test]
    #[expect(clippy::single_range_in_vec_init, reason = "one range is what is meant")]
    fn only_what_is_the_users_as_uid_and_as_gid_counts() {
        let found = |subuid: &str, subgid: &str| ids(subuid, subgid).ranges;
        assert_eq!(found("ada:100000:65536\n", "1000:100000:65536\n"), [100_000..165_536]);
        assert_eq!(found("bob:100000:9\nada:7000:10\n", "ada:7005:10\n"), [7005..7010]);
        let two = "ada:300:10\nada:100:10\nada:105:10\n";
        assert_eq!(found(two, two), [100..110, 110..115, 300..310]);
        for (subuid, subgid) in [
            ("ada:100000:65536\n", "bob:100000:65536\n"),
            ("ada:1:2\n", "ada:3:4\n"),
            ("ada:100000:65536:1\n# ada\nada:x:1\nada\n", "ada:100000:65536\n"),
            ("ada:4294967295:2\n", "ada:4294967295:2\n"),
            ("ada:0:1\n", "ada:0:1\n"),
        ] {
            assert_eq!(found(subuid, subgid), [], "{subuid}");
        }
    }

    #[test]
    fn each_is_listed_once_and_the_ends_last() {
        let text = "ada:1000:10\nada:2000:10\n";
        let ids = ids(text, text);
        assert_eq!(ids.count(), 20);
        for start in [0, 7, u32::MAX] {
            let all: Vec<u32> = ids.from(start).collect();
            assert!(all[..10].iter().all(|id| *id >= 2000), "{all:?}");
            assert_eq!(all.last(), Some(&1000));
            assert_eq!(all.iter().collect::<HashSet<_>>().len(), 20);
            assert!(all.iter().all(|id| ids.contains(*id)));
        }
        assert_eq!(ids.from(3).next(), Some(2003));
        assert!(!ids.contains(1010) && !ids.contains(0));
    }
}
