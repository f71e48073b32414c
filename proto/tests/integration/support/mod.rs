//! What several test files need.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

pub(crate) mod git;
pub(crate) mod trees;

/// Bytes as a name for system calls.
pub(crate) fn os(bytes: &[u8]) -> &OsStr {
    OsStr::from_bytes(bytes)
}

/// How many cases a property is tried with: `usual`, or what PROPTEST_CASES says.
pub(crate) fn cases(usual: u32) -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}
