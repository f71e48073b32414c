//! Shares the work on a large manifest among a few threads; somebody waits for each of them.

use std::num::NonZero;
use std::thread;

/// Fewer entries than this are dealt with sooner than a thread is started.
const LARGE: usize = 8192;

/// More threads would wait for memory.
const THREADS_MAX: usize = 4;

/// Does both, at the same time where there are many entries.
pub(super) fn both<A: Send, B>(
    entries: usize,
    first: impl Fn() -> A + Sync,
    second: impl FnOnce() -> B,
) -> (A, B) {
    if entries < LARGE || threads() == 1 {
        return (first(), second());
    }
    thread::scope(|scope| {
        // Where a system allows no more threads, this one does it all.
        let other = thread::Builder::new().spawn_scoped(scope, &first).ok();
        let second = second();
        let first = match other {
            Some(other) => other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            None => first(),
        };
        (first, second)
    })
}

/// Makes something of each item, in their order, or tells of the first that it cannot be made of.
pub(super) fn each<I: Sync, T: Send, E: Send>(
    items: &[I],
    make: impl Fn(&I) -> Result<T, E> + Sync,
) -> Result<Vec<T>, E> {
    let part = items.len().div_ceil(threads());
    if items.len() < LARGE || part == items.len() {
        return items.iter().map(make).collect();
    }
    let make = &make;
    thread::scope(|scope| {
        let begin = move |part: &[I]| part.iter().map(make).collect::<Result<Vec<T>, E>>();
        let parts: Vec<(&[I], _)> = items
            .chunks(part)
            .skip(1)
            .map(|part| {
                (part, thread::Builder::new().spawn_scoped(scope, move || begin(part)).ok())
            })
            .collect();
        let mut all = begin(&items[..part])?;
        all.reserve_exact(items.len() - part);
        for (part, other) in parts {
            let made = match other {
                Some(other) => {
                    other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                }
                None => begin(part),
            };
            all.append(&mut made?);
        }
        Ok(all)
    })
}

fn threads() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get).min(THREADS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_stays_and_the_first_failure_is_told() {
        for count in [0, 1, LARGE - 1, LARGE, LARGE + 1, 3 * LARGE + 5] {
            let items: Vec<usize> = (0..count).collect();
            assert_eq!(each(&items, |item| Ok::<_, ()>(*item)), Ok(items.clone()));
            let failed =
                each(&items, |item| if *item % 5000 == 4999 { Err(*item) } else { Ok(()) });
            assert_eq!(failed.err(), (count >= 5000).then_some(4999));
            assert_eq!(both(count, || 1, || 2), (1, 2));
        }
    }
}
