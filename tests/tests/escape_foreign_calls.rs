//! Attempt: go around the filter with the system call numbers of another architecture.
#![cfg(target_arch = "x86_64")]

use std::fs;

use handoff_sandbox::Access;
use handoff_tests::escape::Lab;

/// Asks for its process id through the 32-bit gate, then exits with 7 through the ordinary one.
const CODE: [u8; 19] = [
    0xb8, 20, 0, 0, 0, // mov eax, 20: getpid of i386
    0xcd, 0x80, // int 0x80
    0xb8, 60, 0, 0, 0, // mov eax, 60: exit of x86-64
    0xbf, 7, 0, 0, 0, // mov edi, 7
    0x0f, 0x05, // syscall
];

/// Where the program is loaded, and how long its two headers are.
const BASE: u64 = 0x40_0000;
const HEADERS: u64 = 64 + 56;

/// Writes the smallest program that the kernel loads.
fn program() -> Vec<u8> {
    let size = HEADERS + CODE.len() as u64;
    let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
    elf.resize(16, 0);
    for half in [2_u16, 62] {
        elf.extend(half.to_le_bytes()); // executable, x86-64
    }
    elf.extend(1_u32.to_le_bytes());
    for word in [BASE + HEADERS, 64, 0] {
        elf.extend(word.to_le_bytes()); // entry, program headers, no sections
    }
    elf.extend(0_u32.to_le_bytes());
    for half in [64_u16, 56, 1, 0, 0, 0] {
        elf.extend(half.to_le_bytes());
    }
    for word in [1_u32, 5] {
        elf.extend(word.to_le_bytes()); // loaded, readable and executable
    }
    for word in [0, BASE, BASE, size, size, 0x1000] {
        elf.extend(word.to_le_bytes());
    }
    elf.extend(CODE);
    elf
}

fn attempt(lab: &Lab) {
    let shown = lab.directory_of_run("shown");
    let written = lab.path("written");
    fs::write(&written, program()).expect("write");
    lab.install(&written, "shown/program", 0o755);
    let program = shown.join("program");
    assert_eq!(lab.outside(&[program.as_os_str()]).code, 7, "the kernel has the 32-bit gate");

    let inside =
        lab.jail("gate").mount(&shown, "/shown", Access::ReadOnly).run(&["/shown/program"]);
    assert_eq!(inside.code, 128 + libc::SIGSYS, "{inside:?}");
}

handoff_tests::attempt!(attempt);
