//! A captured tree as one file, and back, without any daemon.
//!
//! A full bundle holds the manifest and every chunk in order of first use, so that both ways hold
//! one chunk in memory, and the manifest. Reading trusts nothing: every chunk is verified, every
//! path is written beneath a new directory, and what fails leaves nothing behind.

mod export;
mod import;
mod stop;

pub use export::{ExportError, export, export_to_file};
pub use stop::{Stop, Wanted, stop};

pub use import::{ImportError, Imported, default_name, import, read_manifest};

#[cfg(test)]
mod tests;
