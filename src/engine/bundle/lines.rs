//! The lines of a compressed file of a bundle, one after another. A bundle may come from anywhere, and a
//! file of a few kilobytes can hold a line of terabytes, so no line is read that is longer than any of ours.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

/// No line is longer, in bytes: a reader keeps one whole.
const LINE_MAX: usize = 16 << 20;

/// How much is unpacked at once, in bytes.
const UNPACKED: usize = 1 << 18;

/// A file that is read line by line.
pub(super) struct Lines<R = BufReader<zstd::Decoder<'static, BufReader<File>>>> {
    from: R,
    line: Vec<u8>,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// A line, without its end.
    Whole(&'a [u8]),
    /// The file is over.
    End,
    /// It is over in the middle of a line, or of a frame.
    Cut,
}

impl Lines {
    /// Opens a file of whole zstd frames.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let decoder = zstd::Decoder::new(File::open(path)?)?;
        Ok(Self::of(BufReader::with_capacity(UNPACKED, decoder)))
    }
}

impl<R: BufRead> Lines<R> {
    fn of(from: R) -> Self {
        let line = Vec::new();
        Self { from, line }
    }

    /// Reads one line.
    ///
    /// # Errors
    /// When the file cannot be read or unpacked, or a line is too long.
    pub(super) fn read_line(&mut self) -> io::Result<Line<'_>> {
        self.line.clear();
        loop {
            let there = match self.from.fill_buf() {
                Ok(there) => there,
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Line::Cut),
                Err(error) => return Err(error),
            };
            if there.is_empty() {
                return Ok(match self.line.is_empty() {
                    true => Line::End,
                    false => Line::Cut,
                });
            }
            let end = there.iter().position(|byte| *byte == b'\n');
            let piece = &there[..end.unwrap_or(there.len())];
            if self.line.len() + piece.len() > LINE_MAX {
                let why = format!("a line is longer than {LINE_MAX} bytes");
                return Err(io::Error::new(io::ErrorKind::InvalidData, why));
            }
            self.line.extend_from_slice(piece);
            let taken = end.map_or(piece.len(), |end| end + 1);
            self.from.consume(taken);
            if end.is_some() {
                return Ok(Line::Whole(&self.line));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_and_the_last_says_how_the_file_ends() {
        let read = |text: &'static [u8]| {
            let mut lines = Lines::of(BufReader::with_capacity(3, text));
            let mut found = Vec::new();
            loop {
                match lines.read_line().unwrap() {
                    Line::Whole(line) => found.push(String::from_utf8(line.to_vec()).unwrap()),
                    Line::End => break (found, true),
                    Line::Cut => break (found, false),
                }
            }
        };
        let two = || vec!["{\"a\":1}".to_owned(), String::new()];
        assert_eq!(read(b"{\"a\":1}\n\n"), (two(), true));
        assert_eq!(read(b"{\"a\":1}\n\n{"), (two(), false));
        assert_eq!(read(b""), (Vec::new(), true));
    }

    /// Trace and names were read without a bound: a file of zeros, packed, filled the memory.
    #[test]
    fn a_line_without_end_is_refused() {
        let endless = BufReader::new(io::repeat(b'0'));
        let error = Lines::of(endless).read_line().unwrap_err();
        assert_eq!(error.to_string(), "a line is longer than 16777216 bytes");
    }
}
