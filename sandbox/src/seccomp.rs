//! The system call filters: three small programs that bubblewrap loads just before init. They
//! allow what builds and their tools use; what namespaces and the lack of capabilities leave open
//! beyond that, and whatever later kernels bring, is closed.

mod allowed;
mod arguments;
mod denied;
mod numbers;
#[cfg(test)]
mod tests;

use std::os::fd::OwnedFd;

use seccompiler::{BackendError, BpfProgram, sock_filter};

use crate::handover;
use crate::report::{Refusal, Refuse as _, Step};

/// How many filters init must find in force.
pub(crate) const COUNT: usize = 3;

/// Compiles the filters into memory files, in the form and order in which bubblewrap loads them.
///
/// All of them are asked about every call. Where several refuse it, the one loaded last says with
/// which error: whoever finds a call missing is told so.
pub(crate) fn programs() -> Result<[OwnedFd; COUNT], Refusal> {
    let programs = compile()
        .map_err(|error| Refusal::new(Step::Seccomp, format!("compile a filter: {error}")))?;
    let [arguments, foreign, listed] = programs.map(|program| {
        handover::sealed("filter", &bytes(&program)).refuse(Step::Seccomp, "pass a filter")
    });
    Ok([arguments?, foreign?, listed?])
}

fn compile() -> Result<[BpfProgram; COUNT], BackendError> {
    Ok([arguments::program()?, numbers::foreign(), numbers::listed()])
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
