//! Where the values come from, one at a time.

use std::{
    ffi::OsString,
    io,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::ffi::OsStringExt,
    },
    vec,
};

use loophost::Fd;
use nix::{errno::Errno, unistd::read};

/// The longest value: Linux gives no program a longer argument (`MAX_ARG_STRLEN`).
const LONGEST: usize = 128 * 1024;
const CHUNK: usize = 64 * 1024;

/// The values of a batch.
pub(super) enum Source {
    /// From the command line.
    Values(vec::IntoIter<OsString>),
    /// From a file or standard input.
    Lines(Lines),
}

/// What a source has to say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A value.
    Value(OsString),
    /// It must be read first: see [`Source::fill`].
    Pending,
    /// There are no more.
    End,
}

impl Source {
    pub(super) fn next(&mut self) -> io::Result<Next> {
        match self {
            Self::Values(values) => Ok(values.next().map_or(Next::End, Next::Value)),
            Self::Lines(lines) => lines.next(),
        }
    }

    /// The descriptor to wait for after [`Next::Pending`].
    pub(super) fn fd(&self) -> Option<Fd> {
        match self {
            Self::Values(_) => None,
            Self::Lines(lines) => Some(lines.input.as_raw_fd().into()),
        }
    }

    /// Reads once. That waits, if the descriptor is not ready; it is never made non-blocking, for others may hold it too.
    pub(super) fn fill(&mut self) -> io::Result<()> {
        match self {
            Self::Values(_) => Ok(()),
            Self::Lines(lines) => lines.fill(),
        }
    }

    /// How many values there are, if that is known before they are read.
    pub(super) fn total(&self) -> Option<u64> {
        match self {
            Self::Values(values) => Some(values.len() as u64),
            Self::Lines(_) => None,
        }
    }
}

/// Values that end with a separator. Empty ones are skipped. No more is read than is asked for, whatever the length
/// of the input.
#[derive(Debug)]
pub(super) struct Lines {
    input: OwnedFd,
    separator: u8,
    buffer: Vec<u8>,
    /// Where the next value begins in the buffer.
    start: usize,
    /// Up to where the buffer was searched for a separator.
    searched: usize,
    at_end: bool,
    number: u64,
}

impl Lines {
    pub(super) fn new(input: OwnedFd, separator: u8) -> Self {
        Self { input, separator, buffer: Vec::new(), start: 0, searched: 0, at_end: false, number: 0 }
    }

    fn fill(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        let length = self.buffer.len();
        self.buffer.resize(length + CHUNK, 0);
        let result = loop {
            match read(self.input.as_fd(), &mut self.buffer[length..]) {
                Err(Errno::EINTR) => {}
                result => break result,
            }
        };
        self.buffer.truncate(length + result.unwrap_or(0));
        match result {
            Ok(0) => self.at_end = true,
            Ok(_) | Err(Errno::EAGAIN) => {}
            Err(errno) => return Err(errno.into()),
        }
        Ok(())
    }

    fn next(&mut self) -> io::Result<Next> {
        loop {
            let unsearched = &self.buffer[self.searched..];
            let end = match unsearched.iter().position(|byte| *byte == self.separator) {
                Some(at) => self.searched + at,
                None if self.at_end && self.start < self.buffer.len() => self.buffer.len(),
                None if self.at_end => return Ok(Next::End),
                None => {
                    self.searched = self.buffer.len();
                    if self.buffer.len() - self.start > LONGEST {
                        return Err(self.too_long());
                    }
                    return Ok(Next::Pending);
                }
            };
            let value = self.buffer[self.start..end].to_vec();
            self.start = (end + 1).min(self.buffer.len());
            self.searched = self.start;
            self.number += 1;
            if value.len() > LONGEST {
                return Err(self.too_long());
            }
            if !value.is_empty() {
                return Ok(Next::Value(OsString::from_vec(value)));
            }
        }
    }

    fn too_long(&self) -> io::Error {
        io::Error::other(format!(
            "line {} is longer than {LONGEST} bytes, more than a program's argument may have; \
             values that are separated by zeros need --null",
            self.number + 1
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn lines(input: &[u8], separator: u8) -> Lines {
        let (reader, mut writer) = io::pipe().unwrap();
        let input = input.to_vec();
        std::thread::spawn(move || writer.write_all(&input));
        Lines::new(reader.into(), separator)
    }

    fn all(mut lines: Lines) -> io::Result<Vec<String>> {
        let mut values = Vec::new();
        loop {
            match lines.next()? {
                Next::Value(value) => values.push(value.into_string().unwrap()),
                Next::Pending => lines.fill()?,
                Next::End => return Ok(values),
            }
        }
    }

    #[test]
    fn lines_are_split_and_empty_ones_skipped() {
        assert_eq!(all(lines(b"", b'\n')).unwrap(), [""; 0]);
        assert_eq!(all(lines(b"a\n\nb c\nlast", b'\n')).unwrap(), ["a", "b c", "last"]);
        assert_eq!(all(lines(b"a\nb\0c\0", 0)).unwrap(), ["a\nb", "c"]);
    }

    #[test]
    fn many_lines_pass_through_a_small_buffer() {
        let input: String = (0..100_000).map(|n| format!("{n}\n")).collect();
        let mut source = lines(input.as_bytes(), b'\n');
        let mut count = 0;
        loop {
            match source.next().unwrap() {
                Next::Value(value) => {
                    assert_eq!(value.into_string().unwrap(), count.to_string());
                    count += 1;
                }
                Next::Pending => source.fill().unwrap(),
                Next::End => break,
            }
            assert!(source.buffer.len() <= 2 * CHUNK);
        }
        assert_eq!(count, 100_000);
    }

    #[test]
    fn an_endless_line_is_an_error() {
        let error = all(lines(&[b'x'; 2 * LONGEST], b'\n')).unwrap_err();
        assert!(error.to_string().contains("line 1 is longer"), "{error}");
    }
}
