//! Cargo's settings of the user, which builds may need and which may hold tokens.

use std::path::Path;

use toml::Value;

use super::{Target, Tools, credentials, in_home};

/// The names under which cargo looks, the older one first, as cargo does.
const NAMES: [(&str, &str); 2] =
    [(".cargo/config", "config"), (".cargo/config.toml", "config.toml")];

/// Shows the settings in cargo's directory unless they hold a secret.
pub(super) fn add_to(tools: &mut Tools, cargo: &Path) {
    for (in_run, name) in NAMES {
        let path = cargo.join(name);
        let Some(text) = credentials::read(&path) else { continue };
        match text.parse::<toml::Table>() {
            Err(_) => tools.leave_out(&path, "it cannot be read as TOML"),
            Ok(table) if table_holds_secret(&table) => {
                tools.leave_out(&path, "it holds a token, a credential or a password");
            }
            Ok(_) => {
                if let Ok(real) = path.canonicalize() {
                    tools.bind(real, Some(Target::Home(in_home(in_run))));
                }
            }
        }
    }
}

fn table_holds_secret(table: &toml::Table) -> bool {
    table.iter().any(|(key, value)| credentials::is_secret_name(key) || holds_secret(value))
}

fn holds_secret(value: &Value) -> bool {
    match value {
        Value::Table(table) => table_holds_secret(table),
        Value::Array(values) => values.iter().any(holds_secret),
        Value::String(text) => credentials::has_user_in_url(text),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(text: &str) -> bool {
        table_holds_secret(&text.parse().expect("TOML"))
    }

    #[test]
    fn settings_with_a_secret_are_told_from_those_without() {
        assert!(holds("[registry]\ntoken = 'x'"));
        assert!(holds("[registries.own]\nindex = 'sparse+https://x'\nsecret-key = 'k'"));
        assert!(holds("[registry]\nglobal-credential-providers = ['cargo:token']"));
        assert!(holds("[http]\nproxy = 'http://me:pw@proxy:3128'"));
        assert!(holds("[env]\nMY_API_TOKEN = { value = 'x' }"));
        assert!(!holds("[build]\njobs = 4\nrustflags = ['-Ctarget-cpu=native']"));
        assert!(!holds(
            "[source.crates-io]\nreplace-with = 'mirror'\n[source.mirror]\nregistry = 'sparse+https://m/'"
        ));
    }
}
