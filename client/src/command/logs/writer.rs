//! Prints records of output, each to its own stream, and knows how far it got.

use handoff_proto::wire::OutputRecord;
use serde::Serialize;

use crate::output::{Format, Output, Stream, TerminalFilter, WriteError};

/// The wire's number of standard error.
const STDERR: u32 = 2;

/// Prints output records.
#[derive(Debug)]
pub(super) struct Writer {
    output: Output,
    position: u64,
    filters: [TerminalFilter; 2],
}

/// A record for programs.
#[derive(Debug, Serialize)]
struct RecordObject<'a> {
    stream: &'static str,
    /// The position of the record in the run's output.
    offset: u64,
    #[serde(flatten)]
    data: Data<'a>,
}

#[derive(Debug, Serialize)]
enum Data<'a> {
    #[serde(rename = "data")]
    Text(&'a str),
    #[serde(rename = "data_base64")]
    Bytes(String),
}

impl Writer {
    pub(super) fn new(output: Output) -> Self {
        Self { output, position: 0, filters: Default::default() }
    }

    /// The position after everything printed so far.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    pub(super) fn write(&mut self, record: &OutputRecord) -> Result<(), WriteError> {
        match self.output.format() {
            Format::Json => self.output.json(&object(record, self.position))?,
            Format::Text => self.write_bytes(stream(record), &record.data)?,
        }
        self.position = record.next;
        Ok(())
    }

    fn write_bytes(&mut self, stream: Stream, bytes: &[u8]) -> Result<(), WriteError> {
        if !self.output.is_terminal(stream) {
            return self.output.bytes(stream, bytes);
        }
        let safe = self.filters[filter(stream)].pass(bytes);
        self.output.bytes(stream, safe.as_bytes())
    }

    /// Prints what the filters still waited for.
    pub(super) fn finish(mut self) -> Result<(), WriteError> {
        for stream in [Stream::Out, Stream::Err] {
            let rest = self.filters[filter(stream)].finish();
            if !rest.is_empty() {
                self.output.bytes(stream, rest.as_bytes())?;
            }
        }
        Ok(())
    }
}

fn filter(stream: Stream) -> usize {
    match stream {
        Stream::Out => 0,
        Stream::Err => 1,
    }
}

fn stream(record: &OutputRecord) -> Stream {
    if record.stream == STDERR { Stream::Err } else { Stream::Out }
}

fn object(record: &OutputRecord, offset: u64) -> RecordObject<'_> {
    RecordObject {
        stream: match stream(record) {
            Stream::Out => "stdout",
            Stream::Err => "stderr",
        },
        offset,
        data: match std::str::from_utf8(&record.data) {
            Ok(text) => Data::Text(text),
            Err(_) => Data::Bytes(data_encoding::BASE64.encode(&record.data)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(stream: u32, data: &'static [u8]) -> String {
        let record = OutputRecord { stream, next: 20, data: data.into() };
        serde_json::to_string(&object(&record, 7)).unwrap()
    }

    #[test]
    fn text_is_text_and_bytes_are_base64() {
        assert_eq!(json(1, b"gr\xc3\xbcn\n"), r#"{"stream":"stdout","offset":7,"data":"grün\n"}"#);
        assert_eq!(json(2, b"\xff\x00"), r#"{"stream":"stderr","offset":7,"data_base64":"/wA="}"#);
    }
}
