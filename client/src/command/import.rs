//! `handoff import`: a tree from the file that `handoff export` wrote.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use handoff_proto::manifest::Entry;
use indicatif::{DecimalBytes, HumanCount};
use serde::Serialize;

use crate::bundle::{self, ImportError, Imported, Wanted};
use crate::cli::UsageError;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::{Format, Output};

/// The arguments of `handoff import`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file to read, or - for standard input
    #[arg(value_name = "FILE|-")]
    pub file: PathBuf,
    /// The directory to make; by default of the tree's own name, here
    #[arg(long, value_name = "DIR")]
    pub into: Option<PathBuf>,
}

/// There is no such file.
#[derive(Debug, thiserror::Error)]
#[error("cannot open {path}")]
pub struct OpenError {
    path: PathBuf,
    source: io::Error,
}

#[derive(Serialize)]
struct Told {
    directory: String,
    snapshot: String,
    root: String,
    entries: usize,
    content_bytes: u64,
}

/// Reads the bundle.
///
/// # Errors
///
/// Where it is none, or something is in the way; nothing is left behind then.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let output = context.output.clone();
    let (_stop, wanted) = bundle::stop();
    let worked = tokio::task::spawn_blocking(move || read(&args, &wanted, &output));
    let (imported, directory) = worked.await.context("the import was interrupted")??;
    let manifest = &imported.manifest;
    if context.output.format() == Format::Json {
        context.output.json(&Told {
            directory: directory.to_string_lossy().into_owned(),
            snapshot: manifest.id().to_string(),
            root: manifest.root.to_string(),
            entries: manifest.entries.len(),
            content_bytes: imported.bytes,
        })?;
        return Ok(Exit::Done);
    }
    context.output.line(directory.display())?;
    context.output.note(format_args!(
        "imported {} entries with {} from {}",
        HumanCount(manifest.entries.len() as u64),
        DecimalBytes(imported.bytes),
        manifest.root
    ));
    if !manifest.repositories.is_empty() {
        context.output.note(
            "it brings git's own settings and hooks, which git runs: work only in trees that you trust",
        );
    }
    Ok(Exit::Done)
}

fn read(args: &Args, wanted: &Wanted, output: &Output) -> anyhow::Result<(Imported, PathBuf)> {
    let input: Box<dyn Read> = if args.file.as_os_str() == "-" {
        Box::new(io::stdin().lock())
    } else {
        let opened = File::open(&args.file);
        Box::new(opened.map_err(|source| OpenError { path: args.file.clone(), source })?)
    };
    let (manifest, bundle) = bundle::read_manifest(BufReader::new(wanted.through(input)))?;
    let into = match (&args.into, bundle::default_name(&manifest)) {
        (Some(into), _) => into.clone(),
        (None, Some(name)) => Path::new(".").join(name),
        (None, None) => return Err(no_name().into()),
    };
    let progress = output.progress("writing", manifest.entries.iter().map(Entry::size).sum());
    let imported = bundle::import(manifest, bundle, &into, &|bytes| progress.add(bytes))?;
    Ok((imported, into))
}

fn no_name() -> UsageError {
    UsageError {
        message: "the tree of this bundle has no name that a bundle may choose".to_owned(),
        hint: Some("`--into DIR` names the directory".to_owned()),
    }
}

impl OpenError {
    /// Whether there is nothing of that name.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }
}

/// What to do about a bundle that was not imported.
#[must_use]
pub fn hint(error: &ImportError) -> Option<String> {
    let hint = match error {
        ImportError::Exists { .. } => "`--into DIR` names another directory",
        ImportError::Bundle(_) | ImportError::Order { .. } => {
            "copy the file again, or export it again with this version of handoff"
        }
        ImportError::Thin | ImportError::Manifest(_) => "`handoff export FILE` writes such a file",
        ImportError::Write(_) | ImportError::Place { .. } => return None,
    };
    Some(hint.to_owned())
}
