//! The control of the filters and rules: what builds, shells, version control and debuggers do
//! every day goes on working.

use handoff_sandbox::{LayerName, Limits};
use handoff_tests::escape::{Jail, Lab, bash, call, doing};

/// Enough for compilers.
fn roomy<'a>(lab: &'a Lab, name: &str) -> Jail<'a> {
    let mut jail = lab.jail(name);
    jail.spec.limits = Limits { memory_bytes: 2 << 30, tmp_bytes: 256 << 20, ..jail.spec.limits };
    jail.spec.require = vec![LayerName::Landlock];
    jail
}

#[track_caller]
fn works(lab: &Lab, name: &str, script: &str, expected: &str) {
    let script = format!("set -eu; {script}");
    assert_eq!(roomy(lab, name).run(&bash(&script)).succeeded(), expected);
}

/// Whatever the rules on files have to do with.
fn files(lab: &Lab) {
    works(
        lab,
        "files",
        "mkdir -p a/b c; echo 1 > a/b/f; mv a/b/f c/f; ln c/f a/f; mv a/b c/b; ln -s f c/l; \
         mkfifo p; truncate -s 3 c/f; echo x >> c/f; chmod 600 c/f; rm c/l; rmdir c/b; \
         echo null > /dev/null; echo s > /dev/shm/s; mkdir /run/r; \
         mkdir /tmp/t; echo t > /tmp/t/t; mv /tmp/t/t /tmp/u; mv /tmp/u u; cat u; \
         mkdir ~/.cache; echo h > ~/.cache/h; echo name > /proc/self/comm; find . | sort",
        "t\n.\n./a\n./a/f\n./c\n./c/f\n./p\n./u\n",
    );
    let unnamed = call(
        "unnamed",
        libc::SYS_openat,
        &format!("-100, text('.'), {}, 0600", libc::O_TMPFILE | libc::O_RDWR),
    );
    let named = call(
        "named",
        libc::SYS_linkat,
        "-100, text('/proc/self/fd/3'), -100, text('named'), 0x400",
    );
    let inside = lab.jail("unnamed").run(&doing(&[unnamed, named]));
    inside.says("unnamed", "ok");
    inside.says("named", "ok");
}

fn terminals(lab: &Lab) {
    works(
        lab,
        "terminal",
        "script -qec 'test -t 0 && stty size >/dev/null && echo up > /dev/tty && \
         echo err > /dev/stderr && tty' /dev/null < /dev/null | tr -d '\\r'",
        "up\nerr\n/dev/pts/0\n",
    );
    // The command's own terminal is the host's, and is opened anew by name.
    let inner = "test -t 2 && echo again > /dev/stderr && echo again > /proc/self/fd/1 && \
                 echo again > /dev/tty && stty -echo < /dev/stdin";
    let jail = roomy(lab, "own-terminal");
    assert_eq!(jail.run_on_terminal(&bash(inner)).replace('\r', ""), "again\nagain\nagain\n");
}

fn tools(lab: &Lab) {
    works(
        lab,
        "git",
        "git init -q .; git config user.name a; git config user.email a@b; echo 1 > f; \
         git add f; git commit -qm one; git switch -qc two; mkdir d; git mv f d/f; \
         git commit -qam two; git gc -q; git clone -q . ../other; git -C ../other log --format=%s",
        "two\none\n",
    );
    works(
        lab,
        "compiler",
        "echo 'int puts(const char *); int main(void) { return puts(\"built\") < 0; }' > a.c; \
         gcc -O1 -g -pipe -o a a.c; ./a",
        "built\n",
    );
    works(
        lab,
        "python",
        "/usr/bin/python3 -c 'import multiprocessing as m, subprocess as s, threading as t, asyncio\n\
         if __name__ == \"__main__\":\n  \
           q = m.get_context(\"fork\").Queue(); p = m.get_context(\"fork\").Process(target=q.put, args=(1,)); p.start(); \
           print(q.get()); p.join(); print(s.check_output([\"echo\", \"2\"]).decode().strip()); \
           x = t.Thread(target=print, args=(3,)); x.start(); x.join()'",
        "1\n2\n3\n",
    );
}

/// What looks into other processes looks into the run's own.
fn debuggers(lab: &Lab) {
    works(
        lab,
        "trace",
        "strace -f -e trace=execve -o log sh -c 'true; /bin/echo traced'; grep -c execve log",
        "traced\n2\n",
    );
    works(
        lab,
        "debugger",
        "echo 'int main(int n, char **v) { return n; }' > a.c; gcc -g -o a a.c; \
         gdb -q -nx -batch -ex 'break main' -ex run -ex 'print n' -ex 'set var n = 7' -ex 'print n' \
         -ex cont ./a 2>&1 | grep -E '^\\$|exited' | sed 's/process [0-9]*/process/'",
        "$1 = 1\n$2 = 7\n[Inferior 1 (process) exited with code 07]\n",
    );
    // Where memory is limited for each process, addresses count, and shadow memory is all addresses.
    let mut jail = roomy(lab, "sanitizer");
    jail.spec.limits.memory_bytes = 1 << 46;
    let script = "echo 'int main(int n, char **v) { int a[2]; return a[n + 1]; }' > a.c; \
                  gcc -g -fsanitize=address -o a a.c || exit 1; \
                  ./a 2>&1 | grep -o stack-buffer-overflow | head -n1; setarch -R true && echo fixed";
    assert_eq!(jail.run(&bash(script)).succeeded(), "stack-buffer-overflow\nfixed\n");
}

fn control(lab: &Lab) {
    files(lab);
    terminals(lab);
    tools(lab);
    debuggers(lab);
}

handoff_tests::attempt!(control);
