//! Which file a program's name means, and why a file cannot be executed.
//!
//! The search is execvp(3)'s, done before the spawn: a failed spawn costs a process, and one error number cannot tell
//! a missing program from a missing interpreter.

use std::{
    ffi::{CString, OsStr, OsString},
    fs::File,
    io::{self, Read},
    os::{
        fd::BorrowedFd,
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{AT_FDCWD, AtFlags, OFlag, openat},
    sys::stat::{FileStat, Mode, SFlag, fstatat},
    unistd::{AccessFlags, faccessat},
};
use object::{
    Endianness, elf,
    read::elf::{FileHeader, ProgramHeader},
};

use super::SpawnError;
use crate::sys::spawn::{Failure, Step};

/// What execvp(3) takes when there is no `PATH` (`_CS_PATH` of glibc).
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// How much of a file is read to find its interpreter.
const HEADER: usize = 4096;

/// Where a program may be found, seen from a folder.
pub(super) struct Search<'a> {
    program: &'a OsStr,
    /// What relative names start at.
    folder: BorrowedFd<'a>,
    searched: Vec<PathBuf>,
    candidates: Vec<PathBuf>,
    /// Why a file of the name was passed over: the answer if nothing else is found.
    refused: Option<SpawnError>,
}

impl<'a> Search<'a> {
    /// Lists the files to try, in order. A name with a slash is itself the only one.
    pub(super) fn new(program: &'a OsStr, path: Option<OsString>, folder: Option<BorrowedFd<'a>>) -> Self {
        let folder = folder.unwrap_or(AT_FDCWD);
        let mut search =
            Self { program, folder, searched: Vec::new(), candidates: Vec::new(), refused: None };
        if program.as_bytes().contains(&b'/') {
            search.candidates.push(program.into());
            return search;
        }
        let path = path.unwrap_or_else(|| DEFAULT_PATH.into());
        // `std::env::split_paths` would do the same; an empty entry is the working folder.
        for entry in path.as_bytes().split(|byte| *byte == b':') {
            let entry = Path::new(OsStr::from_bytes(if entry.is_empty() { b"." } else { entry }));
            search.searched.push(entry.into());
            let candidate = entry.join(program);
            match check(folder, &candidate) {
                Ok(()) => search.candidates.push(candidate),
                Err(source) if is_missing(&source) => {}
                Err(source) => {
                    search.refuse(SpawnError::NotExecutable { path: candidate, interpreter: None, source })
                }
            }
        }
        search
    }

    /// Calls `start` on each file in turn until one starts, as execvp(3) does: what is missing or may not be executed is
    /// passed over, any other failure is final.
    pub(super) fn start<T>(
        mut self,
        mut start: impl FnMut(CString) -> Result<T, Failure>,
    ) -> Result<T, SpawnError> {
        for path in std::mem::take(&mut self.candidates) {
            let name = CString::new(path.clone().into_os_string().into_vec()).map_err(|_| {
                SpawnError::InvalidArgument { what: format!("PATH: {path:?} contains a NUL byte") }
            })?;
            let source = match start(name) {
                Ok(started) => return Ok(started),
                Err(Failure { step: Step::Exec, source }) => source,
                Err(Failure { step: step @ Step::Unsupported, .. }) => {
                    return Err(SpawnError::NotSupported { what: step.what() });
                }
                Err(Failure { step, source }) => return Err(SpawnError::Os { what: step.what(), source }),
            };
            let go_on = is_missing(&source) || source.raw_os_error() == Some(libc::EACCES);
            match self.explain(path, source) {
                None => {}
                Some(error) if go_on => self.refuse(error),
                Some(error) => return Err(error),
            }
        }
        Err(self.refused.unwrap_or_else(|| SpawnError::NotFound {
            program: self.program.to_owned(),
            searched: self.searched,
        }))
    }

    fn refuse(&mut self, error: SpawnError) {
        self.refused.get_or_insert(error);
    }

    /// What a failed exec means; `None` for a file that is not there.
    fn explain(&self, path: PathBuf, source: io::Error) -> Option<SpawnError> {
        let errno = source.raw_os_error().unwrap_or(0);
        if !NOT_EXECUTABLE.contains(&errno) {
            return Some(SpawnError::Os { what: Step::Exec.what(), source });
        }
        match check(self.folder, &path) {
            // The file itself is fine, so what it needs is not.
            Ok(()) => {
                let interpreter = interpreter(self.folder, &path);
                Some(SpawnError::NotExecutable { path, interpreter, source })
            }
            Err(ours) if ours.raw_os_error() == Some(libc::ENOENT) => None,
            Err(ours) => Some(SpawnError::NotExecutable { path, interpreter: None, source: ours }),
        }
    }
}

/// What execve(2) says about the file; every other number is about the system.
const NOT_EXECUTABLE: [i32; 10] = [
    libc::EACCES,
    libc::ENOENT,
    libc::ENOEXEC,
    libc::ENOTDIR,
    libc::EISDIR,
    libc::ELIBBAD,
    libc::ELOOP,
    libc::ENAMETOOLONG,
    libc::ETXTBSY,
    libc::EINVAL,
];

/// Errors with which execvp(3) goes on to the next folder.
fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ENOENT | libc::ENOTDIR | libc::ESTALE | libc::ENODEV | libc::ETIMEDOUT)
    )
}

/// Whether the file is there and this process may execute it.
fn check(folder: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let stat: FileStat = fstatat(folder, path, AtFlags::empty())?;
    match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
        SFlag::S_IFREG => Ok(faccessat(folder, path, AccessFlags::X_OK, AtFlags::AT_EACCESS)?),
        SFlag::S_IFDIR => Err(Errno::EISDIR.into()),
        _ => Err(Errno::EACCES.into()),
    }
}

/// The interpreter that a script or a dynamic executable names.
fn interpreter(folder: BorrowedFd<'_>, path: &Path) -> Option<PathBuf> {
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = openat(folder, path, flags, Mode::empty()).ok()?;
    let mut header = Vec::with_capacity(HEADER);
    File::from(file).take(HEADER as u64).read_to_end(&mut header).ok()?;
    let name = match header.strip_prefix(b"#!") {
        Some(script) => script_interpreter(script),
        None => elf_interpreter::<elf::FileHeader64<Endianness>>(&header)
            .or_else(|| elf_interpreter::<elf::FileHeader32<Endianness>>(&header)),
    };
    name.map(|name| OsStr::from_bytes(name).into())
}

fn script_interpreter(line: &[u8]) -> Option<&[u8]> {
    // Only these are blanks for the kernel: after a CRLF it looks for `/bin/sh\r`.
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    line.split(|byte| *byte == b'\n').next()?.split(is_blank).find(|word| !word.is_empty())
}

fn elf_interpreter<Elf: FileHeader<Endian = Endianness>>(data: &[u8]) -> Option<&[u8]> {
    let header = Elf::parse(data).ok()?;
    let endian = header.endian().ok()?;
    let segments = header.program_headers(endian, data).ok()?;
    segments.iter().find_map(|segment| segment.interpreter(endian, data).ok().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interpreter_of_a_script_is_the_first_word() {
        assert_eq!(script_interpreter(b" /bin/sh -e\nrest"), Some(&b"/bin/sh"[..]));
        assert_eq!(script_interpreter(b"\t/bin/sh\r\nrest"), Some(&b"/bin/sh\r"[..]));
        assert_eq!(script_interpreter(b"\n"), None);
    }

    #[test]
    fn the_interpreter_of_an_executable_is_its_loader() {
        let this = std::env::current_exe().unwrap();
        let loader = interpreter(AT_FDCWD, &this).unwrap();
        assert!(loader.exists(), "{}", loader.display());
    }
}
