use std::collections::BTreeSet;

use super::arguments::{FILTERED, SOCKET_TYPE};
use super::*;

const ALLOW: u32 = 0x7fff_0000;
const NOT_PERMITTED: u32 = 0x0005_0001;
const NOT_IMPLEMENTED: u32 = 0x0005_0026;
const KILL: u32 = 0x8000_0000;

/// The kernel's limit on the length of one program.
const INSTRUCTIONS_MAX: usize = 4096;

/// Some number far beyond the last one that any kernel has.
const BEYOND: u32 = 2000;

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(not(target_arch = "x86_64"))]
const ARCHITECTURE: u32 = 0xc000_00b7;

/// What a filter is asked about.
struct Call {
    number: u32,
    architecture: u32,
    arguments: [u64; 6],
}

impl Call {
    fn with(number: u32, arguments: [u64; 6]) -> Self {
        Self { number, architecture: ARCHITECTURE, arguments }
    }

    /// Reads as a filter does: words of `struct seccomp_data`.
    fn word(&self, offset: u32) -> u32 {
        let instruction_pointer = 0;
        let mut words = vec![self.number, self.architecture, instruction_pointer, 0];
        words.extend(
            self.arguments.iter().flat_map(|argument| [low(*argument), low(argument >> 32)]),
        );
        assert_eq!(offset % 4, 0);
        words[offset as usize / 4]
    }
}

const fn low(value: u64) -> u32 {
    (value & 0xffff_ffff) as u32
}

/// Runs a program as the kernel does (`linux/bpf_common.h`), for the opcodes that filters have.
fn run(program: &[sock_filter], call: &Call) -> u32 {
    let (mut at, mut accumulator) = (0, 0_u32);
    loop {
        let line = &program[at];
        let jump = |taken: bool| usize::from(if taken { line.jt } else { line.jf });
        at += 1 + match line.code {
            0x20 => {
                accumulator = call.word(line.k);
                0
            }
            0x54 => {
                accumulator &= line.k;
                0
            }
            0x05 => line.k as usize,
            0x15 => jump(accumulator == line.k),
            0x25 => jump(accumulator > line.k),
            0x35 => jump(accumulator >= line.k),
            0x06 => return line.k,
            other => panic!("opcode {other:#x}"),
        };
    }
}

/// Asks all programs. The kernel takes the harshest answer, of equally harsh ones the one of the
/// program that was loaded last.
fn ask(call: &Call) -> u32 {
    /// Without the number of the error.
    const HARSHNESS: u32 = 0xffff_0000;
    let programs = compile().expect("compile");
    let answers = programs.iter().rev().map(|program| run(program, call));
    let harshness = |answer: &u32| (answer & HARSHNESS).cast_signed();
    answers
        .reduce(|one, other| if harshness(&other) < harshness(&one) { other } else { one })
        .expect("there are programs")
}

fn numbers(calls: Vec<libc::c_long>) -> BTreeSet<u32> {
    let count = calls.len();
    let numbers: BTreeSet<u32> =
        calls.into_iter().map(|call| call.try_into().expect("number")).collect();
    assert_eq!(numbers.len(), count, "a call is listed twice");
    numbers
}

#[test]
fn every_program_is_one_that_the_kernel_takes() {
    for program in compile().expect("compile") {
        assert!((1..=INSTRUCTIONS_MAX).contains(&program.len()));
        assert_eq!(bytes(&program).len(), program.len() * size_of::<sock_filter>());
    }
}

#[test]
fn no_call_is_on_two_lists() {
    let all = [allowed::calls(), denied::calls(), FILTERED.to_vec()].concat();
    assert!(!all.contains(&libc::SYS_clone3), "it cannot be looked into");
    numbers(all);
}

#[test]
fn every_number_gets_the_answer_of_its_list() {
    let (allowed, denied) = (numbers(allowed::calls()), numbers(denied::calls()));
    let filtered = numbers(FILTERED.to_vec());
    for number in (0..BEYOND).filter(|number| !filtered.contains(number)) {
        let expected = match number {
            _ if allowed.contains(&number) => ALLOW,
            _ if denied.contains(&number) => NOT_PERMITTED,
            _ => NOT_IMPLEMENTED,
        };
        assert_eq!(ask(&Call::with(number, [u64::MAX; 6])), expected, "{number}");
    }
    for number in [0x4000_0000, 0x4000_0027, u32::MAX] {
        assert_eq!(ask(&Call::with(number, [0; 6])), NOT_IMPLEMENTED, "{number:#x}");
    }
}

#[test]
fn a_foreign_architecture_ends_the_process() {
    for architecture in [0, 0x4000_0003, ARCHITECTURE ^ 1] {
        let call = Call { architecture, ..Call::with(0, [0; 6]) };
        assert_eq!(ask(&call), KILL, "{architecture:#x}");
    }
}

fn check(call: libc::c_long, arguments: [u64; 6], allowed: bool) {
    let expected = if allowed { ALLOW } else { NOT_PERMITTED };
    let number = call.try_into().expect("number");
    assert_eq!(ask(&Call::with(number, arguments)), expected, "{call} {arguments:x?}");
}

#[test]
fn processes_are_made_but_no_namespaces() {
    for bit in 0..32 {
        let (flag, refused) = (1_u64 << bit, u64::from(denied::CLONE_FLAGS.cast_unsigned()));
        check(libc::SYS_clone, [flag, 0, 0, 0, 0, 0], flag & refused == 0);
        check(libc::SYS_clone, [flag | 0x11, 0, 0, 0, 0, 0], (flag | 0x11) & refused == 0);
    }
}

#[test]
fn devices_are_asked_for_everything_but_what_is_denied() {
    // High bits are not the kernel's: a request is a word.
    for high in [0, 1 << 32, 0xffff_ffff << 32] {
        for request in denied::TERMINAL_REQUESTS.into_iter().chain(denied::SUBVOLUME_REQUESTS) {
            check(libc::SYS_ioctl, [0, high | u64::from(request), 0, 0, 0, 0], false);
        }
        check(libc::SYS_ioctl, [0x5412, high | 0x5401, 0x5412, 0, 0, 0], true);
    }
}

#[test]
fn execution_domains_are_those_to_choose_from() {
    for domain in (0..64).map(|bit| 1_u64 << bit).chain([0, 8, 0x0002_0008, 0xffff_ffff]) {
        let known = allowed::PERSONALITIES.contains(&low(domain));
        check(libc::SYS_personality, [domain, 0, 0, 0, 0, 0], known);
    }
}

#[test]
fn sockets_are_local_ones_and_those_of_the_internet() {
    let argument = |value: i32| u64::from(value.cast_unsigned());
    for family in 0..50 {
        check(libc::SYS_socketpair, [argument(family), 1, 0, 0, 0, 0], family == libc::AF_UNIX);
        for kind in (0..=16).chain([0x801, 0x8_0002, 0x803]) {
            for protocol in [0, 1, 2, 6, 15, 17, 58, 132, 255, 262, -1] {
                let known = match family {
                    libc::AF_UNIX => true,
                    libc::AF_NETLINK => protocol == libc::NETLINK_ROUTE,
                    libc::AF_INET | libc::AF_INET6 => {
                        allowed::INTERNET_TYPES.contains(&(kind & SOCKET_TYPE))
                            && allowed::INTERNET_PROTOCOLS.contains(&protocol)
                    }
                    _ => false,
                };
                let [family, kind, protocol] = [family, kind, protocol].map(argument);
                check(libc::SYS_socket, [family, kind, protocol, 0, 0, 0], known);
            }
        }
    }
}
