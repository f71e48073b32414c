//! `handoff export`: the tree of this directory as one file.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use handoff_proto::manifest::Entry;
use indicatif::{DecimalBytes, HumanCount};
use serde::Serialize;

use super::carry::{self, CarryArgs, Errand, Secrets};
use crate::bundle;
use crate::capture::Capture;
use crate::cli::UsageError;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::{Format, Output, Stream};

/// The arguments of `handoff export`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file to write, or - for standard output
    #[arg(value_name = "FILE|-")]
    pub file: PathBuf,
    /// Carry ignored files that match this glob; can be repeated
    #[arg(long, value_name = "GLOB")]
    pub include: Vec<String>,
    /// Leave files that match this glob out; can be repeated
    #[arg(long, value_name = "GLOB")]
    pub exclude: Vec<String>,
    /// Write files even though they look as if they held secrets
    #[arg(long)]
    pub allow_secrets: bool,
}

#[derive(Serialize)]
struct Exported {
    file: String,
    snapshot: String,
    root: String,
    entries: usize,
    content_bytes: u64,
    /// Missing for standard output.
    bytes: Option<u64>,
}

/// Writes the bundle.
///
/// # Errors
///
/// Where the tree cannot be captured or the file not be written; then there is no file.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let to_stdout = args.file.as_os_str() == "-";
    let output = &context.output;
    if to_stdout && (output.is_terminal(Stream::Out) || output.format() == Format::Json) {
        return Err(UsageError {
            message: "a bundle is no text for a terminal and no JSON".to_owned(),
            hint: Some("write it to a file, or pipe standard output".to_owned()),
        }
        .into());
    }
    let carried =
        CarryArgs { include: args.include, exclude: args.exclude, ..CarryArgs::default() };
    let errand = Errand::new(context, carried)?;
    let capture = errand.capture(output, None).await?;
    let secrets = if args.allow_secrets { Secrets::Allowed } else { Secrets::Refused };
    carry::refuse_secrets(&capture, secrets, None).await?;
    // Unlike the tree, the file is meant from where the user is.
    let file = args.file.clone();
    let bytes = write(&capture, (!to_stdout).then_some(file), output).await?;
    let content_bytes = capture.manifest.entries.iter().map(Entry::size).sum();
    let entries = capture.manifest.entries.len();
    if output.format() == Format::Json {
        output.json(&Exported {
            file: args.file.to_string_lossy().into_owned(),
            snapshot: capture.id.to_string(),
            root: errand.root.to_string(),
            entries,
            content_bytes,
            bytes,
        })?;
    } else {
        let written = bytes.map_or(String::new(), |bytes| format!(" in {}", DecimalBytes(bytes)));
        output.note(format_args!(
            "exported {} entries with {}{written}",
            HumanCount(entries as u64),
            DecimalBytes(content_bytes)
        ));
    }
    Ok(Exit::Done)
}

/// Returns the size of the file.
async fn write(
    capture: &Arc<Capture>,
    file: Option<PathBuf>,
    output: &Output,
) -> anyhow::Result<Option<u64>> {
    let total: u64 = capture.manifest.entries.iter().map(Entry::size).sum();
    let progress = output.progress("writing", total);
    let (capture, output) = (Arc::clone(capture), output.clone());
    let (_stop, wanted) = bundle::stop();
    let written = tokio::task::spawn_blocking(move || {
        let on_written = |bytes| progress.add(bytes);
        match file {
            Some(file) => bundle::export_to_file(&capture, &file, &wanted, &on_written).map(Some),
            None => {
                let stdout = io::BufWriter::with_capacity(1 << 16, Stdout(output));
                let mut stdout = bundle::export(&capture, stdout, &on_written)?;
                let flushed = stdout.flush().map_err(handoff_proto::bundle::BundleError::Write);
                flushed.map_err(bundle::ExportError::Write).map(|()| None)
            }
        }
    });
    Ok(written.await.context("the export was interrupted")??)
}

/// Standard output as a stream of bytes.
struct Stdout(Output);

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.bytes(Stream::Out, bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
