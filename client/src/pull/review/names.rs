//! Names of files and directories that make other programs run something.

use handoff_proto::manifest::Entry;
use handoff_proto::path::TreePath;

use super::Reason;

/// Names in any directory, in lower case.
const NAMES: &[(&str, Reason)] = &[
    (".envrc", Reason::EntersWithDirectory),
    (".autoenv", Reason::EntersWithDirectory),
    (".mise.toml", Reason::EntersWithDirectory),
    ("mise.toml", Reason::EntersWithDirectory),
    (".mcp.json", Reason::AgentSettings),
    ("agents.md", Reason::AgentSettings),
    ("agents.override.md", Reason::AgentSettings),
    ("claude.md", Reason::AgentSettings),
    ("claude.local.md", Reason::AgentSettings),
    ("gemini.md", Reason::AgentSettings),
    ("opencode.json", Reason::AgentSettings),
    ("opencode.jsonc", Reason::AgentSettings),
    (".cursorrules", Reason::AgentSettings),
    (".windsurfrules", Reason::AgentSettings),
    (".clinerules", Reason::AgentSettings),
    (".aider.conf.yml", Reason::AgentSettings),
    (".handoff.toml", Reason::AgentSettings),
    (".exrc", Reason::EditorSettings),
    (".nvimrc", Reason::EditorSettings),
    (".nvim.lua", Reason::EditorSettings),
    (".vimrc", Reason::EditorSettings),
    (".dir-locals.el", Reason::EditorSettings),
    (".dir-locals-2.el", Reason::EditorSettings),
    (".pre-commit-config.yaml", Reason::Hook),
    ("lefthook.yml", Reason::Hook),
    (".gitlab-ci.yml", Reason::Hook),
    (".travis.yml", Reason::Hook),
    ("azure-pipelines.yml", Reason::Hook),
    ("jenkinsfile", Reason::Hook),
    (".gitattributes", Reason::GitSettings),
    (".gitmodules", Reason::GitSettings),
    (".gitconfig", Reason::GitSettings),
    (".lfsconfig", Reason::GitSettings),
    ("build.rs", Reason::BuildScript),
    ("package.json", Reason::BuildScript),
    ("makefile", Reason::BuildScript),
    ("gnumakefile", Reason::BuildScript),
    ("justfile", Reason::BuildScript),
    (".justfile", Reason::BuildScript),
    ("rakefile", Reason::BuildScript),
    ("gemfile", Reason::BuildScript),
    ("cmakelists.txt", Reason::BuildScript),
    ("meson.build", Reason::BuildScript),
    ("conftest.py", Reason::BuildScript),
    ("setup.py", Reason::BuildScript),
    ("setup.cfg", Reason::BuildScript),
    ("noxfile.py", Reason::BuildScript),
    ("tox.ini", Reason::BuildScript),
    ("sitecustomize.py", Reason::BuildScript),
    ("usercustomize.py", Reason::BuildScript),
    ("build.gradle", Reason::BuildScript),
    ("build.gradle.kts", Reason::BuildScript),
    ("settings.gradle", Reason::BuildScript),
    ("settings.gradle.kts", Reason::BuildScript),
    ("gradlew", Reason::BuildScript),
    ("pom.xml", Reason::BuildScript),
    ("configure", Reason::BuildScript),
    ("taskfile.yml", Reason::BuildScript),
    ("dockerfile", Reason::BuildScript),
    ("flake.nix", Reason::BuildScript),
    ("shell.nix", Reason::BuildScript),
    ("default.nix", Reason::BuildScript),
    ("rust-toolchain", Reason::ToolSettings),
    ("rust-toolchain.toml", Reason::ToolSettings),
    (".npmrc", Reason::ToolSettings),
    (".pnpmfile.cjs", Reason::ToolSettings),
    (".tool-versions", Reason::ToolSettings),
    ("pip.conf", Reason::ToolSettings),
    ("uv.toml", Reason::ToolSettings),
    ("pyproject.toml", Reason::ToolSettings),
];

/// Directories whose content is listed, in lower case.
const DIRECTORIES: &[(&str, Reason)] = &[
    (".claude", Reason::AgentSettings),
    (".codex", Reason::AgentSettings),
    (".agents", Reason::AgentSettings),
    (".gemini", Reason::AgentSettings),
    (".opencode", Reason::AgentSettings),
    (".cursor", Reason::AgentSettings),
    (".windsurf", Reason::AgentSettings),
    (".roo", Reason::AgentSettings),
    (".continue", Reason::AgentSettings),
    (".vscode", Reason::EditorSettings),
    (".idea", Reason::EditorSettings),
    (".fleet", Reason::EditorSettings),
    (".zed", Reason::EditorSettings),
    (".devcontainer", Reason::EditorSettings),
    (".direnv", Reason::EntersWithDirectory),
    (".mise", Reason::EntersWithDirectory),
    (".husky", Reason::Hook),
    (".githooks", Reason::Hook),
    ("git-hooks", Reason::Hook),
    (".git-hooks", Reason::Hook),
    (".hooks", Reason::Hook),
    (".circleci", Reason::Hook),
    (".gitlab", Reason::Hook),
    (".buildkite", Reason::Hook),
    (".mvn", Reason::BuildScript),
];

/// The reason to list an entry that its path alone gives.
pub(super) fn by_name(path: &TreePath, entry: &Entry) -> Option<Reason> {
    let lower = String::from_utf8_lossy(path.as_bytes()).to_lowercase();
    let components: Vec<&str> = lower.split('/').collect();
    let (&name, parents) = components.split_last()?;
    let listed = |table: &[(&str, Reason)], name: &str| {
        table.iter().find(|(known, _)| *known == name).map(|(_, reason)| *reason)
    };
    if let Some(reason) = parents.iter().find_map(|parent| listed(DIRECTORIES, parent)) {
        return (!entry.is_directory()).then_some(reason);
    }
    if parents.windows(2).any(|pair| matches!(pair, [".github", "workflows" | "actions"])) {
        return (!entry.is_directory()).then_some(Reason::Hook);
    }
    if lower.ends_with(".github/copilot-instructions.md") {
        return Some(Reason::AgentSettings);
    }
    if entry.is_directory() {
        return None;
    }
    // A link of that name stands for the whole directory.
    let by_directory = || listed(DIRECTORIES, name);
    listed(NAMES, name).or_else(by_directory).or_else(|| by_pattern(name, parents))
}

fn by_pattern(name: &str, parents: &[&str]) -> Option<Reason> {
    match (parents.last().copied(), name) {
        (Some(".cargo"), "config" | "config.toml") => Some(Reason::ToolSettings),
        (_, ".cargo") => Some(Reason::ToolSettings),
        (_, name) if name.starts_with(".yarnrc") => Some(Reason::ToolSettings),
        (_, name) if name.ends_with(".code-workspace") => Some(Reason::EditorSettings),
        (_, name) if name.starts_with("lefthook.") || name.starts_with(".lefthook.") => {
            Some(Reason::Hook)
        }
        (_, name) if name.ends_with(".mk") || name.starts_with("makefile.") => {
            Some(Reason::BuildScript)
        }
        (_, _) => None,
    }
}
