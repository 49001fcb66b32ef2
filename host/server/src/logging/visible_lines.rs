use std::io::{self, Write};

use tidegate_core::visible_text::visible_json;
use tracing_subscriber::fmt::MakeWriter;

/// Escapes the harmful characters in lines of JSON that the formatter leaves, and passes each line on as a whole.
pub(super) struct VisibleJsonLines<W>(pub(super) W);

pub(super) struct VisibleJsonLine<W>(W);

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for VisibleJsonLines<W> {
    type Writer = VisibleJsonLine<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        VisibleJsonLine(self.0.make_writer())
    }
}

impl<W: Write> Write for VisibleJsonLine<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.write_all(line)?;
        Ok(line.len())
    }

    fn write_all(&mut self, line: &[u8]) -> io::Result<()> {
        match std::str::from_utf8(line) {
            Ok(text) => self.0.write_all(visible_json(text).as_bytes()),
            // The formatter writes whole lines of UTF-8.
            Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
