//! The programs that look at nothing but the number of a call. Written here, as ranges: compilers
//! of filters compare with one number after the other, and the kernel translates every comparison
//! at every start of a run.

use seccompiler::sock_filter;

use super::arguments::FILTERED;
use super::{allowed, denied};

// Opcodes of the kernel's `linux/bpf_common.h`, and answers of its `linux/seccomp.h`.
const LOAD_WORD: u16 = 0x20;
const JUMP_IF_AT_LEAST: u16 = 0x35;
const RETURN: u16 = 0x06;
const ALLOW: u32 = 0x7fff_0000;
const FAIL: u32 = 0x0005_0000;

const NOT_PERMITTED: u32 = FAIL | libc::EPERM.unsigned_abs();
const NOT_IMPLEMENTED: u32 = FAIL | libc::ENOSYS.unsigned_abs();

/// Where the number is in what a filter is asked about (`struct seccomp_data`).
const NUMBER: u32 = 0;

/// The first number of the x32 interface.
const X32: u32 = 0x4000_0000;

/// Answers `ENOSYS` to numbers of the x32 interface, which the architecture word does not tell
/// apart from ordinary ones.
pub(super) fn foreign() -> Vec<sock_filter> {
    program(&[(0, ALLOW), (X32, NOT_IMPLEMENTED)])
}

/// Allows what is on the list. Answers `EPERM` to what is denied, and `ENOSYS` to what is on no
/// list, so that programs fall back on what is. `clone3` is not, as its flags are in memory where a
/// filter cannot look; libraries then use `clone`.
pub(super) fn listed() -> Vec<sock_filter> {
    let allowed = allowed::calls().into_iter().chain(FILTERED).map(|call| (call, ALLOW));
    let denied = denied::calls().into_iter().map(|call| (call, NOT_PERMITTED));
    let mut listed: Vec<(u32, u32)> = allowed
        .chain(denied)
        .filter_map(|(call, answer)| Some((u32::try_from(call).ok()?, answer)))
        .collect();
    listed.sort_unstable();
    let mut ranges = vec![(0, NOT_IMPLEMENTED)];
    for (call, answer) in listed {
        begin(&mut ranges, call, answer);
        ranges.push((call + 1, NOT_IMPLEMENTED));
    }
    program(&ranges)
}

/// Begins a range where the last one ends, or lets the one before go on.
fn begin(ranges: &mut Vec<(u32, u32)>, start: u32, answer: u32) {
    ranges.pop_if(|last| last.0 == start);
    if ranges.last().is_none_or(|last| last.1 != answer) {
        ranges.push((start, answer));
    }
}

/// Writes a program that gives every number the answer of its range. Each range ends where the next
/// one starts.
fn program(ranges: &[(u32, u32)]) -> Vec<sock_filter> {
    let instruction = |code, jf, k| sock_filter { code, jt: 0, jf, k };
    let mut program = vec![instruction(LOAD_WORD, 0, NUMBER)];
    // From the last one: whoever is not in it is in one before.
    for (start, answer) in ranges.iter().rev() {
        program.push(instruction(JUMP_IF_AT_LEAST, 1, *start));
        program.push(instruction(RETURN, 0, *answer));
    }
    program.push(instruction(RETURN, 0, NOT_IMPLEMENTED));
    program
}
