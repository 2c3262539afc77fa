//! Values out of a stream, which a separator ends.

use std::{
    ffi::OsString,
    io,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::ffi::OsStringExt,
    },
};

use loophost::Fd;
use nix::{sys::stat::fstat, unistd::read};

use super::values::Next;
use crate::sys::read_now::read_now;

/// The longest value: Linux gives no program a longer argument (`MAX_ARG_STRLEN`, which counts the zero byte at its end).
pub(super) const LONGEST: usize = 128 * 1024 - 1;
/// What is kept of a longer one.
const BEGINNING: usize = 100;
const CHUNK: usize = 64 * 1024;

/// Values that end with a separator. Empty ones are skipped. No more is read than is asked for, and no more is kept
/// than the longest value, whatever the length of the input.
#[derive(Debug)]
pub(super) struct Lines {
    /// The stream.
    input: OwnedFd,
    /// Whether reading it never waits for anybody, and so is not to be asked whether it would.
    is_file: bool,
    /// What ends a value.
    separator: u8,
    /// What was read and not given yet.
    buffer: Vec<u8>,
    /// Where the next value begins in the buffer.
    start: usize,
    /// Up to where the buffer was searched for a separator.
    searched: usize,
    /// Whether what comes up to the next separator is the rest of a value that is too long.
    skips: bool,
    /// Whether the stream has ended.
    at_end: bool,
}

impl Lines {
    pub(super) fn new(input: OwnedFd, separator: u8) -> Self {
        let is_file = fstat(&input).is_ok_and(|stat| stat.st_mode & libc::S_IFMT == libc::S_IFREG);
        Self {
            input,
            is_file,
            separator,
            buffer: Vec::new(),
            start: 0,
            searched: 0,
            skips: false,
            at_end: false,
        }
    }

    pub(super) fn fd(&self) -> Fd {
        self.input.as_raw_fd().into()
    }

    /// Reads once. Another process that reads from the same pipe may have been faster: then there is nothing yet.
    pub(super) fn fill(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        let length = self.buffer.len();
        self.buffer.resize(length + CHUNK, 0);
        let result = self.read(length);
        self.buffer.truncate(length + *result.as_ref().unwrap_or(&0));
        match result {
            Ok(count) => self.at_end = count == 0,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn read(&mut self, start: usize) -> io::Result<usize> {
        let buffer = &mut self.buffer[start..];
        if self.is_file { Ok(read(&self.input, buffer)?) } else { read_now(self.input.as_fd(), buffer) }
    }

    pub(super) fn next(&mut self) -> Next {
        loop {
            let unsearched = &self.buffer[self.searched..];
            let separator = unsearched.iter().position(|byte| *byte == self.separator);
            let is_whole = separator.is_some() || self.at_end;
            let end = separator.map_or(self.buffer.len(), |at| self.searched + at);
            let value = &self.buffer[self.start..end];
            let is_too_long = value.len() > LONGEST;
            let next = if self.skips || value.is_empty() {
                None
            } else if is_too_long {
                Some(Next::TooLong(OsString::from_vec(value[..BEGINNING].to_vec())))
            } else if is_whole {
                Some(Next::Value(OsString::from_vec(value.to_vec())))
            } else {
                None
            };
            if is_whole || is_too_long || self.skips {
                self.skips = !is_whole;
                self.start = (end + usize::from(separator.is_some())).min(self.buffer.len());
                self.searched = self.start;
            } else {
                self.searched = end;
            }
            match next {
                Some(next) => return next,
                None if separator.is_some() => {}
                None if self.at_end => return Next::End,
                None => return Next::Pending,
            }
        }
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

    fn all(mut lines: Lines) -> Vec<Result<String, String>> {
        let mut values = Vec::new();
        loop {
            match lines.next() {
                Next::Value(value) => values.push(Ok(value.into_string().unwrap())),
                Next::TooLong(beginning) => values.push(Err(beginning.into_string().unwrap())),
                Next::Pending => lines.fill().unwrap(),
                Next::End => return values,
            }
            assert!(lines.buffer.len() <= LONGEST + 2 * CHUNK);
        }
    }

    fn whole(values: &[&str]) -> Vec<Result<String, String>> {
        values.iter().map(|value| Ok((*value).to_owned())).collect()
    }

    #[test]
    fn lines_are_split_and_empty_ones_skipped() {
        assert_eq!(all(lines(b"", b'\n')), []);
        assert_eq!(all(lines(b"a\n\nb c\nlast", b'\n')), whole(&["a", "b c", "last"]));
        assert_eq!(all(lines(b"a\nb\0c\0", 0)), whole(&["a\nb", "c"]));
    }

    #[test]
    fn many_lines_pass_through_a_small_buffer() {
        let input: String = (0..100_000).map(|n| format!("{n}\n")).collect();
        let values = all(lines(input.as_bytes(), b'\n'));
        assert!(values.into_iter().eq((0..100_000).map(|n| Ok(n.to_string()))));
    }

    #[test]
    fn a_line_that_is_too_long_costs_no_other_one() {
        for more in [0, 1, CHUNK, 10 * CHUNK] {
            for end in ["\n", ""] {
                let long = "x".repeat(LONGEST + more);
                let values = all(lines(format!("a\n{long}\n\nb\n{long}{end}").as_bytes(), b'\n'));
                let long = if more == 0 { Ok(long) } else { Err("x".repeat(BEGINNING)) };
                let expected = [Ok("a".to_owned()), long.clone(), Ok("b".to_owned()), long];
                assert_eq!(values, expected, "{more} bytes too many");
            }
        }
    }
}
