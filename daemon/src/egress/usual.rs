//! What every fenced run may reach unless the operator says otherwise: where package managers of
//! the common languages get their packages, and public git hosts. Whoever can publish there can be
//! told something by a run; that is the price of building anything.

/// The list, by what it is for.
pub(super) const USUAL_HOSTS: &[&str] = &[
    // Rust
    "crates.io",
    "*.crates.io",
    "static.rust-lang.org",
    // JavaScript
    "registry.npmjs.org",
    "registry.yarnpkg.com",
    "repo.yarnpkg.com",
    "nodejs.org",
    // Python
    "pypi.org",
    "files.pythonhosted.org",
    // Go
    "proxy.golang.org",
    "sum.golang.org",
    // Java and its relatives
    "repo.maven.apache.org",
    "repo1.maven.org",
    "plugins.gradle.org",
    "services.gradle.org",
    "downloads.gradle.org",
    // Ruby
    "rubygems.org",
    "index.rubygems.org",
    // PHP
    "packagist.org",
    "repo.packagist.org",
    // .NET
    "api.nuget.org",
    // Elixir, Dart
    "hex.pm",
    "repo.hex.pm",
    "builds.hex.pm",
    "pub.dev",
    // Distributions
    "deb.debian.org",
    "security.debian.org",
    "archive.ubuntu.com",
    "security.ubuntu.com",
    "dl-cdn.alpinelinux.org",
    // Git hosts
    "github.com",
    "api.github.com",
    "codeload.github.com",
    "*.githubusercontent.com",
    "gitlab.com",
    "bitbucket.org",
    "codeberg.org",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::Rule;

    #[test]
    fn every_entry_is_a_rule() {
        for host in USUAL_HOSTS {
            host.parse::<Rule>().expect(host);
        }
    }
}
