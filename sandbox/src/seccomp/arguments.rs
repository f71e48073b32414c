//! The program that looks at arguments: of the few calls that are allowed with some of them only.
//! Passes everything else on to the other programs.

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen as Width, SeccompCmpOp as Compare,
    SeccompCondition as Condition, SeccompFilter, SeccompRule as Rule,
};

use super::{allowed, denied};

/// System calls that are allowed with some arguments.
pub(super) const FILTERED: [libc::c_long; 5] = [
    libc::SYS_clone,
    libc::SYS_ioctl,
    libc::SYS_personality,
    libc::SYS_socket,
    libc::SYS_socketpair,
];

/// The part of the type argument of `socket` that is the type; the rest is flags.
pub(super) const SOCKET_TYPE: i32 = 0xf;

/// Answers `EPERM` to arguments that are not allowed. A foreign architecture ends the process.
pub(super) fn program() -> Result<BpfProgram, BackendError> {
    let refused = [clone()?, ioctl()?, personality()?, socket()?, socketpair()?];
    let rules: BTreeMap<i64, Vec<Rule>> = FILTERED.into_iter().zip(refused).collect();
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EPERM.unsigned_abs()),
        std::env::consts::ARCH.try_into()?,
    )?;
    filter.try_into()
}

/// Any of the flags.
fn clone() -> Result<Vec<Rule>, BackendError> {
    let flags = u64::from(denied::CLONE_FLAGS.cast_unsigned());
    let flags = (0..u64::BITS).map(|bit| 1 << bit).filter(|flag| flags & flag != 0);
    flags
        .map(|flag| {
            Rule::new(vec![Condition::new(0, Width::Qword, Compare::MaskedEq(flag), flag)?])
        })
        .collect()
}

/// Any of the requests.
fn ioctl() -> Result<Vec<Rule>, BackendError> {
    let requests = denied::TERMINAL_REQUESTS.into_iter().chain(denied::SUBVOLUME_REQUESTS);
    requests.map(|request| Rule::new(vec![is(1, request.cast_signed())?])).collect()
}

/// Other domains than those to choose from.
fn personality() -> Result<Vec<Rule>, BackendError> {
    Ok(vec![Rule::new(others(0, allowed::PERSONALITIES.map(u32::cast_signed))?)?])
}

/// Other families, and in the known ones other types and protocols.
fn socket() -> Result<Vec<Rule>, BackendError> {
    let [routing, protocol] = allowed::ROUTING;
    let [internet, internet6] = allowed::INTERNET;
    let mut rules = vec![
        Rule::new(others(0, [allowed::LOCAL, routing, internet, internet6])?)?,
        Rule::new(vec![is(0, routing)?, is_not(2, protocol)?])?,
    ];
    for family in allowed::INTERNET {
        for kind in (0..=SOCKET_TYPE).filter(|kind| !allowed::INTERNET_TYPES.contains(kind)) {
            let [mask, kind] = [SOCKET_TYPE, kind].map(|part| u64::from(part.cast_unsigned()));
            let typed = Condition::new(1, Width::Dword, Compare::MaskedEq(mask), kind)?;
            rules.push(Rule::new(vec![is(0, family)?, typed])?);
        }
        let mut foreign = others(2, allowed::INTERNET_PROTOCOLS)?;
        foreign.push(is(0, family)?);
        rules.push(Rule::new(foreign)?);
    }
    Ok(rules)
}

/// Asking for pairs in other families can load a kernel module.
fn socketpair() -> Result<Vec<Rule>, BackendError> {
    Ok(vec![Rule::new(vec![is_not(0, allowed::LOCAL)?])?])
}

/// The conditions that an argument is none of these.
fn others(
    argument: u8,
    values: impl IntoIterator<Item = i32>,
) -> Result<Vec<Condition>, BackendError> {
    values.into_iter().map(|value| is_not(argument, value)).collect()
}

fn is(argument: u8, value: i32) -> Result<Condition, BackendError> {
    Condition::new(argument, Width::Dword, Compare::Eq, u64::from(value.cast_unsigned()))
}

fn is_not(argument: u8, value: i32) -> Result<Condition, BackendError> {
    Condition::new(argument, Width::Dword, Compare::Ne, u64::from(value.cast_unsigned()))
}
