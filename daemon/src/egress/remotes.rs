//! Which repositories on which hosts the remotes of a run's repository are, in whatever way their
//! URLs are written.

use super::host::Host;

/// A repository on a git host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Remote {
    /// The host.
    pub(super) host: Host,
    /// The path, without a slash at either end and without `.git`.
    pub(super) path: String,
}

/// Reads `https://HOST/PATH`, `ssh://[USER@]HOST/PATH` and `[USER@]HOST:PATH`. Other ports than the
/// usual ones are other servers, and anything else is no host's.
pub(super) fn read(url: &str) -> Option<Remote> {
    let after_user = |text: &'_ str| text.rsplit_once('@').map_or(0, |(user, _)| user.len() + 1);
    let (authority, path) = match url.split_once("://") {
        Some(("https" | "http" | "ssh" | "git+ssh", rest)) => rest.split_once('/')?,
        Some(_) => return None,
        // As ssh reads it: a colon before any slash.
        None => url.split_once(':').filter(|(host, _)| !host.contains('/'))?,
    };
    let host = authority[after_user(authority)..].parse().ok()?;
    let path = path.trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    let plain = |part: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+".contains(&byte);
        !part.is_empty() && part != "." && part != ".." && part.bytes().all(allowed)
    };
    path.split('/').all(plain).then(|| Remote { host, path: path.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_repository_is_found_by_all_its_urls() {
        for url in [
            "https://host.test/o/r.git",
            "https://host.test/o/r",
            "https://user@host.test/o/r.git/",
            "ssh://git@host.test/o/r.git",
            "git@host.test:o/r.git",
            "host.test:o/r",
            "HOST.test:/o/r",
        ] {
            let found = read(url).expect(url);
            assert_eq!(
                (found.host.to_string().as_str(), found.path.as_str()),
                ("host.test", "o/r"),
                "{url}"
            );
        }
    }

    #[test]
    fn what_is_on_no_host_is_none() {
        for url in [
            "",
            "/srv/r.git",
            "../r",
            "file:///srv/r",
            "C:\\r",
            "https://host.test:8443/o/r",
            "https://host.test",
            "https://host.test/o/../r",
            "https://host.test/o/r?x",
            "git://host.test/o/r",
            "ext::sh -c x",
            "host.test:",
        ] {
            assert_eq!(read(url), None, "{url}");
        }
    }
}
