//! What a plugin file says of itself, read without running any of it.

use std::{
    fs::{File, Metadata as FileMetadata, OpenOptions},
    io,
    os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use loophost_plugin_api::{ABI_MAJOR, ABI_MINOR, Descriptor, Metadata};

use super::{AbiVersion, Flaw, LoadError, Trust, elf};

/// A plugin file that was read and not loaded.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Inspected {
    /// The file, as it was named.
    pub path: PathBuf,
    /// Its `loophost_plugin_1`.
    pub descriptor: Descriptor,
    /// Name, version and offers. Empty if the descriptor is of another ABI and cannot be understood.
    pub metadata: Metadata,
    /// Device and inode of the file that was read.
    pub identity: Identity,
}

/// Which file it is, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The device that it lies on.
    pub dev: u64,
    /// Its inode there.
    pub ino: u64,
}

impl Identity {
    pub(super) fn of(metadata: &FileMetadata) -> Self {
        Self { dev: metadata.dev(), ino: metadata.ino() }
    }
}

/// Reads what the file at `path` says of itself. None of its code runs, and it may be of any version: see
/// [`Inspected::check`].
///
/// # Errors
/// It cannot be read, or it is no plugin.
pub fn inspect(path: &Path) -> Result<Inspected, LoadError> {
    inspect_file(path, &open(path)?)
}

/// Opens a file that may be anything: neither a pipe nor a terminal makes it wait.
pub(super) fn open(path: &Path) -> Result<File, LoadError> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        // A socket cannot be opened at all.
        .map_err(|source| match path.metadata() {
            Ok(metadata) if metadata.file_type().is_socket() => special(path),
            _ => LoadError::Open { path: path.into(), source },
        })
}

/// As [`inspect`], of a file that is open already.
pub(super) fn inspect_file(path: &Path, file: &File) -> Result<Inspected, LoadError> {
    let unusable = |flaw| LoadError::Unusable { path: path.into(), flaw };
    let stat = file.metadata().map_err(|source: io::Error| LoadError::Open { path: path.into(), source })?;
    if stat.is_dir() {
        return Err(unusable(Flaw::Folder));
    }
    if !stat.is_file() {
        return Err(special(path));
    }
    let bytes = elf::descriptor(file).map_err(unusable)?;
    let descriptor = Descriptor::read(&bytes).ok_or_else(|| unusable(Flaw::DamagedDescriptor))?;
    let (metadata, identity) = (descriptor.metadata_in(&bytes), Identity::of(&stat));
    let is_damaged = metadata.is_none();
    let inspected =
        Inspected { path: path.into(), descriptor, metadata: metadata.unwrap_or_default(), identity };
    // That of another ABI may be none that this host understands.
    if is_damaged && inspected.check_abi().is_ok() {
        return Err(unusable(Flaw::DamagedDescriptor));
    }
    Ok(inspected)
}

fn special(path: &Path) -> LoadError {
    LoadError::Unusable { path: path.into(), flaw: Flaw::Special }
}

impl Inspected {
    /// Whether the file's owner, its mode and the folders above it are to be trusted.
    pub fn check_trust(&self, trust: &Trust) -> Result<(), LoadError> {
        trust
            .check(&self.path)
            .map_err(|distrust| LoadError::Distrusted { path: self.path.clone(), distrust })
    }

    /// Whether this host can load it, as far as one can tell without running any of it.
    ///
    /// # Errors
    /// It is built for another ABI, with another series of `abi_stable`, or with `panic = "abort"`, or says that its host
    /// must know something which this one does not.
    pub fn check(&self) -> Result<(), LoadError> {
        self.check_abi()?;
        let flags = self.descriptor.unknown_flags();
        if flags != 0 {
            return Err(LoadError::UnknownFlags { path: self.path.clone(), flags });
        }
        if self.descriptor.flags & Descriptor::PANIC_ABORT != 0 {
            return Err(LoadError::PanicAbort { path: self.path.clone() });
        }
        if !self.descriptor.is_c() && !self.descriptor.is_of_our_abi_stable() {
            let plugin = self.descriptor.abi_stable().to_owned();
            return Err(LoadError::AbiStable { path: self.path.clone(), plugin });
        }
        Ok(())
    }

    /// Whether its version of the ABI is one that this host serves.
    fn check_abi(&self) -> Result<(), LoadError> {
        let plugin = AbiVersion { major: self.descriptor.abi_major, minor: self.descriptor.abi_minor };
        let host = AbiVersion { major: ABI_MAJOR, minor: ABI_MINOR };
        let needs = AbiVersion { minor: self.descriptor.needs_minor, ..plugin };
        if !host.serves(needs) {
            return Err(LoadError::Abi { path: self.path.clone(), plugin, needs, host });
        }
        Ok(())
    }
}
