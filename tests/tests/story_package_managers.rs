//! Package managers work through the fence as they are: each fetches a package from a registry on
//! an allowed host.

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

use handoff_tests::{
    fenced::Fenced,
    web::{Port, Web},
    world::said,
};

fn registry() -> Web {
    Web::serve(&["registry.test"], &[Port::Plain(80), Port::Tls(443)], &[])
}

fn fenced(web: &Web) -> Fenced {
    Fenced::with(&[("registry.test", web)], "[network]\nhosts = [\"registry.test\"]\n")
}

/// Runs a command of the test's own in a directory.
fn make(directory: &Path, program: &str, words: &[&str]) -> String {
    let mut command = Command::new(program);
    said(command.args(words).current_dir(directory)).ok()
}

fn sha256(path: &Path) -> String {
    let text = path.display().to_string();
    make(Path::new("/"), "sha256sum", &[&text]).split(' ').next().expect("a sum").to_owned()
}

#[test]
fn pip_installs_a_package() {
    let web = registry();
    let wheel = "demo-1.0-py3-none-any.whl";
    let pack = "import zipfile, sys\nz = zipfile.ZipFile(sys.argv[1], 'w')\n\
        z.writestr('demo.py', 'print(\"installed by pip\")\\n')\n\
        z.writestr('demo-1.0.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: demo\\nVersion: 1.0\\n')\n\
        z.writestr('demo-1.0.dist-info/WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n\
        z.writestr('demo-1.0.dist-info/RECORD', '')\nz.close()\n";
    web.file("simple/demo/index.html", format!("<a href=\"{wheel}\">{wheel}</a>"));
    make(&web.root().join("simple/demo"), "/usr/bin/python3", &["-c", pack, wheel]);
    let fenced = fenced(&web);
    let ca = fenced.path("registry.test.pem");
    let script = format!(
        "/usr/bin/python3 -m venv /tmp/v && /tmp/v/bin/pip install -q --disable-pip-version-check --cert {ca} \
         --index-url https://registry.test/simple/ demo && /tmp/v/bin/python -c 'import demo'"
    );
    let ended = fenced.run(&[], &script);
    assert_eq!(ended.output(), "installed by pip\n", "{}\n{:#}", ended.said, ended.run);
}

#[test]
fn npm_installs_a_package() {
    let web = registry();
    let package = web.root().join("package");
    fs::create_dir(&package).expect("directory");
    fs::write(
        package.join("package.json"),
        r#"{"name":"demo","version":"1.0.0","main":"demo.js"}"#,
    )
    .expect("write");
    fs::write(package.join("demo.js"), "console.log('installed by npm')\n").expect("write");
    make(&web.root(), "tar", &["-czf", "demo-1.0.0.tgz", "package"]);
    web.file(
        "demo",
        r#"{"name":"demo","dist-tags":{"latest":"1.0.0"},"versions":{"1.0.0":{"name":"demo","version":"1.0.0",
            "dist":{"tarball":"https://registry.test/demo-1.0.0.tgz"}}}}"#,
    );
    let fenced = fenced(&web);
    let ca = fenced.path("registry.test.pem");
    let script = format!(
        "mkdir /tmp/p && cd /tmp/p && npm init -y >/dev/null && \
         npm install --cafile {ca} --loglevel error --no-audit --no-fund --registry https://registry.test/ demo >&2 && node -e 'require(\"demo\")'"
    );
    let ended = fenced.run(&[], &script);
    assert_eq!(ended.output(), "installed by npm\n", "{}\n{:#}", ended.said, ended.run);
}

#[test]
fn cargo_builds_with_a_crate() {
    let web = registry();
    let krate = web.root().join("demo-1.0.0");
    fs::create_dir_all(krate.join("src")).expect("directory");
    fs::write(
        krate.join("Cargo.toml"),
        "[package]\nname = \"demo\"\nversion = \"1.0.0\"\nedition = \"2021\"\n",
    )
    .expect("write");
    fs::write(krate.join("src/lib.rs"), "pub fn text() -> &'static str { \"built by cargo\" }\n")
        .expect("write");
    make(&web.root(), "tar", &["-czf", "demo.crate", "demo-1.0.0"]);
    let sum = sha256(&web.root().join("demo.crate"));
    web.file("index/config.json", r#"{"dl":"https://registry.test/{crate}.crate"}"#);
    web.file(
        "index/de/mo/demo",
        format!(r#"{{"name":"demo","vers":"1.0.0","deps":[],"cksum":"{sum}","features":{{}},"yanked":false}}"#),
    );
    // The whole toolchain is shown, since the compiler finds its libraries beside its programs.
    let toolchain = make(Path::new("/"), "rustc", &["--print", "sysroot"]);
    let toolchain = toolchain.trim();
    let config = format!(
        "[network]\nhosts = [\"registry.test\"]\n[tools]\npaths = [\"{toolchain}\", \"{toolchain}/bin\"]\n"
    );
    let fenced = Fenced::with(&[("registry.test", &web)], &config);
    let project = &fenced.project;
    fs::create_dir(project.join("src")).expect("directory");
    fenced.world.write(
        &project.join("Cargo.toml"),
        "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\
        [dependencies]\ndemo = { version = \"1\", registry = \"own\" }\n",
    );
    fenced
        .world
        .write(&project.join("src/main.rs"), "fn main() { println!(\"{}\", demo::text()) }\n");
    let ca = fenced.path("registry.test.pem");
    let script = format!(
        "export CARGO_HOME=/tmp/c CARGO_REGISTRIES_OWN_INDEX=sparse+https://registry.test/index/ CARGO_HTTP_CAINFO={ca}
        cargo run -q --target-dir /tmp/t"
    );
    let ended = fenced.run(&[], &script);
    assert_eq!(ended.output(), "built by cargo\n", "{}\n{:#}", ended.said, ended.run);
}

#[test]
fn git_clones_over_https() {
    let web = registry();
    let work = web.root().join("work");
    fs::create_dir(&work).expect("directory");
    let git = |words: &[&str]| {
        let named = ["-c", "user.name=x", "-c", "user.email=x@y", "-c", "init.defaultBranch=main"];
        make(&work, "git", &[&named, words].concat())
    };
    git(&["init", "-q"]);
    fs::write(work.join("a.txt"), "cloned by git\n").expect("write");
    git(&["add", "."]);
    git(&["commit", "-qm", "first"]);
    symlink(work.join(".git"), web.root().join("r.git")).expect("link");
    let fenced = fenced(&web);
    let ca = fenced.path("registry.test.pem");
    let script = format!(
        "cd /tmp && GIT_SSL_CAINFO={ca} git clone -q https://registry.test/r.git && cat r/a.txt"
    );
    let ended = fenced.run(&[], &script);
    assert_eq!(ended.output(), "cloned by git\n", "{}\n{:#}", ended.said, ended.run);
}
