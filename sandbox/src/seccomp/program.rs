//! Turns the list of what is denied into programs for the kernel.

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen as Width, SeccompCmpOp as Compare,
    SeccompCondition as Condition, SeccompFilter, SeccompRule as Rule, sock_filter,
};

use super::denied;

type Rules = BTreeMap<i64, Vec<Rule>>;

/// Answers `ENOSYS` to numbers of the x32 interface, which the architecture word does not tell
/// apart from ordinary ones.
pub(super) fn foreign_numbers() -> Vec<u8> {
    const LOAD_WORD: u16 = 0x20;
    const JUMP_IF_AT_LEAST: u16 = 0x35;
    const RETURN: u16 = 0x06;
    const FIRST_X32: u32 = 0x4000_0000;
    const ALLOW: u32 = 0x7fff_0000;
    const FAIL: u32 = 0x0005_0000;
    let instruction = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    bytes(&[
        instruction(LOAD_WORD, 0, 0, 0),
        instruction(JUMP_IF_AT_LEAST, 0, 1, FIRST_X32),
        instruction(RETURN, 0, 0, FAIL | libc::ENOSYS.unsigned_abs()),
        instruction(RETURN, 0, 0, ALLOW),
    ])
}

/// Answers `ENOSYS` to `clone3`, whose flags are in memory where a filter cannot look; libraries
/// then use `clone`.
pub(super) fn uninspectable() -> Result<Vec<u8>, BackendError> {
    compile(BTreeMap::from([(libc::SYS_clone3, Vec::new())]), libc::ENOSYS)
}

/// Answers `EPERM` to everything on the list. A foreign architecture ends the process.
pub(super) fn denied() -> Result<Vec<u8>, BackendError> {
    let mut rules: Rules = denied::calls().into_iter().map(|call| (call, Vec::new())).collect();
    rules.insert(libc::SYS_clone, clone()?);
    rules.insert(libc::SYS_ioctl, ioctl()?);
    rules.insert(libc::SYS_socket, socket()?);
    compile(rules, libc::EPERM)
}

fn clone() -> Result<Vec<Rule>, BackendError> {
    denied::CLONE_FLAGS
        .into_iter()
        .map(|flag| {
            let flag = u64::from(flag.cast_unsigned());
            Rule::new(vec![Condition::new(0, Width::Qword, Compare::MaskedEq(flag), flag)?])
        })
        .collect()
}

fn ioctl() -> Result<Vec<Rule>, BackendError> {
    denied::TERMINAL_REQUESTS
        .into_iter()
        .map(|request| Rule::new(vec![is(1, request.cast_signed())?]))
        .collect()
}

fn socket() -> Result<Vec<Rule>, BackendError> {
    /// The part of the type argument that is the type; the rest is flags.
    const TYPE: u64 = 0xf;
    let none_of = |argument, values: &[i32]| {
        values.iter().map(|value| is_not(argument, *value)).collect::<Result<Vec<_>, _>>()
    };
    let mut rules = vec![
        Rule::new(none_of(0, &denied::FAMILIES)?)?,
        Rule::new(vec![is(0, libc::AF_NETLINK)?, is_not(2, libc::NETLINK_ROUTE)?])?,
    ];
    for family in denied::INTERNET {
        for kind in denied::INTERNET_TYPES {
            let kind = u64::from(kind.cast_unsigned());
            let typed = Condition::new(1, Width::Dword, Compare::MaskedEq(TYPE), kind)?;
            rules.push(Rule::new(vec![is(0, family)?, typed])?);
        }
        let mut protocol = none_of(2, &denied::INTERNET_PROTOCOLS)?;
        protocol.push(is(0, family)?);
        rules.push(Rule::new(protocol)?);
    }
    Ok(rules)
}

fn is(argument: u8, value: i32) -> Result<Condition, BackendError> {
    Condition::new(argument, Width::Dword, Compare::Eq, u64::from(value.cast_unsigned()))
}

fn is_not(argument: u8, value: i32) -> Result<Condition, BackendError> {
    Condition::new(argument, Width::Dword, Compare::Ne, u64::from(value.cast_unsigned()))
}

fn compile(rules: Rules, errno: i32) -> Result<Vec<u8>, BackendError> {
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(errno.unsigned_abs()),
        std::env::consts::ARCH.try_into()?,
    )?;
    let program: BpfProgram = filter.try_into()?;
    Ok(bytes(&program))
}

/// Writes a program as the kernel's array of instructions.
fn bytes(program: &[sock_filter]) -> Vec<u8> {
    let instruction = |line: &sock_filter| {
        let mut bytes = line.code.to_ne_bytes().to_vec();
        bytes.extend([line.jt, line.jf]);
        bytes.extend(line.k.to_ne_bytes());
        bytes
    };
    program.iter().flat_map(instruction).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernel's limit on the length of one program.
    const INSTRUCTIONS_MAX: usize = 4096;

    #[test]
    fn every_program_compiles_to_whole_instructions_the_kernel_takes() {
        for program in
            [foreign_numbers(), uninspectable().expect("compile"), denied().expect("compile")]
        {
            assert_eq!(program.len() % size_of::<sock_filter>(), 0);
            assert!((1..=INSTRUCTIONS_MAX).contains(&(program.len() / size_of::<sock_filter>())));
        }
    }

    #[test]
    fn no_call_is_listed_twice_or_filtered_in_two_ways() {
        let mut calls = denied::calls();
        let count = calls.len();
        calls.sort_unstable();
        calls.dedup();
        assert_eq!(calls.len(), count);
        for filtered in [libc::SYS_clone, libc::SYS_ioctl, libc::SYS_socket] {
            assert!(!calls.contains(&filtered));
        }
    }
}
