//! Turns the lists into programs for the kernel.

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen as Width, SeccompCmpOp as Compare,
    SeccompCondition as Condition, SeccompFilter, SeccompRule as Rule, sock_filter,
};

use super::{allowed, denied};

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

/// Answers `ENOSYS` to what is on no list, so that programs fall back on what is. `clone3` is not,
/// as its flags are in memory where a filter cannot look; libraries then use `clone`.
pub(super) fn unknown() -> Result<Vec<u8>, BackendError> {
    let calls = allowed::calls().into_iter().chain(denied::calls()).chain(FILTERED);
    compile(calls.map(|call| (call, Vec::new())).collect(), libc::ENOSYS)
}

/// Answers `EPERM` to everything that is not allowed. A foreign architecture ends the process.
pub(super) fn allowed() -> Result<Vec<u8>, BackendError> {
    let mut rules: Rules = allowed::calls().into_iter().map(|call| (call, Vec::new())).collect();
    let filtered = [clone()?, ioctl()?, personality()?, socket()?, socketpair()?];
    rules.extend(FILTERED.into_iter().zip(filtered));
    compile(rules, libc::EPERM)
}

/// System calls that are allowed with some arguments.
const FILTERED: [libc::c_long; 5] = [
    libc::SYS_clone,
    libc::SYS_ioctl,
    libc::SYS_personality,
    libc::SYS_socket,
    libc::SYS_socketpair,
];

fn clone() -> Result<Vec<Rule>, BackendError> {
    let flags = u64::from(denied::CLONE_FLAGS.cast_unsigned());
    Ok(vec![Rule::new(vec![Condition::new(0, Width::Qword, Compare::MaskedEq(flags), 0)?])?])
}

fn ioctl() -> Result<Vec<Rule>, BackendError> {
    let others = denied::TERMINAL_REQUESTS.into_iter();
    let others =
        others.map(|request| is_not(1, request.cast_signed())).collect::<Result<_, _>>()?;
    Ok(vec![Rule::new(others)?])
}

fn personality() -> Result<Vec<Rule>, BackendError> {
    let chosen = allowed::PERSONALITIES.into_iter();
    chosen.map(|domain| Rule::new(vec![is(0, domain.cast_signed())?])).collect()
}

fn socket() -> Result<Vec<Rule>, BackendError> {
    /// The part of the type argument that is the type; the rest is flags.
    const TYPE: u64 = 0xf;
    let [routing, protocol] = allowed::ROUTING;
    let mut rules = vec![
        Rule::new(vec![is(0, allowed::LOCAL)?])?,
        Rule::new(vec![is(0, routing)?, is(2, protocol)?])?,
    ];
    for family in allowed::INTERNET {
        for kind in allowed::INTERNET_TYPES {
            let kind = u64::from(kind.cast_unsigned());
            let typed = Condition::new(1, Width::Dword, Compare::MaskedEq(TYPE), kind)?;
            for protocol in allowed::INTERNET_PROTOCOLS {
                rules.push(Rule::new(vec![is(0, family)?, typed.clone(), is(2, protocol)?])?);
            }
        }
    }
    Ok(rules)
}

/// Asking for pairs in other families can load a kernel module.
fn socketpair() -> Result<Vec<Rule>, BackendError> {
    Ok(vec![Rule::new(vec![is(0, allowed::LOCAL)?])?])
}

fn is(argument: u8, value: i32) -> Result<Condition, BackendError> {
    Condition::new(argument, Width::Dword, Compare::Eq, u64::from(value.cast_unsigned()))
}

fn is_not(argument: u8, value: i32) -> Result<Condition, BackendError> {
    Condition::new(argument, Width::Dword, Compare::Ne, u64::from(value.cast_unsigned()))
}

/// Compiles a filter that allows what its rules say and answers everything else with an error.
fn compile(rules: Rules, otherwise: i32) -> Result<Vec<u8>, BackendError> {
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Errno(otherwise.unsigned_abs()),
        SeccompAction::Allow,
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
        for program in [foreign_numbers(), unknown().expect("compile"), allowed().expect("compile")]
        {
            assert_eq!(program.len() % size_of::<sock_filter>(), 0);
            assert!((1..=INSTRUCTIONS_MAX).contains(&(program.len() / size_of::<sock_filter>())));
        }
    }

    #[test]
    fn no_call_is_on_two_lists() {
        let mut calls: Vec<_> =
            allowed::calls().into_iter().chain(denied::calls()).chain(FILTERED).collect();
        let count = calls.len();
        calls.sort_unstable();
        calls.dedup();
        assert_eq!(calls.len(), count);
        assert!(!calls.contains(&libc::SYS_clone3), "it cannot be looked into");
    }
}
